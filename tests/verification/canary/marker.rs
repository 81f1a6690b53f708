//! The marker, and how to search for it.

use aws_smithy_types::base64;
use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, NotificationItem},
    notification::MessagePointers,
};

/// Part of every payload, key and text that contains customer data.
pub(crate) const MARKER: &str = "canary7f1d";

/// Part of every notification type. A type is a name: `Debug` may print it, but the product's log lines do not.
pub(crate) const TYPE_MARKER: &str = "typecanary4c";

/// A payload with the marker as text, as keys and with an escape sequence.
pub(crate) const PAYLOAD: &str = r#"{"canary7f1d": {"canary7f1d": ["canary7f1d", "\u0063anary7f1d", "\n\"canary7f1d\""]}, "n": 1.0}"#;

/// The body of a message with this id.
pub(crate) fn body(id: &str) -> String {
    format!(r#"{{"notification_id":"{id}","type":"{TYPE_MARKER}","payload":{PAYLOAD}}}"#)
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
    )
    .unwrap()
}

/// Whether `text` contains the marker: as plain text, in base64, in hexadecimal, or as a list of bytes.
pub(crate) fn contains_marker(marker: &str, text: &str) -> bool {
    forms(marker).iter().any(|form| text.contains(form))
}

fn forms(marker: &str) -> Vec<String> {
    let bytes = marker.as_bytes();
    let list: Vec<String> = bytes.iter().map(ToString::to_string).collect();
    let mut forms = vec![
        marker.to_owned(),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
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
