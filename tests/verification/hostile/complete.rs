//! Hostile Kinesis records, handled by `complete`.

use aws_smithy_types::base64;
use jiff::Timestamp;
use onewrite::{
    completion::Completer,
    event::NotificationEvent,
    item::NotificationItem,
    notification::{NotificationId, Status},
    stream::Record as StreamRecord,
    table::NewNotifications as _,
};
use onewrite_complete::{handler::Complete, record::ShardEvent};
use onewrite_runtime::event::decode;
use onewrite_testing::{Accepting, InMemoryTable, StoredRecord, contract, lambda_event};
use serde_json::{Value, json};

use crate::{
    check::{self, equal},
    corpus::{self, Event, Record},
    text,
};

#[test]
fn handles_every_kinesis_record_of_the_corpus() {
    let cases = corpus::events("complete")
        .into_iter()
        .map(|event| (event.case.clone(), event));
    check::all(cases.collect(), check_event);
}

/// The outcomes that Lambda need not repeat.
const SUCCESSES: [&str; 5] = [
    "Done",
    "Refused",
    "AlreadySettled",
    "Contradicted",
    "Ignored",
];

async fn check_event(event: &Event) -> Result<(), String> {
    let table = InMemoryTable::default();
    let each = event.each();
    let mut records = Vec::with_capacity(each.len());
    for (place, record) in each.into_iter().enumerate() {
        let item = contract::notification(&format!("n{place}"), r#"{"n": 1.0}"#);
        table.insert(&item).await.unwrap();
        records.push((read(&item, place, record), record));
    }
    let json: Vec<Value> = records.iter().map(|(json, _)| json.clone()).collect();
    let answer = handle(&table, &event.bytes(&json)).await;
    if let Some(outcome) = &event.outcome {
        return equal("the invocation", answer, Err(outcome.as_str()));
    }

    let failed = records
        .iter()
        .filter(|(_, record)| !SUCCESSES.contains(&record.outcome.as_str()));
    let number = |json: &Value| {
        json["kinesis"]["sequenceNumber"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let mut failed: Vec<_> = failed
        .map(|(json, record)| (number(json), record.outcome.clone()))
        .collect();
    failed.sort();
    // Sequence numbers have no leading zeros, so the shorter one is lower.
    let lowest = failed
        .iter()
        .map(|(number, _)| number)
        .min_by_key(|number| (number.len(), *number));
    equal("the answer", answer, Ok(lowest.cloned()))?;
    let lines = check::lines().into_iter();
    let mut logged: Vec<_> = lines
        .filter_map(|line| {
            Some((
                line.get("sequence_number")?.clone(),
                line.get("failure")?.clone(),
            ))
        })
        .collect();
    logged.sort();
    equal("the log", logged, failed)?;

    check_table(&table, &records)
}

/// Checks that each record that was Done changed the item of its event, and no other record did.
fn check_table(table: &InMemoryTable, records: &[(Value, &Record)]) -> Result<(), String> {
    for (place, (json, record)) in records.iter().enumerate() {
        let data = json["kinesis"]["data"].as_str();
        let data = data.and_then(|data| base64::decode(data).ok());
        let parsed = data.and_then(|data| NotificationEvent::parse(&data).ok());
        equal(
            "whether the record is an event",
            parsed.is_none(),
            record.outcome == "Unreadable",
        )?;
        let copied = parsed.is_some_and(|event| event.subject.as_str() != format!("n{place}"));
        let done = record.outcome == "Done" && !copied;
        let item = NotificationItem::from_item(&table.item(&format!("n{place}")).unwrap()).unwrap();
        let status = if done { Status::Done } else { Status::Init };
        equal("the status in the table", item.status, status)?;
    }
    Ok(())
}

/// Returns the sequence number to retry from, or the name of the invocation error.
async fn handle(table: &InMemoryTable, event: &[u8]) -> Result<Option<String>, &'static str> {
    check::lines();
    let Ok(event) = decode::<ShardEvent>(event) else {
        return Err("Unreadable");
    };
    let complete = Complete::new(Completer::new(table.clone(), 0), Accepting, 16);
    let answer = complete.handle(event, check::budget()).await;
    let failures = answer
        .map_err(|_| "MissingSequenceNumber")?
        .batch_item_failures;
    assert!(
        failures.len() < 2,
        "must report at most one failure, the checkpoint"
    );
    Ok(failures
        .into_iter()
        .find_map(|failure| failure.item_identifier))
}

fn read(item: &NotificationItem, place: usize, record: &Record) -> Value {
    let document = NotificationEvent::from_item(item).to_json();
    let data = match (&record.data, &record.document) {
        (Some(data), _) => text::bytes(data),
        (None, Some(edit)) => edit
            .apply(serde_json::from_str(&document).unwrap())
            .to_string()
            .into_bytes(),
        (None, None) => document.into_bytes(),
    };
    let stored = StoredRecord {
        sequence_number: (1_000 + place).to_string(),
        shard_id: "shardId-000000000000".to_owned(),
        record: StreamRecord {
            id: NotificationId::parse(format!("n{place}")).unwrap(),
            data,
        },
        at: Timestamp::UNIX_EPOCH,
    };
    let json = lambda_event::kinesis_json(&[stored]);
    record.edit.apply(json!(json["Records"][0]))
}
