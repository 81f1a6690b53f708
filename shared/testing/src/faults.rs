//! Faults in front of any adapter: what a call meets is decided call by call, by a closure or a script.

use std::{
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
    notification::NotificationId,
    stream::{EventStream, PutResult, Record, StreamError},
    table::{
        Completion, CompletionResult, Completions, InsertResult, NewNotifications, TableError,
    },
};

/// What one call meets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Throttled past the SDK's attempts; no effect.
    Throttled,
    /// Access denied; no effect.
    Refused,
    /// A connection reset on the way there: the outcome is unknown to the caller; no effect.
    RequestLost,
    /// A connection reset on the way back: the outcome is unknown to the caller; the effect took place.
    ResponseLost,
    /// No answer, ever; no effect.
    SilentBefore,
    /// No answer, ever; the effect took place.
    SilentAfter,
    /// The effect and the answer come so much later.
    Delayed(Duration),
    /// The effect comes at once, the answer so much later.
    AnswerDelayed(Duration),
    /// The code panics; no effect.
    Panic,
}

/// What one `PutRecords` call meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamFault {
    /// The call as a whole.
    Call(Fault),
    /// Entry by entry; entries beyond the list meet nothing.
    Entries(Vec<EntryFault>),
    /// The records are stored, and the last entry is missing from the answer.
    Miscounted,
}

/// What one entry of a `PutRecords` call meets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EntryFault {
    /// Nothing.
    #[default]
    None,
    /// `ProvisionedThroughputExceededException`; it is not stored.
    Throttled,
    /// `InternalFailure`; it is not stored.
    Lost,
    /// `InternalFailure`; it is stored all the same.
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
    /// Entry `n` meets `fault` where bit `n` of `mask` is set.
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

/// A call to the table, as a closure sees it that decides on its fault.
#[derive(Debug, Clone, Copy)]
pub struct TableCall<'a> {
    /// Counts this decorator's calls, from 0.
    pub number: usize,
    /// Whose item is written.
    pub id: &'a NotificationId,
    /// Whether it is a completion; else it is an insert.
    pub is_completion: bool,
}

type DecideTable = dyn Fn(&TableCall<'_>) -> Fault + Send + Sync;
type DecideStream = dyn Fn(usize, &[Record]) -> StreamFault + Send + Sync;

/// An adapter of the table with faults in front of it. A clone shares its count of calls.
#[derive(Clone)]
pub struct FaultyTable<T> {
    inner: T,
    calls: Arc<AtomicUsize>,
    decide: Arc<DecideTable>,
}

impl<T> FaultyTable<T> {
    /// Each call meets what `decide` says.
    pub fn new(inner: T, decide: impl Fn(&TableCall<'_>) -> Fault + Send + Sync + 'static) -> Self {
        Self {
            inner,
            calls: Arc::default(),
            decide: Arc::new(decide),
        }
    }

    /// The first calls meet what `script` says, in its order; later ones nothing.
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

/// An adapter of the stream with faults in front of it. A clone shares its count of calls.
#[derive(Clone)]
pub struct FaultyStream<S> {
    inner: S,
    calls: Arc<AtomicUsize>,
    decide: Arc<DecideStream>,
}

impl<S> FaultyStream<S> {
    /// Each call meets what `decide` says, which is given the call's number, from 0, and its records.
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

    /// The first calls meet what `script` says, in its order; later ones nothing.
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
        Fault::Panic => panic!("a fault was to make this call panic"),
    }
}
