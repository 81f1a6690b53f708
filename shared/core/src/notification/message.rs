//! From an SQS body to a notification: where to look, and every way in which a body can be refused.

use std::{fmt, str, str::FromStr};

use super::{
    Fingerprint, InvalidName, Notification, NotificationId, NotificationType, Payload,
    json::{Node, Value},
};

/// A JSON pointer (RFC 6901): the path to one value of a document. The empty pointer is the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// A text that is no JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no JSON pointer (RFC 6901): it must be empty or begin with '/', with '~' only in '~0' and '~1'"
)]
pub struct InvalidPointer(String);

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, InvalidPointer> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let invalid = || InvalidPointer(text.to_owned());
        let tokens = text.strip_prefix('/').ok_or_else(invalid)?.split('/');
        tokens
            .map(|token| unescape(token).ok_or_else(invalid))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// `~1` is `/` and `~0` is `~`; any other `~` is an error.
fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = if let Some(rest) = part.strip_prefix('0') {
            ('~', rest)
        } else {
            ('/', part.strip_prefix('1')?)
        };
        text.push(escaped);
        text.push_str(rest);
    }
    Some(text)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

impl Pointer {
    fn find<'n, 'a>(&self, document: &'n Node<'a>) -> Option<&'n Node<'a>> {
        self.0
            .iter()
            .try_fold(document, |node, token| match &node.value {
                Value::Object(object) => object.get(token),
                Value::Array(elements) => elements.get(array_index(token)?),
                Value::String(_) | Value::Literal => None,
            })
    }
}

/// An array index of RFC 6901: digits without leading zeros (`-`, the element after the last, names no value).
fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    canonical.then(|| token.parse().ok()).flatten()
}

/// Where a message says what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePointers {
    /// Where the notification id is; it must be there.
    pub id: Pointer,
    /// Where the type is; where nothing is there, it is [`super::DEFAULT_TYPE`].
    pub kind: Pointer,
    /// Where the payload is; it must be there.
    pub payload: Pointer,
}

impl MessagePointers {
    /// The default of `NOTIFICATION_ID_POINTER`.
    pub const DEFAULT_ID: &str = "/notification_id";
    /// The default of `NOTIFICATION_TYPE_POINTER`.
    pub const DEFAULT_TYPE: &str = "/type";
    /// The default of `PAYLOAD_POINTER`.
    pub const DEFAULT_PAYLOAD: &str = "/payload";

    /// Reads the body of one message.
    ///
    /// # Errors
    /// A [`Rejection`]: the body is refused, and would be at every further receive.
    pub fn parse(&self, body: &[u8]) -> Result<Notification, Rejection> {
        let body = str::from_utf8(body).map_err(|error| Rejection::InvalidUtf8 {
            position: error.valid_up_to(),
        })?;
        let document = Node::parse(body)?;
        if !matches!(document.value, Value::Object(_)) {
            return Err(Rejection::NotAnObject);
        }
        let id = match &self.id.find(&document).ok_or(Rejection::MissingId)?.value {
            Value::String(text) => {
                NotificationId::parse(text.as_ref()).map_err(Rejection::InvalidId)?
            }
            _ => return Err(Rejection::IdNotAString),
        };
        let kind = match self.kind.find(&document).map(|node| &node.value) {
            None => NotificationType::default(),
            Some(Value::String(text)) => {
                NotificationType::parse(text.as_ref()).map_err(Rejection::InvalidType)?
            }
            Some(_) => return Err(Rejection::TypeNotAString),
        };
        let payload = self
            .payload
            .find(&document)
            .ok_or(Rejection::MissingPayload)?;
        Ok(Notification {
            fingerprint: Fingerprint::new(&kind, payload),
            id,
            kind,
            payload: Payload(payload.text.to_owned()),
        })
    }
}

impl Default for MessagePointers {
    fn default() -> Self {
        let member = |pointer: &str| Pointer(vec![pointer[1..].to_owned()]);
        Self {
            id: member(Self::DEFAULT_ID),
            kind: member(Self::DEFAULT_TYPE),
            payload: member(Self::DEFAULT_PAYLOAD),
        }
    }
}

/// Why a message can never become a notification. None of them repeats what the message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The message has no body.
    #[error("the message has no body")]
    MissingBody,
    /// The bytes are not UTF-8.
    #[error("the body is not UTF-8 from byte {position} on")]
    InvalidUtf8 {
        /// The first byte that is wrong, from 0.
        position: usize,
    },
    /// The text is not one JSON value.
    #[error("the body is not JSON (line {line}, column {column})")]
    InvalidJson {
        /// The line of the error, from 1.
        line: usize,
        /// Its column in bytes, from 1.
        column: usize,
    },
    /// The JSON value is no object.
    #[error("the body is no JSON object")]
    NotAnObject,
    /// Nested deeper than [`crate::limits::MAX_JSON_DEPTH`].
    #[error("the body is nested too deep")]
    TooDeep,
    /// An object names a key twice.
    #[error("an object in the body has a key twice")]
    DuplicateKey,
    /// Nothing where the id should be.
    #[error("the body has no notification id")]
    MissingId,
    /// Something else than a string where the id should be.
    #[error("the notification id is not a string")]
    IdNotAString,
    /// A string that is no id.
    #[error("the notification id is wrong: {0}")]
    InvalidId(InvalidName),
    /// Something else than a string where the type should be.
    #[error("the notification type is not a string")]
    TypeNotAString,
    /// A string that is no type.
    #[error("the notification type is wrong: {0}")]
    InvalidType(InvalidName),
    /// Nothing where the payload should be.
    #[error("the body has no payload")]
    MissingPayload,
    /// The item would pass [`crate::limits::MAX_ITEM_BYTES`].
    #[error("the item would have {bytes} bytes, more than DynamoDB stores")]
    ItemTooLarge {
        /// Its size in bytes, with what it may grow by.
        bytes: usize,
    },
}

impl Rejection {
    /// The name of the rejection in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MissingBody => "MissingBody",
            Self::InvalidUtf8 { .. } => "InvalidUtf8",
            Self::InvalidJson { .. } => "InvalidJson",
            Self::NotAnObject => "NotAnObject",
            Self::TooDeep => "TooDeep",
            Self::DuplicateKey => "DuplicateKey",
            Self::MissingId => "MissingId",
            Self::IdNotAString => "IdNotAString",
            Self::InvalidId(_) => "InvalidId",
            Self::TypeNotAString => "TypeNotAString",
            Self::InvalidType(_) => "InvalidType",
            Self::MissingPayload => "MissingPayload",
            Self::ItemTooLarge { .. } => "ItemTooLarge",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> Result<Notification, Rejection> {
        MessagePointers::default().parse(body.as_bytes())
    }

    fn pointers(id: &str, kind: &str, payload: &str) -> MessagePointers {
        MessagePointers {
            id: id.parse().unwrap(),
            kind: kind.parse().unwrap(),
            payload: payload.parse().unwrap(),
        }
    }

    #[test]
    fn the_payload_is_kept_byte_for_byte() {
        let payload =
            "{ \"z\": 9007199254740993, \"a\" : [1.0, 1e400, -0],\r\n\t\"\\u0061b\":\"\\/\" }";
        let body = format!(r#"{{"payload": {payload} , "notification_id":"n1"}}"#);
        let notification = parse(&body).unwrap();
        assert_eq!(notification.payload.as_str(), payload);
        assert_eq!(notification.id.as_str(), "n1");
        assert_eq!(notification.kind.as_str(), "notification");
    }

    #[test]
    fn key_order_and_white_space_do_not_change_the_fingerprint() {
        let one = parse(r#"{"notification_id":"n","type":"t","payload":{"a":1,"b":2}}"#).unwrap();
        let other =
            parse(r#"{"payload":{"b":2, "a":1},"type":"t", "notification_id":"n"}"#).unwrap();
        assert_eq!(one.fingerprint, other.fingerprint);
        assert_ne!(one.payload, other.payload);
    }

    #[test]
    fn cloudevents_and_eventbridge_envelopes_need_no_code() {
        let cloudevent =
            r#"{"specversion":"1.0","id":"ce-1","type":"refund","source":"/s","data":{"n":1}}"#;
        let notification = pointers("/id", "/type", "/data")
            .parse(cloudevent.as_bytes())
            .unwrap();
        assert_eq!(
            (notification.id.as_str(), notification.kind.as_str()),
            ("ce-1", "refund")
        );
        assert_eq!(notification.payload.as_str(), r#"{"n":1}"#);

        let eventbridge =
            r#"{"id":"x","detail-type":"Refund","detail":{"orders":[{"ref":"o-7"}]}}"#;
        let notification = pointers("/detail/orders/0/ref", "/detail-type", "")
            .parse(eventbridge.as_bytes())
            .unwrap();
        assert_eq!(
            (notification.id.as_str(), notification.kind.as_str()),
            ("o-7", "Refund")
        );
        assert_eq!(notification.payload.as_str(), eventbridge);
    }

    #[test]
    fn pointers_follow_rfc_6901() {
        // The examples of section 5 of the RFC, the array and the empty key included.
        let document = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"m~n":8," ":7}"#;
        let node = Node::parse(document).unwrap();
        let find = |pointer: &str| {
            pointer
                .parse::<Pointer>()
                .unwrap()
                .find(&node)
                .map(|found| found.text)
        };
        assert_eq!(find(""), Some(document));
        assert_eq!(find("/foo"), Some(r#"["bar","baz"]"#));
        assert_eq!(find("/foo/0"), Some("\"bar\""));
        assert_eq!(find("/"), Some("0"));
        assert_eq!(find("/a~1b"), Some("1"));
        assert_eq!(find("/c%d"), Some("2"));
        assert_eq!(find("/m~0n"), Some("8"));
        assert_eq!(find("/ "), Some("7"));
        for nothing in [
            "/foo/2", "/foo/00", "/foo/01", "/foo/+1", "/foo/-", "/foo/0/x", "/x",
        ] {
            assert_eq!(find(nothing), None, "{nothing}");
        }
        for wrong in ["foo", "/a~", "/a~2b", " /a"] {
            assert!(wrong.parse::<Pointer>().is_err(), "{wrong}");
        }
        for text in ["", "/", "/a~1b/m~0n/0"] {
            assert_eq!(text.parse::<Pointer>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_defaults_are_what_their_texts_say() {
        let spelled = pointers(
            MessagePointers::DEFAULT_ID,
            MessagePointers::DEFAULT_TYPE,
            MessagePointers::DEFAULT_PAYLOAD,
        );
        assert_eq!(MessagePointers::default(), spelled);
    }

    #[test]
    fn every_bad_body_has_its_rejection() {
        let cases: [(&[u8], &str); 14] = [
            (b"\xff{}", "InvalidUtf8"),
            (b"{\"notification_id\":", "InvalidJson"),
            (b"", "InvalidJson"),
            (b"[]", "NotAnObject"),
            (b"\"text\"", "NotAnObject"),
            (
                br#"{"notification_id":"a","payload":{"k":1,"k":1}}"#,
                "DuplicateKey",
            ),
            (
                br#"{"notification_id":"a","notification_id":"a","payload":1}"#,
                "DuplicateKey",
            ),
            (br#"{"payload":1}"#, "MissingId"),
            (br#"{"notification_id":7,"payload":1}"#, "IdNotAString"),
            (br#"{"notification_id":null,"payload":1}"#, "IdNotAString"),
            (br#"{"notification_id":"a b","payload":1}"#, "InvalidId"),
            (
                br#"{"notification_id":"a","type":1,"payload":1}"#,
                "TypeNotAString",
            ),
            (
                br#"{"notification_id":"a","type":"","payload":1}"#,
                "InvalidType",
            ),
            (br#"{"notification_id":"a"}"#, "MissingPayload"),
        ];
        for (body, name) in cases {
            let rejection = MessagePointers::default().parse(body).unwrap_err();
            assert_eq!(rejection.name(), name, "{}", String::from_utf8_lossy(body));
        }
        let deep = format!(
            r#"{{"notification_id":"a","payload":{}{}}}"#,
            "[".repeat(64),
            "]".repeat(64)
        );
        assert_eq!(parse(&deep), Err(Rejection::TooDeep));
    }

    #[test]
    fn a_rejection_does_not_repeat_the_message() {
        for body in [
            r#"{"notification_id":"canary canary"}"#,
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
        fn any_bytes_give_a_result(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = MessagePointers::default().parse(&body);
        }

        #[test]
        fn what_was_sent_is_what_is_read(id in "[!-~]{1,256}", kind in "[!-~]{1,128}", text in any::<String>()) {
            let body = serde_json::json!({"notification_id": id, "type": kind, "payload": text}).to_string();
            let notification = parse(&body).unwrap();
            prop_assert_eq!(notification.id.as_str(), id);
            prop_assert_eq!(notification.kind.as_str(), kind);
            prop_assert_eq!(serde_json::from_str::<String>(notification.payload.as_str()).unwrap(), text);
        }
    }
}
