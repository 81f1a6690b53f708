//! The event sources of a deployed stack: each of its mappings is run by the pure state machine of
//! `onewrite-event-sources`, against the emulator.
//!
//! I/O alone: what is received, batched, invoked, deleted, retried and given up is decided there.

mod correct;
mod drive;
mod invoker;
mod meter;
mod settings;
mod sqs;
mod streams;

use std::sync::Arc;

use onewrite_event_sources::choices::Choices;
use onewrite_event_sources::mapping::{Mapping, StreamKind};
use onewrite_event_sources::sqs::SqsPoller;
use onewrite_event_sources::stream::{SourceFacts, StreamPoller};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use drive::Status;
pub use invoker::{Deployed, Function, Invoked, Invoker, Watched};
pub use meter::Meter;

use crate::clients::Clients;
use crate::emulator::REGION;
use crate::error::Result;

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
    Stream(mpsc::UnboundedSender<onewrite_event_sources::stream::Input>),
}

impl EventSources {
    /// Reads the stack's mappings and starts a poller for each. `meter` is told what CloudWatch is.
    ///
    /// # Errors
    /// [`crate::error::LocalError::Deployed`] for a mapping that AWS would refuse, or a failed call.
    pub async fn start(
        clients: &Clients,
        invoker: Arc<dyn Invoker>,
        choices: Choices,
        meter: &Meter,
    ) -> Result<Self> {
        let invoker = meter.around(invoker);
        let mut mappings = Vec::new();
        for deployed in settings::mappings(clients).await? {
            let invoker = Arc::clone(&invoker);
            let name = deployed.function.name.clone();
            let (task, commands, status) = match deployed.mapping {
                Mapping::Sqs(mapping) => {
                    let (url, facts) =
                        settings::queue(clients, &mapping.event_source_arn, &deployed.function)
                            .await?;
                    let queue = sqs::Queue {
                        client: clients.sqs.clone(),
                        url,
                        function: deployed.function,
                        invoker,
                    };
                    let (task, commands, status) =
                        spawn(SqsPoller::new(mapping, facts, choices), queue);
                    (task, Commands::Sqs(commands), status)
                }
                Mapping::Stream(mapping) => {
                    let facts = SourceFacts {
                        arn: mapping.event_source_arn.clone(),
                        region: REGION.to_owned(),
                        invoke_identity_arn: deployed.role_arn,
                    };
                    let source: Box<dyn streams::Source> = match mapping.kind {
                        StreamKind::DynamoDb => Box::new(streams::TableStream {
                            client: clients.streams.clone(),
                            facts,
                        }),
                        StreamKind::Kinesis => Box::new(streams::DataStream {
                            client: clients.kinesis.clone(),
                            facts,
                        }),
                    };
                    let notices = streams::Notices::new(clients.clone(), mapping.uuid.clone());
                    let stream = streams::Stream::new(
                        source,
                        deployed.function,
                        invoker,
                        notices,
                        meter.clone(),
                    );
                    let (task, commands, status) =
                        spawn(StreamPoller::new(mapping, choices), stream);
                    (task, Commands::Stream(commands), status)
                }
            };
            mappings.push(Running {
                name,
                status,
                commands,
                task,
            });
        }
        let sources = Self { mappings };
        sources.enable();
        Ok(sources)
    }

    /// Starts to poll, or resumes after [`EventSources::disable`] where it was left.
    pub fn enable(&self) {
        use onewrite_event_sources::{sqs, stream};
        self.tell(&sqs::Input::Enable, &stream::Input::Enable);
    }

    /// Stops to poll. What is in flight is finished.
    pub fn disable(&self) {
        use onewrite_event_sources::{sqs, stream};
        self.tell(&sqs::Input::Disable, &stream::Input::Disable);
    }

    /// A send fails only when the poller has ended, which it does together with this value.
    fn tell(
        &self,
        sqs: &onewrite_event_sources::sqs::Input,
        stream: &onewrite_event_sources::stream::Input,
    ) {
        for running in &self.mappings {
            match &running.commands {
                Commands::Sqs(commands) => drop(commands.send(sqs.clone())),
                Commands::Stream(commands) => drop(commands.send(stream.clone())),
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

/// Has the emulator keep the mappings as AWS would, and its own pollers off.
///
/// # Errors
/// A failed call.
pub async fn correct_emulator(clients: &Clients) -> Result<()> {
    correct::correct(clients).await
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
