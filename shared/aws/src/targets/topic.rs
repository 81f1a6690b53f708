//! An SNS topic: one `PublishBatch` for concurrent events. The message is the event.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};

use super::{
    address::Arn,
    batcher::{Batcher, Delivery, SendBatch, TooLarge},
    call::{EntryResult, Service, all, deliveries},
    limits::{MAX_TOPIC_BATCH_BYTES, MAX_TOPIC_BYTES},
    names::FifoIds,
};
use crate::signed_service::{Request, SignedService, encode_segment};

const SNS: Service = Service {
    name: "sns",
    id: "SNS",
};

/// Publishes events to a topic, at least once. A FIFO topic drops repetitions within five minutes and keeps the order of
/// each notification.
#[derive(Debug)]
pub(super) struct Topic {
    batcher: Arc<Batcher<Sender>>,
    is_fifo: bool,
}

struct Sender {
    service: SignedService,
    arn: String,
}

struct Entry {
    message: String,
    fifo: Option<FifoIds>,
}

impl Topic {
    pub(super) fn new(config: &SdkConfig, arn: &Arn) -> Self {
        let sender = Sender {
            service: SNS.signed(config, arn),
            arn: arn.text.clone(),
        };
        Self {
            batcher: Arc::new(Batcher::new(sender, MAX_TOPIC_BATCH_BYTES)),
            is_fifo: arn.name.ends_with(".fifo"),
        }
    }
}

impl<W: Send> Downstream<W> for Topic {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        let entry = Entry {
            message: event.to_json(),
            fifo: self.is_fifo.then(|| FifoIds::new(event)),
        };
        let bytes = entry.message.len();
        if bytes > MAX_TOPIC_BYTES {
            return Err(SNS.too_large());
        }
        self.batcher.deliver(entry, bytes).await?;
        Ok(Effect::Happened)
    }
}

impl SendBatch for Sender {
    type Entry = Entry;

    async fn send(&self, entries: &[Entry]) -> Result<Vec<Delivery>, TooLarge> {
        let sent = entries.len();
        let request = Request {
            method: "POST",
            path: "/".to_owned(),
            headers: vec![(
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            )],
            body: form(&self.arn, entries),
        };
        let response = Box::pin(self.service.send("PublishBatch", request)).await;
        match SNS.answer(response) {
            Ok(response) => Ok(match results(&response.body) {
                Some(results) => deliveries(SNS, sent, &results),
                None => all(sent, &SNS.unreadable()),
            }),
            Err(error) => SNS.batch_failure(sent, &error),
        }
    }
}

/// The request in the query protocol (Smithy, "AWS query protocol"). Lists begin at 1.
fn form(arn: &str, entries: &[Entry]) -> String {
    let mut form = "Action=PublishBatch&Version=2010-03-31".to_owned();
    let mut push = |name: &str, value: &str| {
        form.push_str(&format!("&{name}={}", encode_segment(value)));
    };
    push("TopicArn", arn);
    for (index, entry) in entries.iter().enumerate() {
        let mut push = |name: &str, value: &str| {
            let number = index + 1;
            push(
                &format!("PublishBatchRequestEntries.member.{number}.{name}"),
                value,
            );
        };
        push("Id", &index.to_string());
        push("Message", &entry.message);
        if let Some(ids) = &entry.fifo {
            push("MessageGroupId", &ids.group);
            push("MessageDeduplicationId", &ids.deduplication);
        }
    }
    form
}

/// Reads the lists `Successful` and `Failed` of a response; `None` for another document.
fn results(body: &[u8]) -> Option<Vec<(String, EntryResult)>> {
    let mut document = Document::new(std::str::from_utf8(body).ok()?);
    let mut root = document.root_element().ok()?;
    let mut results = Vec::new();
    while let Some(mut result) = root.next_tag() {
        if !result.start_el().matches("PublishBatchResult") {
            continue;
        }
        while let Some(mut list) = result.next_tag() {
            let is_failed = list.start_el().matches("Failed");
            if !is_failed && !list.start_el().matches("Successful") {
                continue;
            }
            while let Some(mut member) = list.next_tag() {
                results.push(entry_result(&mut member, is_failed).ok()?);
            }
        }
    }
    Some(results)
}

fn entry_result(
    member: &mut ScopedDecoder<'_, '_>,
    is_failed: bool,
) -> Result<(String, EntryResult), XmlDecodeError> {
    let (mut id, mut code, mut is_fault) = (String::new(), String::new(), false);
    while let Some(mut tag) = member.next_tag() {
        let name = tag.start_el().local().to_owned();
        let text = try_data(&mut tag)?.into_owned();
        match name.as_str() {
            "Id" => id = text,
            "Code" => code = text,
            "SenderFault" => is_fault = text == "true",
            _ => {}
        }
    }
    let result = if is_failed {
        EntryResult::Failed { code, is_fault }
    } else {
        EntryResult::Accepted
    };
    Ok((id, result))
}
