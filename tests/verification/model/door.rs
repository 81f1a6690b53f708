//! Ports for the real handlers. Each call waits at a door until the model decides its fate.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::{Poll, Waker},
};

use aws_sdk_dynamodb::types::TransactWriteItem;
use onewrite::{
    item::NotificationItem,
    stream::{EventStream, PutResult, Record, StreamError},
    table::{
        Completion, CompletionResult, Completions, InsertResult, NewNotifications, TableError,
    },
};
use onewrite_testing::{
    EntryFault, Fault, FaultyStream, FaultyTable, InMemoryStream, InMemoryTable, StreamFault,
};

use crate::actions::Fate;

/// A call of a handler, as it would be sent.
#[derive(Clone)]
pub enum Call {
    Insert(NotificationItem),
    Put(Vec<Record>),
    Complete(Completion, Vec<TransactWriteItem>),
}

/// The place where the calls of one invocation wait. Clones share the same door.
#[derive(Clone, Default)]
pub struct Door(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    call: Option<Call>,
    fates: Option<Vec<Fate>>,
    waker: Option<Waker>,
}

impl Door {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap()
    }

    /// The call that waits at the door.
    pub fn call(&self) -> Option<Call> {
        self.lock().call.clone()
    }

    /// Releases the call with these fates, one for each entry.
    pub fn open(&self, fates: &[Fate]) {
        let mut waiting = self.lock();
        waiting.call = None;
        waiting.fates = Some(fates.to_vec());
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    async fn pass(&self, call: Call) -> Vec<Fate> {
        self.lock().call = Some(call);
        poll_fn(|context| {
            let mut waiting = self.lock();
            waiting.waker = Some(context.waker().clone());
            waiting.fates.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// A port behind a door.
pub struct Guarded<P> {
    pub port: P,
    pub door: Door,
}

impl Guarded<InMemoryTable> {
    async fn faulty(&self, call: Call) -> FaultyTable<InMemoryTable> {
        let fates = self.door.pass(call).await;
        let faults: Vec<Fault> = fates.into_iter().map(fault).collect();
        FaultyTable::scripted(self.port.clone(), faults)
    }
}

/// A late call takes effect later. For now its sender sees it fail.
fn fault(fate: Fate) -> Fault {
    match fate {
        Fate::Answered => Fault::None,
        Fate::Failed => Fault::Throttled,
        Fate::Late => Fault::RequestLost,
    }
}

fn entry_fault(fate: Fate) -> EntryFault {
    match fate {
        Fate::Answered => EntryFault::None,
        Fate::Failed => EntryFault::Throttled,
        Fate::Late => EntryFault::Lost,
    }
}

impl NewNotifications for Guarded<InMemoryTable> {
    async fn insert(&self, item: &NotificationItem) -> Result<InsertResult, TableError> {
        let table = self.faulty(Call::Insert(item.clone())).await;
        table.insert(item).await
    }
}

impl Completions for Guarded<InMemoryTable> {
    type Write = TransactWriteItem;

    async fn complete(
        &self,
        completion: &Completion,
        writes: Vec<TransactWriteItem>,
    ) -> Result<CompletionResult, TableError> {
        let call = Call::Complete(completion.clone(), writes.clone());
        self.faulty(call).await.complete(completion, writes).await
    }
}

impl EventStream for Guarded<InMemoryStream> {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        let fates = self.door.pass(Call::Put(records.to_vec())).await;
        // If all entries fail alike, the call fails as a whole.
        let is_whole = |fate: Fate| fates.iter().all(|other| *other == fate);
        let fault = match fates.first() {
            Some(first @ (Fate::Failed | Fate::Late)) if is_whole(*first) => fault(*first).into(),
            _ => StreamFault::Entries(fates.iter().copied().map(entry_fault).collect()),
        };
        let stream = FaultyStream::scripted(self.port.clone(), [fault]);
        stream.put(records).await
    }
}
