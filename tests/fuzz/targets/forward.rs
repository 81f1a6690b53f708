//! For any DynamoDB stream event and any faults, no change is skipped before it is published, and the events of each id
//! first appear in the order of its changes.
#![no_main]

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use onewrite::event::{EventSource, NotificationEvent};
use onewrite_forward::change::ChangeEvent;
use onewrite_forward::handler::Forward;
use onewrite_forward::select::{Selection, select};
use onewrite_fuzz::block_on;
use onewrite_runtime::{budget::Budget, event::decode, observer::Observer};
use onewrite_testing::{
    EntryFault, Fault, FaultyStream, InMemoryStream, StreamFault, lambda_event,
};
use serde_json::{Value, json};

/// A change of one of a few items.
#[derive(Debug, Arbitrary)]
struct Change {
    id: u8,
    kind: u8,
}

/// A fault of a call to the stream.
#[derive(Debug, Arbitrary)]
struct Weather {
    kind: u8,
    mask: u16,
}

impl Weather {
    fn fault(&self) -> StreamFault {
        let mask = u64::from(self.mask);
        match self.kind % 8 {
            0 => Fault::Throttled.into(),
            1 => Fault::RequestLost.into(),
            2 => Fault::ResponseLost.into(),
            3 => StreamFault::Miscounted,
            4 => StreamFault::mask(mask, EntryFault::Throttled),
            5 => StreamFault::mask(mask, EntryFault::StoredButFailed),
            6 => Fault::SilentAfter.into(),
            _ => StreamFault::default(),
        }
    }
}

impl Change {
    /// Builds the JSON that Lambda sends. Each change of an id has another version.
    fn to_json(&self, place: usize) -> Value {
        let id = format!("n{}", self.id % 4);
        let fingerprint = "0".repeat(64);
        let time = "2026-11-23T10:00:00.000Z";
        let item = json!({
            "notification_id": {"S": id}, "status": {"S": "INIT"}, "type": {"S": "refund"},
            "payload": {"S": "{\"a\": 1.0}"}, "fingerprint": {"S": fingerprint}, "created_at": {"S": time},
            "updated_at": {"S": time}, "version": {"N": (place + 1).to_string()},
            "source_message_id": {"S": "m"}, "redrives": {"N": "0"},
        });
        let mut change = json!({
            "ApproximateCreationDateTime": 1_790_000_000.0, "Keys": {"notification_id": {"S": id}},
            "SequenceNumber": number(place), "SizeBytes": 1, "StreamViewType": "NEW_AND_OLD_IMAGES",
        });
        let name = match self.kind % 6 {
            0 => {
                change["OldImage"] = item;
                "REMOVE"
            }
            1 => {
                change["OldImage"] = item.clone();
                change["NewImage"] = item;
                "MODIFY"
            }
            2 => {
                change["NewImage"] = item;
                change["NewImage"]["payload"] = json!({"N": "1"});
                "INSERT"
            }
            _ => {
                change["NewImage"] = item;
                "INSERT"
            }
        };
        json!({
            "eventID": number(place), "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "eventSourceARN": "arn", "awsRegion": "eu-west-1", "dynamodb": change,
        })
    }
}

fn number(place: usize) -> String {
    format!("{place:021}")
}

/// Decodes the event and the faults of the calls.
fn input(bytes: &[u8]) -> arbitrary::Result<(ChangeEvent, Vec<Weather>)> {
    if let Ok(event) = decode(bytes) {
        return Ok((event, Vec::new()));
    }
    let mut u = Unstructured::new(bytes);
    let weather: Vec<Weather> = u.arbitrary()?;
    let changes: Vec<Change> = u.arbitrary()?;
    let records = changes.iter().enumerate();
    let records: Vec<Value> = records
        .map(|(place, change)| change.to_json(place))
        .collect();
    let event = lambda_event::parse(&json!({"Records": records}));
    Ok((event, weather))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok((event, weather)) = input(bytes) else {
        return;
    };
    let documents: Vec<Option<(String, String)>> = event
        .records
        .iter()
        .map(|record| match select(record) {
            Selection::Forward(event) => Some((event.subject.to_string(), event.to_json())),
            Selection::Skip(_) | Selection::Unreadable(_) => None,
        })
        .collect();
    let numbers: Vec<Option<String>> = event
        .records
        .iter()
        .map(|record| record.sequence_number.clone())
        .collect();
    let stream = InMemoryStream::new(2).shuffling(bytes.len() as u64);
    let faults: Vec<StreamFault> = weather.iter().map(Weather::fault).collect();
    let faulty = FaultyStream::new(stream.clone(), move |call, _| {
        faults.get(call).cloned().unwrap_or_default()
    });
    let forward = Forward::new(faulty, EventSource::default());
    let forward = forward
        .with_jitter(|| 0.5)
        .with_observer(Observer::default().with_metrics(|_| {}));
    let answer = block_on(async {
        let budget = Budget::from_remaining(None, Duration::from_millis(1_500));
        forward.handle(event, budget).await
    });
    let stored: Vec<String> = stream
        .records()
        .into_iter()
        .map(|stored| {
            let event = NotificationEvent::parse(&stored.record.data).expect("an event");
            assert_eq!(event.subject, stored.record.id);
            event.to_json()
        })
        .collect();
    let published: HashSet<&str> = stored.iter().map(String::as_str).collect();
    // If a needed sequence number is missing, the whole invocation fails.
    let passed = answer.map_or(0, |answer| match answer.batch_item_failures.first() {
        None => documents.len(),
        Some(failure) => {
            let lowest = failure.item_identifier.as_deref();
            numbers
                .iter()
                .position(|number| number.as_deref() == lowest)
                .expect("the reported number is in the batch")
        }
    });
    for (_, document) in documents[..passed].iter().flatten() {
        assert!(
            published.contains(document.as_str()),
            "skipped but not published"
        );
    }
    let mut order: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (id, document) in documents.iter().flatten() {
        // A repeated change is published twice. Only its first appearance counts.
        if !seen.insert(document) {
            continue;
        }
        let first = stored.iter().position(|other| other == document);
        order.entry(id).or_default().extend(first);
    }
    for places in order.values() {
        assert!(places.is_sorted(), "events out of order");
    }
});
