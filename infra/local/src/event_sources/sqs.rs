//! Executes the actions of a queue's poller.

use std::sync::Arc;

use aws_sdk_sqs::operation::receive_message::builders::ReceiveMessageFluentBuilder;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use futures::future::{BoxFuture, FutureExt};
use onewrite_event_sources::Millis;
use onewrite_event_sources::message::{AttributeValue, Message, MessageAttribute};
use onewrite_event_sources::sqs::{Action, CallId, DeleteEntry, Finding, Input, SqsPoller};

use super::invoker::{Function, Invoker};
use super::observer::Observer;
use super::poller::{Executor, Poller};
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

    fn is_idle(&self) -> bool {
        let in_flight = self.in_flight();
        in_flight.buffered + in_flight.deletes + in_flight.invocations == 0
    }
}

/// The queue and function of one mapping.
pub(super) struct SqsExecutor {
    pub(super) client: aws_sdk_sqs::Client,
    pub(super) url: String,
    pub(super) function: Function,
    pub(super) invoker: Arc<dyn Invoker>,
    pub(super) observer: Arc<dyn Observer>,
}

impl Executor<SqsPoller> for SqsExecutor {
    fn execute(&mut self, action: Action) -> Option<BoxFuture<'static, Input>> {
        match action {
            Action::Receive {
                call,
                max_messages,
                wait_seconds,
                visibility_timeout_seconds,
            } => {
                let request = self
                    .client
                    .receive_message()
                    .queue_url(&self.url)
                    .max_number_of_messages(to_i32(max_messages))
                    .wait_time_seconds(to_i32(wait_seconds))
                    .visibility_timeout(to_i32(visibility_timeout_seconds))
                    .message_system_attribute_names(MessageSystemAttributeName::All)
                    .message_attribute_names("All");
                Some(receive(request, call, Arc::clone(&self.observer)).boxed())
            }
            Action::Invoke {
                invocation,
                payload,
                message_ids,
            } => {
                let (invoker, function) = (Arc::clone(&self.invoker), self.function.clone());
                let (observer, messages) = (Arc::clone(&self.observer), message_ids.len());
                let invoked = async move {
                    observer.invoking(&function.name, messages);
                    let outcome = invoker.invoke(&function, payload).await.outcome;
                    observer.invoked(&function.name, messages, &outcome);
                    Input::Invoked {
                        invocation,
                        outcome,
                    }
                };
                Some(invoked.boxed())
            }
            Action::Delete { call, entries } => {
                let (client, url) = (self.client.clone(), self.url.clone());
                let observer = Arc::clone(&self.observer);
                let deleted = async move {
                    let failed = delete(&client, &url, &entries).await;
                    let deleted = entries.into_iter().map(|entry| entry.message_id);
                    let deleted: Vec<_> = deleted.filter(|id| !failed.contains(id)).collect();
                    observer.deleted(&deleted);
                    match failed {
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

async fn receive(
    request: ReceiveMessageFluentBuilder,
    call: CallId,
    observer: Arc<dyn Observer>,
) -> Input {
    match request.send().await {
        Ok(output) => {
            let messages = output.messages.unwrap_or_default();
            let messages: Vec<Message> = messages.into_iter().map(to_message).collect();
            observer.received(&messages);
            Input::Received { call, messages }
        }
        Err(error) => {
            tracing::warn!(error = causes(&error), "failed to receive messages");
            Input::ReceiveFailed { call }
        }
    }
}

/// Deletes messages. Returns the ids of messages that were not deleted or may not have been.
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
            tracing::warn!(error = causes(&error), "failed to delete messages");
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

/// Failed items are logged by the function itself, so they are not worth a warning here.
fn report(function: &str, finding: &Finding) {
    match finding {
        Finding::Filtered { .. } | Finding::BatchItemFailures { .. } => {
            tracing::debug!(function, ?finding, "queue")
        }
        _ => tracing::warn!(function, ?finding, "queue"),
    }
}

fn to_message(received: aws_sdk_sqs::types::Message) -> Message {
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
            .map(|(name, value)| (name, to_attribute(value)))
            .collect(),
        md5_of_message_attributes: received.md5_of_message_attributes,
    }
}

fn to_attribute(received: aws_sdk_sqs::types::MessageAttributeValue) -> MessageAttribute {
    let value = match received.binary_value {
        Some(bytes) => AttributeValue::Binary(bytes.into_inner()),
        None => AttributeValue::Text(received.string_value.unwrap_or_default()),
    };
    MessageAttribute {
        data_type: received.data_type,
        value,
    }
}

fn to_i32(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
