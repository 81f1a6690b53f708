//! Runs a plan: creates tables, stores the notifications, and invokes the consumer with one batch after the other.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
        ScalarAttributeType,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::try_join_all;
use jiff::Timestamp;
use onewrite::{
    event::NotificationEvent,
    item::{Enrichment, NotificationItem, PayloadCompression, attribute, to_millis},
    notification::{MessagePointers, Status},
};
use onewrite_stack::error::StackError;
use serde_json::{Value, json};

use super::{
    function::Function,
    judge::{Answer, Invocation, Log, retry_from},
    program::Program,
    proxy::{LEDGER_KEY, Meeting, Proxy, Tables},
    scenario::{Content, Fault, Plan, Start},
};

/// The type of all notifications.
const KIND: &str = "conform";

/// The reason why the plays cannot run, in words.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error("the command cannot be started: {0}")]
    Io(#[from] std::io::Error),
    /// The first invocation, which meets no fault, failed.
    #[error("the first batch failed: {0}")]
    NotStartable(String),
    #[error("a notification of the plays cannot be stored: {0}")]
    Item(String),
    #[error("interrupted")]
    Interrupted,
}

/// How the consumer is invoked.
pub enum Consumer {
    Program(Program),
    /// Its proxy is that of all invocations, because the function cannot be told another one in time.
    Function(Function, Proxy),
}

/// The tables, and the consumer that works on them.
pub struct Stage<'a> {
    pub plan: &'a Plan,
    pub client: Client,
    /// Host and port of the emulator.
    pub upstream: String,
    pub tables: Tables,
    pub consumer: Consumer,
}

impl Stage<'_> {
    /// Runs the plan. `report` is called with the name of each play.
    ///
    /// # Errors
    /// [`StageError`]: the plays cannot run, or not to their end.
    pub async fn run(&self, mut report: impl FnMut(&str)) -> Result<Log, StageError> {
        let mut log = Log::default();
        let events = self.store_items().await?;
        for (index, batch) in self.plan.batches.iter().enumerate() {
            if batch.fault.kills() && matches!(self.consumer, Consumer::Function(..)) {
                log.not_played.insert(batch.play);
                continue;
            }
            report(batch.play);
            let mut first = Some(0);
            for attempt in 0..self.plan.attempts(batch) {
                let Some(from) = first else { break };
                let invocations = self.invoke(index, attempt, from, &events).await?;
                first = retry_from(
                    &batch.records,
                    from,
                    invocations.iter().map(|one| &one.answer),
                );
                if let (
                    0,
                    0,
                    [
                        Invocation {
                            answer: Answer::Failed(reason),
                            ..
                        },
                    ],
                ) = (index, attempt, &invocations[..])
                {
                    return Err(StageError::NotStartable(reason.clone()));
                }
                log.invocations.extend(invocations);
            }
        }
        log.states = self.read_states().await?;
        Ok(log)
    }

    /// One attempt at a batch, by each of its consumers at the same time.
    async fn invoke(
        &self,
        index: usize,
        attempt: usize,
        first: usize,
        events: &Events,
    ) -> Result<Vec<Invocation>, StageError> {
        let batch = &self.plan.batches[index];
        let (fault, consumers) = match attempt {
            0 => (batch.fault, batch.consumers),
            _ => (Fault::None, 1),
        };
        let records = &batch.records[first..];
        let numbers: Vec<&str> = records
            .iter()
            .map(|record| record.number.as_str())
            .collect();
        let data: Vec<String> = records
            .iter()
            .map(|record| events.data(record.content))
            .collect();
        let request = lambda_event(&numbers, &data);
        let invocation = |(answer, printed): (Answer, String), writes| Invocation {
            batch: index,
            attempt,
            first,
            answer,
            writes,
            has_payload: printed.contains(&self.plan.canary())
                || data.iter().any(|data| printed.contains(data.as_str())),
        };
        match &self.consumer {
            Consumer::Program(program) => {
                let meeting = (consumers > 1).then(|| Arc::new(Meeting::new(consumers)));
                let runs = (0..consumers).map(async |_| {
                    let proxy = Proxy::start(&self.upstream, &self.tables).await?;
                    proxy.begin(fault, meeting.clone());
                    let ran = program.invoke(request.clone(), &numbers, &proxy).await;
                    let writes = proxy.end();
                    Ok::<_, StageError>(invocation(ran?, writes))
                });
                try_join_all(runs).await
            }
            Consumer::Function(function, proxy) => {
                proxy.begin(fault, None);
                let runs = (0..consumers).map(|_| function.invoke(request.clone(), &numbers));
                let ran = try_join_all(runs).await?;
                // Whose write it was is not known.
                let mut writes = proxy.end();
                let invocations = ran
                    .into_iter()
                    .map(|ran| invocation(ran, std::mem::take(&mut writes)));
                Ok(invocations.collect())
            }
        }
    }

    /// Stores what each notification starts with. Returns the events.
    async fn store_items(&self) -> Result<Events, StageError> {
        let mut events = Events {
            by_subject: Vec::new(),
            unreadable: json!({"unreadable": self.plan.canary()}).to_string(),
        };
        for (number, subject) in self.plan.subjects.iter().enumerate() {
            let account = if subject.is_closed { "closed" } else { "open" };
            let payload =
                |n: usize| json!({"n": n, "account": account, "text": self.plan.canary()});
            let item = item(&subject.id, &payload(number))?;
            let stored = match subject.start {
                Start::Open => Some(item.clone()),
                Start::Settled(status) => Some(in_status(&item, status)),
                Start::Reused => Some(self::item(&subject.id, &payload(usize::MAX))?),
                Start::Removed => None,
                Start::Edited => Some(NotificationItem {
                    version: item.version + 2,
                    ..item.clone()
                }),
            };
            if let Some(stored) = stored {
                let item: HashMap<String, AttributeValue> = stored.to_item().into();
                let put = self
                    .client
                    .put_item()
                    .table_name(&self.tables.notifications);
                let put = put.set_item(Some(item)).send().await;
                put.map_err(|error| StackError::from_sdk("PutItem", &error))?;
            }
            events.by_subject.push(item);
        }
        Ok(events)
    }

    async fn read_states(&self) -> Result<BTreeMap<String, Status>, StackError> {
        let scan = self.client.scan().table_name(&self.tables.notifications);
        let items = scan.consistent_read(true).into_paginator().items().send();
        let items = items.collect::<Result<Vec<_>, _>>().await;
        let items = items.map_err(|error| StackError::from_sdk("Scan", &error))?;
        let state = |item: HashMap<String, AttributeValue>| {
            let text = |name| item.get(name)?.as_s().ok();
            let status = text(attribute::STATUS)?.parse().ok()?;
            Some((text(attribute::NOTIFICATION_ID)?.clone(), status))
        };
        Ok(items.into_iter().filter_map(state).collect())
    }
}

/// Creates both tables.
///
/// # Errors
/// [`StackError`]: a table cannot be created.
pub async fn create_tables(client: &Client, tables: &Tables) -> Result<(), StackError> {
    for (name, key) in [
        (&tables.notifications, attribute::NOTIFICATION_ID),
        (&tables.ledger, LEDGER_KEY),
    ] {
        let column = AttributeDefinition::builder().attribute_name(key);
        let column = column.attribute_type(ScalarAttributeType::S).build();
        let schema = KeySchemaElement::builder().attribute_name(key);
        let schema = schema.key_type(KeyType::Hash).build();
        let request = client.create_table().table_name(name);
        let request = request.billing_mode(BillingMode::PayPerRequest);
        let request = request.set_attribute_definitions(column.ok().map(|one| vec![one]));
        let request = request.set_key_schema(schema.ok().map(|one| vec![one]));
        let created = request.send().await;
        created.map_err(|error| StackError::from_sdk("CreateTable", &error))?;
    }
    Ok(())
}

/// Deletes the tables. An error leaves a table in an emulator, which is deleted with it.
pub async fn delete_tables(client: &Client, tables: &Tables) {
    for name in [&tables.notifications, &tables.ledger] {
        let _ = client.delete_table().table_name(name).send().await;
    }
}

/// The data of the records, in Base64.
struct Events {
    by_subject: Vec<NotificationItem>,
    unreadable: String,
}

impl Events {
    fn data(&self, content: Content) -> String {
        STANDARD.encode(match content {
            Content::Unreadable => self.unreadable.clone(),
            Content::Event { subject, status } => {
                let item = in_status(&self.by_subject[subject], status);
                NotificationEvent::from_item(&item).to_json()
            }
        })
    }
}

/// The item as `ingest` stores it.
fn item(id: &str, payload: &Value) -> Result<NotificationItem, StageError> {
    let body = json!({"notification_id": id, "type": KIND, "payload": payload}).to_string();
    let invalid = |error: &dyn std::fmt::Display| StageError::Item(error.to_string());
    let notification = MessagePointers::default().parse(&body);
    let notification = notification.map_err(|error| invalid(&error))?;
    let (enrichment, now) = (Enrichment::default(), to_millis(Timestamp::now()));
    let compression = PayloadCompression::default();
    NotificationItem::new(
        notification,
        &enrichment,
        id.to_owned(),
        None,
        now,
        compression,
    )
    .map_err(|error| invalid(&error))
}

fn in_status(item: &NotificationItem, status: Status) -> NotificationItem {
    let mut item = item.clone();
    item.status = status;
    item.version = status.version();
    if status == Status::Refused {
        item.refusal = KIND.parse().ok();
    }
    item
}

/// The event that Lambda sends for records of one shard (Lambda developer guide, "Using Lambda to process records from Amazon
/// Kinesis Data Streams").
fn lambda_event(numbers: &[&str], data: &[String]) -> String {
    let record = |(number, data): (&&str, &String)| {
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": KIND,
                "sequenceNumber": number,
                "data": data,
                "approximateArrivalTimestamp": 1_700_000_000.0,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("shardId-000000000000:{number}"),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::000000000000:role/conform",
            "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/conform",
        })
    };
    let records: Vec<Value> = numbers.iter().zip(data).map(record).collect();
    json!({"Records": records}).to_string()
}
