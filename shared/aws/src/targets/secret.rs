//! The signing secret of an endpoint, from Secrets Manager or the parameter store of Systems Manager.

use std::sync::Arc;

use aws_config::SdkConfig;
use onewrite::completion::DownstreamError;
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};

use super::{
    address::{AddressKind, Arn},
    call::Service,
    limits::{MIN_SECRET_LIFETIME, SECRET_LIFETIME},
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

/// A secret that is read when it is needed, and kept for a while. Concurrent calls read it once.
#[derive(Debug)]
pub(super) struct Secret {
    source: Source,
    cached: Mutex<Option<Cached>>,
}

#[derive(Debug)]
struct Cached {
    keys: Arc<SigningKeys>,
    read_at: Instant,
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
            cached: Mutex::new(None),
        }
    }

    /// The keys, at most [`SECRET_LIFETIME`] old.
    pub(super) async fn keys(&self) -> Result<Arc<SigningKeys>, DownstreamError> {
        let mut cached = self.cached.lock().await;
        if let Some(cached) = &*cached
            && cached.read_at.elapsed() < SECRET_LIFETIME
        {
            return Ok(Arc::clone(&cached.keys));
        }
        let keys = Arc::new(self.source.read().await?);
        *cached = Some(Cached {
            keys: Arc::clone(&keys),
            read_at: Instant::now(),
        });
        Ok(keys)
    }

    /// Reads the secret again before its next use, because the endpoint did not accept these keys.
    pub(super) async fn renew(&self, denied: &Arc<SigningKeys>) {
        let mut cached = self.cached.lock().await;
        let is_denied = |cached: &mut Cached| {
            Arc::ptr_eq(&cached.keys, denied) && cached.read_at.elapsed() >= MIN_SECRET_LIFETIME
        };
        drop(cached.take_if(is_denied));
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
