//! Runs the event source mappings of a deployed stack against the emulator.
//!
//! This module does I/O only. The state machines of `onewrite-event-sources` decide what is received, batched, invoked,
//! deleted, retried and discarded.

mod invoker;
mod lambda_metrics;
mod mappings;
mod observer;
mod poller;
mod pollers;
mod sqs;
mod streams;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onewrite_event_sources::choices::Choices;
use onewrite_event_sources::mapping::{Mapping, SqsMapping, StreamKind, StreamMapping};
use onewrite_event_sources::sqs::SqsPoller;
use onewrite_event_sources::stream::{SourceInfo, StreamPoller};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use invoker::{Function, InvocationResult, Invoker, LambdaInvoker};
pub use lambda_metrics::LambdaMetrics;
use mappings::DeployedMapping;
pub use observer::Observer;
use poller::{Executor, Poller};
use pollers::{Commands, Hold, PollerHandle, Pollers};
use streams::{FailureDestinations, KinesisSource, StreamExecutor, TableStreamSource, Watched};

use crate::clients::Clients;
use crate::emulator::REGION;
use crate::error::{Result, causes};
use crate::lambda::Lambda;

/// How often the states of the mappings are read, so that a mapping that is paused or resumed is noticed.
const STATE_INTERVAL: Duration = Duration::from_secs(1);

/// The event sources of one stack. Dropping it stops them at once; records and messages in flight are retried by AWS's
/// own rules.
pub struct EventSources {
    /// On the heap, because clients are large.
    context: Box<Context>,
    pollers: Pollers,
    watcher: JoinHandle<()>,
}

impl fmt::Debug for EventSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSources")
            .field("pollers", &self.pollers)
            .finish_non_exhaustive()
    }
}

impl Drop for EventSources {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl EventSources {
    /// Reads the stack's mappings and starts a poller for each. Those of disabled mappings poll as soon as the mapping is enabled.
    /// `metrics` records what Lambda publishes to CloudWatch, and `observer` sees what the pollers do.
    ///
    /// # Errors
    /// [`crate::error::LocalError::UnexpectedStack`] for a mapping that AWS would reject, or a failed call.
    pub async fn start(
        clients: &Clients,
        invoker: Arc<dyn Invoker>,
        choices: Choices,
        metrics: &LambdaMetrics,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let context = Context {
            clients: clients.clone(),
            invoker: metrics.wrap(invoker),
            choices,
            metrics: metrics.clone(),
            observer,
        };
        let pollers = Pollers::default();
        let mut sources = Self {
            context: Box::new(context),
            watcher: tokio::spawn(follow_states(clients.functions.clone(), pollers.clone())),
            pollers,
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
        let states = deployed
            .iter()
            .map(|one| (one.uuid().to_owned(), one.is_enabled));
        let states: BTreeMap<_, _> = states.collect();
        self.pollers.retain(&states);
        for one in deployed {
            if !self.pollers.contains(one.uuid()) {
                let poller = self.context.start(one).await?;
                self.pollers.push(poller);
            }
        }
        self.pollers.switch(&states);
        Ok(())
    }

    /// Keeps the pollers as they are until the result is dropped, whatever happens to the mappings.
    pub(crate) fn hold(&self) -> Hold {
        self.pollers.lock().is_held = true;
        Hold(self.pollers.clone())
    }

    /// Starts polling of the enabled mappings, or resumes at the checkpoint after [`EventSources::disable`].
    pub fn enable(&self) {
        self.pollers.disable_all(false);
    }

    /// Stops polling. Invocations in flight finish.
    pub fn disable(&self) {
        self.pollers.disable_all(true);
    }

    /// Pauses and resumes the pollers while something else owns them.
    #[must_use]
    pub fn switch(&self) -> PollingSwitch {
        PollingSwitch(self.pollers.clone())
    }

    /// Whether a mapping of this function is polled.
    #[must_use]
    pub fn is_polling(&self, function: &str) -> bool {
        self.pollers.is_polling(function)
    }

    /// Whether no mapping has anything in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pollers.is_idle()
    }
}

/// Pauses and resumes all pollers of a stack. Clones switch the same pollers.
#[derive(Clone, Debug)]
pub struct PollingSwitch(Pollers);

impl PollingSwitch {
    /// Stops polling, or resumes at the checkpoints. Invocations in flight finish.
    pub fn pause(&self, is_paused: bool) {
        self.0.disable_all(is_paused);
    }

    /// Whether all pollers are stopped, whatever the states of their mappings.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.lock().is_disabled
    }

    /// Whether a mapping of this function is polled.
    #[must_use]
    pub fn is_polling(&self, function: &str) -> bool {
        self.0.is_polling(function)
    }

    /// Whether no mapping has anything in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.is_idle()
    }
}

/// How many concurrent invocations of a function the mapping of its queue allows.
///
/// # Errors
/// [`crate::error::LocalError::UnexpectedStack`] if it has no such mapping or AWS would reject it, or a failed call.
pub(crate) async fn queue_concurrency(clients: &Clients, function: &str) -> Result<usize> {
    mappings::read_concurrency(&clients.functions, function).await
}

/// Enables and disables pollers as the states of their mappings change.
async fn follow_states(functions: Lambda, pollers: Pollers) {
    loop {
        tokio::time::sleep(STATE_INTERVAL).await;
        if pollers.lock().is_held {
            continue;
        }
        match mappings::read_states(&functions).await {
            Ok(states) => {
                if !pollers.lock().is_held {
                    pollers.switch(&states);
                }
            }
            // The emulator may be busy, or about to end.
            Err(error) => tracing::debug!(error = causes(&error), "failed to list mappings"),
        }
    }
}

/// What every poller of a stack needs.
struct Context {
    clients: Clients,
    invoker: Arc<dyn Invoker>,
    choices: Choices,
    metrics: LambdaMetrics,
    observer: Arc<dyn Observer>,
}

impl Context {
    /// Starts a poller, which polls nothing yet.
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
            observer: Arc::clone(&self.observer),
        };
        let names = (mapping.uuid.clone(), executor.function.name.clone());
        let poller = SqsPoller::new(mapping, facts, self.choices);
        Ok(spawn(names, poller, executor, Commands::Sqs))
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
        let (uuid, name) = (mapping.uuid.clone(), function.name.clone());
        let watched = Watched {
            kind: mapping.kind,
            observer: Arc::clone(&self.observer),
        };
        let executor = StreamExecutor::new(
            source,
            function,
            Arc::clone(&self.invoker),
            FailureDestinations::new(self.clients.clone(), uuid.clone()),
            self.metrics.clone(),
            watched,
        );
        let poller = StreamPoller::new(mapping, self.choices);
        spawn((uuid, name), poller, executor, Commands::Stream)
    }
}

/// Runs the poller of a mapping with this id, which invokes the function with this name.
fn spawn<P: Poller, E: Executor<P>>(
    (uuid, function): (String, String),
    poller: P,
    executor: E,
    commands: impl FnOnce(mpsc::UnboundedSender<P::Input>) -> Commands,
) -> PollerHandle {
    let (command_sender, command_receiver) = mpsc::unbounded_channel();
    let (idle_sender, is_idle) = watch::channel(true);
    let run = poller::run(poller, executor, command_receiver, idle_sender);
    let task = tokio::spawn(run);
    PollerHandle::new(uuid, function, is_idle, commands(command_sender), task)
}
