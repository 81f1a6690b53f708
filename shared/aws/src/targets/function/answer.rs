//! The answer of a function: `{"accepted": true}`, `{"accepted": true, "writes": [...]}` or `{"refused": "code"}`.
//!
//! Nothing else is a verdict. A function that returns `null`, an HTTP response or its input has not decided anything.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{self, TransactWriteItem},
};
use onewrite::{completion::Effect, limits::MAX_TRANSACT_WRITES};
use serde::Deserialize;
use serde_dynamo::Item;

use crate::targets::address::Arn;

/// The tables that the writes of a function may change.
#[derive(Debug)]
pub(super) struct WritableTables {
    /// Names and ARNs: a write may use either (DynamoDB API reference, "Put": `TableName`).
    names: BTreeSet<String>,
}

impl WritableTables {
    /// The notification table is never among them: only the transaction itself may change the notification.
    pub(super) fn new<'a>(
        notification_table: &str,
        tables: impl IntoIterator<Item = &'a Arn>,
    ) -> Self {
        let tables = tables.into_iter();
        let names = tables
            .filter(|table| table.name != notification_table)
            .flat_map(|table| [table.name.clone(), table.text.clone()]);
        Self {
            names: names.collect(),
        }
    }
}

/// Why an answer is no verdict. It quotes nothing of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidAnswer {
    #[error("the answer of the function is not a verdict")]
    NoVerdict,
    #[error("the code of the function's refusal is not valid")]
    Code,
    #[error("the function returned more than {} writes", MAX_TRANSACT_WRITES - 1)]
    TooManyWrites,
    #[error("a write of the function names a table that is not listed")]
    Table,
    #[error("a write of the function is incomplete")]
    Write,
}

/// Reads an answer.
pub(super) fn parse(
    body: &[u8],
    tables: &WritableTables,
) -> Result<Effect<TransactWriteItem>, InvalidAnswer> {
    // The text of the error could quote the answer.
    let answer: Answer = serde_json::from_slice(body).map_err(|_| InvalidAnswer::NoVerdict)?;
    match answer {
        Answer {
            accepted: Some(true),
            refused: None,
            writes,
        } => accept(writes.unwrap_or_default(), tables),
        Answer {
            accepted: None,
            refused: Some(code),
            writes: None,
        } => {
            let refusal = code.parse().map_err(|_| InvalidAnswer::Code)?;
            Ok(Effect::Refused(refusal))
        }
        _ => Err(InvalidAnswer::NoVerdict),
    }
}

fn accept(
    writes: Vec<Write>,
    tables: &WritableTables,
) -> Result<Effect<TransactWriteItem>, InvalidAnswer> {
    if writes.is_empty() {
        return Ok(Effect::Happened);
    }
    if writes.len() >= MAX_TRANSACT_WRITES {
        return Err(InvalidAnswer::TooManyWrites);
    }
    if !writes
        .iter()
        .all(|write| tables.names.contains(write.table()))
    {
        return Err(InvalidAnswer::Table);
    }
    let writes: Result<_, _> = writes.into_iter().map(Write::build).collect();
    writes
        .map(Effect::CommitWith)
        .map_err(|_| InvalidAnswer::Write)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    accepted: Option<bool>,
    refused: Option<String>,
    writes: Option<Vec<Write>>,
}

/// An entry of `TransactItems` in DynamoDB JSON (DynamoDB API reference, "TransactWriteItem").
#[derive(Deserialize)]
enum Write {
    Put(Put),
    Update(Update),
    Delete(Delete),
    ConditionCheck(ConditionCheck),
}

impl Write {
    fn table(&self) -> &str {
        match self {
            Self::Put(put) => &put.table_name,
            Self::Update(update) => &update.table_name,
            Self::Delete(delete) => &delete.table_name,
            Self::ConditionCheck(check) => &check.table_name,
        }
    }

    fn build(self) -> Result<TransactWriteItem, BuildError> {
        let item = TransactWriteItem::builder();
        let item = match self {
            Self::Put(put) => item.put(put.build()?),
            Self::Update(update) => item.update(update.build()?),
            Self::Delete(delete) => item.delete(delete.build()?),
            Self::ConditionCheck(check) => item.condition_check(check.build()?),
        };
        Ok(item.build())
    }
}

/// Defines one kind of write: its own members, and those that all kinds have.
macro_rules! write_kind {
    ($name:ident, $key:ident / $set_key:ident $(, $member:ident)*) => {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct $name {
            table_name: String,
            $key: Item,
            $($member: String,)*
            condition_expression: Option<String>,
            expression_attribute_names: Option<HashMap<String, String>>,
            expression_attribute_values: Option<Item>,
            return_values_on_condition_check_failure: Option<String>,
        }

        impl $name {
            fn build(self) -> Result<types::$name, BuildError> {
                let values = self.expression_attribute_values;
                let returned = self.return_values_on_condition_check_failure;
                types::$name::builder()
                    .table_name(self.table_name)
                    .$set_key(Some(self.$key.into()))
                    $(.$member(self.$member))*
                    .set_condition_expression(self.condition_expression)
                    .set_expression_attribute_names(self.expression_attribute_names)
                    .set_expression_attribute_values(values.map(Into::into))
                    .set_return_values_on_condition_check_failure(
                        returned.as_deref().map(Into::into),
                    )
                    .build()
            }
        }
    };
}

write_kind!(Put, item / set_item);
write_kind!(Update, key / set_key, update_expression);
write_kind!(Delete, key / set_key);
write_kind!(ConditionCheck, key / set_key);
