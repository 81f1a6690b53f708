//! Decodes the event of an invocation. A record that cannot be decoded does not fail the other records of its batch.
//!
//! A handler's record types contain only the fields that the handler uses. A service may add fields, or change fields that
//! nobody uses, without notice.

use std::str::FromStr;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// A batch of records, as Lambda sends it for queues and streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch<R> {
    /// The records, in their order.
    pub records: Vec<R>,
}

/// A record of a batch.
pub trait BatchRecord: DeserializeOwned {
    /// The part of a record without which it can neither be reported as failed nor kept in its order. Its default has no
    /// identifier, so that it fails the whole batch.
    type Identity: DeserializeOwned + Default;

    /// A record of which only the identity can be decoded.
    fn undecodable(identity: Self::Identity) -> Self;
}

/// An event that cannot be decoded. Its source delivers it again, so nothing is lost.
///
/// It names only the position, because serde's own error quotes what it found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UndecodableEvent {
    /// The event is not UTF-8.
    #[error("the event cannot be decoded: it is not UTF-8")]
    NotUtf8,
    /// The event is not JSON, or it is not an event of this kind.
    #[error("the event cannot be decoded (line {line}, column {column})")]
    At {
        /// The line of the error, from 1.
        line: usize,
        /// The column of the error, from 1.
        column: usize,
    },
}

impl From<serde_json::Error> for UndecodableEvent {
    fn from(error: serde_json::Error) -> Self {
        Self::At {
            line: error.line(),
            // 0 if the event ends at the beginning of a line.
            column: error.column().max(1),
        }
    }
}

/// Decodes the bytes of an event.
///
/// # Errors
/// [`UndecodableEvent`]: the invocation fails.
pub fn decode<E: FromStr<Err = UndecodableEvent>>(event: &[u8]) -> Result<E, UndecodableEvent> {
    std::str::from_utf8(event)
        .map_err(|_| UndecodableEvent::NotUtf8)?
        .parse()
}

/// The event around the records.
#[derive(Deserialize)]
struct Envelope<R> {
    #[serde(rename = "Records")]
    records: Vec<R>,
}

impl<R: BatchRecord> FromStr for Batch<R> {
    type Err = UndecodableEvent;

    fn from_str(event: &str) -> Result<Self, UndecodableEvent> {
        // In one pass, because this nearly always succeeds.
        if let Ok(Envelope { records }) = serde_json::from_str(event) {
            return Ok(Self { records });
        }
        let Envelope { records } = serde_json::from_str::<Envelope<&RawValue>>(event)?;
        let records = records.into_iter().map(|record| {
            serde_json::from_str(record.get()).unwrap_or_else(|_| {
                R::undecodable(serde_json::from_str(record.get()).unwrap_or_default())
            })
        });
        Ok(Self {
            records: records.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    struct Numbered {
        id: Option<String>,
        number: Option<u8>,
    }

    #[derive(Deserialize, Default)]
    struct Id {
        id: Option<String>,
    }

    impl BatchRecord for Numbered {
        type Identity = Id;

        fn undecodable(Id { id }: Id) -> Self {
            Self { id, number: None }
        }
    }

    /// The id and the number of a record.
    type Fields = (Option<String>, Option<u8>);

    fn read(event: &str) -> Result<Vec<Fields>, String> {
        decode::<Batch<Numbered>>(event.as_bytes())
            .map(|batch| {
                let records = batch.records.into_iter();
                records.map(|one| (one.id, one.number)).collect()
            })
            .map_err(|error| format!("{error} {error:?}"))
    }

    #[test]
    fn decodes_the_used_fields_of_all_records() {
        let event = r#" {"more": [1e400], "Records": [{"id": "\u0061", "number": 7, "x": {"y": []}}, {}]} "#;
        let first = (Some("a".to_owned()), Some(7));
        assert_eq!(read(event), Ok(vec![first, (None, None)]));
    }

    #[test]
    fn one_undecodable_record_leaves_the_others_alone() {
        for broken in [
            r#"{"id": "b", "number": "canary"}"#,
            r#"{"id": "b", "number": 1, "number": 2}"#,
            r#"{"number": 256, "id": "b"}"#,
            r#"{"number": "\ud800", "id": "b"}"#,
        ] {
            let event =
                format!(r#"{{"Records": [{{"id": "a", "number": 7}}, {broken}, {{"id": "c"}}]}}"#);
            let id = |id: &str| Some(id.to_owned());
            let expected = vec![(id("a"), Some(7)), (id("b"), None), (id("c"), None)];
            assert_eq!(read(&event), Ok(expected), "{broken}");
        }
    }

    #[test]
    fn a_record_without_identity_gets_the_default() {
        for broken in ["7", "null", r#"{"id": 7}"#, r#"{"id": "a", "id": "b"}"#] {
            let event = format!(r#"{{"Records": [{broken}]}}"#);
            assert_eq!(read(&event), Ok(vec![(None, None)]), "{broken}");
        }
    }

    #[test]
    fn errors_name_only_the_position() {
        for event in [
            r#""canary""#,
            r#"{"Records": "canary"}"#,
            r#"{"canary": []}"#,
            r#"{"Records": [], "canary": "canary", "Records": []}"#,
            r#"{"Records": [{"id": {"canary": 1}, "canary": "#,
            r"canary",
        ] {
            let error = read(event).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
            assert!(error.contains("line 1"), "{error}");
        }
        for (event, line) in [("", 1), ("{\n", 2)] {
            let error = decode::<Batch<Numbered>>(event.as_bytes()).unwrap_err();
            assert_eq!(error, UndecodableEvent::At { line, column: 1 });
        }
        let error = decode::<Batch<Numbered>>(b"{\"canary\": \"\xff\"}").unwrap_err();
        assert_eq!(error, UndecodableEvent::NotUtf8);
    }
}
