//! Runs a handler under the Lambda runtime. The runtime logs every error and sends it to Lambda, so neither an event that
//! cannot be decoded nor a panic may become an error that quotes the event.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde_json::value::RawValue;

use crate::budget::Budget;

/// A Lambda event whose decoding errors quote nothing.
///
/// An event that cannot be decoded fails the invocation, and its source delivers it again, so nothing is lost. The error
/// names only the position, because serde's own error quotes what it found there.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Incoming<T>(pub T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Incoming<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        serde_json::from_str(raw.get()).map(Self).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            D::Error::custom(format!(
                "the event cannot be decoded (line {line}, column {column})"
            ))
        })
    }
}

/// Serves invocations with `handle` until Lambda stops the process.
///
/// Each invocation gets a [`Budget`] from its deadline and `configured`, the timeout of the function.
///
/// # Errors
/// The Lambda runtime API cannot be reached.
pub async fn serve<E, R, F>(
    configured: Duration,
    handle: impl AsyncFn(E, Budget) -> Result<R, F>,
) -> Result<(), Error>
where
    E: DeserializeOwned,
    R: Serialize,
    F: Into<Error>,
{
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Incoming<E>>| {
        let budget = Budget::from_context(&event.context, configured);
        guard(handle(event.payload.0, budget)).await
    }))
    .await
}

/// Runs a handler for one invocation. A panic fails the invocation, and its text is dropped because it may quote anything.
///
/// # Errors
/// The handler's own error, or that it panicked.
pub async fn guard<T, E: Into<Error>>(
    handler: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    match AssertUnwindSafe(handler).catch_unwind().await {
        Ok(response) => response.map_err(Into::into),
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
    fn decodes_events_like_serde() {
        let event = r#"{"Records": [{"messageId": "m", "body": "\u0061"}], "more": 1}"#;
        assert_eq!(read(event), Ok(serde_json::from_str(event).unwrap()));
    }

    #[test]
    fn decoding_errors_name_only_the_position() {
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
    async fn a_panic_becomes_an_error_without_its_text() {
        let error = guard::<(), Error>(async { panic!("canary") })
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the code panicked");
        assert_eq!(guard(async { Ok::<_, Error>(1) }).await.unwrap(), 1);
    }
}
