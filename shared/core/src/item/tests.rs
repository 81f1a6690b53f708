use super::*;
use crate::{
    limits::{
        MAX_CONSUMER_NAME_CHARS, MAX_JSON_DEPTH, MAX_KEY_BYTES, MAX_NUMBER_CHARS, MAX_REFUSAL_CHARS,
    },
    notification::MessagePointers,
};

fn notification(payload: &str) -> Notification {
    let body = format!(r#"{{"notification_id":"n1","type":"refund","payload":{payload}}}"#);
    MessagePointers::default().parse(&body).unwrap()
}

fn item(payload: &str) -> Result<NotificationItem, InvalidItem> {
    stored(payload, PayloadCompression::Auto)
}

fn text_item(payload: &str) -> Result<NotificationItem, InvalidItem> {
    stored(payload, PayloadCompression::Never)
}

fn stored(payload: &str, compression: PayloadCompression) -> Result<NotificationItem, InvalidItem> {
    let now = "2026-11-23T10:00:00.5Z".parse().unwrap();
    NotificationItem::new(
        notification(payload),
        &Enrichment::default(),
        "m-1".to_owned(),
        None,
        now,
        compression,
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
        PayloadCompression::Auto,
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
        text_item(&payload(MAX_ITEM_BYTES - overhead))
            .unwrap()
            .bytes(),
        MAX_ITEM_BYTES - ITEM_GROWTH_BYTES
    );
    let rejection = text_item(&payload(MAX_ITEM_BYTES - overhead + 1)).unwrap_err();
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
        NotificationItem::new(
            notification("1"),
            &enrichment,
            "m-1".to_owned(),
            None,
            now,
            PayloadCompression::Auto,
        )
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
    refused.settled_by = "x".repeat(MAX_CONSUMER_NAME_CHARS).parse().ok();
    assert!(refused.settled_by.is_some());
    refused.status = Status::Refused;
    refused.version = u64::MAX;
    refused.redrives = u64::MAX;
    refused.refusal = "x".repeat(MAX_REFUSAL_CHARS).parse().ok();
    refused.expires_at = Some(i64::MAX);
    assert!(refused.refusal.is_some());
    assert!(refused.bytes() <= init.bytes() + ITEM_GROWTH_BYTES);
}

#[test]
fn reads_settled_items_whose_reason_or_consumer_is_invalid() {
    let mut refused = item("1").unwrap();
    refused.status = Status::Refused;
    for value in [
        AttributeValue::S("The account of Ms. Doe is closed".to_owned()),
        AttributeValue::N("7".to_owned()),
    ] {
        for name in [attribute::REFUSAL, attribute::SETTLED_BY] {
            let mut attributes = refused.to_item().into_inner();
            attributes.insert(name.to_owned(), value.clone());
            let read = NotificationItem::from_item(&attributes.into());
            let read = read.map(|item| NotificationItem {
                settled_by: None,
                ..item
            });
            assert_eq!(read.as_ref(), Ok(&refused));
        }
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
        let cut = NotificationItem::from_item(&Item::from(attributes));
        if name == "redrives" {
            assert_eq!(cut.map(|item| item.redrives), Ok(0));
        } else {
            assert_eq!(cut, Err(UnreadableItem { attribute: name }));
        }
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
        AttributeValue::B(bytes) => name.len() + bytes.len(),
        _ => name.len(),
    });
    // A number of one digit: `version`.
    assert_eq!(bytes(0), texts.sum::<usize>() + 2);
    assert_eq!(bytes(9) - bytes(0), attribute::REDRIVES.len() + 2);
    assert_eq!(bytes(999) - bytes(99), 1);
}

#[test]
fn a_settled_item_needs_the_time_of_its_settlement() {
    let done = NotificationItem {
        status: Status::Done,
        ..item("1").unwrap()
    };
    let mut attributes = done.to_item().into_inner();
    attributes.remove(attribute::UPDATED_AT);
    let attribute = attribute::UPDATED_AT;
    assert_eq!(
        NotificationItem::from_item(&attributes.into()),
        Err(UnreadableItem { attribute })
    );
}

/// Items of earlier versions have a fingerprint as text, `updated_at` in INIT, and `redrives` also if it is 0.
#[test]
fn reads_items_of_earlier_versions() {
    let new = text_item(r#"{"amount":1}"#).unwrap();
    let mut attributes = new.to_item().into_inner();
    let text = |text: String| AttributeValue::S(text);
    let hex = new.notification.fingerprint.to_string();
    attributes.insert(attribute::FINGERPRINT.to_owned(), text(hex));
    let at = to_rfc3339(new.updated_at);
    attributes.insert(attribute::UPDATED_AT.to_owned(), text(at));
    let zero = AttributeValue::N("0".to_owned());
    attributes.insert(attribute::REDRIVES.to_owned(), zero);
    assert_eq!(NotificationItem::from_item(&attributes.into()), Ok(new));
}

/// JSON of about this many bytes, of which about a third is information.
fn orders(bytes: usize) -> String {
    let mut lines = Vec::new();
    for number in 0..bytes / 70 {
        let id = u64::try_from(number)
            .unwrap()
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        lines.push(format!(
            r#"{{"order_id":"{id:016x}","currency":"EUR","amount":{number}}}"#
        ));
    }
    format!("[{}]", lines.join(","))
}

#[test]
fn a_text_is_compressed_only_if_that_saves_a_write_unit() {
    for bytes in (0..12_000).step_by(97) {
        let payload = orders(bytes);
        let (auto, never) = (item(&payload).unwrap(), text_item(&payload).unwrap());
        assert_eq!(never.deflated, Deflated::default());
        if auto.deflated == Deflated::default() {
            assert_eq!(auto.bytes(), never.bytes());
        } else {
            assert!(write_units(auto.bytes()) < write_units(never.bytes()));
        }
        assert_eq!(auto.notification, never.notification);
        assert_eq!(NotificationItem::from_item(&auto.to_item()), Ok(auto));
    }
    assert_eq!(write_units(item(&orders(1_400)).unwrap().bytes()), 2);
    assert!(write_units(text_item(&orders(1_400)).unwrap().bytes()) >= 4);
}

#[test]
fn the_enrichment_is_compressed_too() {
    let mut enrichment = Enrichment::default();
    enrichment.insert("note", "a long note, ".repeat(500));
    let now = Timestamp::UNIX_EPOCH;
    let compression = PayloadCompression::Auto;
    let item = NotificationItem::new(
        notification("1"),
        &enrichment,
        "m-1".to_owned(),
        None,
        now,
        compression,
    )
    .unwrap();
    assert_eq!(write_units(item.bytes()), MIN_WRITE_UNITS);
    assert_eq!(
        item.deflated.payload, None,
        "one digit does not get smaller"
    );
    assert_eq!(NotificationItem::from_item(&item.to_item()), Ok(item));
}

#[test]
fn the_largest_message_fits_if_it_can_be_compressed() {
    let payload = format!("\"{}\"", "x".repeat(MAX_MESSAGE_BYTES - 2));
    let stored = item(&payload).unwrap();
    assert!(stored.bytes() < 3_000);
    assert_eq!(NotificationItem::from_item(&stored.to_item()), Ok(stored));
    assert!(matches!(
        text_item(&payload),
        Err(InvalidItem::Rejected(Rejection::ItemTooLarge { .. }))
    ));
    let longer = format!("\"{}\"", "x".repeat(MAX_MESSAGE_BYTES - 1));
    assert_eq!(
        item(&longer),
        Err(Rejection::EventTooLarge {
            bytes: MAX_MESSAGE_BYTES + 1
        }
        .into())
    );
}

#[test]
fn an_enrichment_too_large_for_an_event_is_rejected() {
    let with = |bytes: usize| {
        let mut enrichment = Enrichment::default();
        enrichment.insert("n", "x".repeat(bytes - r#"{"n":""}"#.len()));
        NotificationItem::new(
            notification("1"),
            &enrichment,
            "m-1".to_owned(),
            None,
            Timestamp::UNIX_EPOCH,
            PayloadCompression::Auto,
        )
    };
    assert!(with(MAX_ENRICHMENT_BYTES).is_ok());
    assert!(matches!(
        with(MAX_ENRICHMENT_BYTES + 1),
        Err(InvalidItem::Rejected(Rejection::EventTooLarge { .. }))
    ));
}

#[test]
fn a_payload_that_was_edited_into_something_else_is_unreadable() {
    let good = item(&orders(2_000)).unwrap();
    let deflated = good.deflated.payload.clone().unwrap();
    let not_json = deflate(&"no JSON ".repeat(100)).unwrap();
    let too_large = deflate(&"1".repeat(MAX_MESSAGE_BYTES + 1)).unwrap();
    let cut = deflated[..deflated.len() - 1].to_vec();
    for bytes in [not_json, too_large, cut, Vec::new()] {
        let mut attributes = good.to_item().into_inner();
        attributes.insert(attribute::PAYLOAD.to_owned(), AttributeValue::B(bytes));
        let attribute = attribute::PAYLOAD;
        assert_eq!(
            NotificationItem::from_item(&attributes.into()),
            Err(UnreadableItem { attribute })
        );
    }
}

#[test]
fn times_have_the_length_that_is_counted() {
    for time in ["0001-01-01T00:00:00Z", "9998-12-31T23:59:59.999Z"] {
        assert_eq!(to_rfc3339(time.parse().unwrap()).len(), RFC3339_BYTES);
    }
}
