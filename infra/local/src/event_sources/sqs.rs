//! Carries out the actions of a queue's poller.

use std::sync::Arc;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use futures::future::{BoxFuture, FutureExt};
use onewrite_event_sources::Millis;
use onewrite_event_sources::sqs::{
    Action, AttributeValue, DeleteEntry, Finding, Input, Message, MessageAttribute, SqsPoller,
};

use super::drive::{Performer, Poller, Status};
use super::invoker::{Function, Invoker};
use crate::error::causes;

impl Poller for SqsPoller {
    type Input = Input;
    type Action = Action;

    fn handle(&mut self, now: Millis, input: Input) -> Vec<Action> {
        SqsPoller::handle(self, now, input)
    }

    fn next_wakeup(&self) -> Option<Millis> {
        SqsPoller::next_wakeup(self)
    }

    fn wake() -> Input {
        Input::Wake
    }

    fn status(&self) -> Status {
        let in_flight = self.in_flight();
        Status {
            held: in_flight.buffered + in_flight.deletes,
            invocations: in_flight.invocations,
        }
    }
}

/// The queue and function of one mapping.
pub(super) struct Queue {
    pub(super) client: aws_sdk_sqs::Client,
    pub(super) url: String,
    pub(super) function: Function,
    pub(super) invoker: Arc<dyn Invoker>,
}

impl Performer<SqsPoller> for Queue {
    fn perform(&mut self, action: Action) -> Option<BoxFuture<'static, Input>> {
        match action {
            Action::Receive {
                call,
                max_messages,
                wait_seconds,
                visibility_timeout_seconds,
            } => {
                let receive = self
                    .client
                    .receive_message()
                    .queue_url(&self.url)
                    .max_number_of_messages(whole(max_messages))
                    .wait_time_seconds(whole(wait_seconds))
                    .visibility_timeout(whole(visibility_timeout_seconds))
                    .message_system_attribute_names(MessageSystemAttributeName::All)
                    .message_attribute_names("All")
                    .send();
                let received = async move {
                    match receive.await {
                        Ok(output) => {
                            let messages = output.messages.unwrap_or_default();
                            Input::Received {
                                call,
                                messages: messages.into_iter().map(message).collect(),
                            }
                        }
                        Err(error) => {
                            tracing::warn!(error = causes(&error), "a receive failed");
                            Input::ReceiveFailed { call }
                        }
                    }
                };
                Some(received.boxed())
            }
            Action::Invoke {
                invocation,
                payload,
                message_ids: _,
            } => {
                let (invoker, function) = (Arc::clone(&self.invoker), self.function.clone());
                let invoked = async move {
                    let outcome = invoker.invoke(&function, payload).await.outcome;
                    Input::Invoked {
                        invocation,
                        outcome,
                    }
                };
                Some(invoked.boxed())
            }
            Action::Delete { call, entries } => {
                let (client, url) = (self.client.clone(), self.url.clone());
                let deleted = async move {
                    match delete(&client, &url, &entries).await {
                        failed if failed.is_empty() => Input::Deleted { call },
                        message_ids => Input::DeleteFailed { call, message_ids },
                    }
                };
                Some(deleted.boxed())
            }
            Action::Report(finding) => {
                report(&self.function.name, &finding);
                None
            }
        }
    }
}

/// Deletes messages; returns the ids of those that are not deleted, or may not be.
async fn delete(client: &aws_sdk_sqs::Client, url: &str, entries: &[DeleteEntry]) -> Vec<String> {
    let requests = entries.iter().enumerate().filter_map(|(index, entry)| {
        let request = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
        request.receipt_handle(&entry.receipt_handle).build().ok()
    });
    let request = client
        .delete_message_batch()
        .queue_url(url)
        .set_entries(Some(requests.collect()));
    let deleted = match request.send().await {
        Ok(output) => output.successful,
        Err(error) => {
            tracing::warn!(error = causes(&error), "a delete failed");
            Vec::new()
        }
    };
    let is_deleted = |index: usize| deleted.iter().any(|result| result.id == index.to_string());
    let failed = entries
        .iter()
        .enumerate()
        .filter(|(index, _)| !is_deleted(*index));
    failed.map(|(_, entry)| entry.message_id.clone()).collect()
}

/// What went wrong is worth a warning; a failed item is the function's to explain, and it has.
fn report(function: &str, finding: &Finding) {
    match finding {
        Finding::Filtered { .. } | Finding::BatchItemFailures { .. } => {
            tracing::debug!(function, ?finding, "queue")
        }
        _ => tracing::warn!(function, ?finding, "queue"),
    }
}

fn message(received: aws_sdk_sqs::types::Message) -> Message {
    let attributes = received.attributes.unwrap_or_default();
    let message_attributes = received.message_attributes.unwrap_or_default();
    Message {
        message_id: received.message_id.unwrap_or_default(),
        receipt_handle: received.receipt_handle.unwrap_or_default(),
        body: received.body.unwrap_or_default(),
        md5_of_body: received.md5_of_body.unwrap_or_default(),
        attributes: attributes
            .into_iter()
            .map(|(name, value)| (name.as_str().to_owned(), value))
            .collect(),
        message_attributes: message_attributes
            .into_iter()
            .map(|(name, value)| (name, attribute(value)))
            .collect(),
        md5_of_message_attributes: received.md5_of_message_attributes,
    }
}

fn attribute(received: aws_sdk_sqs::types::MessageAttributeValue) -> MessageAttribute {
    let value = match received.binary_value {
        Some(bytes) => AttributeValue::Binary(bytes.into_inner()),
        None => AttributeValue::Text(received.string_value.unwrap_or_default()),
    };
    MessageAttribute {
        data_type: received.data_type,
        value,
    }
}

fn whole(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
