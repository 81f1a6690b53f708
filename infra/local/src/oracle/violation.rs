//! The broken guarantees that the oracle reports.

use std::fmt;

/// A broken guarantee. Contains ids only, never a payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A message is neither stored, nor in the dead-letter queue, nor in the queue.
    Lost { message_id: String },
    /// A message is in the dead-letter queue although its notification is stored or could have been stored.
    WronglyDeadLettered { message_id: String },
    /// The dead-letter queue has a message that was not sent, or has a message twice.
    UnexpectedDeadLetter { message_id: String },
    /// No message was sent for the item.
    UnexpectedItem { id: String },
    /// The type or payload of an item differs from every message with its id.
    ItemChanged { id: String },
    /// An item is neither DONE nor REFUSED at version 2.
    NotSettled { id: String },
    /// A notification is DONE, but the target has not booked it.
    NotBooked { id: String },
    /// The target has booked a notification twice.
    BookedAgain { id: String },
    /// The target has booked a notification that was refused or is not stored.
    UnexpectedBooking { id: String },
    /// The stream has no event for the status of a stored item.
    MissingEvent { id: String, status: String },
    /// A stream record cannot be decoded as an event.
    UnreadableEvent {
        shard: String,
        sequence_number: String,
    },
    /// The table does not have the id or the status of an event.
    UnexpectedEvent { id: String, status: String },
    /// The payload of an event differs from the stored one.
    EventChanged { id: String, status: String },
    /// The partition key of an event differs from its notification id.
    WrongPartitionKey { id: String },
    /// Two changes of a notification share a CloudEvents id, or one change has two.
    EventIdNotUnique { id: String },
    /// Another event precedes the INIT event.
    OutOfOrder { id: String },
    /// The events of a notification are in more than one shard.
    SeveralShards { id: String },
    /// Messages are still in the queue.
    QueueNotEmpty { messages: usize },
    /// Copies were sent, but none was processed as a duplicate: the run did not test duplicates.
    NoDuplicateProcessed,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { message_id } => {
                write!(
                    f,
                    "lost: message {message_id} is neither stored nor in a queue"
                )
            }
            Self::WronglyDeadLettered { message_id } => write!(
                f,
                "message {message_id} is in the dead-letter queue but should have been stored"
            ),
            Self::UnexpectedDeadLetter { message_id } => write!(
                f,
                "the dead-letter queue has message {message_id}, which was not sent, or has it twice"
            ),
            Self::UnexpectedItem { id } => write!(f, "unexpected: item {id} was never sent"),
            Self::ItemChanged { id } => {
                write!(f, "item {id} has a type or payload that was never sent")
            }
            Self::NotSettled { id } => write!(f, "item {id} is neither DONE nor REFUSED"),
            Self::NotBooked { id } => write!(f, "lost: {id} is DONE but not booked"),
            Self::BookedAgain { id } => write!(f, "the target has booked {id} twice"),
            Self::UnexpectedBooking { id } => {
                write!(f, "unexpected: {id} is booked but not DONE")
            }
            Self::MissingEvent { id, status } => {
                write!(f, "lost: the stream has no {status} event for {id}")
            }
            Self::UnreadableEvent {
                shard,
                sequence_number,
            } => write!(
                f,
                "record {sequence_number} of {shard} cannot be decoded as an event"
            ),
            Self::UnexpectedEvent { id, status } => {
                write!(f, "unexpected: a {status} event for {id}")
            }
            Self::EventChanged { id, status } => {
                write!(f, "the {status} event for {id} has a different payload")
            }
            Self::WrongPartitionKey { id } => {
                write!(f, "an event for {id} has a different partition key")
            }
            Self::EventIdNotUnique { id } => {
                write!(f, "the event ids for {id} do not identify its changes")
            }
            Self::OutOfOrder { id } => write!(f, "another event precedes INIT for {id}"),
            Self::SeveralShards { id } => write!(f, "events for {id} are in several shards"),
            Self::QueueNotEmpty { messages } => {
                write!(f, "{messages} messages are still in the queue")
            }
            Self::NoDuplicateProcessed => {
                write!(f, "copies were sent, but none was processed as a duplicate")
            }
        }
    }
}
