use proptest::prelude::*;

use super::*;
use crate::{limits::MAX_ID_POINTERS, notification::InvalidName};

fn parse(body: &str) -> Result<Notification, Rejection> {
    MessagePointers::default().parse(body)
}

fn pointers(id: &str, kind: &str, payload: &str) -> MessagePointers {
    pointers_in("", id, kind, payload)
}

fn pointers_in(message: &str, id: &str, kind: &str, payload: &str) -> MessagePointers {
    MessagePointers {
        message: message.parse().unwrap(),
        id: id.parse().unwrap(),
        kind: kind.parse().unwrap(),
        payload: payload.parse().unwrap(),
    }
}

#[test]
fn keeps_the_payload_byte_for_byte() {
    let payload =
        "{ \"z\": 9007199254740993, \"a\" : [1.0, 1e400, -0],\r\n\t\"\\u0061b\":\"\\/\" }";
    let body = format!(r#"{{"payload": {payload} , "notification_id":"n1"}}"#);
    let notification = parse(&body).unwrap();
    assert_eq!(notification.payload.as_str(), payload);
    assert_eq!(notification.id.as_str(), "n1");
    assert_eq!(notification.kind.as_str(), "notification");
}

#[test]
fn fingerprint_ignores_key_order_and_white_space() {
    let one = parse(r#"{"notification_id":"n","type":"t","payload":{"a":1,"b":2}}"#).unwrap();
    let other = parse(r#"{"payload":{"b":2, "a":1},"type":"t", "notification_id":"n"}"#).unwrap();
    assert_eq!(one.fingerprint, other.fingerprint);
    assert_ne!(one.payload, other.payload);
}

/// The pointers for the default message in an SNS notification.
fn in_sns() -> MessagePointers {
    MessagePointers {
        message: "/Message".parse().unwrap(),
        ..MessagePointers::default()
    }
}

/// A notification as SNS delivers it to a queue without raw message delivery.
fn sns(message_id: &str, message: &str) -> String {
    serde_json::json!({
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": "arn:aws:sns:us-east-1:111122223333:refunds",
        "Message": message,
        "Timestamp": "2026-11-23T10:00:00.000Z",
    })
    .to_string()
}

#[test]
fn a_retry_through_sns_is_the_same_notification() {
    let message = r#"{"notification_id":"rf_1","payload":{"amount": 1.0}}"#;
    let parse = |message_id| in_sns().parse(&sns(message_id, message)).unwrap();
    let first = parse("78d5bc6f-1");
    assert_eq!(first.id.as_str(), "rf_1");
    assert_eq!(first.payload.as_str(), r#"{"amount": 1.0}"#);
    assert_eq!(parse("78d5bc6f-2"), first);
    assert_eq!(MessagePointers::default().parse(message), Ok(first));
}

#[test]
fn an_object_at_the_message_pointer_is_the_message() {
    let body = r#"{"a":[{"notification_id":"n","payload":1}],"notification_id":"other"}"#;
    let pointers = pointers_in("/a/0", "/notification_id", "/type", "/payload");
    assert_eq!(pointers.parse(body).unwrap().id.as_str(), "n");
}

#[test]
fn an_empty_payload_pointer_is_the_whole_message() {
    let body = sns("m", " {\"notification_id\" : \"n\"}\n");
    let pointers = pointers_in("/Message", "/notification_id", "/type", "");
    let payload = pointers.parse(&body).unwrap().payload;
    assert_eq!(payload.as_str(), r#"{"notification_id" : "n"}"#);
}

#[test]
fn checks_the_body_and_the_message_in_it() {
    let deep = "[".repeat(64) + &"]".repeat(64);
    let message = r#"{"notification_id":"n","payload":1}"#;
    let quoted = serde_json::Value::from(message).to_string();
    for (body, name) in [
        ("{\"Message\":".to_owned(), "InvalidJson"),
        (sns("m", "plain text"), "InvalidJson"),
        (format!(r#"{{"Message":{quoted},"a":{deep}}}"#), "TooDeep"),
        (sns("m", &format!(r#"{{"payload":{deep}}}"#)), "TooDeep"),
        (
            format!(r#"{{"a":1,"a":1,"Message":{quoted}}}"#),
            "DuplicateKey",
        ),
        (sns("m", r#"{"a":1,"a":1}"#), "DuplicateKey"),
        (format!("[{quoted}]"), "NotAnObject"),
        (sns("m", "[]"), "NotAnObject"),
        (sns("m", &quoted), "NotAnObject"),
        (r#"{"Message":7}"#.to_owned(), "NotAnObject"),
        (r#"{"Message":["{}"]}"#.to_owned(), "NotAnObject"),
        (r#"{"Message":null}"#.to_owned(), "MissingMessage"),
        (message.to_owned(), "MissingMessage"),
        (sns("m", "{}"), "MissingId"),
    ] {
        assert_eq!(in_sns().parse(&body).unwrap_err().name(), name, "{body}");
    }
}

#[test]
fn bodies_of_a_bucket_are_rejected_by_name() {
    let test_event = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
    let record = r#"{"eventSource":"aws:s3","notification_id":"n","payload":1}"#;
    let records = format!(r#"{{"Records":[{record},{record}]}}"#);
    let first_record = pointers_in("", "/Records/0/notification_id", "", "");
    let only_record = pointers_in("/Records/0", "/notification_id", "/type", "/payload");
    for (pointers, body) in [
        (MessagePointers::default(), test_event.to_owned()),
        (in_sns(), sns("m", test_event)),
        (in_sns(), sns("m", &records)),
        (first_record, records.clone()),
        (only_record, records),
    ] {
        let rejection = pointers.parse(&body);
        assert_eq!(rejection, Err(Rejection::BucketNotification), "{body}");
    }
    let other =
        r#"{"notification_id":"n","payload":1,"Records":[{"eventSource":"shop"},"aws:s3"]}"#;
    assert!(parse(other).is_ok());
}

/// EventBridge adds `replay-name` to a replayed event (EventBridge user guide, "Archiving and replaying events"). It does not
/// say which of the other members outside of `detail` it keeps.
#[test]
fn a_replay_through_eventbridge_is_the_same_notification() {
    let detail = r#"{"refund_id":"rf_8841","amount":1.0}"#;
    let event = |id: &str, time: &str, replay: &str| {
        format!(
            r#"{{"version":"0","id":"{id}","detail-type":"Refund Requested","source":"shop","account":"111122223333",
            "time":"{time}","region":"us-east-1","resources":[],{replay}"detail":{detail}}}"#
        )
    };
    let first = event("17793124", "2026-11-23T10:00:00Z", "");
    let replay = event("6a7e8feb", "2026-11-24T10:00:00Z", r#""replay-name":"r1","#);
    let by_detail = pointers("/detail/refund_id", "/detail-type", "/detail");
    let notification = by_detail.parse(&first).unwrap();
    assert_eq!(notification.id.as_str(), "rf_8841");
    assert_eq!(notification.kind.as_str(), "Refund Requested");
    assert_eq!(notification.payload.as_str(), detail);
    assert_eq!(by_detail.parse(&replay), Ok(notification));
    // With the whole event as payload, a replay is a conflict.
    let whole = pointers("/detail/refund_id", "/detail-type", "");
    let [one, other] = [first, replay].map(|event| whole.parse(&event).unwrap());
    assert_eq!(one.id, other.id);
    assert_ne!(one.fingerprint, other.fingerprint);
}

#[test]
fn events_of_two_sources_have_two_ids() {
    let event = |source: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"{source}","type":"refund","data":{{"n":1}}}}"#
        )
    };
    let by_source_and_id = pointers("/source,/id", "/type", "/data");
    for (source, id) in [("/shop/a", "~1shop~1a/1"), ("/shop/b", "~1shop~1b/1")] {
        let notification = by_source_and_id.parse(&event(source)).unwrap();
        assert_eq!(notification.id.as_str(), id);
        assert_eq!(notification.kind.as_str(), "refund");
        assert_eq!(notification.payload.as_str(), r#"{"n":1}"#);
    }
}

#[test]
fn integers_count_by_their_digits() {
    let parse = |id: &str| parse(&format!(r#"{{"notification_id":{id},"payload":1}}"#));
    // The last one is the id of a Shopify refund: as a float, it is 890088186047892352.
    for id in ["0", "12", "-7", "890088186047892319", &"9".repeat(256)] {
        let notification = parse(id).unwrap();
        assert_eq!(notification.id.as_str(), id);
        assert_eq!(parse(&format!("\"{id}\"")), Ok(notification), "{id}");
    }
    for other in ["-0", "1.0", "1e3", "1E3", "0e0", "-0.0", "1e400"] {
        assert_eq!(parse(other), Err(Rejection::IdNotAnInteger), "{other}");
    }
    for invalid in ["01", "+1", "-", "0x1", "1_000"] {
        assert_eq!(
            parse(invalid).unwrap_err().name(),
            "InvalidJson",
            "{invalid}"
        );
    }
    let too_long = "9".repeat(257);
    assert_eq!(parse(&too_long).unwrap_err().name(), "InvalidId");
}

#[test]
fn each_part_of_an_id_is_checked() {
    let parse = |a: &str, b: &str| {
        let body = format!(r#"{{"a":{a},"b":{b},"payload":1}}"#);
        pointers("/a,/b", "/type", "/payload").parse(&body)
    };
    assert_eq!(parse("1", "\"x y\"").unwrap().id.as_str(), "1/x y");
    let position = Rejection::InvalidId(InvalidName::Character { position: 2 });
    for (a, b, rejection) in [
        ("\"1\"", "null", Rejection::MissingId),
        ("\"1\"", "1.0", Rejection::IdNotAnInteger),
        ("\"1\"", "true", Rejection::IdNotAString),
        ("[]", "\"1\"", Rejection::IdNotAString),
        ("\"\"", "\"1\"", Rejection::InvalidId(InvalidName::Empty)),
        ("\"1\"", "\"1é\"", position),
        (
            "\"1 \"",
            "1",
            Rejection::InvalidId(InvalidName::Space { position: 2 }),
        ),
    ] {
        assert_eq!(parse(a, b), Err(rejection), "{a} {b}");
    }
    let text = |chars: usize| format!("\"{}\"", "x".repeat(chars));
    assert!(parse(&text(128), &text(127)).is_ok());
    let too_long = InvalidName::TooLong {
        chars: 257,
        max: 256,
    };
    let rejection = parse(&text(128), &text(128));
    assert_eq!(rejection, Err(Rejection::InvalidId(too_long)));
}

#[test]
fn a_type_of_null_is_the_default_type() {
    let notification = parse(r#"{"notification_id":"n","type":null,"payload":null}"#).unwrap();
    assert_eq!(notification.kind, NotificationType::default());
    assert_eq!(notification.payload.as_str(), "null");
    let text = parse(r#"{"notification_id":"n","type":"null","payload":1}"#).unwrap();
    assert_eq!(text.kind.as_str(), "null");
}

#[test]
fn default_pointers_match_their_texts() {
    let spelled = pointers(
        MessagePointers::DEFAULT_ID,
        MessagePointers::DEFAULT_TYPE,
        MessagePointers::DEFAULT_PAYLOAD,
    );
    assert_eq!(MessagePointers::default(), spelled);
}

#[test]
fn rejects_each_kind_of_bad_body_by_name() {
    let cases: [(&str, &str); 15] = [
        ("{\"notification_id\":", "InvalidJson"),
        ("", "InvalidJson"),
        ("[]", "NotAnObject"),
        ("\"text\"", "NotAnObject"),
        (
            r#"{"notification_id":"a","payload":{"k":1,"k":1}}"#,
            "DuplicateKey",
        ),
        (
            r#"{"notification_id":"a","notification_id":"a","payload":1}"#,
            "DuplicateKey",
        ),
        (r#"{"payload":1}"#, "MissingId"),
        (r#"{"notification_id":null,"payload":1}"#, "MissingId"),
        (r#"{"notification_id":[7],"payload":1}"#, "IdNotAString"),
        (r#"{"notification_id":true,"payload":1}"#, "IdNotAString"),
        (r#"{"notification_id":7.0,"payload":1}"#, "IdNotAnInteger"),
        (r#"{"notification_id":"a b ","payload":1}"#, "InvalidId"),
        (
            r#"{"notification_id":"a","type":1,"payload":1}"#,
            "TypeNotAString",
        ),
        (
            r#"{"notification_id":"a","type":"","payload":1}"#,
            "InvalidType",
        ),
        (r#"{"notification_id":"a"}"#, "MissingPayload"),
    ];
    for (body, name) in cases {
        let rejection = MessagePointers::default().parse(body).unwrap_err();
        assert_eq!(rejection.name(), name, "{body}");
    }
    let deep = format!(
        r#"{{"notification_id":"a","payload":{}{}}}"#,
        "[".repeat(64),
        "]".repeat(64)
    );
    assert_eq!(parse(&deep), Err(Rejection::TooDeep));
}

#[test]
fn rejections_do_not_repeat_the_message() {
    for body in [
        r#"{"notification_id":"canary\tcanary"}"#,
        r#"{"notification_id":"a","payload":canary}"#,
        r#"{"canary":1,"canary":1}"#,
        r#"{"notification_id":"a","payload":"canary"#,
    ] {
        let rejection = parse(body).unwrap_err();
        assert!(
            !format!("{rejection} {rejection:?}").contains("canary"),
            "{rejection}"
        );
    }
}

proptest! {
    #[test]
    fn never_panics(body in any::<String>()) {
        let _ = MessagePointers::default().parse(&body);
        let _ = in_sns().parse(&body);
        let _ = in_sns().parse(&sns("m", &body));
    }

    #[test]
    fn parses_what_was_sent(id in "[!-~]([ -~]{0,254}[!-~])?", kind in "[!-~]([ -~]{0,126}[!-~])?", text in any::<String>()) {
        let body = serde_json::json!({"notification_id": id, "type": kind, "payload": text}).to_string();
        let notification = parse(&body).unwrap();
        prop_assert_eq!(notification.id.as_str(), id);
        prop_assert_eq!(notification.kind.as_str(), kind);
        prop_assert_eq!(serde_json::from_str::<String>(notification.payload.as_str()).unwrap(), text);
        prop_assert_eq!(in_sns().parse(&sns("m", &body)), Ok(notification));
    }

    /// The values are of few characters, so that wrong escapes and separators would meet.
    #[test]
    fn two_lists_of_values_never_have_the_same_id(
        (one, other) in (2..=MAX_ID_POINTERS).prop_flat_map(|values| {
            let list = || prop::collection::vec("[~/01]{1,3}", values);
            (list(), list())
        }),
    ) {
        let id = |values: &[String]| {
            let all: Vec<String> = (0..values.len()).map(|index| format!("/id/{index}")).collect();
            let body = serde_json::json!({"id": values, "payload": 1}).to_string();
            let notification = pointers(&all.join(","), "/type", "/payload").parse(&body).unwrap();
            notification.id.as_str().to_owned()
        };
        prop_assert_eq!(id(&one) == id(&other), one == other);
        // The values can be recovered, so this holds for all lists and not only for this pair.
        let escaped = id(&one);
        let pointers: IdPointers = vec!["/id"; one.len()].join(",").parse().unwrap();
        prop_assert_eq!(pointers.values(&escaped), Some(one));
    }

    #[test]
    fn messages_with_another_type_or_payload_have_another_fingerprint(
        (one, other) in (content(), content()),
    ) {
        let body = |(kind, payload): &(Option<String>, String)| {
            let kind = kind.as_ref().map_or_else(|| "null".to_owned(), |kind| format!("\"{kind}\""));
            format!(r#"{{"notification_id":"n","type":{kind},"payload":{payload}}}"#)
        };
        let fingerprints = [&one, &other].map(|content| {
            let body = body(content);
            let fingerprint = parse(&body).unwrap().fingerprint;
            assert_eq!(in_sns().parse(&sns("m", &body)).unwrap().fingerprint, fingerprint);
            fingerprint
        });
        let meaning = |(kind, payload): &(Option<String>, String)| {
            let kind = kind.clone().unwrap_or_else(|| NotificationType::default().to_string());
            (kind, payload.clone())
        };
        prop_assert_eq!(fingerprints[0] == fingerprints[1], meaning(&one) == meaning(&other));
    }
}

/// A type, which may be null, and the text of a payload in its only spelling: without escapes, and with at most one key.
fn content() -> impl Strategy<Value = (Option<String>, String)> {
    let kind = prop::option::of(prop_oneof!["[a1:,]{1,2}", Just("notification".to_owned())]);
    let leaf = prop_oneof![
        "(null|true|1|1\\.0|-1|11|1e1)".boxed(),
        "\"[a1:,\\[\\]{}]{0,2}\"".boxed(),
    ];
    let payload = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|all| format!("[{}]", all.join(","))),
            ("[a1:]{0,1}", inner).prop_map(|(key, value)| format!("{{\"{key}\":{value}}}")),
        ]
    });
    (kind, payload)
}
