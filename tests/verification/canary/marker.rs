//! The marker, and how to search for it.

use std::sync::LazyLock;

use aws_smithy_types::base64;
use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, NotificationItem, PayloadCompression},
    notification::MessagePointers,
};

/// Part of every payload, key and text that contains customer data.
pub(crate) const MARKER: &str = "canary7f1d";

/// Part of every notification type. A type is a name: `Debug` may print it, but the product's log lines do not.
pub(crate) const TYPE_MARKER: &str = "typecanary4c";

/// A payload with the marker as text, as keys and with an escape sequence.
pub(crate) const PAYLOAD: &str = r#"{"canary7f1d": {"canary7f1d": ["canary7f1d", "\u0063anary7f1d", "\n\"canary7f1d\""]}, "n": 1.0}"#;

/// Notifications with these ids have a payload that is stored compressed.
pub(crate) const LARGE: &str = "large";

/// A payload that is stored compressed.
fn large_payload() -> String {
    let numbers: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    format!("[{PAYLOAD},{}]", numbers.join(","))
}

/// The body of a message with this id.
pub(crate) fn body(id: &str) -> String {
    let payload = if id.starts_with(LARGE) {
        large_payload()
    } else {
        PAYLOAD.to_owned()
    };
    format!(r#"{{"notification_id":"{id}","type":"{TYPE_MARKER}","payload":{payload}}}"#)
}

/// The item of this id, with the marker in its enrichment too.
pub(crate) fn item(id: &str) -> NotificationItem {
    let notification = MessagePointers::default().parse(&body(id)).unwrap();
    let mut enrichment = Enrichment::default();
    enrichment.insert(MARKER, MARKER);
    let message_id = "message".to_owned();
    NotificationItem::new(
        notification,
        &enrichment,
        message_id,
        None,
        Timestamp::UNIX_EPOCH,
        PayloadCompression::Auto,
    )
    .unwrap()
}

/// Whether `text` contains the marker: as plain text, in base64, in hexadecimal, or as a list of bytes. Of [`MARKER`] also
/// whether it contains a part of the compressed payload, in which the marker itself does not appear.
pub(crate) fn contains_marker(marker: &str, text: &str) -> bool {
    static COMPRESSED: LazyLock<Vec<String>> = LazyLock::new(|| forms(&compressed_part()));
    let contains = |forms: &[String]| forms.iter().any(|form| text.contains(form));
    text.contains(marker)
        || contains(&forms(marker.as_bytes()))
        || marker == MARKER && contains(&COMPRESSED)
}

/// Bytes of the compressed payload. It begins with the same bytes in each function and in each test.
pub(crate) fn compressed_part() -> Vec<u8> {
    let payload = item(LARGE).deflated.payload.expect("a compressed payload");
    payload[100..116].to_vec()
}

fn forms(bytes: &[u8]) -> Vec<String> {
    let list: Vec<String> = bytes.iter().map(ToString::to_string).collect();
    let escaped: Vec<String> = bytes.iter().map(|byte| format!("{byte:x}")).collect();
    let mut forms = vec![
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        escaped.join(", "),
        list.join(", "),
        list.join(","),
    ];
    // Base64 depends on the offset within a group of three bytes. Characters that mix in neighbouring bytes are cut
    // off.
    forms.extend((0..3).map(|before| {
        let text = base64::encode([&vec![0; before], bytes].concat());
        let end = (before + bytes.len()) * 8 / 6;
        text[(before * 8).div_ceil(6)..end].to_owned()
    }));
    forms
}

#[test]
fn finds_the_compressed_payload_in_every_encoding() {
    let item = item(LARGE);
    let bytes = item.deflated.payload.unwrap();
    for before in 0..3 {
        let bytes = [&vec![7; before], &bytes[..]].concat();
        assert!(contains_marker(MARKER, &base64::encode(&bytes)), "{before}");
        assert!(contains_marker(MARKER, &format!("{bytes:?}")));
        assert!(contains_marker(MARKER, &format!("{bytes:x?}")));
    }
    assert!(!contains_marker(MARKER, &base64::encode(&bytes[..100])));
}

#[test]
fn finds_marker_in_every_encoding() {
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{MARKER}xyz");
        assert!(contains_marker(MARKER, &text));
        assert!(contains_marker(MARKER, &base64::encode(&text)), "{before}");
        assert!(contains_marker(MARKER, &format!("{:?}", text.as_bytes())));
    }
    assert!(!contains_marker(MARKER, "canary"));
    assert!(PAYLOAD.contains(MARKER));
}
