//! Injects faults in front of any adapter. A closure or a script selects the fault of each call.

use std::{
    collections::HashMap,
    future::{Future, pending},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onewrite::error::ServiceError;
use onewrite::{
    item::NotificationItem,
    limits::PUT_RECORDS_TIMEOUT,
    notification::NotificationId,
    stream::{EventStream, PutResult, Record, StreamError},
    table::{
        Completion, CompletionResult, Completions, CurrentState, CurrentStates, InsertResult,
        NewNotifications, TableError,
    },
};

/// A fault of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// The call or entry succeeds.
    #[default]
    None,
    /// All attempts of the SDK are throttled; no effect.
    Throttled,
    /// Access denied; no effect.
    Refused,
    /// The connection is reset before the request arrives. The caller does not know the outcome; no effect.
    RequestLost,
    /// The connection is reset before the response arrives. The caller does not know the outcome; the effect happens.
    ResponseLost,
    /// The call never returns; no effect.
    SilentBefore,
    /// The call never returns; the effect happens.
    SilentAfter,
    /// Delays the effect and the response.
    Delayed(Duration),
    /// Delays the response only.
    AnswerDelayed(Duration),
    /// The call panics; no effect.
    Panic,
}

/// A slow path to the stream. The call takes the latency and the time that its bytes need. If that is longer than
/// [`PUT_RECORDS_TIMEOUT`], the caller gives up at that time and does not know the outcome, although the stream stores the
/// records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowPath {
    /// The time of a call without records.
    pub latency: Duration,
    /// The bandwidth. Zero is none, so no call returns in time.
    pub bytes_per_second: u32,
}

impl SlowPath {
    /// The time that a call with this many bytes takes.
    #[must_use]
    pub fn time(self, bytes: usize) -> Duration {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let seconds = f64::from(bytes) / f64::from(self.bytes_per_second);
        let upload = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        self.latency.saturating_add(upload)
    }
}

/// A fault of one `PutRecords` call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamFault {
    /// A fault of the whole call.
    Call(Fault),
    /// A fault per entry; entries beyond the list succeed.
    Entries(Vec<EntryFault>),
    /// Stores the records, but omits the last entry from the response.
    Miscounted,
    /// The call is slow, and its outcome is unknown if it takes too long.
    Slow(SlowPath),
}

/// A fault of one entry of a `PutRecords` call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EntryFault {
    /// The call or entry succeeds.
    #[default]
    None,
    /// Fails with `ProvisionedThroughputExceededException`; not stored.
    Throttled,
    /// Fails with `InternalFailure`; not stored.
    Lost,
    /// Fails with `InternalFailure`, but is stored.
    StoredButFailed,
}

impl Default for StreamFault {
    fn default() -> Self {
        Self::Call(Fault::None)
    }
}

impl From<Fault> for StreamFault {
    fn from(fault: Fault) -> Self {
        Self::Call(fault)
    }
}

impl StreamFault {
    /// Applies `fault` to entry `n` if bit `n` of `mask` is set.
    #[must_use]
    pub fn mask(mask: u64, fault: EntryFault) -> Self {
        let entry = |n| {
            if mask >> n & 1 == 1 {
                fault
            } else {
                EntryFault::None
            }
        };
        Self::Entries((0..u64::BITS).map(entry).collect())
    }
}

/// A call to the table, passed to the closure that selects its fault.
#[derive(Debug, Clone, Copy)]
pub struct TableCall<'a> {
    /// The number of the call, from 0.
    pub number: usize,
    /// The id of the item.
    pub id: &'a NotificationId,
    /// Whether the call is a completion; otherwise it is an insert.
    pub is_completion: bool,
}

type DecideTable = dyn Fn(&TableCall<'_>) -> Fault + Send + Sync;
type DecideRead = dyn Fn(usize) -> Fault + Send + Sync;
type DecideStream = dyn Fn(usize, &[Record]) -> StreamFault + Send + Sync;

/// Wraps a table adapter and injects faults. Clones share the count of calls.
#[derive(Clone)]
pub struct FaultyTable<T> {
    inner: T,
    calls: Arc<AtomicUsize>,
    decide: Arc<DecideTable>,
    reads: Arc<AtomicUsize>,
    decide_read: Arc<DecideRead>,
}

impl<T> FaultyTable<T> {
    /// Injects the fault that `decide` returns for each call.
    pub fn new(inner: T, decide: impl Fn(&TableCall<'_>) -> Fault + Send + Sync + 'static) -> Self {
        Self {
            inner,
            calls: Arc::default(),
            decide: Arc::new(decide),
            reads: Arc::default(),
            decide_read: Arc::new(|_| Fault::None),
        }
    }

    /// Injects the fault that `decide` returns for each read of current states, by its number, from 0. Reads do not count as
    /// calls.
    #[must_use]
    pub fn with_faulty_reads(
        self,
        decide: impl Fn(usize) -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self {
            decide_read: Arc::new(decide),
            ..self
        }
    }

    /// Injects the faults of `script` into the first calls, in order. Later calls succeed.
    pub fn scripted(inner: T, script: impl Into<Vec<Fault>>) -> Self {
        let script = script.into();
        Self::new(inner, move |call| {
            script.get(call.number).copied().unwrap_or_default()
        })
    }

    fn fault(&self, id: &NotificationId, is_completion: bool) -> Fault {
        (self.decide)(&TableCall {
            number: self.calls.fetch_add(1, Ordering::SeqCst),
            id,
            is_completion,
        })
    }
}

impl<T: NewNotifications> NewNotifications for FaultyTable<T> {
    async fn insert(&self, item: &NotificationItem) -> Result<InsertResult, TableError> {
        let fault = self.fault(&item.notification.id, false);
        inject(fault, self.inner.insert(item)).await
    }
}

impl<T: CurrentStates> CurrentStates for FaultyTable<T> {
    async fn current_states(
        &self,
        ids: &[NotificationId],
    ) -> Result<HashMap<NotificationId, CurrentState>, TableError> {
        let fault = (self.decide_read)(self.reads.fetch_add(1, Ordering::SeqCst));
        inject(fault, self.inner.current_states(ids)).await
    }
}

impl<T: Completions> Completions for FaultyTable<T> {
    type Write = T::Write;

    async fn complete(
        &self,
        completion: &Completion,
        writes: Vec<T::Write>,
    ) -> Result<CompletionResult, TableError> {
        let fault = self.fault(&completion.id, true);
        inject(fault, self.inner.complete(completion, writes)).await
    }
}

/// Wraps a stream adapter and injects faults. Clones share the count of calls.
#[derive(Clone)]
pub struct FaultyStream<S> {
    inner: S,
    calls: Arc<AtomicUsize>,
    decide: Arc<DecideStream>,
}

impl<S> FaultyStream<S> {
    /// Injects the fault that `decide` returns for each call. `decide` receives the call number, from 0, and the records.
    pub fn new(
        inner: S,
        decide: impl Fn(usize, &[Record]) -> StreamFault + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            calls: Arc::default(),
            decide: Arc::new(decide),
        }
    }

    /// Injects the faults of `script` into the first calls, in order. Later calls succeed.
    pub fn scripted(inner: S, script: impl Into<Vec<StreamFault>>) -> Self {
        let script = script.into();
        Self::new(inner, move |number, _| {
            script.get(number).cloned().unwrap_or_default()
        })
    }
}

impl<S: EventStream> EventStream for FaultyStream<S> {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        match (self.decide)(number, records) {
            StreamFault::Call(fault) => inject(fault, self.inner.put(records)).await,
            StreamFault::Entries(faults) => self.put_some(records, &faults).await,
            StreamFault::Slow(path) => {
                let time = path.time(records.iter().map(Record::bytes).sum());
                tokio::time::sleep(time.min(PUT_RECORDS_TIMEOUT)).await;
                let answer = self.inner.put(records).await;
                if time > PUT_RECORDS_TIMEOUT {
                    answer?;
                    return Err(ServiceError::unknown("timeout").into());
                }
                answer
            }
            StreamFault::Miscounted => {
                let received = self.inner.put(records).await?.len().saturating_sub(1);
                Err(StreamError::Malformed {
                    sent: records.len(),
                    received,
                })
            }
        }
    }
}

impl<S: EventStream> FaultyStream<S> {
    async fn put_some(
        &self,
        records: &[Record],
        faults: &[EntryFault],
    ) -> Result<Vec<PutResult>, StreamError> {
        let fault = |place: usize| faults.get(place).copied().unwrap_or_default();
        let is_stored =
            |place| matches!(fault(place), EntryFault::None | EntryFault::StoredButFailed);
        let stored: Vec<Record> = records
            .iter()
            .enumerate()
            .filter(|(place, _)| is_stored(*place))
            .map(|(_, record)| record.clone())
            .collect();
        let mut answers = if stored.is_empty() {
            Vec::new()
        } else {
            self.inner.put(&stored).await?
        }
        .into_iter();
        let answer = |place| {
            let answer = if is_stored(place) {
                answers.next()
            } else {
                None
            };
            match (fault(place), answer) {
                (EntryFault::None, Some(put)) => put,
                (EntryFault::Throttled, _) => failed("ProvisionedThroughputExceededException"),
                _ => failed("InternalFailure"),
            }
        };
        Ok((0..records.len()).map(answer).collect())
    }
}

fn failed(code: &str) -> PutResult {
    PutResult::Failed {
        code: code.to_owned(),
    }
}

const THROTTLED: &str = "ProvisionedThroughputExceededException";
const REFUSED: &str = "AccessDeniedException";
const UNKNOWN: &str = "connection reset";

async fn inject<T, E: From<ServiceError>>(
    fault: Fault,
    effect: impl Future<Output = Result<T, E>> + Send,
) -> Result<T, E> {
    match fault {
        Fault::None => effect.await,
        Fault::Throttled => Err(ServiceError::Throttled {
            code: THROTTLED.to_owned(),
        }
        .into()),
        Fault::Refused => Err(ServiceError::refused(REFUSED).into()),
        Fault::RequestLost => Err(ServiceError::unknown(UNKNOWN).into()),
        Fault::ResponseLost => {
            effect.await?;
            Err(ServiceError::unknown(UNKNOWN).into())
        }
        Fault::SilentBefore => pending().await,
        Fault::SilentAfter => {
            effect.await?;
            pending().await
        }
        Fault::Delayed(delay) => {
            tokio::time::sleep(delay).await;
            effect.await
        }
        Fault::AnswerDelayed(delay) => {
            let answer = effect.await;
            tokio::time::sleep(delay).await;
            answer
        }
        Fault::Panic => panic!("injected panic"),
    }
}
