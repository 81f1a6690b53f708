//! The port on SQS and DynamoDB.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName as Attribute,
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};
use onewrite::item::{AttributeRef, Attributes as _, attribute as item};
use serde_dynamo::Item;

use super::{
    judge::attribute,
    port::{BATCH, DeadLetterQueue, LONG_POLL},
};
use crate::{
    dead_letter::StoredContent,
    error::StackError,
    queue::{self, QueueDepth},
    stack::Stack,
};

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

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
            .visibility_timeout(seconds(hide))
            .wait_time_seconds(seconds(LONG_POLL))
            .message_attribute_names("All")
            .message_system_attribute_names(Attribute::All)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("ReceiveMessage", &error))?;
        Ok(received.messages.unwrap_or_default())
    }

    async fn make_visible(
        &self,
        receipt_handles: &[String],
        after: Duration,
    ) -> Result<(), StackError> {
        let after = seconds(after);
        let entries = receipt_handles
            .iter()
            .enumerate()
            .filter_map(|(index, handle)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(handle)
                    .visibility_timeout(after)
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
                Item::from(attributes)
                    .attribute(item::FINGERPRINT)
                    .and_then(AttributeRef::as_fingerprint),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire;

    #[tokio::test]
    async fn reads_only_the_fingerprint_of_the_stored_item() {
        let fingerprint = "0f".repeat(32);
        let stored = |fingerprint| json!({"Item": {"notification_id": {"S": "a"}, "fingerprint": fingerprint}});
        for (response, expected) in [
            (json!({}), StoredContent::Nothing),
            (
                stored(json!({"B": "Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8="})),
                StoredContent::Item(fingerprint.parse().ok()),
            ),
            // An item of an earlier version.
            (
                stored(json!({"S": fingerprint})),
                StoredContent::Item(fingerprint.parse().ok()),
            ),
            // Somebody edited the item: `ingest` would report a conflict.
            (
                json!({"Item": {"notification_id": {"S": "a"}}}),
                StoredContent::Item(None),
            ),
        ] {
            let (stack, sent) = wire::stack(&[("GetItem", response)]).await;
            assert_eq!(stack.fetch_stored("a").await.unwrap(), expected);
            let projection = &sent.body("GetItem")["ProjectionExpression"];
            assert_eq!(projection, "notification_id, fingerprint");
        }
    }

    #[tokio::test]
    async fn sends_a_dead_letter_back_unchanged() {
        let (stack, sent) = wire::stack(&[("SendMessage", json!({"MessageId": "m-2"}))]).await;
        let message = Message::builder()
            .message_id("m-1")
            .body("{}")
            .attributes(Attribute::MessageGroupId, "g")
            .attributes(Attribute::AwsTraceHeader, "Root=1-2-3")
            .build();
        assert_eq!(stack.send_back(&message).await.unwrap(), "m-2");
        let expected = json!({
            "QueueUrl": stack.outputs.queue_url,
            "MessageBody": "{}",
            "MessageGroupId": "g",
            "MessageDeduplicationId": "m-1",
            "MessageSystemAttributes": {
                "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2-3"}
            },
        });
        assert_eq!(sent.body("SendMessage"), expected);
    }

    #[tokio::test]
    async fn hides_received_letters_and_makes_them_visible() {
        let visible = json!({"Successful": [{"Id": "0"}], "Failed": []});
        let responses = [
            ("ReceiveMessage", json!({})),
            ("ChangeMessageVisibilityBatch", visible),
        ];
        let (stack, sent) = wire::stack(&responses).await;
        let received = stack.receive(Duration::from_secs(20_000)).await.unwrap();
        assert_eq!(received, []);
        let receive = sent.body("ReceiveMessage");
        assert_eq!(receive["QueueUrl"], stack.outputs.dead_letter_queue_url);
        assert_eq!(receive["VisibilityTimeout"], 20_000);
        let after = Duration::from_secs(2);
        let made_visible = stack.make_visible(&["h-1".to_owned()], after).await;
        made_visible.unwrap();
        let entry = &sent.body("ChangeMessageVisibilityBatch")["Entries"][0];
        let expected = json!({"Id": "0", "ReceiptHandle": "h-1", "VisibilityTimeout": 2});
        assert_eq!(entry, &expected);
    }
}
