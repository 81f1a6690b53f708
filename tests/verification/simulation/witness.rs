//! What the processes of the functions did at table and stream, as the invariants need it. Processes cannot tell it from their
//! responses, because responses are lost.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard};

use onewrite::notification::{ConsumerName, NotificationId};
use onewrite::stream::{EventStream, PutResult, Record, StreamError};
use onewrite::table::{
    Completion, CompletionResult, Completions, CurrentState, CurrentStates, TableError,
};

/// An invocation of `forward` that responded.
#[derive(Default)]
pub(crate) struct Publishing {
    /// The number of the process.
    pub(crate) process: u64,
    /// The sequence numbers of its changes.
    pub(crate) numbers: Vec<String>,
    /// The ids and the hashes of the events that it put, in this order.
    pub(crate) put: Vec<(String, u64)>,
    /// By hash of an event, how often it was confirmed. Each redrive requires the same event again.
    pub(crate) confirmed: HashMap<u64, usize>,
    /// The sequence number that it reported as failed.
    pub(crate) failed: Option<String>,
}

/// The hash of an event.
pub(crate) fn hash(event: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(event);
    hasher.finish()
}

/// Clones are the same witness.
#[derive(Clone, Default)]
pub(crate) struct Witness(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By id, the name of the consumer that has settled the notification last.
    settlers: HashMap<String, Option<ConsumerName>>,
    /// The number of processes of `forward`.
    processes: u64,
    publishings: Vec<Publishing>,
}

impl Witness {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Notes who has settled the notification with this id.
    pub(crate) fn note_settler(&self, id: &str, name: Option<ConsumerName>) {
        self.lock().settlers.insert(id.to_owned(), name);
    }

    /// Who has settled the notification with this id. `None` if nobody has.
    pub(crate) fn settler(&self, id: &str) -> Option<Option<ConsumerName>> {
        self.lock().settlers.get(id).cloned()
    }

    /// The invocations of `forward` that responded since the last call.
    pub(crate) fn take_publishings(&self) -> Vec<Publishing> {
        std::mem::take(&mut self.lock().publishings)
    }
}

/// The table as one consumer uses it.
#[derive(Clone)]
pub(crate) struct WitnessedTable<T> {
    inner: T,
    consumer: ConsumerName,
    witness: Witness,
}

impl<T> WitnessedTable<T> {
    pub(crate) fn new(inner: T, consumer: ConsumerName, witness: Witness) -> Self {
        Self {
            inner,
            consumer,
            witness,
        }
    }
}

impl<T: CurrentStates> CurrentStates for WitnessedTable<T> {
    async fn current_states(
        &self,
        ids: &[NotificationId],
    ) -> Result<HashMap<NotificationId, CurrentState>, TableError> {
        self.inner.current_states(ids).await
    }
}

impl<T: Completions> Completions for WitnessedTable<T> {
    type Write = T::Write;

    async fn complete(
        &self,
        completion: &Completion,
        writes: Vec<T::Write>,
    ) -> Result<CompletionResult, TableError> {
        let completed = self.inner.complete(completion, writes).await;
        if let Ok(CompletionResult::Settled) = completed {
            let name = Some(self.consumer.clone());
            self.witness.note_settler(completion.id.as_str(), name);
        }
        completed
    }
}

/// What one process of `forward` does. It handles one invocation at a time. Clones are the same process.
#[derive(Clone)]
pub(crate) struct Publisher {
    number: u64,
    witness: Witness,
    current: Arc<Mutex<Publishing>>,
}

impl Publisher {
    pub(crate) fn new(witness: Witness) -> Self {
        let number = {
            let mut state = witness.lock();
            state.processes += 1;
            state.processes
        };
        Self {
            number,
            witness,
            current: Arc::default(),
        }
    }

    /// Begins an invocation with these sequence numbers.
    pub(crate) fn begin(&self, numbers: Vec<String>) {
        *self.current.lock().unwrap() = Publishing {
            process: self.number,
            numbers,
            ..Publishing::default()
        };
    }

    /// Ends an invocation that reported this sequence number as failed.
    pub(crate) fn end(&self, failed: Option<String>) {
        let current = std::mem::take(&mut *self.current.lock().unwrap());
        let ended = Publishing { failed, ..current };
        self.witness.lock().publishings.push(ended);
    }
}

/// The stream as one process of `forward` uses it.
pub(crate) struct WitnessedStream<S> {
    inner: S,
    publisher: Publisher,
}

impl<S> WitnessedStream<S> {
    pub(crate) fn new(inner: S, publisher: Publisher) -> Self {
        Self { inner, publisher }
    }
}

impl<S: EventStream> EventStream for WitnessedStream<S> {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        {
            let put = records
                .iter()
                .map(|record| (record.id.to_string(), hash(&record.data)));
            self.publisher.current.lock().unwrap().put.extend(put);
        }
        let puts = self.inner.put(records).await?;
        let confirmed = records.iter().zip(&puts);
        let confirmed = confirmed.filter(|(_, put)| matches!(put, PutResult::Confirmed { .. }));
        let mut current = self.publisher.current.lock().unwrap();
        for (record, _) in confirmed {
            *current.confirmed.entry(hash(&record.data)).or_default() += 1;
        }
        Ok(puts)
    }
}
