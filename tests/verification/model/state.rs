//! The state of the pipeline: durable data, data in the memory of a process, and requests in flight. `actions` defines
//! what may happen to it.

use std::iter::repeat_n;

use arrayvec::ArrayVec;
use stateright::Representative;

use crate::bounds::{Bounds, MAX_IDS, MAX_WORKERS};

pub type Id = u8;

/// Consumers of the notification stream. Each has its own position.
pub const CONSUMERS: usize = 2;

/// The largest sizes. The model clones millions of states, so a state has a fixed size. A state that does not fit
/// panics.
const MAX_CHANGES: usize = 16;
const MAX_RECORDS_OF_ID: usize = 24;
const MAX_DELAYED: usize = 16;

/// The events of one id, in the order of their shard.
pub type Records = ArrayVec<Event, MAX_RECORDS_OF_ID>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub messages: ArrayVec<Message, { MAX_IDS + 1 }>,
    pub workers: ArrayVec<Option<Ingesting>, MAX_WORKERS>,
    pub items: ArrayVec<Item, MAX_IDS>,
    /// The table's change stream: one shard, in the order of the writes.
    pub changes: ArrayVec<Change, MAX_CHANGES>,
    /// Changes before this index are never read again.
    pub checkpoint: u8,
    pub publishing: Option<Publishing>,
    /// The notification stream, by partition key. There is no guaranteed order between keys.
    pub records: ArrayVec<Records, MAX_IDS>,
    pub consumers: [Consumer; CONSUMERS],
    /// Requests in flight whose senders have given up. Sorted.
    pub delayed: ArrayVec<Request, MAX_DELAYED>,
    pub remaining: RemainingFaults,
}

/// Faults that may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RemainingFaults {
    pub duplicates: u8,
    pub crashes: u8,
    pub losses: u8,
    pub elsewhere: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Message {
    pub id: Id,
    pub content: Content,
    pub place: Place,
    pub was_received: bool,
    /// How often it was answered with a conflict, up to the bound.
    pub refusals: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Visible,
    InFlight,
    Deleted,
    DeadLetterQueue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    First,
    Other,
}

/// An invocation of `ingest` with one message. The messages of a batch are independent of each other. The invocation
/// ends when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ingesting {
    pub message: u8,
    /// The response of the table. `None` before the request.
    pub answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    Stored,
    Conflict,
}

/// An item of the table, with counters of what must happen only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Item {
    pub event: Option<Event>,
    pub inserts: u8,
    pub transitions: u8,
    pub effects: u8,
}

/// The content and status of an item, and of the event that it requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    pub content: Content,
    pub status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    Init,
    Done,
    Refused,
}

impl Status {
    pub fn is_settled(self) -> bool {
        self != Self::Init
    }
}

impl Content {
    /// What the downstream decides. It depends on the notification alone, so all consumers agree.
    pub fn verdict(self) -> Status {
        match self {
            Self::First => Status::Done,
            Self::Other => Status::Refused,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    pub id: Id,
    pub event: Event,
}

/// An invocation of `forward` with all changes from the checkpoint to `end`. Bit `n` stands for change `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publishing {
    pub end: u8,
    pub confirmed: u16,
    /// Failed since the last pause. Retried when no other change can be sent.
    pub failed: u16,
}

/// A consumer. It reads each partition key independently, as Lambda does with parallel batches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Consumer {
    /// The first record to read again, for each id.
    pub positions: ArrayVec<u8, MAX_IDS>,
    pub completing: Option<Completing>,
}

/// An invocation of `complete` whose notification is settled. Before that it has changed nothing. It ends when it
/// fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Completing {
    pub id: Id,
    /// The invocation received the records of the id from the position up to this index.
    pub end: u8,
}

/// A request that takes effect at some later moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    Insert { id: Id, content: Content },
    Put(Change),
    Complete(Id),
}

impl Item {
    pub fn content(&self) -> Option<Content> {
        Some(self.event?.content)
    }
}

impl State {
    pub fn initial(bounds: Bounds) -> Self {
        let message = |id, content| Message {
            id,
            content,
            place: Place::Visible,
            was_received: false,
            refusals: 0,
        };
        let mut messages: ArrayVec<_, _> = (0..bounds.ids)
            .map(|id| message(id, Content::First))
            .collect();
        messages.push(message(0, Content::Other));
        let ids = usize::from(bounds.ids);
        let consumer = Consumer {
            positions: repeat_n(0, ids).collect(),
            completing: None,
        };
        Self {
            messages,
            workers: repeat_n(None, bounds.workers.into()).collect(),
            items: repeat_n(Item::default(), ids).collect(),
            changes: ArrayVec::new(),
            checkpoint: 0,
            publishing: None,
            records: repeat_n(Records::new(), ids).collect(),
            consumers: [consumer.clone(), consumer],
            delayed: ArrayVec::new(),
            remaining: RemainingFaults {
                duplicates: bounds.duplicates,
                crashes: bounds.crashes,
                losses: bounds.losses,
                elsewhere: bounds.elsewhere,
            },
        }
    }

    pub fn item(&self, id: Id) -> &Item {
        &self.items[usize::from(id)]
    }

    pub fn status(&self, id: Id) -> Option<Status> {
        Some(self.item(id).event?.status)
    }

    /// Whether the notification stream has the event of a change.
    pub fn is_published(&self, change: &Change) -> bool {
        self.records[usize::from(change.id)].contains(&change.event)
    }

    pub fn is_everything_settled(&self) -> bool {
        let mut events = self.items.iter().map(|item| item.event);
        events.all(|event| event.is_some_and(|event| event.status.is_settled()))
    }

    /// The distance to the end of the run, most significant number first. Every action reduces it, so no path returns
    /// to an earlier state. `eventually` is only meaningful on such graphs.
    pub fn distance(&self, max_refusals: u8) -> [u16; 8] {
        // Larger than any number of changes. An action that adds it also reduces a more significant number, for example
        // the number of faults left.
        const BACK: u16 = 1_000;
        let left = self.remaining.duplicates
            + self.remaining.crashes
            + self.remaining.losses
            + self.remaining.elsewhere;
        let messages = self.messages.iter().map(|message| {
            let refusals = 8 * u16::from(max_refusals - message.refusals);
            match message.place {
                Place::Visible => refusals + 4,
                Place::InFlight => refusals,
                Place::Deleted | Place::DeadLetterQueue => 0,
            }
        });
        let workers = self.workers.iter().flatten();
        let workers = workers.map(|job| if job.answer.is_none() { 2 } else { 1 });
        let stages = self.items.iter().map(|item| match item.event {
            None => 2,
            Some(event) => u16::from(!event.status.is_settled()),
        });
        let backlog = self.changes.len() as u16 - u16::from(self.checkpoint);
        let (back, unconfirmed) = self.publishing.map_or((0, BACK), |batch| {
            let changes = u16::from(batch.end - self.checkpoint);
            let back = if batch.failed == 0 { 0 } else { BACK };
            (back, changes - batch.confirmed.count_ones() as u16)
        });
        let consumers = self.consumers.iter();
        let positions = consumers.clone().flat_map(|consumer| &consumer.positions);
        let read: u16 = positions.map(|position| u16::from(*position)).sum();
        let records: usize = self.records.iter().map(ArrayVec::len).sum();
        let idle = consumers.filter(|consumer| consumer.completing.is_none());
        [
            left.into(),
            messages.sum::<u16>() + workers.sum::<u16>(),
            self.delayed.len() as u16,
            stages.sum(),
            backlog + back,
            unconfirmed,
            (CONSUMERS * records) as u16 - read,
            idle.count() as u16,
        ]
    }
}

/// Workers are interchangeable, and so are consumers. States that differ only in their order are the same.
impl Representative for State {
    fn representative(&self) -> Self {
        let mut state = self.clone();
        state.workers.sort_unstable();
        state.consumers.sort_unstable();
        state
    }
}
