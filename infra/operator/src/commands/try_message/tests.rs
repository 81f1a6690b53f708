use super::*;

fn try_all(bodies: &[&str], pointers: &MessagePointers) -> Report {
    try_stored(bodies, pointers, PayloadCompression::Auto)
}

fn try_stored(
    bodies: &[&str],
    pointers: &MessagePointers,
    compression: PayloadCompression,
) -> Report {
    let attempt = |body: &&str| Attempt {
        file: "sample.json".to_owned(),
        verdict: Verdict::new(body, pointers, compression),
    };
    let messages: Vec<Attempt> = bodies.iter().map(attempt).collect();
    Report {
        comparison: compare(&messages),
        messages,
    }
}

fn try_one(body: &str) -> Report {
    try_all(&[body], &MessagePointers::default())
}

#[test]
fn shows_what_ingest_stores_and_publishes() {
    let body = r#"{"notification_id":"rf_1","type":"refund","payload":{"amount":1.0}}"#;
    let report = try_one(body);
    let Verdict::Accepted(accepted) = &report.messages[0].verdict else {
        panic!("{report:?}");
    };
    let notification = MessagePointers::default().parse(body).unwrap();
    assert_eq!(accepted.fingerprint, notification.fingerprint.to_string());
    assert_eq!(accepted.payload_bytes, r#"{"amount":1.0}"#.len());
    assert_eq!(accepted.event_types, ["refund.init", "refund.done"]);
    assert!(!report.has_dead_letter());
    let text = report.format();
    assert!(
        text.contains("\nid           rf_1\ntype         refund\n"),
        "{text}"
    );
}

#[test]
fn counts_a_write_unit_for_each_started_kilobyte() {
    let units = |bytes: usize| {
        let payload = "x".repeat(bytes);
        let body = format!(r#"{{"notification_id":"n","payload":"{payload}"}}"#);
        let pointers = MessagePointers::default();
        let report = try_stored(&[&body], &pointers, PayloadCompression::Never);
        match &report.messages[0].verdict {
            Verdict::Accepted(accepted) => (accepted.init.item_bytes, accepted.init.write_units),
            Verdict::Rejected(rejected) => panic!("{rejected:?}"),
        }
    };
    let (overhead, one) = units(0);
    assert_eq!(one, 1.0);
    assert_eq!(units(1_024 - overhead), (1_024, 1.0));
    assert_eq!(units(1_025 - overhead), (1_025, 2.0));
}

#[test]
fn shows_how_large_a_compressed_payload_is_stored() {
    let payload = "refund ".repeat(80_000);
    let body = format!(r#"{{"notification_id":"n","payload":"{payload}"}}"#);
    let report = try_one(&body);
    let Verdict::Accepted(accepted) = &report.messages[0].verdict else {
        panic!("{report:?}");
    };
    let stored = accepted.compressed_bytes.unwrap();
    assert!(stored < 5_000 && accepted.init.item_bytes > stored);
    let row = format!("payload      560002 bytes, stored as {stored}\n");
    assert!(report.format().contains(&row), "{}", report.format());

    let pointers = MessagePointers::default();
    let report = try_stored(&[&body], &pointers, PayloadCompression::Never);
    let Verdict::Rejected(rejected) = &report.messages[0].verdict else {
        panic!("{report:?}");
    };
    assert_eq!(
        (rejected.rejection, &rejected.place),
        ("ItemTooLarge", &None)
    );
}

#[test]
fn names_each_rejection_and_its_pointer() {
    for (body, name, place) in [
        ("{", "InvalidJson", None),
        (
            r#"{"payload":1}"#,
            "MissingId",
            Some("--notification-id-pointer /notification_id"),
        ),
        (
            r#"{"notification_id":"n","type":1,"payload":1}"#,
            "TypeNotAString",
            Some("--notification-type-pointer /type"),
        ),
        (
            r#"{"notification_id":"n"}"#,
            "MissingPayload",
            Some("--payload-pointer /payload"),
        ),
    ] {
        let report = try_one(body);
        let Verdict::Rejected(rejected) = &report.messages[0].verdict else {
            panic!("{body}: {report:?}");
        };
        assert_eq!(
            (rejected.rejection, rejected.place.as_deref()),
            (name, place)
        );
        assert!(report.has_dead_letter());
    }
}

#[test]
fn compares_two_messages() {
    let body = |id: &str, payload: &str| {
        format!(r#"{{"notification_id":"{id}","payload":{payload},"sent":"{payload}"}}"#)
    };
    for (second, comparison, is_dead_letter) in [
        (body("n", "1"), Some(Comparison::SameNotification), false),
        (body("n", "2"), Some(Comparison::Conflict), true),
        (body("m", "1"), Some(Comparison::TwoNotifications), false),
        ("{".to_owned(), None, true),
    ] {
        let report = try_all(&[&body("n", "1"), &second], &MessagePointers::default());
        assert_eq!(report.comparison, comparison, "{second}");
        assert_eq!(report.has_dead_letter(), is_dead_letter, "{second}");
    }
}

#[test]
fn never_shows_the_payload() {
    let pointers = MessagePointers {
        payload: Pointer::default(),
        ..MessagePointers::default()
    };
    for body in [
        r#"{"notification_id":"n","payload":"canary"}"#,
        r#"{"notification_id":"n","payload":"canary"#,
        r#"{"notification_id":"canary canary ","payload":"canary"}"#,
        r#"{"notification_id":["canary"],"payload":"canary"}"#,
    ] {
        let report = try_all(&[body], &pointers);
        assert!(!report.format().contains("canary"), "{body}");
        assert!(!json(&report).contains("canary"), "{body}");
    }
}
