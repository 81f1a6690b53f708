//! A JSON pointer finds the same value as the pointer of serde_json, in every valid message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onewrite::notification::{MessagePointers, Rejection};
use serde_json::Value;

fuzz_target!(|input: (&str, &str)| {
    let (pointer, document) = input;
    let body = format!(r#"{{"notification_id":"n","document":{document}}}"#);
    let pointer = format!("/document{pointer}");
    let Ok(payload) = pointer.parse() else {
        return;
    };
    let pointers = MessagePointers {
        payload,
        ..MessagePointers::default()
    };
    let parsed = pointers.parse(&body);
    let Ok(peer) = serde_json::from_str::<Value>(&body) else {
        // serde_json rejects some large numbers, and text after the end of the message.
        return;
    };
    let expected = peer.pointer(&pointer);
    match parsed {
        Ok(notification) => {
            let found: Value = serde_json::from_str(notification.payload.as_str()).expect("JSON");
            assert_eq!(Some(&found), expected, "{pointer:?}");
        }
        Err(Rejection::MissingPayload) => assert_eq!(expected, None, "{pointer:?}"),
        // Duplicate keys, excessive depth or another id: rejected before a pointer is resolved.
        Err(_) => {}
    }
});
