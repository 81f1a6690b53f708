//! A stack that is already deployed, to AWS or to the endpoint in the environment.
//!
//! It is found by its name and inspected from outside. Nothing in it changes except what a run sends.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;

use crate::clients::Clients;
use crate::deploy::Sam;
use crate::error::{LocalError, Result};
use crate::inspect;
use crate::oracle::Settlement;
use crate::pipeline::{Pipeline, WaitSettings};
use crate::progress::Progress;
use crate::python::{self, Interpreter};
use crate::sample::Sample;
use crate::workspace::Workspace;
use onewrite_stack::outputs::StackOutputs;

/// The time between two checks. Each one scans the table.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// A stack may show no change for this long, in addition to its queue's visibility timeout.
const STALL_LIMIT: Duration = Duration::from_secs(90);

/// A deployed stack, and the notifications it had before the run.
#[derive(Debug)]
pub struct DeployedStack {
    clients: Clients,
    outputs: StackOutputs,
    has_downstream: bool,
    settle_time: Duration,
    visibility_timeout: Duration,
    preexisting: BTreeSet<String>,
}

impl DeployedStack {
    /// Finds the stack of this name in the account and region of the environment, and records which notifications it
    /// has that are not in `messages`. It counts as settled when it looked settled for `settle_time`, because SQS's
    /// message counts lag.
    ///
    /// # Errors
    /// [`LocalError::Step`] if there is no such stack, [`LocalError::StackInUse`] if its queues are not empty, or a
    /// failed call.
    pub async fn find(
        name: &str,
        settle_time: Duration,
        messages: &[Sample],
        progress: Progress,
    ) -> Result<Self> {
        let workspace = Workspace::here();
        let interpreter = Interpreter::find().await?;
        let packages = python::environment(&workspace, &interpreter, python::SAM, progress).await?;
        let sam = Sam::new(workspace.clone(), packages, interpreter);
        let step = progress.step("Reading the stack");
        let outputs = StackOutputs::new(sam.stack_outputs(name).await?)?;
        let clients = Clients::from_environment().await;
        for queue in [&outputs.queue_url, &outputs.dead_letter_queue_url] {
            let messages = inspect::read_queue_depth(&clients, queue).await?.total();
            if messages > 0 {
                let queue = queue.clone();
                return Err(LocalError::StackInUse { queue, messages });
            }
        }
        let mappings = clients
            .functions
            .event_source_mappings(Some(&outputs.complete))
            .await?;
        let visibility_timeout = read_visibility_timeout(&clients, &outputs.queue_url).await?;
        let items = inspect::read_items(&clients, &outputs.table).await?;
        let (events, _) = inspect::read_events(&clients, &outputs.stream).await?;
        step.done();
        let mut preexisting: BTreeSet<String> = items.into_iter().map(|item| item.id).collect();
        preexisting.extend(events.into_iter().map(|event| event.id));
        for id in messages.iter().filter_map(|message| message.meaning.id()) {
            preexisting.remove(id);
        }
        Ok(Self {
            clients,
            outputs,
            // Without a downstream, the template gives `complete` no mapping.
            has_downstream: !mappings.is_empty(),
            settle_time,
            visibility_timeout,
            preexisting,
        })
    }
}

async fn read_visibility_timeout(clients: &Clients, queue_url: &str) -> Result<Duration> {
    let name = QueueAttributeName::VisibilityTimeout;
    let response = clients
        .sqs
        .get_queue_attributes()
        .queue_url(queue_url)
        .attribute_names(name.clone())
        .send()
        .await
        .map_err(|error| LocalError::aws("GetQueueAttributes", &error))?;
    let seconds = response
        .attributes
        .and_then(|attributes| attributes.get(&name)?.parse().ok());
    Ok(Duration::from_secs(seconds.unwrap_or(0)))
}

impl Pipeline for DeployedStack {
    fn clients(&self) -> &Clients {
        &self.clients
    }

    fn outputs(&self) -> &StackOutputs {
        &self.outputs
    }

    /// A remote process cannot be observed.
    fn failure(&mut self) -> Option<LocalError> {
        None
    }

    /// Running functions cannot be observed. [`WaitSettings::settle_time`] makes up for it.
    fn is_idle(&self) -> bool {
        true
    }

    fn is_preexisting(&self, id: &str) -> bool {
        self.preexisting.contains(id)
    }

    fn has_downstream(&self) -> bool {
        self.has_downstream
    }

    /// What the targets of a deployed stack did is unknown.
    async fn settlement(&self) -> Result<Settlement> {
        Ok(if self.has_downstream {
            Settlement::Targets
        } else {
            Settlement::Elsewhere
        })
    }

    fn wait_settings(&self) -> WaitSettings {
        WaitSettings {
            poll_interval: POLL_INTERVAL.min(self.settle_time),
            settle_time: self.settle_time,
            stall_limit: self.visibility_timeout + self.settle_time + STALL_LIMIT,
        }
    }
}
