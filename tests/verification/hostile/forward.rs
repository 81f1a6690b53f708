//! Hostile table changes, handled by `forward`.

use std::io::Read as _;

use aws_smithy_types::base64;
use flate2::read::DeflateDecoder;
use jiff::Timestamp;
use onewrite::{
    event::EventSource,
    notification::Status,
    stream::{EventStream, Record as StreamRecord},
};
use onewrite_forward::{change::ChangeEvent, handler::Forward};
use onewrite_runtime::event::decode;
use onewrite_testing::{
    self, Fault, FaultyStream, InMemoryStream, StreamFault, contract, lambda_event,
};
use serde_json::{Value, json};

use crate::{
    check::{self, equal},
    corpus::{self, Change, Event},
};

#[test]
fn handles_every_table_change_of_the_corpus() {
    let cases = corpus::events("forward")
        .into_iter()
        .map(|event| (event.case.clone(), event));
    check::all(cases.collect(), check_event);
}

async fn check_event(event: &Event) -> Result<(), String> {
    let known = ["Forwarded", "Skipped", "Unreadable"];
    if event.outcome.is_none()
        && !event
            .each()
            .iter()
            .all(|record| known.contains(&&*record.outcome))
    {
        return Err("the record has no outcome".to_owned());
    }
    let records: Vec<(Value, &str)> = event
        .each()
        .iter()
        .enumerate()
        .map(|(place, record)| {
            (
                record.edit.apply(good(place, record.change)),
                &*record.outcome,
            )
        })
        .collect();
    let json: Vec<Value> = records.iter().map(|(json, _)| json.clone()).collect();
    let bytes = event.bytes(&json);

    let stream = InMemoryStream::new(1);
    let answer = handle(stream.clone(), &bytes).await;
    if let Some(outcome) = &event.outcome {
        equal("the invocation", answer, Err(outcome.as_str()))?;
        return equal("the number of records", stream.records().len(), 0);
    }
    equal("the answer", answer, Ok(None))?;
    if event.failed.is_some() {
        return equal("the number of records", stream.records().len(), 0);
    }
    check_unreadable(&records)?;
    check_published(&records, &stream)?;
    check_checkpoint(&records, stream, &bytes).await
}

/// A record of an event and its required outcome.
type ExpectedRecord<'a> = (Value, &'a str);

pub(crate) fn check_unreadable(records: &[ExpectedRecord<'_>]) -> Result<(), String> {
    let unreadable = check::lines()
        .into_iter()
        .filter(|line| line["message"] == "unreadable: skipped, the item stays in the table");
    let expected = records
        .iter()
        .filter(|(_, outcome)| *outcome == "Unreadable")
        .count();
    equal(
        "the number of unreadable changes",
        unreadable.count(),
        expected,
    )
}

fn forwarded<'a>(records: &'a [ExpectedRecord<'_>]) -> impl Iterator<Item = &'a Value> {
    records
        .iter()
        .filter(|(_, outcome)| *outcome == "Forwarded")
        .map(|(json, _)| json)
}

pub(crate) fn check_published(
    records: &[ExpectedRecord<'_>],
    stream: &InMemoryStream,
) -> Result<(), String> {
    let mut published: Vec<_> = stream
        .records()
        .into_iter()
        .map(|stored| key_and_payload(&stored.record))
        .collect();
    let mut expected: Vec<_> = forwarded(records).map(stored).collect();
    published.sort();
    expected.sort();
    equal("the stream", published, expected)
}

/// If publishing fails, the response must name the first change that requires an event.
async fn check_checkpoint(
    records: &[ExpectedRecord<'_>],
    stream: InMemoryStream,
    event: &[u8],
) -> Result<(), String> {
    let failing = FaultyStream::new(stream, |_, _| StreamFault::Call(Fault::Refused));
    let first = forwarded(records)
        .next()
        .map(|json| &json["dynamodb"]["SequenceNumber"]);
    let expected = match first {
        None => Ok(None),
        Some(Value::String(number)) => Ok(Some(number.clone())),
        Some(_) => Err("MissingSequenceNumber"),
    };
    equal(
        "the response if publishing fails",
        handle(failing, event).await,
        expected,
    )
}

/// Returns the sequence number to retry from, or the name of the invocation error.
pub(crate) async fn handle(
    stream: impl EventStream,
    event: &[u8],
) -> Result<Option<String>, &'static str> {
    check::lines();
    let Ok(event) = decode::<ChangeEvent>(event) else {
        return Err("Unreadable");
    };
    let forward = Forward::new(stream, EventSource::default());
    let answer = forward.handle(event, check::budget()).await;
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

/// Partition key and payload of a published record. The payload is at the end of the document.
fn key_and_payload(record: &StreamRecord) -> (String, String) {
    let document = std::str::from_utf8(&record.data).unwrap();
    let (_, data) = document.split_once(r#","data":"#).unwrap();
    (
        record.id.to_string(),
        data.strip_suffix('}').unwrap().to_owned(),
    )
}

/// Partition key and payload of the image that was sent.
fn stored(record: &Value) -> (String, String) {
    let image = &record["dynamodb"]["NewImage"];
    let text = |name: &str| image[name]["S"].as_str().map(str::to_owned);
    let compressed = |name: &str| {
        let bytes = base64::decode(image[name]["B"].as_str()?).ok()?;
        let mut text = String::new();
        let read = DeflateDecoder::new(bytes.as_slice()).read_to_string(&mut text);
        read.ok().map(|_| text)
    };
    let payload = text("payload").or_else(|| compressed("payload"));
    (text("notification_id").unwrap(), payload.unwrap())
}

pub(crate) fn good(place: usize, change: Change) -> Value {
    let id = format!("n{place}");
    let init = contract::notification(&id, r#"{"n": 1.0}"#);
    let mut done = init.clone();
    done.status = Status::Done;
    done.version = Status::Done.version();
    let (old, new) = match change {
        Change::Insert => (None, Some(init)),
        Change::Modify => (Some(init), Some(done)),
        Change::Remove => (Some(done), None),
    };
    let change = onewrite_testing::Change {
        sequence_number: format!("{:021}", 1_000 + place),
        id,
        old: old.map(|item| item.to_item()),
        new: new.map(|item| item.to_item()),
        at: Timestamp::UNIX_EPOCH,
        by_ttl: false,
    };
    json!(lambda_event::dynamodb_json(&[change])["Records"][0])
}
