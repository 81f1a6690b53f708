//! Parses an SQS body into a notification, or rejects it.

use std::{fmt, str::FromStr};

use super::{
    Fingerprint, Notification, NotificationId, NotificationType, Payload, Rejection,
    json::{Node, Value},
};

/// A JSON pointer (RFC 6901): the path to one value of a document. The empty pointer is the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// A text that is not a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a JSON pointer (RFC 6901): it must be empty or begin with '/', and '~' may only occur in '~0' and '~1'"
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

/// Replaces `~1` by `/` and `~0` by `~`. Returns `None` for any other `~`.
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

/// Parses an array index of RFC 6901: digits without leading zeros. `-` (the element after the last) matches no value.
fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    canonical.then(|| token.parse().ok()).flatten()
}

/// The positions of the parts of a notification within a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePointers {
    /// The position of the notification id. Required.
    pub id: Pointer,
    /// The position of the type. Without a value there, the type is [`super::DEFAULT_TYPE`].
    pub kind: Pointer,
    /// The position of the payload. Required.
    pub payload: Pointer,
}

impl MessagePointers {
    /// The default of `NOTIFICATION_ID_POINTER`.
    pub const DEFAULT_ID: &str = "/notification_id";
    /// The default of `NOTIFICATION_TYPE_POINTER`.
    pub const DEFAULT_TYPE: &str = "/type";
    /// The default of `PAYLOAD_POINTER`.
    pub const DEFAULT_PAYLOAD: &str = "/payload";

    /// Parses the body of one message.
    ///
    /// # Errors
    /// [`Rejection`]: the body is invalid and will be invalid at each further receive.
    pub fn parse(&self, body: &str) -> Result<Notification, Rejection> {
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
            payload: Payload::from_node(payload),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> Result<Notification, Rejection> {
        MessagePointers::default().parse(body)
    }

    fn pointers(id: &str, kind: &str, payload: &str) -> MessagePointers {
        MessagePointers {
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
        let other =
            parse(r#"{"payload":{"b":2, "a":1},"type":"t", "notification_id":"n"}"#).unwrap();
        assert_eq!(one.fingerprint, other.fingerprint);
        assert_ne!(one.payload, other.payload);
    }

    #[test]
    fn parses_cloudevents_and_eventbridge_envelopes() {
        let cloudevent =
            r#"{"specversion":"1.0","id":"ce-1","type":"refund","source":"/s","data":{"n":1}}"#;
        let notification = pointers("/id", "/type", "/data").parse(cloudevent).unwrap();
        assert_eq!(
            (notification.id.as_str(), notification.kind.as_str()),
            ("ce-1", "refund")
        );
        assert_eq!(notification.payload.as_str(), r#"{"n":1}"#);

        let eventbridge =
            r#"{"id":"x","detail-type":"Refund","detail":{"orders":[{"ref":"o-7"}]}}"#;
        let notification = pointers("/detail/orders/0/ref", "/detail-type", "")
            .parse(eventbridge)
            .unwrap();
        assert_eq!(
            (notification.id.as_str(), notification.kind.as_str()),
            ("o-7", "Refund")
        );
        assert_eq!(notification.payload.as_str(), eventbridge);
    }

    #[test]
    fn pointers_follow_rfc_6901() {
        // The examples of section 5 of the RFC.
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
        let cases: [(&str, &str); 13] = [
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
            (r#"{"notification_id":7,"payload":1}"#, "IdNotAString"),
            (r#"{"notification_id":null,"payload":1}"#, "IdNotAString"),
            (r#"{"notification_id":"a b","payload":1}"#, "InvalidId"),
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
        fn never_panics(body in any::<String>()) {
            let _ = MessagePointers::default().parse(&body);
        }

        #[test]
        fn parses_what_was_sent(id in "[!-~]{1,256}", kind in "[!-~]{1,128}", text in any::<String>()) {
            let body = serde_json::json!({"notification_id": id, "type": kind, "payload": text}).to_string();
            let notification = parse(&body).unwrap();
            prop_assert_eq!(notification.id.as_str(), id);
            prop_assert_eq!(notification.kind.as_str(), kind);
            prop_assert_eq!(serde_json::from_str::<String>(notification.payload.as_str()).unwrap(), text);
        }
    }
}
