//! Runs the event source mappings of a deployed stack against the emulator.
//!
//! This module does I/O only. The state machines of `onewrite-event-sources` decide what is received, batched, invoked,
//! deleted, retried and discarded.

mod invoker;
mod lambda_metrics;
mod mappings;
mod poller;
mod sqs;
mod streams;

use std::fmt;
use std::sync::Arc;

use onewrite_event_sources::choices::Choices;
use onewrite_event_sources::mapping::{Mapping, SqsMapping, StreamKind, StreamMapping};
use onewrite_event_sources::sqs::{Input as SqsInput, SqsPoller};
use onewrite_event_sources::stream::{Input as StreamInput, SourceInfo, StreamPoller};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use invoker::{Function, InvocationResult, Invoker, LambdaInvoker};
pub use lambda_metrics::LambdaMetrics;
use mappings::DeployedMapping;
use poller::{Executor, Poller};
use streams::{FailureDestinations, KinesisSource, StreamExecutor, TableStreamSource};

use crate::clients::Clients;
use crate::emulator::REGION;
use crate::error::Result;

/// The event sources of one stack. Dropping it stops them at once; records and messages in flight are retried by AWS's
/// own rules.
pub struct EventSources {
    /// On the heap, because clients are large.
    context: Box<Context>,
    pollers: Vec<PollerHandle>,
}

impl fmt::Debug for EventSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSources")
            .field("pollers", &self.pollers)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct PollerHandle {
    /// The id of the mapping.
    uuid: String,
    is_idle: watch::Receiver<bool>,
    commands: Commands,
    task: JoinHandle<()>,
}

impl PollerHandle {
    fn enable(&self) {
        self.send(&SqsInput::Enable, &StreamInput::Enable);
    }

    /// A send fails only if the poller has ended, which happens only when this value is dropped.
    fn send(&self, sqs: &SqsInput, stream: &StreamInput) {
        match &self.commands {
            Commands::Sqs(commands) => drop(commands.send(sqs.clone())),
            Commands::Stream(commands) => drop(commands.send(stream.clone())),
        }
    }
}

impl Drop for PollerHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
enum Commands {
    Sqs(mpsc::UnboundedSender<SqsInput>),
    Stream(mpsc::UnboundedSender<StreamInput>),
}

impl EventSources {
    /// Reads the stack's mappings and starts a poller for each. `metrics` records what Lambda publishes to CloudWatch.
    ///
    /// # Errors
    /// [`crate::error::LocalError::UnexpectedStack`] for a mapping that AWS would reject, or a failed call.
    pub async fn start(
        clients: &Clients,
        invoker: Arc<dyn Invoker>,
        choices: Choices,
        metrics: &LambdaMetrics,
    ) -> Result<Self> {
        let context = Context {
            clients: clients.clone(),
            invoker: metrics.wrap(invoker),
            choices,
            metrics: metrics.clone(),
        };
        let mut sources = Self {
            context: Box::new(context),
            pollers: Vec::new(),
        };
        sources.refresh().await?;
        Ok(sources)
    }

    /// Starts a poller for each new mapping, and stops those of removed ones. The others keep their settings.
    ///
    /// # Errors
    /// As for [`EventSources::start`].
    pub(crate) async fn refresh(&mut self) -> Result<()> {
        let deployed = mappings::read_all(&self.context.clients).await?;
        let is_deployed = |uuid: &str| deployed.iter().any(|one| one.uuid() == uuid);
        self.pollers.retain(|poller| is_deployed(&poller.uuid));
        let mut started = Vec::new();
        for one in deployed {
            let uuid = one.uuid();
            if !self.pollers.iter().any(|poller| poller.uuid == uuid) {
                started.push(self.context.start(one).await?);
            }
        }
        started.iter().for_each(PollerHandle::enable);
        self.pollers.extend(started);
        Ok(())
    }

    /// Starts polling, or resumes at the checkpoint after [`EventSources::disable`].
    pub fn enable(&self) {
        self.pollers.iter().for_each(PollerHandle::enable);
    }

    /// Stops polling. Invocations in flight finish.
    pub fn disable(&self) {
        let (sqs, stream) = (SqsInput::Disable, StreamInput::Disable);
        self.pollers
            .iter()
            .for_each(|poller| poller.send(&sqs, &stream));
    }

    /// Whether no mapping has anything in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pollers.iter().all(|poller| *poller.is_idle.borrow())
    }
}

/// What every poller of a stack needs.
struct Context {
    clients: Clients,
    invoker: Arc<dyn Invoker>,
    choices: Choices,
    metrics: LambdaMetrics,
}

impl Context {
    async fn start(&self, deployed: DeployedMapping) -> Result<PollerHandle> {
        let (function, role_arn) = (deployed.function, deployed.role_arn);
        match deployed.mapping {
            Mapping::Sqs(mapping) => self.start_sqs(mapping, function).await,
            Mapping::Stream(mapping) => Ok(self.start_stream(mapping, function, role_arn)),
        }
    }

    async fn start_sqs(&self, mapping: SqsMapping, function: Function) -> Result<PollerHandle> {
        let arn = &mapping.event_source_arn;
        let (url, facts) = mappings::read_queue(&self.clients, arn, &function).await?;
        let executor = sqs::SqsExecutor {
            client: self.clients.sqs.clone(),
            url,
            function,
            invoker: Arc::clone(&self.invoker),
        };
        let uuid = mapping.uuid.clone();
        let poller = SqsPoller::new(mapping, facts, self.choices);
        Ok(spawn(uuid, poller, executor, Commands::Sqs))
    }

    fn start_stream(
        &self,
        mapping: StreamMapping,
        function: Function,
        role_arn: String,
    ) -> PollerHandle {
        let facts = SourceInfo {
            arn: mapping.event_source_arn.clone(),
            region: REGION.to_owned(),
            invoke_identity_arn: role_arn,
        };
        match mapping.kind {
            StreamKind::DynamoDb => {
                let client = self.clients.streams.clone();
                let source = TableStreamSource { client, facts };
                self.start_stream_from(source, mapping, function)
            }
            StreamKind::Kinesis => {
                let client = self.clients.kinesis.clone();
                let source = KinesisSource { client, facts };
                self.start_stream_from(source, mapping, function)
            }
        }
    }

    fn start_stream_from<S: streams::Source>(
        &self,
        source: S,
        mapping: StreamMapping,
        function: Function,
    ) -> PollerHandle {
        let uuid = mapping.uuid.clone();
        let executor = StreamExecutor::new(
            source,
            function,
            Arc::clone(&self.invoker),
            FailureDestinations::new(self.clients.clone(), uuid.clone()),
            self.metrics.clone(),
        );
        let poller = StreamPoller::new(mapping, self.choices);
        spawn(uuid, poller, executor, Commands::Stream)
    }
}

fn spawn<P: Poller, E: Executor<P>>(
    uuid: String,
    poller: P,
    executor: E,
    commands: impl FnOnce(mpsc::UnboundedSender<P::Input>) -> Commands,
) -> PollerHandle {
    let (command_sender, command_receiver) = mpsc::unbounded_channel();
    let (idle_sender, is_idle) = watch::channel(true);
    let run = poller::run(poller, executor, command_receiver, idle_sender);
    PollerHandle {
        uuid,
        is_idle,
        commands: commands(command_sender),
        task: tokio::spawn(run),
    }
}
