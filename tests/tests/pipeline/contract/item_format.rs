//! The bytes of each attribute of an item, as the document states them.

use onewrite::{
    item::{
        Enrichment, NotificationItem, PayloadCompression, attribute::ERASED_AT, expiry, to_rfc3339,
    },
    notification::{MessagePointers, Status, TraceParent},
};
use onewrite_tests::template::repository;
use serde_dynamo::AttributeValue;
use serde_json::json;

use super::{
    examples::FORMATS,
    fixtures::{now, refund},
};

fn document() -> String {
    std::fs::read_to_string(repository(FORMATS)).unwrap()
}

/// An item with every attribute that `ingest` and a consumer can give it. The large texts are compressed.
fn full_item() -> NotificationItem {
    let long = "refund ".repeat(500);
    let mut enrichment = Enrichment::default();
    enrichment.insert("note", long.clone());
    let body = json!({"notification_id": "rf_1", "type": "refund", "payload": long}).to_string();
    let mut item = NotificationItem::new(
        MessagePointers::default().parse(&body).unwrap(),
        &enrichment,
        refund("rf_1").source_message_id,
        TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        now(),
        PayloadCompression::Auto,
    )
    .unwrap();
    item.status = Status::Done;
    item.version = Status::Done.version();
    item.redrives = 1;
    item.expires_at = Some(expiry(now(), 30));
    item.refusal = "account_closed".parse().ok();
    item.settled_by = "complete".parse().ok();
    item
}

/// The bytes of an attribute whose value has this length, by the table of the document.
fn stated_bytes(name: &str, length: usize) -> usize {
    let document = document();
    let start = format!("| `{name}` | ");
    let row = document.lines().find(|line| line.starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("no row of {name}"));
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let bytes = cells[cells.len() - 2];
    let digits: String = bytes.chars().take_while(char::is_ascii_digit).collect();
    let own = if bytes.ends_with("+ its length") {
        length
    } else {
        0
    };
    digits.parse::<usize>().unwrap() + own
}

#[test]
fn the_document_states_the_bytes_of_each_attribute() {
    let item = full_item();
    let attributes = item.to_item().into_inner();
    let mut sum = 0;
    for (name, value) in &attributes {
        let length = match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::B(bytes) => bytes.len(),
            // One byte for two digits, and one more (DynamoDB developer guide, "Item sizes and formats").
            AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(stated_bytes(name, length), name.len() + length, "{name}");
        sum += name.len() + length;
    }
    for name in ["payload", "enrichment", "fingerprint"] {
        assert!(matches!(attributes[name], AttributeValue::B(_)), "{name}");
    }
    assert_eq!(sum, item.bytes());
    let erased = ERASED_AT.len() + to_rfc3339(now()).len();
    assert_eq!(stated_bytes(ERASED_AT, 0), erased);
}

#[test]
fn the_document_states_the_bytes_of_an_item_besides_its_content() {
    let mut item = refund("rf_1");
    let content = &item.notification;
    let texts = [
        content.id.as_str(),
        content.kind.as_str(),
        content.payload.as_str(),
    ];
    let own = texts.concat().len();
    let init = item.bytes() - own;
    item.status = Status::Done;
    item.version = Status::Done.version();
    let settled = item.bytes() - own;
    let words: Vec<String> = document().split_whitespace().map(str::to_owned).collect();
    let statement = format!(
        "An item in INIT therefore has {init} bytes besides id, type and payload, and a settled one {settled},"
    );
    assert!(words.join(" ").contains(&statement), "{statement}");
}
