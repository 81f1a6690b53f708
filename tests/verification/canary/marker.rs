//! The marker, and how it is looked for.

use aws_smithy_types::base64;
use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, NotificationItem},
    notification::MessagePointers,
};

/// In every payload, key and text that is somebody's data.
pub(crate) const MARKER: &str = "canary7f1d";

/// In every notification's type, which is a name: `Debug` may show it, a line of the product's own does not.
pub(crate) const TYPE_MARKER: &str = "typecanary4c";

/// A payload with the marker as text, as keys and spelled with an escape.
pub(crate) const PAYLOAD: &str = r#"{"canary7f1d": {"canary7f1d": ["canary7f1d", "\u0063anary7f1d", "\n\"canary7f1d\""]}, "n": 1.0}"#;

/// The body of a message of that id.
pub(crate) fn body(id: &str) -> String {
    format!(r#"{{"notification_id":"{id}","type":"{TYPE_MARKER}","payload":{PAYLOAD}}}"#)
}

/// Its item, enriched with the marker too.
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

/// Whether the marker can be read from `text`: as it is, in base64, in hexadecimal, or as a list of bytes.
pub(crate) fn is_in(marker: &str, text: &str) -> bool {
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
    // By where it begins in a group of three bytes; the letters that its neighbours have a share in are left out.
    forms.extend((0..3).map(|before| {
        let text = base64::encode([&vec![0; before], bytes].concat());
        let end = (before + bytes.len()) * 8 / 6;
        text[(before * 8).div_ceil(6)..end].to_owned()
    }));
    forms
}

#[test]
fn the_marker_is_found_in_every_form() {
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{MARKER}xyz");
        assert!(is_in(MARKER, &text));
        assert!(is_in(MARKER, &base64::encode(&text)), "{before}");
        assert!(is_in(MARKER, &format!("{:?}", text.as_bytes())));
    }
    assert!(!is_in(MARKER, "canary"));
    assert!(PAYLOAD.contains(MARKER));
}
