//! The signing secret of an endpoint, from Secrets Manager or the parameter store of Systems Manager.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::SdkConfig;
use onewrite::completion::DownstreamError;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    address::{AddressKind, Arn},
    call::Service,
    limits::{MAX_SECRET_AGE, MIN_SECRET_LIFETIME, SECRET_LIFETIME, SECRET_RETRY_PAUSE},
    signature::SigningKeys,
};
use crate::json_service::JsonService;

const SECRETS_MANAGER: Service = Service {
    name: "secretsmanager",
    id: "Secrets Manager",
};

const PARAMETER_STORE: Service = Service {
    name: "ssm",
    id: "SSM",
};

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// A secret that is read when it is needed, and kept for a while. Concurrent calls read it once. While it cannot be read, calls
/// use what was read before.
#[derive(Debug)]
pub(super) struct Secret {
    source: Source,
    /// Held by the call that reads.
    reading: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<Cached>,
    /// Why the secret could not be read the last time.
    failure: Option<DownstreamError>,
    /// When the secret is read again. `None` means now.
    next_read: Option<Instant>,
}

#[derive(Debug)]
struct Cached {
    keys: Arc<SigningKeys>,
    read_at: Instant,
}

impl State {
    /// Keys that are not too old.
    fn keys(&self) -> Option<Arc<SigningKeys>> {
        let cached = self.cached.as_ref()?;
        (cached.read_at.elapsed() < MAX_SECRET_AGE).then(|| Arc::clone(&cached.keys))
    }

    /// What to use without another read; `None` if the secret must be read.
    fn answer(&self) -> Option<Result<Arc<SigningKeys>, DownstreamError>> {
        self.next_read
            .filter(|next_read| Instant::now() < *next_read)?;
        self.keys()
            .map(Ok)
            .or_else(|| self.failure.clone().map(Err))
    }

    fn succeed(&mut self, keys: SigningKeys) -> Arc<SigningKeys> {
        let (keys, now) = (Arc::new(keys), Instant::now());
        *self = Self {
            cached: Some(Cached {
                keys: Arc::clone(&keys),
                read_at: now,
            }),
            failure: None,
            next_read: Some(now + SECRET_LIFETIME),
        };
        keys
    }

    fn fail(&mut self, error: &DownstreamError) -> Result<Arc<SigningKeys>, DownstreamError> {
        self.next_read = Some(Instant::now() + SECRET_RETRY_PAUSE);
        self.failure = Some(error.clone());
        let keys = self.keys().ok_or_else(|| error.clone())?;
        let reason = error.to_string();
        tracing::warn!(
            reason,
            "the signing secret cannot be read; the previous one is used"
        );
        Ok(keys)
    }
}

#[derive(Debug)]
struct Source {
    id: Service,
    service: JsonService,
    operation: &'static str,
    input: Value,
    /// Where the response has the text.
    pointer: &'static str,
}

impl Secret {
    pub(super) fn new(config: &SdkConfig, arn: &Arn) -> Self {
        let source = if arn.kind == AddressKind::Parameter {
            Source {
                id: PARAMETER_STORE,
                service: PARAMETER_STORE.json(config, arn, "AmazonSSM", CONTENT_TYPE),
                operation: "GetParameter",
                input: json!({"Name": arn.text, "WithDecryption": true}),
                pointer: "/Parameter/Value",
            }
        } else {
            Source {
                id: SECRETS_MANAGER,
                service: SECRETS_MANAGER.json(config, arn, "secretsmanager", CONTENT_TYPE),
                operation: "GetSecretValue",
                input: json!({"SecretId": arn.text}),
                pointer: "/SecretString",
            }
        };
        Self {
            source,
            reading: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// The keys, at most [`SECRET_LIFETIME`] old; at most [`MAX_SECRET_AGE`] if they cannot be read.
    pub(super) async fn keys(&self) -> Result<Arc<SigningKeys>, DownstreamError> {
        if let Some(answer) = self.state().answer() {
            return answer;
        }
        let previous = self.state().keys();
        let _reading = match (self.reading.try_lock(), previous) {
            (Ok(reading), _) => reading,
            // A read can take as long as a call.
            (Err(_), Some(previous)) => return Ok(previous),
            (Err(_), None) => self.reading.lock().await,
        };
        if let Some(answer) = self.state().answer() {
            return answer;
        }
        match self.source.read().await {
            Ok(keys) => Ok(self.state().succeed(keys)),
            Err(error) => self.state().fail(&error),
        }
    }

    /// Reads the secret again before its next use, because the endpoint did not accept these keys.
    pub(super) fn renew(&self, denied: &Arc<SigningKeys>) {
        let mut state = self.state();
        let is_denied = |cached: &Cached| {
            Arc::ptr_eq(&cached.keys, denied) && cached.read_at.elapsed() >= MIN_SECRET_LIFETIME
        };
        // After a failed read, its pause remains.
        if state.failure.is_none() && state.cached.as_ref().is_some_and(is_denied) {
            state.next_read = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    async fn read(&self) -> Result<SigningKeys, DownstreamError> {
        let response = Box::pin(self.service.call(self.operation, self.input.to_string())).await;
        let response = self.id.answer(response);
        let response = response.map_err(|error| self.id.failure(&error))?;
        let response: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let text = response.pointer(self.pointer).and_then(Value::as_str);
        text.and_then(SigningKeys::parse).ok_or_else(|| {
            DownstreamError::new("the signing secret is not whsec_ and 24 to 64 bytes in base64")
        })
    }
}
