//! A `complete` function of your own: writes one ledger entry per notification, exactly once.
//!
//! The entry commits in the same transaction as DONE. The role of the function needs `dynamodb:PutItem` on the ledger table.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use lambda_runtime::Error;
use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};

/// The downstream. Each notification becomes one item of this table.
struct Ledger {
    table_name: String,
}

impl Downstream<TransactWriteItem> for Ledger {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let entry = Put::builder()
            .table_name(&self.table_name)
            .item("entry_id", text(event.subject.as_str()))
            .item("entry", text(event.data.as_str()))
            .build()
            .map_err(|_| DownstreamError::new("the ledger entry is incomplete"))?;
        let write = TransactWriteItem::builder().put(entry).build();
        Ok(Effect::CommitWith(vec![write]))
    }

    /// The entry commits with DONE, so it cannot be written twice.
    fn checks_state(&self) -> bool {
        false
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let table_name = std::env::var("LEDGER_TABLE_NAME")?;
    onewrite_complete::run(Ledger { table_name }).await
}

#[cfg(test)]
mod tests {
    use onewrite::{
        completion::{Completer, CompletionOutcome},
        notification::Status,
        table::{NewNotifications as _, Verdict},
    };
    use onewrite_testing::{InMemoryTable, contract};
    use serde_dynamo::AttributeValue as Value;

    use super::*;

    #[tokio::test]
    async fn a_repeated_event_writes_one_ledger_entry() {
        let table = InMemoryTable::default().with_other_table("ledger", "entry_id");
        let item = contract::notification("rf_1", r#"{"amount":5}"#);
        table.insert(&item).await.unwrap();
        let event = NotificationEvent::from_item(&item);
        let ledger = Ledger {
            table_name: "ledger".to_owned(),
        };
        let completer = Completer::new(table.clone(), 0);
        let mut outcomes = Vec::new();
        for _delivery in 0..2 {
            outcomes.push(completer.complete(&event, &ledger).await.unwrap());
        }
        assert_eq!(
            outcomes,
            [
                CompletionOutcome::Settled(Verdict::Done),
                CompletionOutcome::AlreadySettled(Status::Done)
            ]
        );
        let entries = table.other_items("ledger");
        assert_eq!(entries.len(), 1);
        let entry = entries["rf_1"].get("entry");
        assert_eq!(entry, Some(&Value::S(r#"{"amount":5}"#.to_owned())));
    }
}
