//! Ports for the real handlers. Each call waits at a gate until the model decides its fate.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::{Poll, Waker},
};

use aws_sdk_dynamodb::types::TransactWriteItem;
use onewrite::{
    item::NotificationItem,
    notification::NotificationId,
    stream::{EventStream, PutResult, Record, StreamError},
    table::{
        Completion, CompletionResult, Completions, CurrentState, CurrentStates, InsertResult,
        NewNotifications, TableError,
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

/// The place where the calls of one invocation wait. Clones share the same gate.
#[derive(Clone, Default)]
pub struct CallGate(Arc<Mutex<GateState>>);

#[derive(Default)]
struct GateState {
    call: Option<Call>,
    fates: Option<Vec<Fate>>,
    waker: Option<Waker>,
}

impl CallGate {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.0.lock().unwrap()
    }

    /// The call that waits at the gate.
    pub fn call(&self) -> Option<Call> {
        self.lock().call.clone()
    }

    /// Releases the call with these fates, one for each entry.
    pub fn release(&self, fates: &[Fate]) {
        let mut state = self.lock();
        state.call = None;
        state.fates = Some(fates.to_vec());
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    async fn wait(&self, call: Call) -> Vec<Fate> {
        self.lock().call = Some(call);
        poll_fn(|context| {
            let mut state = self.lock();
            state.waker = Some(context.waker().clone());
            state.fates.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// A port behind a gate.
pub struct GatedPort<P> {
    pub port: P,
    pub gate: CallGate,
}

impl GatedPort<InMemoryTable> {
    async fn faulty(&self, call: Call) -> FaultyTable<InMemoryTable> {
        let fates = self.gate.wait(call).await;
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

impl NewNotifications for GatedPort<InMemoryTable> {
    async fn insert(&self, item: &NotificationItem) -> Result<InsertResult, TableError> {
        let table = self.faulty(Call::Insert(item.clone())).await;
        table.insert(item).await
    }
}

/// The model has no reads, because its consumers commit their effects with DONE. A handler that reads is not gated.
impl CurrentStates for GatedPort<InMemoryTable> {
    async fn current_states(
        &self,
        ids: &[NotificationId],
    ) -> Result<HashMap<NotificationId, CurrentState>, TableError> {
        self.port.current_states(ids).await
    }
}

impl Completions for GatedPort<InMemoryTable> {
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

impl EventStream for GatedPort<InMemoryStream> {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        let fates = self.gate.wait(Call::Put(records.to_vec())).await;
        // If nothing is stored, the call fails as a whole. If something lands later, its entry fails: after a call whose
        // outcome is unknown as a whole, `forward` makes smaller calls, which the model does not have.
        let fault = if fates.iter().all(|fate| *fate == Fate::Failed) {
            fault(Fate::Failed).into()
        } else {
            StreamFault::Entries(fates.iter().copied().map(entry_fault).collect())
        };
        let stream = FaultyStream::scripted(self.port.clone(), [fault]);
        stream.put(records).await
    }
}
