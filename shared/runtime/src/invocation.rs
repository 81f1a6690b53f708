//! Runs a handler under the Lambda runtime. The runtime logs every error and sends it to Lambda, so neither an event that
//! cannot be decoded nor a panic may become an error that quotes the event.

use std::{
    panic::AssertUnwindSafe,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt as _;
use lambda_runtime::{
    Error, LambdaEvent, LambdaInvocation, Runtime, Service, layers::TracingLayer, service_fn,
    tower::Layer,
};
use serde::Serialize;

use crate::{
    budget::Budget,
    event::{UndecodableEvent, decode},
};

/// Serves invocations with `handle` until Lambda stops the process.
///
/// Each invocation gets a [`Budget`] from its deadline and `configured`, the timeout of the function. An event that cannot
/// be decoded fails its invocation.
///
/// # Errors
/// The Lambda runtime API cannot be reached.
pub async fn serve<E, R, F>(
    configured: Duration,
    handle: impl AsyncFn(E, Budget) -> Result<R, F>,
) -> Result<(), Error>
where
    E: FromStr<Err = UndecodableEvent>,
    R: Serialize,
    F: Into<Error>,
{
    let bodies = Bodies::default();
    let handler = service_fn(async |event: LambdaEvent<()>| {
        let budget = Budget::from_context(&event.context, configured);
        guard(async {
            let event = decode(&bodies.take())?;
            handle(event, budget).await.map_err(Into::<Error>::into)
        })
        .await
    });
    Runtime::new(handler)
        .layer(bodies.clone())
        .layer(TracingLayer::new())
        .run()
        .await
}

/// Takes the event's bytes from the runtime, which would decode them with errors that quote the event. The runtime serves
/// one invocation after the other, so there is at most one event.
#[derive(Clone, Default)]
struct Bodies(Arc<Mutex<Vec<u8>>>);

impl Bodies {
    /// The bytes of the current event.
    fn take(&self) -> Vec<u8> {
        self.replace(Vec::new())
    }

    fn replace(&self, body: Vec<u8>) -> Vec<u8> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, body)
    }
}

impl<S> Layer<S> for Bodies {
    type Service = BodyTaker<S>;

    fn layer(&self, inner: S) -> BodyTaker<S> {
        let bodies = self.clone();
        BodyTaker { inner, bodies }
    }
}

struct BodyTaker<S> {
    inner: S,
    bodies: Bodies,
}

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for BodyTaker<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> S::Future {
        // `null` is the `()` that the handler gets as its event.
        let body = std::mem::replace(&mut invocation.body, b"null"[..].into());
        self.bodies.replace(body.into());
        self.inner.call(invocation)
    }
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
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_without_its_text() {
        let error = guard::<(), Error>(async { panic!("canary") })
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the code panicked");
        assert_eq!(guard(async { Ok::<_, Error>(1) }).await.unwrap(), 1);
    }
}
