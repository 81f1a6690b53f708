//! The port to the notification queue, on SQS: one `ChangeMessageVisibilityBatch` call, answered entry by entry.

use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client, operation::change_message_visibility_batch::ChangeMessageVisibilityBatchOutput,
    types::ChangeMessageVisibilityBatchRequestEntry,
};

use crate::{clients::sqs_client, failure::from_sdk_error};
use onewrite::{
    error::ServiceError,
    queue::{Deferral, DeferralResult, DelayedDelivery},
};

/// One SQS queue of messages.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// The queue with this URL, accessed with a client of `config`.
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self {
            client: sqs_client(config),
            url: url.into(),
        }
    }
}

impl DelayedDelivery for SqsQueue {
    async fn defer(&self, deferrals: &[Deferral]) -> Result<Vec<DeferralResult>, ServiceError> {
        let entries = deferrals
            .iter()
            .enumerate()
            .map(to_entry)
            .collect::<Result<Vec<_>, _>>()?;
        let request = self
            .client
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries));
        // Boxed, because the futures of the SDK are large and deeply nested.
        let response = Box::pin(request.send())
            .await
            .map_err(|error| from_sdk_error(&error))?;
        Ok((0..deferrals.len())
            .map(|index| to_result(&response, &index.to_string()))
            .collect())
    }
}

/// An entry is named by its index. Entry ids must be unique within a call (SQS API reference).
fn to_entry(
    (index, deferral): (usize, &Deferral),
) -> Result<ChangeMessageVisibilityBatchRequestEntry, ServiceError> {
    let invalid = || ServiceError::refused("ConstructionFailure");
    let seconds = i32::try_from(deferral.wait.as_secs()).map_err(|_| invalid())?;
    ChangeMessageVisibilityBatchRequestEntry::builder()
        .id(index.to_string())
        .receipt_handle(&deferral.receipt_handle)
        .visibility_timeout(seconds)
        .build()
        .map_err(|_| invalid())
}

/// A call with HTTP status 200 can have failed entries. An entry that the response does not name counts as failed.
fn to_result(response: &ChangeMessageVisibilityBatchOutput, id: &str) -> DeferralResult {
    if let Some(failed) = response.failed.iter().find(|entry| entry.id == id) {
        let code = failed.code.clone();
        return DeferralResult::Failed { code };
    }
    if response.successful.iter().any(|entry| entry.id == id) {
        return DeferralResult::Deferred;
    }
    DeferralResult::Failed {
        code: "NoResult".to_owned(),
    }
}

#[cfg(test)]
mod tests;
