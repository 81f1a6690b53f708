//! An EventBridge event bus: one `PutEvents` for concurrent events. The detail is the event.

use std::sync::Arc;

use aws_config::SdkConfig;
use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};
use serde::{Deserialize, Serialize};

use super::{
    address::Arn,
    batcher::{Batcher, Delivery, SendBatch, TooLarge},
    call::{Service, all, unformattable},
    limits::{MAX_BUS_BATCH_BYTES, MAX_BUS_BYTES, MAX_DETAIL_TYPE_CHARS},
};
use crate::json_service::JsonService;

const EVENT_BRIDGE: Service = Service {
    name: "events",
    id: "EventBridge",
};

/// Puts events on a bus, at least once.
#[derive(Debug)]
pub(super) struct EventBus {
    batcher: Arc<Batcher<Sender>>,
    arn: String,
}

struct Sender {
    service: JsonService,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    event_bus_name: String,
    source: String,
    detail_type: String,
    detail: String,
}

impl Entry {
    /// The size as EventBridge calculates it (EventBridge user guide, "Calculating PutEvents event entry size").
    fn bytes(&self) -> usize {
        self.source.len() + self.detail_type.len() + self.detail.len()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    entries: &'a [Entry],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    /// In the order of the request (EventBridge API reference, "PutEvents").
    entries: Vec<ResultEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultEntry {
    event_id: Option<String>,
    error_code: Option<String>,
}

impl EventBus {
    pub(super) fn new(config: &SdkConfig, arn: &Arn) -> Self {
        let content_type = "application/x-amz-json-1.1";
        let service = EVENT_BRIDGE.json(config, arn, "AWSEvents", content_type);
        Self {
            batcher: Arc::new(Batcher::new(Sender { service }, MAX_BUS_BATCH_BYTES)),
            arn: arn.text.clone(),
        }
    }
}

impl<W: Send> Downstream<W> for EventBus {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        let entry = Entry {
            event_bus_name: self.arn.clone(),
            source: event.source.as_str().to_owned(),
            detail_type: event.event_type(),
            detail: event.to_json(),
        };
        let bytes = entry.bytes();
        if bytes > MAX_BUS_BYTES {
            return Err(EVENT_BRIDGE.too_large());
        }
        if entry.detail_type.len() > MAX_DETAIL_TYPE_CHARS {
            let reason = "the type is longer than EventBridge allows";
            return Err(DownstreamError::permanent(reason));
        }
        self.batcher.deliver(entry, bytes).await?;
        Ok(Effect::Happened)
    }
}

impl SendBatch for Sender {
    type Entry = Entry;

    async fn send(&self, entries: &[Entry]) -> Result<Vec<Delivery>, TooLarge> {
        let sent = entries.len();
        let Ok(request) = serde_json::to_string(&Request { entries }) else {
            return Ok(all(sent, &unformattable()));
        };
        let response = Box::pin(self.service.call("PutEvents", request)).await;
        let response = match EVENT_BRIDGE.answer(response) {
            Ok(response) => response,
            Err(error) => return EVENT_BRIDGE.batch_failure(sent, &error),
        };
        Ok(match serde_json::from_slice::<Response>(&response.body) {
            // With another number of results, none can be attributed to an event.
            Ok(response) if response.entries.len() == sent => {
                response.entries.into_iter().map(delivery).collect()
            }
            _ => all(sent, &EVENT_BRIDGE.unreadable()),
        })
    }
}

fn delivery(result: ResultEntry) -> Delivery {
    match (result.event_id, result.error_code) {
        (Some(_), None) => Ok(()),
        (_, Some(code)) => {
            // `InternalFailure` and `InternalException` are errors of the service.
            let is_fault = !code.starts_with("Internal");
            Err(EVENT_BRIDGE.entry_failure(&code, is_fault))
        }
        (None, None) => Err(EVENT_BRIDGE.unreadable()),
    }
}
