//! Documents, and whether they are events of a notification.

use onewrite::{
    event::{EventSource, NotificationEvent},
    item::{Enrichment, NotificationItem},
    limits::{MAX_ID_CHARS, MAX_SOURCE_CHARS, MAX_TYPE_CHARS},
    notification::{Status, TraceParent},
};
use serde_json::{Value, json};

use super::fixtures::{event_json, item, now, refund};

const TRACE: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";

pub(crate) fn vectors() -> Vec<Value> {
    valid()
        .into_iter()
        .chain(invalid())
        .map(|(name, document)| {
            let event = NotificationEvent::parse(document.as_bytes()).ok();
            json!({
                "name": name,
                "document": document,
                "is_event": event.is_some(),
            })
        })
        .collect()
}

fn settled(status: Status) -> NotificationItem {
    let mut item = refund("rf_1");
    item.status = status;
    item.version = status.version();
    item.updated_at = now();
    item
}

fn with_extras() -> NotificationItem {
    let mut item = refund("rf_1");
    let mut enrichment = Enrichment::default();
    enrichment.insert("region", "eu");
    item.enrichment = enrichment.to_json();
    item.traceparent = TraceParent::parse(TRACE);
    item
}

fn valid() -> Vec<(&'static str, String)> {
    let mut refused = settled(Status::Refused);
    refused.refusal = "account_closed".parse().ok();
    let longest = item(&"x".repeat(MAX_ID_CHARS), &"t".repeat(MAX_TYPE_CHARS), "1");
    let printable: String = ('!'..='~').collect();
    let source: EventSource = "s".repeat(MAX_SOURCE_CHARS).parse().unwrap();
    let from = |item: NotificationItem| NotificationEvent::from(item);
    let event = from(refund("rf_1"));
    let events = [
        ("INIT", event.clone()),
        ("DONE", from(settled(Status::Done))),
        ("REFUSED", from(refused)),
        ("trace and enrichment", from(with_extras())),
        (
            "the longest id, type and source",
            from(longest).with_source(source),
        ),
        ("every character", from(item(&printable, &printable, "1"))),
        ("spaces in id and type", from(item("a b", "a b", "1"))),
        ("a payload of null", from(item("rf_1", "refund", "null"))),
    ];
    let documents = events.map(|(name, event)| (name, event.to_json()));
    let mut more = event_json(&refund("rf_1"));
    more["unknown"] = json!("an attribute of a later version");
    documents
        .into_iter()
        .chain([("an unknown attribute", more.to_string())])
        .collect()
}

fn invalid() -> Vec<(&'static str, String)> {
    let with = |name: &str, value: Value| {
        let mut document = event_json(&refund("rf_1"));
        document[name] = value;
        document.to_string()
    };
    let without = |name: &str| {
        let mut document = event_json(&refund("rf_1"));
        document.as_object_mut().unwrap().remove(name);
        document.to_string()
    };
    vec![
        ("not JSON", "{".to_owned()),
        ("not an object", "[1]".to_owned()),
        ("another document", "{\"specversion\":\"1.0\"}".to_owned()),
        (
            "another version of CloudEvents",
            with("specversion", json!("2.0")),
        ),
        (
            "another content type",
            with("datacontenttype", json!("text/plain")),
        ),
        ("an unknown status", with("status", json!("PENDING"))),
        (
            "a status that is not the type's",
            with("status", json!("DONE")),
        ),
        (
            "an id that is not the subject's",
            with("id", json!("rf_2/INIT")),
        ),
        ("another partition key", with("partitionkey", json!("rf_2"))),
        ("a type without a suffix", with("type", json!("refund"))),
        ("a type that is a suffix", with("type", json!(".init"))),
        ("no subject", without("subject")),
        ("a subject that is a number", with("subject", json!(1))),
        ("a sequence that is a number", with("sequence", json!(1))),
        ("a sequence without digits", with("sequence", json!("one"))),
        ("a short fingerprint", with("fingerprint", json!("ab"))),
        ("no fingerprint", without("fingerprint")),
        ("no data", without("data")),
    ]
}

#[test]
fn the_names_of_the_vectors_say_whether_they_are_events() {
    let vectors = vectors();
    let events = vectors.iter().filter(|vector| vector["is_event"] == true);
    assert_eq!(events.count(), valid().len());
    let others = vectors.iter().filter(|vector| vector["is_event"] == false);
    assert_eq!(others.count(), invalid().len());
}
