//! Which records are published for which changes.

use onewrite::{
    event::{EventSource, NotificationEvent},
    item::attribute,
};
use onewrite_forward::handler::{Forward, MissingSequenceNumber};
use onewrite_runtime::budget::Budget;
use onewrite_testing::{
    Change, EntryFault, FaultyStream, InMemoryStream, InMemoryTable, Log, StreamFault, contract,
    lambda_event,
};
use serde_json::json;

use crate::support::{BUDGET, batch, change, handle, stored};

#[tokio::test(start_paused = true)]
async fn logs_only_calls_with_failed_entries() {
    let (log, inner) = (Log::capture(), InMemoryStream::new(1));
    let fault = StreamFault::mask(0b01, EntryFault::Throttled);
    let stream = FaultyStream::scripted(inner, [fault]);
    assert_eq!(handle(&stream, batch(&["a", "b"])).await, None);
    let lines = log.lines();
    let of_call = |line: &&serde_json::Value| line.get("failed").is_some();
    let failed: Vec<_> = lines.iter().filter(of_call).collect();
    assert_eq!(failed.len(), 1, "{lines:?}");
    assert_eq!(
        (&failed[0]["failed"], &failed[0]["of"]),
        (&json!(1), &json!(2))
    );
}

#[tokio::test(start_paused = true)]
async fn publishes_one_record_per_change() {
    let table = InMemoryTable::default();
    let stream = InMemoryStream::new(4);
    assert_eq!(
        handle(&stream, table.stream_event()).await,
        None,
        "an empty batch"
    );
    assert_eq!(handle(&stream, batch(&["a", "b", "c"])).await, None);
    assert_eq!(stored(&stream), ["a/INIT", "b/INIT", "c/INIT"]);
    for stored in stream.records() {
        let event = NotificationEvent::parse(&stored.record.data).unwrap();
        assert_eq!(event.subject, stored.record.id);
        // The payload is kept byte for byte, including spaces.
        assert_eq!(
            event.data.as_str(),
            format!(r#"{{"of": "{}"}}"#, event.subject)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn skips_removals_and_edits_and_publishes_redrives_again() {
    let table = InMemoryTable::default();
    for id in ["kept", "removed", "expired"] {
        use onewrite::table::NewNotifications as _;
        table
            .insert(&contract::notification(id, "1"))
            .await
            .unwrap();
    }
    let text = |text: &str| serde_dynamo::AttributeValue::S(text.to_owned());
    table.edit("kept", |item| {
        drop(item.insert("note".to_owned(), text("x")))
    });
    let twice = serde_dynamo::AttributeValue::N("1".to_owned());
    table.edit("kept", |item| {
        drop(item.insert(attribute::REDRIVES.to_owned(), twice))
    });
    table.remove("removed");
    table.expire("expired");
    let stream = InMemoryStream::new(1);
    assert_eq!(handle(&stream, table.stream_event()).await, None);
    assert_eq!(
        stored(&stream),
        ["kept/INIT", "removed/INIT", "expired/INIT", "kept/INIT"]
    );
    let records = stream.records();
    assert_eq!(
        records[0].record, records[3].record,
        "the same event, in the same bytes"
    );
}

/// A value of every attribute type, as Lambda sends it.
fn values_of_every_type() -> [serde_json::Value; 10] {
    [
        json!({"S": "x"}),
        json!({"N": "1"}),
        json!({"B": "AAE="}),
        json!({"BOOL": false}),
        json!({"NULL": true}),
        json!({"M": {"a": {"S": "x"}}}),
        json!({"L": [{"N": "1"}, {"NULL": true}]}),
        json!({"SS": ["x"]}),
        json!({"NS": ["1"]}),
        json!({"BS": ["AAE="]}),
    ]
}

#[tokio::test(start_paused = true)]
async fn skips_an_unreadable_change() {
    let changes: Vec<Change> = (0..3)
        .map(|place| change(place, ["a", "b", "c"][place], false))
        .collect();
    for value in values_of_every_type() {
        for place in 0..3 {
            let mut event = lambda_event::dynamodb_json(&changes);
            event["Records"][place]["dynamodb"]["NewImage"]["payload"] = value.clone();
            let stream = InMemoryStream::new(1);
            let event = lambda_event::parse(&event);
            assert_eq!(handle(&stream, event).await, None);
            let mut healthy = vec!["a/INIT", "b/INIT", "c/INIT"];
            healthy.remove(place);
            assert_eq!(stored(&stream), healthy, "{value}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn skips_an_undecodable_record_if_it_has_a_sequence_number() {
    let changes = [change(0, "a", false), change(1, "b", false)];
    for broken in [json!({"S": 7}), json!("x"), json!([1])] {
        let mut event = lambda_event::dynamodb_json(&changes);
        event["Records"][0]["dynamodb"]["NewImage"]["payload"] = broken.clone();
        let stream = InMemoryStream::new(1);
        assert_eq!(handle(&stream, lambda_event::parse(&event)).await, None);
        assert_eq!(stored(&stream), ["b/INIT"], "{broken}");

        event["Records"][0]["dynamodb"]["SequenceNumber"] = json!(null);
        let stream = InMemoryStream::new(1);
        let forward = Forward::new(stream.clone(), EventSource::default());
        let budget = Budget::from_remaining(None, BUDGET);
        let answer = forward.handle(lambda_event::parse(&event), budget).await;
        assert_eq!(answer, Err(MissingSequenceNumber), "{broken}");
        assert!(stored(&stream).is_empty(), "nothing is published");
    }
}

#[tokio::test(start_paused = true)]
async fn ignores_unknown_attributes() {
    let garbage = [json!(null), json!("x"), json!({"X": [[]]})];
    for value in values_of_every_type().into_iter().chain(garbage) {
        let mut event = lambda_event::dynamodb_json(&[change(0, "a", false)]);
        event["Records"][0]["dynamodb"]["NewImage"]["note"] = value.clone();
        let stream = InMemoryStream::new(1);
        let event = lambda_event::parse(&event);
        assert_eq!(handle(&stream, event).await, None);
        assert_eq!(stored(&stream), ["a/INIT"], "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn publishes_the_configured_source() {
    let stream = InMemoryStream::new(1);
    let forward = Forward::new(stream.clone(), "//refunds.example".parse().unwrap());
    let budget = Budget::from_remaining(None, BUDGET);
    forward.handle(batch(&["a"]), budget).await.unwrap();
    let event = NotificationEvent::parse(&stream.records()[0].record.data).unwrap();
    assert_eq!(event.source.as_str(), "//refunds.example");
}
