//! Reads a stack's table, stream and queues from outside, as any user of AWS can.

use std::collections::HashMap;
use std::io::Read as _;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::Record;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use flate2::read::DeflateDecoder;
use onewrite_stack::outputs::StackOutputs;
use onewrite_stack::stream;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clients::Clients;
use crate::error::{LocalError, Result};
use crate::oracle::{Event, FinalState, Item, Settlement};

pub use onewrite_stack::queue::{QueueDepth, read_depth as read_queue_depth};

/// Reads the final state of a run, except what its targets have booked. Empties the dead-letter queue.
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
        settlement: Settlement::default(),
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

/// Reads an attribute that is missing or has another type as empty, which the oracle rejects. Does not use the code of the
/// functions, because this is what any user of AWS can read.
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
        payload: attributes
            .get("payload")
            .and_then(to_text)
            .unwrap_or_default(),
    }
}

/// A string, or one that is stored as raw deflate.
fn to_text(value: &AttributeValue) -> Option<String> {
    match value {
        AttributeValue::S(text) => Some(text.clone()),
        AttributeValue::B(deflated) => {
            let mut text = String::new();
            let mut inflater = DeflateDecoder::new(deflated.as_ref());
            inflater.read_to_string(&mut text).ok()?;
            Some(text)
        }
        _ => None,
    }
}

/// Reads every event of the stream, shard by shard in the shard's order, and the positions of the records that cannot be
/// decoded.
///
/// # Errors
/// [`LocalError::Aws`].
pub async fn read_events(
    clients: &Clients,
    name: &str,
) -> Result<(Vec<Event>, Vec<(String, String)>)> {
    let (mut events, mut unreadable) = (Vec::new(), Vec::new());
    for (shard, record) in stream::read_records(clients, name).await? {
        match to_event(&shard, &record) {
            Some(event) => events.push(event),
            None => unreadable.push((shard, record.sequence_number().to_owned())),
        }
    }
    Ok((events, unreadable))
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
