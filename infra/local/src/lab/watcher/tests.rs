//! Scripted calls of the pollers, against a table in memory.

use std::sync::Mutex;

use onewrite_console::view::Count;
use onewrite_event_sources::mapping::StreamKind;
use onewrite_event_sources::message::Message;
use onewrite_event_sources::stream::StreamRecord;
use onewrite_stack::dead_letter::MessageRules;
use serde_json::{Value, json};

use super::super::tally::REMOVAL_LAG;
use super::*;
use crate::event_sources::Observer;

/// The rows of a table. `None`: every call fails.
struct Table(Mutex<Option<BTreeMap<String, StoredRow>>>);

impl Items for Table {
    async fn fetch(&self, ids: BTreeSet<String>) -> Result<BTreeMap<String, StoredRow>> {
        let rows = self.0.lock().unwrap();
        let rows = rows.as_ref().ok_or(LocalError::Interrupted)?;
        let found = rows.iter().filter(|(id, _)| ids.contains(*id));
        Ok(found.map(|(id, row)| (id.clone(), row.clone())).collect())
    }
}

impl Table {
    fn new(rows: &[(&str, &str, &str)]) -> Self {
        let rows = rows.iter().map(|(id, payload, message_id)| {
            let row = StoredRow {
                fingerprint: fingerprint(id, payload),
                created_by: Some((*message_id).to_owned()),
            };
            ((*id).to_owned(), row)
        });
        Self(Mutex::new(Some(rows.collect())))
    }

    fn delete(&self, id: &str) {
        self.0.lock().unwrap().as_mut().unwrap().remove(id);
    }
}

fn text(id: &str, payload: &str) -> String {
    format!(r#"{{"notification_id":"{id}","payload":{payload}}}"#)
}

fn fingerprint(id: &str, payload: &str) -> Option<Fingerprint> {
    match MessageBody::parse(&text(id, payload), "m", &MessageRules::default()) {
        MessageBody::Notification { fingerprint, .. } => Some(fingerprint),
        MessageBody::Rejected(_) => None,
    }
}

fn message(message_id: &str, receives: u32, body: String) -> Message {
    let attributes = [
        ("ApproximateReceiveCount", receives.to_string()),
        ("SentTimestamp", "1000".to_owned()),
    ];
    Message {
        message_id: message_id.to_owned(),
        receipt_handle: String::new(),
        body,
        md5_of_body: String::new(),
        attributes: attributes
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        message_attributes: BTreeMap::new(),
        md5_of_message_attributes: None,
    }
}

fn record(number: u32, name: &str, new: Option<Value>, old: Option<Value>) -> StreamRecord {
    let mut event = json!({"eventName": name, "dynamodb": {}});
    for (name, image) in [("NewImage", new), ("OldImage", old)] {
        if let Some(image) = image {
            event["dynamodb"][name] = image;
        }
    }
    StreamRecord {
        sequence_number: number.to_string(),
        key: "k".to_owned(),
        arrived: 0,
        event: event.to_string(),
    }
}

fn image(id: &str, status: &str, message_id: &str) -> Value {
    json!({
        "notification_id": {"S": id},
        "status": {"S": status},
        "source_message_id": {"S": message_id},
        "created_at": {"S": "1970-01-01T00:00:01.040Z"},
        "updated_at": {"S": "1970-01-01T00:00:01.090Z"},
    })
}

/// A clock that tests move.
static CLOCK: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(2_000);

fn clock() -> u64 {
    CLOCK.load(std::sync::atomic::Ordering::SeqCst)
}

fn wait(millis: u64) {
    CLOCK.fetch_add(millis, std::sync::atomic::Ordering::SeqCst);
}

fn read_depths(observer: &StackObserver, waiting: u64, dead_letters: u64) {
    let acknowledged = observer.tally().acknowledged();
    let depths = Depths {
        acknowledged,
        dead_letters,
        waiting,
    };
    observer.tally().read_depths(observer.now(), depths);
}

#[tokio::test]
async fn a_run_with_all_kinds_of_messages_adds_up() {
    let observer = StackObserver::with_clock(clock);
    let table = Table::new(&[("a", "1", "m1"), ("b", "1", "m4")]);
    let receive = |message_id: &str, receives: u32, body: &str| {
        observer.received(&[message(message_id, receives, body.to_owned())]);
    };
    // A redelivery, a copy, another notification, a conflict and a malformed message.
    receive("m1", 1, &text("a", "1"));
    receive("m1", 2, &text("a", "1"));
    receive("m2", 1, &text("a", "1"));
    receive("m4", 1, &text("b", "1"));
    for receives in 1..=6 {
        receive("m3", receives, &text("a", "2"));
        receive("m5", receives, "{");
    }
    observer.deleted(&["m1".to_owned(), "m2".to_owned(), "m4".to_owned()]);
    let done = |number, id: &str, by: &str| {
        let (new, old) = (image(id, "DONE", by), image(id, "INIT", by));
        record(number, "MODIFY", Some(new), Some(old))
    };
    let records = [
        record(1, "INSERT", Some(image("a", "INIT", "m1")), None),
        record(2, "INSERT", Some(image("b", "INIT", "m4")), None),
        done(3, "a", "m1"),
        done(4, "b", "m4"),
    ];
    // A batch that is retried after a pause is read again.
    for _read in 0..2 {
        observer.read(StreamKind::DynamoDb, "shard", &records);
    }
    wait(6_000);
    read_depths(&observer, 0, 2);
    judge(&observer, &table).await.unwrap();
    check(&observer, &table).await.unwrap();
    let totals = observer.tally().totals(true);
    assert_eq!(
        totals.sentence(),
        "5 messages sent, 2 notifications, 1 in conflict, 1 rejected, 0 lost"
    );
    assert_eq!(totals.duplicates, Some(Count(1)));
    assert_eq!(totals.done, Some(Count(2)));
}

#[tokio::test]
async fn an_item_deleted_behind_its_back_is_lost() {
    let observer = StackObserver::with_clock(clock);
    let table = Table::new(&[("a", "1", "m1"), ("b", "1", "m2")]);
    for (message_id, id) in [("m1", "a"), ("m2", "b")] {
        observer.received(&[message(message_id, 1, text(id, "1"))]);
        observer.deleted(&[message_id.to_owned()]);
    }
    table.delete("a");
    check(&observer, &table).await.unwrap();
    wait(REMOVAL_LAG);
    check(&observer, &table).await.unwrap();
    assert_eq!(observer.tally().totals(true).lost, Some(Count(1)));
    // `b` passed its check, so that only the record of its removal shows the loss.
    table.delete("b");
    let removal = record(1, "REMOVE", None, Some(image("b", "DONE", "m2")));
    observer.read(StreamKind::DynamoDb, "shard", &[removal]);
    check(&observer, &table).await.unwrap();
    assert_eq!(observer.tally().totals(true).lost, Some(Count(2)));
}

#[tokio::test]
async fn failed_calls_are_made_again() {
    let observer = StackObserver::with_clock(clock);
    observer.received(&[message("m1", 1, text("a", "1"))]);
    observer.received(&[message("m2", 6, "{".to_owned())]);
    observer.deleted(&["m1".to_owned()]);
    wait(6_000);
    read_depths(&observer, 0, 1);
    let broken = Table(Mutex::new(None));
    assert!(judge(&observer, &broken).await.is_err());
    assert!(check(&observer, &broken).await.is_err());
    let table = Table::new(&[("a", "1", "m1")]);
    wait(6_000);
    judge(&observer, &table).await.unwrap();
    check(&observer, &table).await.unwrap();
    let totals = observer.tally().totals(true);
    assert_eq!(totals.rejected, Some(Count(1)));
    assert_eq!(
        (totals.lost, totals.duplicates),
        (Some(Count(0)), Some(Count(0)))
    );
    assert!(observer.tally().is_checked());
}
