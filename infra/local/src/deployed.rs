//! A stack that is deployed already, on AWS or wherever the environment points: found by its name, looked at from
//! outside, and left as it was but for what a run puts into it.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;

use crate::clients::Clients;
use crate::deploy::Sam;
use crate::error::{LocalError, Result};
use crate::pipeline::{Pace, Pipeline};
use crate::progress::Progress;
use crate::python::{self, Interpreter};
use crate::sample::Sample;
use crate::stack::StackOutputs;
use crate::survey;
use crate::workspace::Workspace;

/// Between two looks, each of which scans the table.
const POLL: Duration = Duration::from_secs(2);

/// Beyond its queue's visibility timeout, a stack may stand still for this long.
const STALL: Duration = Duration::from_secs(90);

/// A deployed stack, and what was in it before.
#[derive(Debug)]
pub struct DeployedStack {
    clients: Clients,
    outputs: StackOutputs,
    settle: Duration,
    visibility: Duration,
    others: BTreeSet<String>,
}

impl DeployedStack {
    /// Finds the stack of this name in the account and region that the environment names, and remembers what is in it
    /// that is not of `messages`. It counts as at rest when it looked so for `settle`: SQS's counts lag behind.
    ///
    /// # Errors
    /// [`LocalError::Step`] where there is no such stack, [`LocalError::StackInUse`] where its queues are not empty, or
    /// a failed call.
    pub async fn find(
        name: &str,
        settle: Duration,
        messages: &[Sample],
        progress: Progress,
    ) -> Result<Self> {
        let workspace = Workspace::here();
        let interpreter = Interpreter::find().await?;
        let packages = python::environment(&workspace, &interpreter, python::SAM, progress).await?;
        let sam = Sam::new(workspace.clone(), packages, interpreter);
        let step = progress.step("Looking for the stack");
        let outputs = StackOutputs::new(sam.stack_outputs(name).await?)?;
        let clients = Clients::of_environment().await;
        for queue in [&outputs.queue_url, &outputs.dead_letter_queue_url] {
            let messages = survey::depth(&clients, queue).await?.total();
            if messages > 0 {
                let queue = queue.clone();
                return Err(LocalError::StackInUse { queue, messages });
            }
        }
        let visibility = visibility(&clients, &outputs.queue_url).await?;
        let items = survey::items(&clients, &outputs.table).await?;
        let (events, _) = survey::events(&clients, &outputs.stream).await?;
        step.done();
        let mut others: BTreeSet<String> = items.into_iter().map(|item| item.id).collect();
        others.extend(events.into_iter().map(|event| event.id));
        for id in messages.iter().filter_map(|message| message.meaning.id()) {
            others.remove(id);
        }
        Ok(Self {
            clients,
            outputs,
            settle,
            visibility,
            others,
        })
    }
}

async fn visibility(clients: &Clients, queue_url: &str) -> Result<Duration> {
    let name = QueueAttributeName::VisibilityTimeout;
    let attributes = clients
        .sqs
        .get_queue_attributes()
        .queue_url(queue_url)
        .attribute_names(name.clone())
        .send()
        .await
        .map_err(|error| LocalError::aws("GetQueueAttributes", &error))?;
    let seconds = attributes
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

    /// What runs elsewhere cannot be seen to have ended.
    fn failure(&mut self) -> Option<LocalError> {
        None
    }

    /// Nothing tells what its functions are at: [`Pace::rest`] stands for it.
    fn is_idle(&self) -> bool {
        true
    }

    fn is_of_others(&self, id: &str) -> bool {
        self.others.contains(id)
    }

    fn pace(&self) -> Pace {
        Pace {
            poll: POLL.min(self.settle),
            rest: self.settle,
            stall: self.visibility + self.settle + STALL,
        }
    }
}
