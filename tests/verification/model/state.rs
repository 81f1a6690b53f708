//! The pipeline at one moment: what is durable, what a process has in its memory alone, and what is in the air.
//! Data only; what may happen to it is in
//! `actions`.

use std::iter::repeat_n;

use arrayvec::ArrayVec;
use stateright::Representative;

use crate::bounds::Bounds;

pub type Id = u8;

/// Consumers of the notification stream, each with a position of its own.
pub const CONSUMERS: usize = 2;

/// The largest bounds. States are cloned by the million, so they are of one piece; one that does not fit panics.
pub const MAX_IDS: usize = 4;
pub const MAX_WORKERS: usize = 4;
const MAX_CHANGES: usize = 16;
const MAX_RECORDS_OF_ID: usize = 24;
const MAX_IN_THE_AIR: usize = 16;

/// The events of one id, in the order of its shard.
pub type Records = ArrayVec<Event, MAX_RECORDS_OF_ID>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub messages: ArrayVec<Message, { MAX_IDS + 1 }>,
    pub workers: ArrayVec<Option<Ingesting>, MAX_WORKERS>,
    pub items: ArrayVec<Item, MAX_IDS>,
    /// The table's change stream: one shard, in the order of the writes.
    pub changes: ArrayVec<Change, MAX_CHANGES>,
    /// Changes below it never come again.
    pub checkpoint: u8,
    pub publishing: Option<Publishing>,
    /// The notification stream, by partition key. Nothing is promised of the order between keys.
    pub records: ArrayVec<Records, MAX_IDS>,
    pub consumers: [Consumer; CONSUMERS],
    /// Requests whose senders have given them up. Sorted.
    pub air: ArrayVec<Request, MAX_IN_THE_AIR>,
    pub left: Left,
}

/// Faults that may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
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

/// An invocation of `ingest`, of one message: those of a batch have nothing to do with each other. Where it fails it is
/// over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ingesting {
    pub message: u8,
    /// What the table said; none before it was asked.
    pub answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    Stored,
    Conflict,
}

/// An item of the table, with counts of what may happen to it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Item {
    pub event: Option<Event>,
    pub inserts: u8,
    pub transitions: u8,
    pub effects: u8,
}

/// What an item is, and what its event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    pub content: Content,
    pub status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    Init,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    pub id: Id,
    pub event: Event,
}

/// An invocation of `forward`, of all changes from the checkpoint to `end`. Bit `n` is change `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publishing {
    pub end: u8,
    pub confirmed: u16,
    /// Failed since the last pause; tried again when nothing else can go.
    pub failed: u16,
}

/// A consumer reads each partition key by itself, as Lambda's parallel batches do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Consumer {
    /// For each id the first record that comes again.
    pub positions: ArrayVec<u8, MAX_IDS>,
    pub completing: Option<Completing>,
}

/// An invocation of `complete` whose notification is in DONE. Before that it has done nothing, and where it fails it
/// is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Completing {
    pub id: Id,
    /// It was given the records of the id from its position to here.
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
            air: ArrayVec::new(),
            left: Left {
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

    pub fn is_everything_done(&self) -> bool {
        let mut events = self.items.iter().map(|item| item.event);
        events.all(|event| event.is_some_and(|event| event.status == Status::Done))
    }

    /// How far the run is from its end, the most significant first. Every action brings it nearer, so that no path
    /// comes back to where it was: `eventually` means something on such graphs alone.
    pub fn distance(&self, max_refusals: u8) -> [u16; 8] {
        // Where a fault is spent, the way goes back.
        const BACK: u16 = 1_000;
        let left =
            self.left.duplicates + self.left.crashes + self.left.losses + self.left.elsewhere;
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
            Some(event) => u16::from(event.status == Status::Init),
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
            self.air.len() as u16,
            stages.sum(),
            backlog + back,
            unconfirmed,
            (CONSUMERS * records) as u16 - read,
            idle.count() as u16,
        ]
    }
}

/// Workers are alike, and so are consumers: the state in which they change places is the same.
impl Representative for State {
    fn representative(&self) -> Self {
        let mut state = self.clone();
        state.workers.sort_unstable();
        state.consumers.sort_unstable();
        state
    }
}
