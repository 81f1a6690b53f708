//! What stands between Lambda's runtime and a handler. The runtime logs every error and hands it to Lambda, so neither
//! an event that cannot be read nor a panic may become one that quotes what it is about.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use lambda_runtime::Error;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde_json::value::RawValue;

/// What a function takes in place of the event itself.
///
/// An event that is none fails its invocation, and then its source delivers it again: nothing is lost. The error tells
/// the place alone, where serde's own quotes what it found there.
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

/// Runs a handler for one invocation. A panic fails the invocation, and its message, which may quote anything, stays
/// behind.
///
/// # Errors
/// The handler's own, or that it panicked.
pub async fn run<T, E: Into<Error>>(
    handler: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    match AssertUnwindSafe(handler).catch_unwind().await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_panic) => Err("the code panicked".into()),
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

    #[tokio::test]
    async fn a_panic_is_an_error_without_its_message() {
        let error = run::<(), Error>(async { panic!("canary") })
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the code panicked");
        assert_eq!(run(async { Ok::<_, Error>(1) }).await.unwrap(), 1);
    }
}
