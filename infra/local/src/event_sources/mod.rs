//! The event sources of a deployed stack: each of its mappings is run by the pure state machine of
//! `onewrite-event-sources`, against the emulator.
//!
//! I/O alone: what is received, batched, invoked, deleted, retried and given up is decided there.

mod drive;
mod invoker;
mod settings;
mod sqs;

use std::sync::Arc;

use onewrite_event_sources::choices::Choices;
use onewrite_event_sources::mapping::Mapping;
use onewrite_event_sources::sqs::SqsPoller;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use drive::Status;
pub use invoker::{Deployed, Function, Invoker, Watched};

use crate::clients::Clients;
use crate::error::{LocalError, Result};

/// The event sources of one stack. Dropping them stops them at once; what they held comes again by AWS's own rules.
#[derive(Debug)]
pub struct EventSources {
    mappings: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: String,
    status: watch::Receiver<Status>,
    commands: Commands,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
enum Commands {
    Sqs(mpsc::UnboundedSender<onewrite_event_sources::sqs::Input>),
}

impl EventSources {
    /// Reads the stack's mappings and starts a poller for each.
    ///
    /// # Errors
    /// [`crate::error::LocalError::Deployed`] for a mapping that AWS would refuse, or a failed call.
    pub async fn start(
        clients: &Clients,
        invoker: Arc<dyn Invoker>,
        choices: Choices,
    ) -> Result<Self> {
        let mut mappings = Vec::new();
        for deployed in settings::mappings(clients).await? {
            let name = deployed.function.name.clone();
            let running = match deployed.mapping {
                Mapping::Sqs(mapping) => {
                    let (url, facts) =
                        settings::queue(clients, &mapping.event_source_arn, &deployed.function)
                            .await?;
                    let function = deployed.function;
                    let queue = sqs::Queue {
                        client: clients.sqs.clone(),
                        url,
                        function,
                        invoker: Arc::clone(&invoker),
                    };
                    let (task, commands, status) =
                        spawn(SqsPoller::new(mapping, facts, choices), queue);
                    Running {
                        name,
                        status,
                        commands: Commands::Sqs(commands),
                        task,
                    }
                }
                Mapping::Stream(_) => continue,
            };
            mappings.push(running);
        }
        let sources = Self { mappings };
        sources.enable();
        Ok(sources)
    }

    /// Starts to poll, or resumes after [`EventSources::disable`] where it was left.
    pub fn enable(&self) {
        self.tell(&onewrite_event_sources::sqs::Input::Enable);
    }

    /// Stops to poll. What is in flight is finished.
    pub fn disable(&self) {
        self.tell(&onewrite_event_sources::sqs::Input::Disable);
    }

    /// A send fails only when the poller has ended, which it does together with this value.
    fn tell(&self, sqs: &onewrite_event_sources::sqs::Input) {
        for running in &self.mappings {
            match &running.commands {
                Commands::Sqs(commands) => drop(commands.send(sqs.clone())),
            }
        }
    }

    /// How much each mapping has under way, by function name.
    #[must_use]
    pub fn status(&self) -> Vec<(String, Status)> {
        self.mappings
            .iter()
            .map(|running| (running.name.clone(), *running.status.borrow()))
            .collect()
    }

    /// Whether no mapping has anything under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.mappings
            .iter()
            .all(|running| running.status.borrow().is_idle())
    }
}

/// Stops the emulator's own pollers: it takes the text "false", which CloudFormation hands on, for true.
///
/// # Errors
/// A failed call.
pub async fn silence_emulator(clients: &Clients) -> Result<()> {
    for uuid in settings::uuids(clients).await? {
        let update = clients
            .lambda
            .update_event_source_mapping()
            .uuid(uuid)
            .enabled(false)
            .send()
            .await;
        update.map_err(|error| LocalError::aws("UpdateEventSourceMapping", &error))?;
    }
    Ok(())
}

type Spawned<P> = (
    JoinHandle<()>,
    mpsc::UnboundedSender<<P as drive::Poller>::Input>,
    watch::Receiver<Status>,
);

fn spawn<P: drive::Poller, D: drive::Performer<P>>(poller: P, performer: D) -> Spawned<P> {
    let (commands, orders) = mpsc::unbounded_channel();
    let (tell, status) = watch::channel(Status::default());
    (
        tokio::spawn(drive::drive(poller, performer, orders, tell)),
        commands,
        status,
    )
}
