//! The outputs of a deployed stack.

use std::collections::BTreeMap;

use crate::error::{LocalError, Result};

/// The outputs of a stack, by the names the template gives them.
pub type Outputs = BTreeMap<String, String>;

/// The outputs of a stack that the tools need, each in its own field.
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

impl StackOutputs {
    /// # Errors
    /// [`LocalError::UnexpectedStack`] if an output is missing.
    pub fn new(all: Outputs) -> Result<Self> {
        let missing =
            |name: &str| LocalError::UnexpectedStack(format!("the template has no output {name}"));
        let output = |name: &str| all.get(name).cloned().ok_or_else(|| missing(name));
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

    /// The binary of each function, by the function's deployed name.
    #[must_use]
    pub fn binaries(&self) -> BTreeMap<String, String> {
        let functions = [
            (&self.ingest, "ingest"),
            (&self.forward, "forward"),
            (&self.complete, "complete"),
        ];
        functions
            .into_iter()
            .map(|(name, binary)| (name.clone(), binary.to_owned()))
            .collect()
    }
}
