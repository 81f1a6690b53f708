//! An HTTPS endpoint: one POST for each event, as a CloudEvent in structured mode, signed by Standard Webhooks.

mod connection;
mod verdict;

use std::sync::Arc;

use aws_config::SdkConfig;
use jiff::Timestamp;
use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};

use self::{
    connection::Connection,
    verdict::{Verdict, verdict},
};
use super::{
    address::{HttpUrl, InvalidTarget},
    names::webhook_id,
    secret::Secret,
    settings::{RefusalStatuses, TargetSettings},
    signature::SigningKeys,
};

/// Posts events to an endpoint, at least once. The receiver deduplicates by `idempotency-key`, the notification id.
#[derive(Debug)]
pub(super) struct Endpoint {
    connection: Connection,
    secret: Option<Arc<Secret>>,
    refusal_statuses: RefusalStatuses,
}

impl Endpoint {
    pub(super) fn new(
        config: &SdkConfig,
        url: &HttpUrl,
        settings: &TargetSettings,
    ) -> Result<Self, InvalidTarget> {
        let secret = settings.secret.as_ref().and_then(|secret| secret.arn());
        Ok(Self {
            connection: Connection::new(config, url)?,
            secret: secret.map(|arn| Arc::new(Secret::new(config, arn))),
            refusal_statuses: settings.refusal_statuses.clone(),
        })
    }

    async fn keys(&self) -> Result<Option<Arc<SigningKeys>>, DownstreamError> {
        match &self.secret {
            Some(secret) => secret.keys().await.map(Some),
            None => Ok(None),
        }
    }
}

/// The headers of a request (CloudEvents HTTP protocol binding 1.0.2, "Structured content mode"; Standard Webhooks, "Webhook
/// headers").
fn headers(
    event: &NotificationEvent,
    body: &str,
    now: Timestamp,
    keys: Option<&SigningKeys>,
) -> Vec<(&'static str, String)> {
    let (id, seconds) = (webhook_id(event), now.as_second());
    let signature = keys.map(|keys| ("webhook-signature", keys.sign(&id, seconds, body)));
    let content_type = "application/cloudevents+json; charset=utf-8";
    let user_agent = concat!("onewrite/", env!("CARGO_PKG_VERSION"));
    let mut headers = vec![
        ("content-type", content_type.to_owned()),
        ("user-agent", user_agent.to_owned()),
        ("idempotency-key", event.subject.as_str().to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", seconds.to_string()),
    ];
    headers.extend(signature);
    headers
}

impl<W: Send> Downstream<W> for Endpoint {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        let keys = self.keys().await?;
        let body = event.to_json();
        let now = Timestamp::now();
        let headers = headers(event, &body, now, keys.as_deref());
        let response = self.connection.post(headers, body).await?;
        let verdict = verdict(&response, &self.refusal_statuses, now);
        if let Verdict::Denied = verdict
            && let Some((secret, keys)) = self.secret.as_ref().zip(keys.as_ref())
        {
            secret.renew(keys);
        }
        match verdict {
            Verdict::Accepted => Ok(Effect::Happened),
            Verdict::Refused(code) => Ok(Effect::Refused(code)),
            Verdict::Busy { retry_after } => {
                let reason = format!("the endpoint returned {}", response.status);
                Err(DownstreamError::retry_later(reason, retry_after))
            }
            Verdict::Denied | Verdict::Fault => {
                let reason = format!("the endpoint returned {}", response.status);
                Err(DownstreamError::new(reason))
            }
        }
    }
}
