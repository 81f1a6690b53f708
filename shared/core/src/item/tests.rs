use super::*;
use crate::{
    limits::{MAX_JSON_DEPTH, MAX_KEY_BYTES, MAX_NUMBER_CHARS, MAX_REFUSAL_CHARS},
    notification::MessagePointers,
};

fn notification(payload: &str) -> Notification {
    let body = format!(r#"{{"notification_id":"n1","type":"refund","payload":{payload}}}"#);
    MessagePointers::default().parse(&body).unwrap()
}

fn item(payload: &str) -> Result<NotificationItem, InvalidItem> {
    let now = "2026-11-23T10:00:00.5Z".parse().unwrap();
    NotificationItem::new(
        notification(payload),
        &Enrichment::default(),
        "m-1".to_owned(),
        None,
        now,
    )
}

#[test]
fn converts_to_an_item_and_back() {
    let mut enrichment = Enrichment::default();
    enrichment.insert("tier", "gold");
    let trace = TraceParent::parse("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
    let now = "2026-11-23T10:00:00.123Z".parse().unwrap();
    let mut item = NotificationItem::new(
        notification("{\"n\": 1.0}"),
        &enrichment,
        "m-1".to_owned(),
        trace,
        now,
    )
    .unwrap();
    assert_eq!(
        NotificationItem::from_item(&item.to_item()),
        Ok(item.clone())
    );
    assert_eq!(item.enrichment.as_deref(), Some(r#"{"tier":"gold"}"#));
    item.expires_at = Some(expiry(now, 30));
    item.refusal = "account_closed".parse().ok();
    assert!(
        item.attributes()
            .all(|(name, _)| attribute::ALL.contains(&name.as_str()))
    );
    assert_eq!(NotificationItem::from_item(&item.to_item()), Ok(item));
}

#[test]
fn times_have_milliseconds_and_sort_as_text() {
    let time: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
    assert_eq!(to_rfc3339(time), "2026-11-23T10:00:00.000Z");
    let time: Timestamp = "2026-11-23T10:00:00.123999Z".parse().unwrap();
    assert_eq!(to_rfc3339(to_millis(time)), "2026-11-23T10:00:00.123Z");
}

#[test]
fn rejects_items_above_400_kb() {
    let overhead = item("\"\"").unwrap().bytes() + ITEM_GROWTH_BYTES;
    let payload = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    assert_eq!(
        item(&payload(MAX_ITEM_BYTES - overhead)).unwrap().bytes(),
        MAX_ITEM_BYTES - ITEM_GROWTH_BYTES
    );
    let rejection = item(&payload(MAX_ITEM_BYTES - overhead + 1)).unwrap_err();
    assert_eq!(
        rejection,
        Rejection::ItemTooLarge {
            bytes: MAX_ITEM_BYTES + 1
        }
        .into()
    );
}

#[test]
fn rejects_an_enrichment_that_cannot_be_read_again() {
    let with = |name: &str, levels: usize| {
        let deep = (0..levels).fold(serde_json::Value::Null, |value, _| vec![value].into());
        let mut enrichment = Enrichment::default();
        enrichment.insert(name, deep);
        let now = Timestamp::UNIX_EPOCH;
        NotificationItem::new(notification("1"), &enrichment, "m-1".to_owned(), None, now)
    };
    let deepest = with("deep", MAX_JSON_DEPTH - 1).unwrap();
    assert_eq!(
        NotificationItem::from_item(&deepest.to_item()).as_ref(),
        Ok(&deepest)
    );
    assert_eq!(
        with("deep", MAX_JSON_DEPTH),
        Err(InvalidItem::Enrichment(Rejection::TooDeep))
    );
    let name = "k".repeat(MAX_KEY_BYTES + 1);
    assert!(matches!(
        with(&name, 1),
        Err(InvalidItem::Enrichment(Rejection::KeyTooLong { .. }))
    ));
}

#[test]
fn reads_stored_numbers_and_keys_of_any_length() {
    let long = format!(
        "{{\"{}\":{}}}",
        "k".repeat(MAX_KEY_BYTES + 1),
        "7".repeat(MAX_NUMBER_CHARS + 1)
    );
    let mut item = item("1").unwrap();
    item.notification.payload = Payload::parse(long.as_str()).unwrap();
    item.enrichment = Some(long);
    assert_eq!(NotificationItem::from_item(&item.to_item()), Ok(item));
}

#[test]
fn settled_items_fit_into_the_reserved_space() {
    let init = item("1").unwrap();
    let mut refused = init.clone();
    refused.status = Status::Refused;
    refused.version = u64::MAX;
    refused.redrives = u64::MAX;
    refused.refusal = "x".repeat(MAX_REFUSAL_CHARS).parse().ok();
    refused.expires_at = Some(i64::MAX);
    assert!(refused.refusal.is_some());
    assert!(refused.bytes() <= init.bytes() + ITEM_GROWTH_BYTES);
}

#[test]
fn reads_refused_items_whose_reason_is_not_a_code() {
    let mut refused = item("1").unwrap();
    refused.status = Status::Refused;
    for value in [
        AttributeValue::S("The account of Ms. Doe is closed".to_owned()),
        AttributeValue::N("7".to_owned()),
    ] {
        let mut attributes = refused.to_item().into_inner();
        attributes.insert(attribute::REFUSAL.to_owned(), value);
        let read = NotificationItem::from_item(&attributes.into());
        assert_eq!(read.as_ref(), Ok(&refused));
    }
}

#[test]
fn errors_name_the_edited_attribute() {
    let good = item("1").unwrap().to_item();
    for name in [
        "notification_id",
        "status",
        "type",
        "payload",
        "fingerprint",
        "version",
        "redrives",
        "created_at",
    ] {
        let mut attributes: HashMap<String, AttributeValue> = good.clone().into();
        attributes.insert(name.to_owned(), AttributeValue::Bool(true));
        let edited = Item::from(attributes.clone());
        assert_eq!(
            NotificationItem::from_item(&edited),
            Err(UnreadableItem { attribute: name })
        );
        attributes.remove(name);
        let cut = Item::from(attributes);
        assert_eq!(
            NotificationItem::from_item(&cut),
            Err(UnreadableItem { attribute: name })
        );
    }
}

#[test]
fn only_a_settled_item_without_payload_is_erased() {
    let settled = |status| NotificationItem {
        status,
        ..item("1").unwrap()
    };
    let done = settled(Status::Done);
    let erase = |item: &NotificationItem, keeps_payload: bool| {
        let mut attributes: HashMap<String, AttributeValue> = item.to_item().into();
        if !keeps_payload {
            attributes.remove(attribute::PAYLOAD);
        }
        let at = AttributeValue::S("2026-11-23T10:00:00.000Z".to_owned());
        attributes.insert(attribute::ERASED_AT.to_owned(), at);
        erased_at(&Item::from(attributes))
    };
    let at = "2026-11-23T10:00:00Z".parse().unwrap();
    assert_eq!(erase(&done, false), Some(at));
    assert_eq!(erase(&settled(Status::Refused), false), Some(at));
    assert_eq!(erase(&done, true), None);
    assert_eq!(erase(&item("1").unwrap(), false), None);
    assert_eq!(erased_at(&done.to_item()), None);
}

#[test]
fn expiry_adds_days_in_seconds() {
    let done: Timestamp = "1970-01-02T00:00:01.9Z".parse().unwrap();
    assert_eq!(expiry(done, 0), 86_401);
    assert_eq!(expiry(done, 3), 4 * 86_400 + 1);
}

#[test]
fn debug_output_hides_payload_and_enrichment() {
    let shown = format!("{:?}", item(r#""DE00""#).unwrap());
    assert!(shown.contains("n1"), "{shown}");
    assert!(!shown.contains("DE00"), "{shown}");
    let mut enrichment = Enrichment::default();
    enrichment.insert("iban", "DE00");
    assert_eq!(format!("{enrichment:?}"), "Enrichment(1 names)");
}

#[test]
fn size_counts_names_texts_and_numbers() {
    let bytes = |redrives| {
        let mut item = item("1").unwrap();
        item.redrives = redrives;
        item.bytes()
    };
    let texts = item("1").unwrap().to_item();
    let texts = texts.iter().map(|(name, value)| match value {
        AttributeValue::S(text) => name.len() + text.len(),
        _ => name.len(),
    });
    // Two numbers of one digit: `version` and `redrives`.
    assert_eq!(bytes(0), texts.sum::<usize>() + 2 * 2);
    assert_eq!(bytes(999) - bytes(0), 1);
}
