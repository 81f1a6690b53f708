//! Reads a stack's table, stream and queues from outside, as any user of AWS can.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clients::Clients;
use crate::error::{LocalError, Result};
use crate::oracle::{Event, FinalState, Item};
use crate::outputs::StackOutputs;

/// The number of messages in a queue, as SQS reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Messages that can be received.
    pub visible: usize,
    /// Messages in flight or delayed.
    pub hidden: usize,
}

impl QueueDepth {
    #[must_use]
    pub fn total(self) -> usize {
        self.visible + self.hidden
    }
}

/// Reads the final state of a run. Empties the dead-letter queue.
///
/// # Errors
/// [`LocalError::Aws`].
pub async fn read_final_state(clients: &Clients, outputs: &StackOutputs) -> Result<FinalState> {
    let (events, unreadable) = read_events(clients, &outputs.stream).await?;
    let dead_letters = drain_queue(clients, &outputs.dead_letter_queue_url).await?;
    Ok(FinalState {
        items: read_items(clients, &outputs.table).await?,
        events,
        unreadable,
        dead_letters: dead_letters
            .into_iter()
            .filter_map(|message| message.message_id)
            .collect(),
        waiting: read_queue_depth(clients, &outputs.queue_url).await?.total(),
    })
}

/// Reads the number of messages in a queue.
///
/// # Errors
/// [`LocalError::Aws`].
pub async fn read_queue_depth(clients: &Clients, queue_url: &str) -> Result<QueueDepth> {
    let attributes = clients
        .sqs
        .get_queue_attributes()
        .queue_url(queue_url)
        .attribute_names(QueueAttributeName::All);
    let attributes = attributes
        .send()
        .await
        .map_err(|error| LocalError::aws("GetQueueAttributes", &error))?;
    let attributes = attributes.attributes.unwrap_or_default();
    let count = |name| {
        attributes
            .get(&name)
            .and_then(|count| count.parse().ok())
            .unwrap_or(0)
    };
    Ok(QueueDepth {
        visible: count(QueueAttributeName::ApproximateNumberOfMessages),
        hidden: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            + count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
    })
}

/// Receives and deletes every message of a queue that has no other consumer. Returns them with all attributes.
///
/// # Errors
/// [`LocalError::Aws`].
pub async fn drain_queue(clients: &Clients, queue_url: &str) -> Result<Vec<Message>> {
    let mut drained = Vec::new();
    loop {
        let receive = clients
            .sqs
            .receive_message()
            .queue_url(queue_url)
            .max_number_of_messages(10);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        let received = receive
            .message_attribute_names("All")
            // Long polling also queries the servers that a short poll skips.
            .wait_time_seconds(1)
            .send()
            .await;
        let messages = received
            .map_err(|error| LocalError::aws("ReceiveMessage", &error))?
            .messages
            .unwrap_or_default();
        if messages.is_empty() {
            return Ok(drained);
        }
        let entries = messages.iter().enumerate().filter_map(|(index, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
            entry
                .receipt_handle(message.receipt_handle.clone()?)
                .build()
                .ok()
        });
        let delete = clients
            .sqs
            .delete_message_batch()
            .queue_url(queue_url)
            .set_entries(Some(entries.collect()));
        delete
            .send()
            .await
            .map_err(|error| LocalError::aws("DeleteMessageBatch", &error))?;
        drained.extend(messages);
    }
}

/// Reads every item of the table.
///
/// # Errors
/// [`LocalError::Aws`].
pub async fn read_items(clients: &Clients, table: &str) -> Result<Vec<Item>> {
    let scan = clients
        .dynamodb
        .scan()
        .table_name(table)
        .consistent_read(true);
    let mut pages = scan.into_paginator().items().send();
    let mut items = Vec::new();
    while let Some(page) = pages.next().await {
        items.push(to_item(
            &page.map_err(|error| LocalError::aws("Scan", &error))?,
        ));
    }
    Ok(items)
}

/// Reads an attribute that is missing or has another type as empty, which the oracle rejects.
fn to_item(attributes: &HashMap<String, AttributeValue>) -> Item {
    let text = |name| {
        attributes
            .get(name)
            .and_then(|value| value.as_s().ok())
            .cloned()
            .unwrap_or_default()
    };
    let version = attributes
        .get("version")
        .and_then(|value| value.as_n().ok())
        .and_then(|text| text.parse().ok());
    Item {
        id: text("notification_id"),
        status: text("status"),
        version: version.unwrap_or(0),
        kind: text("type"),
        payload: text("payload"),
    }
}

/// Reads every event of the stream, shard by shard in the shard's order, and the positions of the records that cannot be
/// decoded.
///
/// # Errors
/// [`LocalError::Aws`].
pub async fn read_events(
    clients: &Clients,
    stream: &str,
) -> Result<(Vec<Event>, Vec<(String, String)>)> {
    let shards = clients
        .kinesis
        .list_shards()
        .stream_name(stream)
        .send()
        .await;
    let shards = shards.map_err(|error| LocalError::aws("ListShards", &error))?;
    let (mut events, mut unreadable) = (Vec::new(), Vec::new());
    for shard in shards.shards() {
        for record in read_records(clients, stream, shard.shard_id()).await? {
            match to_event(shard.shard_id(), &record) {
                Some(event) => events.push(event),
                None => unreadable.push((
                    shard.shard_id().to_owned(),
                    record.sequence_number().to_owned(),
                )),
            }
        }
    }
    Ok((events, unreadable))
}

/// Reads every record of a shard.
async fn read_records(clients: &Clients, stream: &str, shard: &str) -> Result<Vec<Record>> {
    let request = clients
        .kinesis
        .get_shard_iterator()
        .stream_name(stream)
        .shard_id(shard);
    let iterator = request
        .shard_iterator_type(ShardIteratorType::TrimHorizon)
        .send()
        .await;
    let mut next = iterator
        .map_err(|error| LocalError::aws("GetShardIterator", &error))?
        .shard_iterator;
    let mut records = Vec::new();
    while let Some(iterator) = next {
        let page = clients
            .kinesis
            .get_records()
            .shard_iterator(iterator)
            .send()
            .await;
        let page = page.map_err(|error| LocalError::aws("GetRecords", &error))?;
        let is_end = page.records.is_empty() && page.millis_behind_latest.unwrap_or(0) == 0;
        records.extend(page.records);
        next = page.next_shard_iterator.filter(|_| !is_end);
    }
    Ok(records)
}

/// Decodes the event of a record. Does not use the code of the functions, because this is a consumer's view.
fn to_event(shard: &str, record: &Record) -> Option<Event> {
    #[derive(Deserialize)]
    struct Document<'a> {
        id: String,
        subject: String,
        status: String,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let document: Document<'_> = serde_json::from_slice(record.data().as_ref()).ok()?;
    Some(Event {
        shard: shard.to_owned(),
        partition_key: record.partition_key().unwrap_or_default().to_owned(),
        event_id: document.id,
        id: document.subject,
        status: document.status,
        payload: document.data.get().to_owned(),
    })
}
