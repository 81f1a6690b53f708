//! The port on SQS and DynamoDB.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName as Attribute,
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};
use onewrite::item::attribute as item;

use super::{
    judge::attribute,
    port::{BATCH, DeadLetterQueue},
};
use crate::{
    dead_letter::StoredContent,
    error::StackError,
    queue::{self, QueueDepth},
    stack::Stack,
};

impl DeadLetterQueue for Stack {
    fn is_fifo(&self) -> bool {
        self.outputs.is_fifo()
    }

    async fn receive(&self, hide: Duration) -> Result<Vec<Message>, StackError> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(&self.outputs.dead_letter_queue_url)
            .max_number_of_messages(BATCH as i32)
            .visibility_timeout(i32::try_from(hide.as_secs()).unwrap_or(i32::MAX))
            // A long poll also asks the servers that a short poll leaves out.
            .wait_time_seconds(1)
            .message_attribute_names("All")
            .message_system_attribute_names(Attribute::All)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("ReceiveMessage", &error))?;
        Ok(received.messages.unwrap_or_default())
    }

    async fn make_visible(&self, receipt_handles: &[String]) -> Result<(), StackError> {
        let entries = receipt_handles
            .iter()
            .enumerate()
            .filter_map(|(index, handle)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(handle)
                    .visibility_timeout(0)
                    .build()
                    .ok()
            });
        // A handle that is outdated fails alone: its entry is in the response, and the message is visible anyway.
        self.sqs
            .change_message_visibility_batch()
            .queue_url(&self.outputs.dead_letter_queue_url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(|error| StackError::from_sdk("ChangeMessageVisibilityBatch", &error))?;
        Ok(())
    }

    async fn send_back(&self, message: &Message) -> Result<String, StackError> {
        let trace = attribute(message, &Attribute::AwsTraceHeader).and_then(|header| {
            let header = MessageSystemAttributeValue::builder()
                .data_type("String")
                .string_value(header);
            Some((
                MessageSystemAttributeNameForSends::AwsTraceHeader,
                header.build().ok()?,
            ))
        });
        // As SQS does for dead letters of a FIFO queue: a message sent twice within five minutes is in the queue once.
        let deduplication_id = self.outputs.is_fifo().then(|| message.message_id.clone());
        let sent = self
            .sqs
            .send_message()
            .queue_url(&self.outputs.queue_url)
            .set_message_body(message.body.clone())
            .set_message_attributes(message.message_attributes.clone())
            .set_message_system_attributes(trace.map(|trace| HashMap::from([trace])))
            .set_message_group_id(attribute(message, &Attribute::MessageGroupId).map(str::to_owned))
            .set_message_deduplication_id(deduplication_id.flatten())
            .send()
            .await
            .map_err(|error| StackError::from_sdk("SendMessage", &error))?;
        Ok(sent.message_id.unwrap_or_default())
    }

    async fn delete(&self, receipt_handle: &str) -> Result<(), StackError> {
        self.sqs
            .delete_message()
            .queue_url(&self.outputs.dead_letter_queue_url)
            .receipt_handle(receipt_handle)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("DeleteMessage", &error))?;
        Ok(())
    }

    async fn depth(&self) -> Result<QueueDepth, StackError> {
        queue::read_depth(self, &self.outputs.dead_letter_queue_url).await
    }

    /// Reads the fingerprint alone. It decides, as for `ingest`, also if the rest of the item cannot be read.
    async fn fetch_stored(&self, id: &str) -> Result<StoredContent, StackError> {
        let response = self
            .dynamodb
            .get_item()
            .table_name(&self.outputs.table)
            .key(item::NOTIFICATION_ID, AttributeValue::S(id.to_owned()))
            .projection_expression(format!("{}, {}", item::NOTIFICATION_ID, item::FINGERPRINT))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("GetItem", &error))?;
        Ok(match response.item {
            None => StoredContent::Nothing,
            Some(attributes) => StoredContent::Item(
                attributes
                    .get(item::FINGERPRINT)
                    .and_then(|value| value.as_s().ok()?.parse().ok()),
            ),
        })
    }
}
