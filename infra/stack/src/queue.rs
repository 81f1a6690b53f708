//! The attributes of a queue.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName;
use serde::Serialize;

use crate::{clients::Clients, error::StackError};

/// The approximate number of messages in a queue, as SQS reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct QueueDepth {
    /// Messages that can be received.
    pub waiting: usize,
    /// Messages that are in flight or delayed.
    pub hidden: usize,
}

impl QueueDepth {
    #[must_use]
    pub fn total(self) -> usize {
        self.waiting + self.hidden
    }
}

/// Reads an attribute of a queue, or all of them.
///
/// # Errors
/// [`StackError`]: the call failed.
pub(crate) async fn read_attributes(
    clients: &Clients,
    queue_url: &str,
    name: QueueAttributeName,
) -> Result<HashMap<QueueAttributeName, String>, StackError> {
    let response = clients
        .sqs
        .get_queue_attributes()
        .queue_url(queue_url)
        .attribute_names(name)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("GetQueueAttributes", &error))?;
    Ok(response.attributes.unwrap_or_default())
}

/// Reads the depth of a queue.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn read_depth(clients: &Clients, queue_url: &str) -> Result<QueueDepth, StackError> {
    use QueueAttributeName as Name;
    let attributes = read_attributes(clients, queue_url, Name::All).await?;
    let count = |name| attributes.get(&name).and_then(|count| count.parse().ok());
    let count = |name| count(name).unwrap_or(0);
    Ok(QueueDepth {
        waiting: count(Name::ApproximateNumberOfMessages),
        hidden: count(Name::ApproximateNumberOfMessagesNotVisible)
            + count(Name::ApproximateNumberOfMessagesDelayed),
    })
}
