//! The functions as the service sees them: an event in, a response or an error out. This module builds the real ones.

use std::cell::RefCell;
use std::collections::VecDeque;
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
use onewrite::item::Enrichment;
use onewrite::notification::{MessagePointers, Notification};
use onewrite::stream::EventStream;
use onewrite::table::{Completions, CurrentStates, NewNotifications};
use onewrite_complete::handler::Complete;
use onewrite_event_sources::choices::Mixer;
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

/// One invocation.
pub(crate) struct Call {
    /// The event, as JSON.
    pub(crate) event: String,
    /// The remaining time of the invocation.
    pub(crate) time: Duration,
    /// Whether the other of two deployed versions serves it.
    pub(crate) is_other_version: bool,
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
    pub(crate) retention_days: u32,
}

impl Parts {
    pub(crate) fn new(seed: u64, fault_plan: FaultPlan, shards: u32, max_in_flight: usize) -> Self {
        let table = InMemoryTable::default()
            .with_clock(clock::wall_clock)
            .with_other_table(LEDGER, ENTRY_ID);
        let mut mixer = Mixer::new(seed ^ 0x4ece_15e5);
        let has_receivers = mixer.one_in(2);
        let max_per_second = mixer.one_in(3).then(|| NonZeroU32::new(50)).flatten();
        Self {
            receivers: Receivers::new(table.clone(), fault_plan.clone(), max_per_second),
            has_receivers,
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
        }
    }

    /// The functions as deployed, over ports that inject faults.
    pub(crate) fn functions(&self) -> Functions {
        Functions {
            ingest: self.ingest(&self.faulty_table(self.table.clone())),
            forward: self.forward(self.faulty_stream(self.stream.clone())),
            complete: self.complete(self.faulty_table(self.table.clone()), self.downstream()),
        }
    }

    /// The downstream of each process.
    pub(crate) fn downstream(&self) -> impl Fn(&Arc<Process>) -> WorldDownstream + 'static {
        let (ledger, has_receivers) = (self.ledger.clone(), self.has_receivers);
        move |process| {
            if has_receivers {
                let targets = process.receivers().targets(process);
                WorldDownstream::Targets(Arc::clone(process), targets)
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
        let version = |aggregate: fn(&Notification) -> Enrichment| {
            let pointers = MessagePointers::default();
            let ingest = Ingest::new(table.clone(), pointers, self.max_in_flight, aggregate);
            Rc::new(
                ingest
                    .with_queue(Some(self.deferrals.clone()))
                    .with_jitter(clock::jitter)
                    .with_observer(
                        Observer::default()
                            .with_clock(clock::wall_clock)
                            .with_metrics(|_| {}),
                    ),
            )
        };
        let plain = version(|_| Enrichment::default());
        let other = version(|_| {
            let mut enrichment = Enrichment::default();
            enrichment.insert("version", 2);
            enrichment
        });
        handler(move |event, budget, is_other_version| {
            let ingest = Rc::clone(if is_other_version { &other } else { &plain });
            async move { ingest.handle(event, budget).await }.boxed_local()
        })
    }

    pub(crate) fn forward<S: EventStream + 'static>(&self, stream: S) -> Handler {
        let forward = Forward::new(stream, EventSource::default());
        let forward = Rc::new(
            forward
                .with_jitter(clock::jitter)
                .with_observer(Observer::default().with_metrics(|_| {})),
        );
        handler(move |event, budget, _| {
            let forward = Rc::clone(&forward);
            async move { forward.handle(event, budget).await }.boxed_local()
        })
    }

    /// An invocation runs in the process that has waited longest, or in a new one. Its process ends if the invocation does not
    /// respond.
    pub(crate) fn complete<T, D>(
        &self,
        table: T,
        downstream: impl Fn(&Arc<Process>) -> D + 'static,
    ) -> Handler
    where
        T: Completions<Write = TransactWriteItem> + CurrentStates + Clone + 'static,
        D: Downstream<TransactWriteItem> + 'static,
    {
        let waiting = Rc::new(RefCell::new(VecDeque::new()));
        let Self {
            receivers,
            retention_days,
            max_in_flight,
            ..
        } = self.clone();
        handler(move |event, budget, _| {
            let known = waiting.borrow_mut().pop_front();
            let (process, complete) = known.unwrap_or_else(|| {
                let process = Process::new(receivers.clone());
                let completer =
                    Completer::new(table.clone(), retention_days).with_clock(clock::wall_clock);
                let complete = Complete::new(completer, downstream(&process), max_in_flight)
                    .with_observer(Observer::default().with_metrics(|_| {}));
                (process, complete)
            });
            let waiting = Rc::clone(&waiting);
            async move {
                process.begin();
                let response = complete.handle(event, budget).await;
                waiting.borrow_mut().push_back((process, complete));
                response
            }
            .boxed_local()
        })
    }
}

/// Wraps a handler as the Lambda runtime does.
pub(crate) fn handler<E, T, X, F>(handle: F) -> Handler
where
    E: FromStr<Err: std::fmt::Display>,
    T: Serialize,
    X: std::fmt::Display,
    F: Fn(E, Budget, bool) -> LocalBoxFuture<'static, Result<T, X>> + 'static,
{
    let handle = Rc::new(handle);
    Box::new(move |call| {
        let handle = Rc::clone(&handle);
        async move {
            let event = call.event.parse::<E>();
            let event = event.map_err(|error| error.to_string())?;
            let budget = Budget::from_remaining(None, call.time);
            let response = handle(event, budget, call.is_other_version).await;
            let response = response.map_err(|error| error.to_string())?;
            serde_json::to_string(&response).map_err(|error| error.to_string())
        }
        .boxed_local()
    })
}
