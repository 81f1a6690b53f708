//! A JSON pointer finds what serde_json's finds, in every document that is a message at all.
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
        // Numbers beyond serde_json's own, or a document that closes the message and goes on.
        return;
    };
    let expected = peer.pointer(&pointer);
    match parsed {
        Ok(notification) => {
            let found: Value = serde_json::from_str(notification.payload.as_str()).expect("JSON");
            assert_eq!(Some(&found), expected, "{pointer:?}");
        }
        Err(Rejection::MissingPayload) => assert_eq!(expected, None, "{pointer:?}"),
        // Duplicate keys, depth, an id of the document's own: refused before any pointer is followed.
        Err(_) => {}
    }
});
