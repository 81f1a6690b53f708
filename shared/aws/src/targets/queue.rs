//! An SQS queue: one `SendMessageBatch` for concurrent events. The body of a message is the event.

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
    call::{EntryResult, Service, all, deliveries, unformattable},
    limits::{MAX_QUEUE_BATCH_BYTES, MAX_QUEUE_BYTES},
    names::FifoIds,
};
use crate::json_service::JsonService;

const SQS: Service = Service {
    name: "sqs",
    id: "SQS",
};

/// Sends events to a queue, at least once. A FIFO queue drops repetitions within five minutes and keeps the order of each
/// notification.
#[derive(Debug)]
pub(super) struct Queue {
    batcher: Arc<Batcher<Sender>>,
    is_fifo: bool,
}

struct Sender {
    service: JsonService,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    message_body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_deduplication_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    queue_url: &'a str,
    entries: Vec<NumberedEntry<'a>>,
}

#[derive(Serialize)]
struct NumberedEntry<'a> {
    #[serde(rename = "Id")]
    id: String,
    #[serde(flatten)]
    entry: &'a Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Response {
    successful: Vec<Successful>,
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Successful {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    code: String,
    #[serde(default)]
    sender_fault: bool,
}

impl Queue {
    pub(super) fn new(config: &SdkConfig, arn: &Arn) -> Self {
        let signed = SQS.signed(config, arn);
        let sender = Sender {
            // The path of a queue's URL (SQS developer guide, "Queue and message identifiers").
            url: format!("{}/{}/{}", signed.url(), arn.account, arn.name),
            service: SQS.json(config, arn, "AmazonSQS", "application/x-amz-json-1.0"),
        };
        Self {
            batcher: Arc::new(Batcher::new(sender, MAX_QUEUE_BATCH_BYTES)),
            is_fifo: arn.name.ends_with(".fifo"),
        }
    }

    fn entry(&self, event: &NotificationEvent) -> Result<Entry, DownstreamError> {
        let ids = self.is_fifo.then(|| FifoIds::new(event));
        let (group, deduplication) = ids.map(|ids| (ids.group, ids.deduplication)).unzip();
        let body = event.to_json();
        if body.len() > MAX_QUEUE_BYTES {
            return Err(SQS.too_large());
        }
        // A call with such a message fails as a whole (SQS API reference, "SendMessageBatch").
        if body.contains(['\u{fffe}', '\u{ffff}']) {
            let reason = "the event contains a character that SQS does not allow";
            return Err(DownstreamError::permanent(reason));
        }
        Ok(Entry {
            message_body: body,
            message_group_id: group,
            message_deduplication_id: deduplication,
        })
    }
}

impl<W: Send> Downstream<W> for Queue {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        let entry = self.entry(event)?;
        let bytes = entry.message_body.len();
        self.batcher.deliver(entry, bytes).await?;
        Ok(Effect::Happened)
    }
}

impl SendBatch for Sender {
    type Entry = Entry;

    async fn send(&self, entries: &[Entry]) -> Result<Vec<Delivery>, TooLarge> {
        let sent = entries.len();
        let numbered = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| NumberedEntry {
                id: index.to_string(),
                entry,
            });
        let request = Request {
            queue_url: &self.url,
            entries: numbered.collect(),
        };
        let Ok(request) = serde_json::to_string(&request) else {
            return Ok(all(sent, &unformattable()));
        };
        let response = Box::pin(self.service.call("SendMessageBatch", request)).await;
        match SQS.answer(response) {
            Ok(response) => Ok(match serde_json::from_slice(&response.body) {
                Ok(response) => deliveries(SQS, sent, &results(response)),
                Err(_) => all(sent, &SQS.unreadable()),
            }),
            Err(error) => SQS.batch_failure(sent, &error),
        }
    }
}

fn results(response: Response) -> Vec<(String, EntryResult)> {
    let Response { successful, failed } = response;
    let successful = successful.into_iter();
    let failed = failed.into_iter().map(|failed| {
        let result = EntryResult::Failed {
            code: failed.code,
            is_fault: failed.sender_fault,
        };
        (failed.id, result)
    });
    successful
        .map(|entry| (entry.id, EntryResult::Accepted))
        .chain(failed)
        .collect()
}
