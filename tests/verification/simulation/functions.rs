//! The functions as the service sees them: an event in, a response or an error out. This module builds the real ones.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::TransactWriteItem;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use onewrite::completion::{Completer, Downstream};
use onewrite::event::EventSource;
use onewrite::item::{Enrichment, PayloadCompression};
use onewrite::notification::{ConsumerName, MessagePointers, Notification};
use onewrite::stream::EventStream;
use onewrite::table::{Completions, CurrentStates, NewNotifications};
use onewrite_complete::handler::Complete;
use onewrite_event_sources::choices::Mixer;
use onewrite_forward::change::ChangeEvent;
use onewrite_forward::handler::Forward;
use onewrite_ingest::handler::Ingest;
use onewrite_runtime::{budget::Budget, observer::Observer};
use onewrite_testing::{FaultyStream, FaultyTable, InMemoryStream, InMemoryTable};
use serde::Serialize;

use crate::clock;
use crate::deferrals::Deferrals;
use crate::downstream::WorldDownstream;
use crate::effects::{ENTRY_ID, LEDGER, LedgerDownstream};
use crate::fault_plan::FaultPlan;
use crate::receivers::{Process, Receivers};
use crate::witness::{Publisher, Witness, WitnessedStream, WitnessedTable};

/// One invocation.
pub(crate) struct Call {
    /// The event, as JSON.
    pub(crate) event: String,
    /// The remaining time of the invocation.
    pub(crate) time: Duration,
    pub(crate) variant: Variant,
}

/// Which of the functions with the same handler serves an invocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Variant {
    /// Whether the other of two deployed versions serves it.
    pub(crate) is_other_version: bool,
    /// The mapping that invokes the function. Two consumers follow the notification stream.
    pub(crate) mapping: usize,
}

/// The name of the consumer behind a mapping.
pub(crate) fn consumer_name(mapping: usize) -> ConsumerName {
    format!("complete-{mapping}").parse().unwrap()
}

/// The response as JSON, or the error.
pub(crate) type Response = Result<String, String>;

pub(crate) type Handler = Box<dyn Fn(Call) -> LocalBoxFuture<'static, Response>>;

/// The three functions of the pipeline; `complete` serves two consumers.
pub(crate) struct Functions {
    pub(crate) ingest: Handler,
    pub(crate) forward: Handler,
    pub(crate) complete: Handler,
}

impl Functions {
    pub(crate) fn with_ingest(self, ingest: Handler) -> Self {
        Self { ingest, ..self }
    }

    pub(crate) fn with_forward(self, forward: Handler) -> Self {
        Self { forward, ..self }
    }

    pub(crate) fn with_complete(self, complete: Handler) -> Self {
        Self { complete, ..self }
    }
}

/// The dependencies of the functions.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) table: InMemoryTable,
    pub(crate) stream: InMemoryStream,
    pub(crate) fault_plan: FaultPlan,
    pub(crate) deferrals: Deferrals,
    pub(crate) ledger: LedgerDownstream,
    pub(crate) receivers: Receivers,
    /// Whether the downstream is the receivers instead of the ledger.
    pub(crate) has_receivers: bool,
    pub(crate) max_in_flight: usize,
    /// Whether `ingest` compresses. Its other version does not.
    pub(crate) compression: PayloadCompression,
    pub(crate) retention_days: u32,
    pub(crate) witness: Witness,
    /// The number of deployments. A deployment replaces all processes.
    deployments: Rc<Cell<u64>>,
}

impl Parts {
    pub(crate) fn new(seed: u64, fault_plan: FaultPlan, shards: u32, max_in_flight: usize) -> Self {
        let table = InMemoryTable::default()
            .with_clock(clock::wall_clock)
            .with_other_table(LEDGER, ENTRY_ID);
        let mut mixer = Mixer::new(seed ^ 0x4ece_15e5);
        let has_receivers = mixer.one_in(2);
        let compression = if mixer.one_in(4) {
            PayloadCompression::Never
        } else {
            PayloadCompression::Auto
        };
        let max_per_second = mixer.one_in(3).then(|| NonZeroU32::new(50)).flatten();
        Self {
            receivers: Receivers::new(table.clone(), fault_plan.clone(), max_per_second),
            has_receivers,
            compression,
            table,
            stream: InMemoryStream::new(shards)
                .shuffling(seed)
                .with_clock(clock::wall_clock),
            ledger: LedgerDownstream {
                fault_plan: fault_plan.clone(),
                entries: Arc::default(),
            },
            deferrals: Deferrals::new(fault_plan.clone()),
            fault_plan,
            max_in_flight,
            retention_days: u32::from(seed.is_multiple_of(2)),
            witness: Witness::default(),
            deployments: Rc::default(),
        }
    }

    /// Replaces the processes of all functions.
    pub(crate) fn deploy(&self) {
        self.deployments.set(self.deployments.get() + 1);
    }

    /// The functions as deployed, over ports that inject faults.
    pub(crate) fn functions(&self) -> Functions {
        Functions {
            ingest: self.ingest(&self.faulty_table(self.table.clone())),
            forward: self.forward(self.faulty_stream(self.stream.clone())),
            complete: self.complete(self.table.clone(), self.downstream()),
        }
    }

    /// The downstream of each process.
    pub(crate) fn downstream(&self) -> impl Fn(&Arc<Process>) -> WorldDownstream + 'static {
        let (ledger, has_receivers) = (self.ledger.clone(), self.has_receivers);
        move |process| {
            if has_receivers {
                WorldDownstream::Targets(process.receivers().targets(process))
            } else {
                WorldDownstream::Ledger(ledger.clone())
            }
        }
    }

    pub(crate) fn faulty_table<T>(&self, table: T) -> FaultyTable<T> {
        let fault_plan = self.fault_plan.clone();
        FaultyTable::new(table, move |call| {
            fault_plan.table_fault(call.is_completion)
        })
        .with_faulty_reads({
            let fault_plan = self.fault_plan.clone();
            move |_| fault_plan.read_fault()
        })
    }

    pub(crate) fn faulty_stream<S>(&self, stream: S) -> FaultyStream<S> {
        let fault_plan = self.fault_plan.clone();
        FaultyStream::new(stream, move |_, records| {
            fault_plan.stream_fault(records.len())
        })
    }

    pub(crate) fn ingest<T: NewNotifications + Clone + 'static>(&self, table: &T) -> Handler {
        let version = |compression, aggregate: fn(&Notification) -> Enrichment| {
            let pointers = MessagePointers::default();
            let ingest = Ingest::new(table.clone(), pointers, self.max_in_flight, aggregate);
            Rc::new(
                ingest
                    .with_compression(compression)
                    .with_queue(Some(self.deferrals.clone()))
                    .with_jitter(clock::jitter)
                    .with_observer(
                        Observer::default()
                            .with_clock(clock::wall_clock)
                            .with_metrics(|_| {}),
                    ),
            )
        };
        let plain = version(self.compression, |_| Enrichment::default());
        let other = version(PayloadCompression::Never, |_| {
            let mut enrichment = Enrichment::default();
            enrichment.insert("version", 2);
            enrichment
        });
        handler(move |event, budget, variant| {
            let ingest = Rc::clone(if variant.is_other_version {
                &other
            } else {
                &plain
            });
            async move { ingest.handle(event, budget).await }.boxed_local()
        })
    }

    pub(crate) fn forward<S: EventStream + Clone + 'static>(&self, stream: S) -> Handler {
        let start = |stream| {
            Forward::new(stream, EventSource::default())
                .with_jitter(clock::jitter)
                .with_observer(Observer::default().with_metrics(|_| {}))
        };
        let numbers = |event: &ChangeEvent| sequence_numbers(event);
        self.publishing(stream, start, numbers, |forward, event, budget| {
            async move { forward.handle(event, budget).await }.boxed_local()
        })
    }

    /// A function that publishes. `start` starts a process of it, and `numbers` returns the sequence numbers of an event.
    pub(crate) fn publishing<S, P, E, T, X>(
        &self,
        stream: S,
        start: impl Fn(WitnessedStream<S>) -> P + 'static,
        numbers: impl Fn(&E) -> Vec<String> + 'static,
        handle: impl Fn(Rc<P>, E, Budget) -> LocalBoxFuture<'static, Result<T, X>> + 'static,
    ) -> Handler
    where
        S: EventStream + Clone + 'static,
        P: 'static,
        E: FromStr<Err: std::fmt::Display> + 'static,
        T: Serialize + 'static,
        X: std::fmt::Display + 'static,
    {
        let witness = self.witness.clone();
        let start = move |_| {
            let publisher = Publisher::new(witness.clone());
            let stream = WitnessedStream::new(stream.clone(), publisher.clone());
            (publisher, Rc::new(start(stream)))
        };
        self.in_processes(
            start,
            move |started: Rc<(Publisher, Rc<P>)>, event, budget| {
                let (publisher, process) = &*started;
                publisher.begin(numbers(&event));
                let (publisher, response) =
                    (publisher.clone(), handle(Rc::clone(process), event, budget));
                async move {
                    let response: T = response.await?;
                    let json = serde_json::to_value(&response).unwrap();
                    let failed = json["batchItemFailures"][0]["itemIdentifier"].as_str();
                    publisher.end(failed.map(ToOwned::to_owned));
                    Ok::<T, X>(response)
                }
                .boxed_local()
            },
        )
    }

    pub(crate) fn complete<T, D>(
        &self,
        table: T,
        downstream: impl Fn(&Arc<Process>) -> D + 'static,
    ) -> Handler
    where
        T: Completions<Write = TransactWriteItem> + CurrentStates + Clone + 'static,
        D: Downstream<TransactWriteItem> + 'static,
    {
        let parts = self.clone();
        let start = move |mapping| {
            let process = Process::new(parts.receivers.clone());
            let name = consumer_name(mapping);
            let witness = parts.witness.clone();
            let table = WitnessedTable::new(table.clone(), name.clone(), witness);
            let completer = Completer::new(parts.faulty_table(table), parts.retention_days)
                .with_name(name)
                .with_clock(clock::wall_clock);
            let complete = Complete::new(completer, downstream(&process), parts.max_in_flight)
                .with_observer(Observer::default().with_metrics(|_| {}));
            (process, complete)
        };
        self.in_processes(start, |started: Rc<(Arc<Process>, _)>, event, budget| {
            async move {
                let (process, complete) = &*started;
                process.begin();
                complete.handle(event, budget).await
            }
            .boxed_local()
        })
    }

    /// An invocation runs in the process of its function that has waited longest, or in a new one. Its process ends if the
    /// invocation does not respond.
    fn in_processes<P, E, T, X>(
        &self,
        start: impl Fn(usize) -> P + 'static,
        handle: impl Fn(Rc<P>, E, Budget) -> LocalBoxFuture<'static, Result<T, X>> + 'static,
    ) -> Handler
    where
        P: 'static,
        E: FromStr<Err: std::fmt::Display> + 'static,
        T: Serialize + 'static,
        X: std::fmt::Display + 'static,
    {
        type Waiting<P> = HashMap<(u64, usize), VecDeque<Rc<P>>>;
        let waiting: Rc<RefCell<Waiting<P>>> = Rc::default();
        let deployments = Rc::clone(&self.deployments);
        handler(move |event, budget, variant| {
            let function = (deployments.get(), variant.mapping);
            let known = waiting
                .borrow_mut()
                .entry(function)
                .or_default()
                .pop_front();
            let process = known.unwrap_or_else(|| Rc::new(start(variant.mapping)));
            let response = handle(Rc::clone(&process), event, budget);
            let waiting = Rc::clone(&waiting);
            async move {
                let response = response.await;
                let mut waiting = waiting.borrow_mut();
                waiting.entry(function).or_default().push_back(process);
                response
            }
            .boxed_local()
        })
    }
}

/// The sequence numbers of the changes of an event.
pub(crate) fn sequence_numbers(event: &ChangeEvent) -> Vec<String> {
    let records = event.records.iter();
    records
        .map(|record| record.sequence_number.clone().unwrap_or_default())
        .collect()
}

/// Wraps a handler as the Lambda runtime does.
pub(crate) fn handler<E, T, X, F>(handle: F) -> Handler
where
    E: FromStr<Err: std::fmt::Display>,
    T: Serialize,
    X: std::fmt::Display,
    F: Fn(E, Budget, Variant) -> LocalBoxFuture<'static, Result<T, X>> + 'static,
{
    let handle = Rc::new(handle);
    Box::new(move |call| {
        let handle = Rc::clone(&handle);
        async move {
            let event = call.event.parse::<E>();
            let event = event.map_err(|error| error.to_string())?;
            let budget = Budget::from_remaining(None, call.time);
            let response = handle(event, budget, call.variant).await;
            let response = response.map_err(|error| error.to_string())?;
            serde_json::to_string(&response).map_err(|error| error.to_string())
        }
        .boxed_local()
    })
}
