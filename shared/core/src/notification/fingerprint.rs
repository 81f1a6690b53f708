//! The fingerprint of a notification: SHA-256 over its type and its payload in canonical form.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use super::{
    NotificationType,
    json::{Node, write_string},
};

/// SHA-256 over type and payload in canonical form.
///
/// The canonical form sorts object keys, drops insignificant white space, compares strings by value and number
/// literals by their text. Two messages that differ only in key order, white space or escapes have the same fingerprint.
/// Any other difference changes it, also `1` against `1.0`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Hashes a type and a payload.
    pub(super) fn new(kind: &NotificationType, payload: Node<'_>) -> Self {
        let mut type_form = Vec::with_capacity(kind.as_str().len() + 2);
        write_string(&mut type_form, kind.as_str());
        // Each part is a complete JSON text, so where one ends and the next begins is never in doubt.
        let hash = Sha256::new().chain_update(type_form);
        Self(hash.chain_update(payload.form()).finalize().into())
    }

    /// The fingerprint with this value.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The value.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 64 lower-case hexadecimal digits")]
pub struct InvalidFingerprint;

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidFingerprint),
        };
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return Err(InvalidFingerprint);
        }
        let mut value = [0; 32];
        for (byte, pair) in value.iter_mut().zip(bytes.chunks_exact(2)) {
            *byte = 16 * digit(pair[0])? + digit(pair[1])?;
        }
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::{super::json::Document, *};

    fn fingerprint(payload: &str) -> Fingerprint {
        let [fingerprint, tree] = [0, usize::MAX].map(|levels| {
            let document = Document::parse(payload, levels).unwrap();
            Fingerprint::new(&NotificationType::default(), document.root())
        });
        assert_eq!(fingerprint, tree);
        fingerprint
    }

    #[test]
    fn ignores_spelling() {
        let one = fingerprint(r#"{"b":[1,{"y":"é","x":null}],"a":"\"\\"}"#);
        let other = fingerprint(
            "{ \"a\" : \"\\u0022\\\\\",\n\t\"b\":[ 1 , {\"x\":null,\"y\":\"\\u00e9\"} ] }",
        );
        assert_eq!(one, other);
    }

    #[test]
    fn differs_for_any_other_difference() {
        let texts = [
            "1",
            "1.0",
            "1e0",
            "-0",
            "0",
            "\"1\"",
            "null",
            "\"null\"",
            "true",
            "[]",
            "{}",
            "[[]]",
            "[1,2]",
            "[2,1]",
            "[12]",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":{"b":2}}"#,
            r#"["a",1]"#,
            r#""a\",\"b""#,
            r#"["a","b"]"#,
            "9007199254740993",
            "9007199254740992",
            "\"é\"",
            "\"e\u{301}\"",
        ];
        for (i, one) in texts.iter().enumerate() {
            for other in &texts[i + 1..] {
                assert_ne!(fingerprint(one), fingerprint(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn includes_the_type() {
        let document = Document::parse("{}", 0).unwrap();
        let fingerprint =
            |kind: &str| Fingerprint::new(&NotificationType::parse(kind).unwrap(), document.root());
        assert_ne!(fingerprint("refund"), fingerprint("payment"));
    }

    /// Later versions compare their fingerprints with stored ones, so the canonical form must never change.
    #[test]
    fn the_canonical_form_never_changes() {
        assert_eq!(
            fingerprint(r#"{"b":[1.0, null],"a":"x\u0022y"}"#).to_string(),
            sha256(r#""notification"{"a":"x\"y","b":[1.0,null]}"#),
        );
    }

    fn sha256(text: &str) -> String {
        Sha256::digest(text)
            .iter()
            .fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            })
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[a-c\"\\\\\u{e9}\n]{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-c\"\\\\]{0,2}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn ignores_white_space(value in json()) {
            let compact = serde_json::to_string(&value).unwrap();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(fingerprint(&compact), fingerprint(&pretty));
        }

        #[test]
        fn equal_fingerprints_mean_equal_values(one in json(), other in json()) {
            let same = fingerprint(&one.to_string()) == fingerprint(&other.to_string());
            prop_assert_eq!(same, one == other);
        }

        #[test]
        fn parses_its_own_text(bytes in any::<[u8; 32]>()) {
            let value = Fingerprint(bytes);
            prop_assert_eq!(format!("{value:?}"), value.to_string());
            prop_assert_eq!(value.to_string().parse(), Ok(value));
        }
    }
}
