//! The outputs of a deployed stack.

use std::collections::BTreeMap;

/// The outputs of a stack, by the names the template gives them.
pub type Outputs = BTreeMap<String, String>;

/// The outputs that the tools need, each in its own field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackOutputs {
    pub queue_url: String,
    pub dead_letter_queue_url: String,
    pub table: String,
    pub stream: String,
    pub failure_bucket: String,
    pub ingest: String,
    pub forward: String,
    pub complete: String,
    /// Every output, including those above.
    pub all: Outputs,
}

/// The template of the stack has no such output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stack has no output {0}")]
pub struct MissingOutput(pub &'static str);

impl StackOutputs {
    /// # Errors
    /// [`MissingOutput`]: the stack was deployed from another template.
    pub fn new(all: Outputs) -> Result<Self, MissingOutput> {
        let output = |name| all.get(name).cloned().ok_or(MissingOutput(name));
        Ok(Self {
            queue_url: output("NotificationQueueUrl")?,
            dead_letter_queue_url: output("DeadLetterQueueUrl")?,
            table: output("NotificationTableName")?,
            stream: output("NotificationStreamName")?,
            failure_bucket: output("FailureBucketName")?,
            ingest: output("IngestFunctionName")?,
            forward: output("ForwardFunctionName")?,
            complete: output("CompleteFunctionName")?,
            all,
        })
    }

    /// Whether messages are sent to a FIFO queue.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.queue_url.ends_with(".fifo")
    }
}
