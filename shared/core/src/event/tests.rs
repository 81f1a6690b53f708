use proptest::prelude::*;

use super::*;
use crate::{
    item::{Enrichment, PayloadCompression},
    limits::{
        EVENT_OVERHEAD_BYTES, ITEM_GROWTH_BYTES, MAX_ID_CHARS, MAX_ITEM_BYTES, MAX_JSON_DEPTH,
        MAX_RECORD_BYTES, MAX_REFUSAL_CHARS,
    },
    notification::MessagePointers,
};

fn item_of(body: &str, enrichment: &Enrichment) -> NotificationItem {
    let notification = MessagePointers::default().parse(body).unwrap();
    let trace = TraceParent::parse("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
    let now = "2026-11-23T10:00:00.123Z".parse().unwrap();
    NotificationItem::new(
        notification,
        enrichment,
        "m-1".to_owned(),
        trace,
        now,
        PayloadCompression::Auto,
    )
    .unwrap()
}

fn item(payload: &str) -> NotificationItem {
    let body = format!(r#"{{"notification_id":"rf_8841","type":"refund","payload":{payload}}}"#);
    item_of(&body, &Enrichment::default())
}

fn done(mut item: NotificationItem) -> NotificationItem {
    item.status = Status::Done;
    item.version = Status::Done.version();
    item.updated_at = "2026-11-23T10:00:04.5Z".parse().unwrap();
    item
}

#[test]
fn formats_the_documented_example() {
    let mut enrichment = Enrichment::default();
    enrichment.insert("tier", "gold");
    let item = item_of(
        r#"{"notification_id":"rf_8841","type":"refund","payload":{"amount": 1.0, "order": 9007199254740993}}"#,
        &enrichment,
    );
    let fingerprint = item.notification.fingerprint;
    assert_eq!(
        NotificationEvent::from_item(&item).to_json(),
        [
            r#"{"specversion":"1.0","id":"rf_8841/INIT","source":"onewrite","type":"refund.init","subject":"rf_8841","#,
            r#""time":"2026-11-23T10:00:00.123Z","datacontenttype":"application/json","partitionkey":"rf_8841","#,
            r#""sequence":"1","traceparent":"00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01","status":"INIT","#,
            &format!(r#""fingerprint":"{fingerprint}","enrichment":"{{\"tier\":\"gold\"}}","#),
            r#""data":{"amount": 1.0, "order": 9007199254740993}}"#,
        ]
        .concat()
    );
}

#[test]
fn formats_and_parses_events() {
    let mut refused = done(item("null"));
    refused.status = Status::Refused;
    refused.refusal = "account_closed".parse().ok();
    for item in [item("{\"n\": 1.0}"), done(item("null")), refused] {
        let event =
            NotificationEvent::from_item(&item).with_source("//refunds.example".parse().unwrap());
        assert_eq!(event.source.as_str(), "//refunds.example");
        let read = NotificationEvent::parse(event.to_json().as_bytes()).unwrap();
        assert_eq!(read, event);
    }
}

#[test]
fn parses_events_whose_names_have_spaces_slashes_and_dots() {
    for (id, kind) in [
        ("INV 2026/0001", "Refund Requested"),
        ("~1shop~1a/1", "Object Created"),
        ("n/DONE", "refund.done"),
        ("/INIT", ".init"),
    ] {
        let body = format!(r#"{{"notification_id":"{id}","type":"{kind}","payload":1}}"#);
        let item = item_of(&body, &Enrichment::default());
        for item in [item.clone(), done(item)] {
            let event = NotificationEvent::from_item(&item);
            let read = NotificationEvent::parse(event.to_json().as_bytes()).unwrap();
            assert_eq!((read.subject.as_str(), read.kind.as_str()), (id, kind));
            assert_eq!(read, event);
        }
    }
    for source in ["a b", " a", "a "] {
        let error = source.parse::<EventSource>().unwrap_err();
        assert!(matches!(error, InvalidName::Space { .. }), "{source:?}");
    }
}

#[test]
fn the_longest_names_fit_into_the_reserved_space() {
    let source = "\"".repeat(MAX_SOURCE_CHARS).parse().unwrap();
    let mut event = NotificationEvent::from_item(&item("1")).with_source(source);
    event.subject = NotificationId::parse("\"".repeat(MAX_ID_CHARS)).unwrap();
    event.status = Status::Refused;
    event.refusal = "x".repeat(MAX_REFUSAL_CHARS).parse().ok();
    assert!(event.to_json().len() <= EVENT_OVERHEAD_BYTES);
}

#[test]
fn truncates_times_to_milliseconds() {
    let event = NotificationEvent::from_item(&item("1"));
    let document = event.to_json().replacen(".123Z", ".1239Z", 1);
    assert!(document.contains(".1239Z"));
    assert!(NotificationEvent::parse(document.as_bytes()) == Ok(event));
}

#[test]
fn repeats_a_change_in_the_same_bytes() {
    let mut item = item("1");
    let first = NotificationEvent::from_item(&item);
    item.redrives += 1;
    assert_eq!(
        NotificationEvent::from_item(&item).to_json(),
        first.to_json()
    );
    let done = NotificationEvent::from_item(&done(item));
    assert_eq!((done.id().as_str(), done.sequence), ("rf_8841/DONE", 2));
    assert_ne!(done.time, first.time);
}

#[test]
fn parses_the_deepest_allowed_payload() {
    let payload = format!(
        "{}{}",
        "[".repeat(MAX_JSON_DEPTH),
        "]".repeat(MAX_JSON_DEPTH)
    );
    let whole_body = MessagePointers {
        payload: "".parse().unwrap(),
        ..MessagePointers::default()
    };
    let levels = "[".repeat(MAX_JSON_DEPTH - 1) + &"]".repeat(MAX_JSON_DEPTH - 1);
    let body = format!(r#"{{"notification_id":"n","deep":{levels}}}"#);
    assert!(whole_body.parse(&body).is_ok());
    let document = NotificationEvent::from_item(&item("null")).to_json();
    for deep in [payload, body] {
        let document = document.replace("\"data\":null", &format!("\"data\":{deep}"));
        let event = NotificationEvent::parse(document.as_bytes()).unwrap();
        assert_eq!(event.data.as_str(), deep);
    }
}

#[test]
fn the_event_of_the_largest_item_fits_a_record() {
    let id = "\"".repeat(MAX_ID_CHARS);
    let body = |quotes: usize| {
        let id = serde_json::Value::from(id.as_str());
        let payload = serde_json::Value::from("\\".repeat(quotes));
        format!(r#"{{"notification_id":{id},"payload":{payload}}}"#)
    };
    let overhead = item_of(&body(0), &Enrichment::default()).bytes() + ITEM_GROWTH_BYTES;
    // The enrichment is JSON within a JSON text, so its escapes are escaped again.
    let mut enrichment = Enrichment::default();
    let quotes = (MAX_ITEM_BYTES - overhead - 64) / 2;
    enrichment.insert("q", "\"".repeat(quotes));
    let event = NotificationEvent::from_item(&item_of(&body(0), &enrichment));
    let bytes = event.to_json().len() + event.subject.as_str().len();
    assert!(
        bytes > MAX_ITEM_BYTES && bytes < MAX_RECORD_BYTES,
        "{bytes}"
    );
    assert_eq!(
        NotificationEvent::parse(event.to_json().as_bytes()),
        Ok(event)
    );
}

#[test]
fn errors_name_each_missing_or_invalid_attribute() {
    let document: serde_json::Value =
        serde_json::from_str(&NotificationEvent::from_item(&item("1")).to_json()).unwrap();
    let optional = [attribute::TRACEPARENT, attribute::ENRICHMENT];
    for (name, _) in document.as_object().unwrap() {
        let error = |edit: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
            let mut document = document.as_object().unwrap().clone();
            edit(&mut document);
            let document = serde_json::Value::Object(document).to_string();
            NotificationEvent::parse(document.as_bytes()).err()
        };
        let names_it = |error: Option<UnreadableEvent>| matches!(error, Some(UnreadableEvent::Attribute { attribute }) if attribute == name);
        let missing = error(&|document| drop(document.remove(name)));
        assert!(
            names_it(missing.clone()) || optional.contains(&name.as_str()),
            "{name}: {missing:?}"
        );
        if name != attribute::DATA {
            for wrong in [1.into(), "".into(), "é x".into(), serde_json::Value::Null] {
                let wrong_one =
                    error(&|document| drop(document.insert(name.clone(), wrong.clone())));
                assert!(names_it(wrong_one.clone()), "{name}: {wrong_one:?}");
            }
        }
    }
}

#[test]
fn rejects_inconsistent_attributes() {
    let document = NotificationEvent::from_item(&item("1")).to_json();
    for (from, to, attribute) in [
        (r#""id":"rf_8841/INIT""#, r#""id":"rf_8841/DONE""#, "id"),
        (r#""subject":"rf_8841""#, r#""subject":"rf_8842""#, "id"),
        (
            r#""partitionkey":"rf_8841""#,
            r#""partitionkey":"rf_8842""#,
            "partitionkey",
        ),
        (r#""type":"refund.init""#, r#""type":"refund.done""#, "type"),
        (r#""status":"INIT""#, r#""status":"DONE""#, "type"),
    ] {
        let edited = document.replace(from, to);
        assert_ne!(edited, document);
        assert_eq!(
            NotificationEvent::parse(edited.as_bytes()),
            Err(UnreadableEvent::Attribute { attribute })
        );
    }
}

#[test]
fn rejects_invalid_documents_without_quoting_them() {
    for (document, error) in [
        (&b"\xff"[..], UnreadableEvent::InvalidUtf8),
        (b"[]", UnreadableEvent::NotAnObject),
        (
            br#"{"id":1,"id":1}"#,
            UnreadableEvent::Json(Rejection::DuplicateKey),
        ),
    ] {
        assert_eq!(NotificationEvent::parse(document), Err(error));
    }
    let error = NotificationEvent::parse(b"{secret").unwrap_err();
    assert!(!error.to_string().contains("secret"));
}

#[test]
fn debug_output_hides_the_payload() {
    let shown = format!(
        "{:?}",
        NotificationEvent::from_item(&item(r#"{"iban":"DE00"}"#))
    );
    assert!(!shown.contains("DE00"), "{shown}");
    assert!(shown.contains("rf_8841/INIT"), "{shown}");
}

proptest! {
    #[test]
    fn keeps_any_payload_byte_for_byte(
        text in "\\PC{0,20}",
        number in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        space in "[ \t\n\r]{0,3}",
    ) {
        let text = serde_json::Value::from(text);
        let payload = format!("{{{space}\"z\":{space}{number},\"a\"{space}:[{text},{number}{space}]}}");
        let document = NotificationEvent::from_item(&item(&payload)).to_json();
        let end = format!("\"data\":{payload}}}");
        prop_assert!(document.ends_with(&end));
        let event = NotificationEvent::parse(document.as_bytes()).unwrap();
        prop_assert_eq!(event.data.as_str(), payload);
    }

    #[test]
    fn rejects_random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(NotificationEvent::parse(&bytes).is_err());
    }
}
