//! An invocation's event, read so that the error of one that cannot be read holds nothing of it.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde_json::value::RawValue;

/// What a function takes in place of the event itself.
///
/// An event that is none fails its invocation, and then its source delivers it again: nothing is lost. The runtime logs
/// the error and hands it to Lambda, so it must not be serde's own, which quotes what it found.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Incoming<T>(pub T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Incoming<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        serde_json::from_str(raw.get()).map(Self).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            D::Error::custom(format!(
                "no event of this function (line {line}, column {column})"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::event::sqs::SqsEvent;

    use super::*;

    fn read(event: &str) -> Result<SqsEvent, String> {
        serde_json::from_str(event)
            .map(|Incoming(event)| event)
            .map_err(|error| format!("{error} {error:?}"))
    }

    #[test]
    fn an_event_is_read_as_ever() {
        let event = r#"{"Records": [{"messageId": "m", "body": "\u0061"}], "more": 1}"#;
        assert_eq!(read(event), Ok(serde_json::from_str(event).unwrap()));
    }

    #[test]
    fn an_event_that_is_none_is_told_by_its_place_alone() {
        for event in [
            r#""canary""#,
            r#"{"Records": "canary"}"#,
            r#"{"Records": [{"body": {"canary": 1}, "canary": "#,
            r#"{"Records": [{"attributes": {"canary": ["canary"]}}]}"#,
            r#"{"Records": [{"messageAttributes": {"a": {"binaryValue": "canary!"}}}]}"#,
            r#"canary"#,
        ] {
            let error = read(event).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
            assert!(error.contains("line 1"), "{error}");
        }
    }
}
