//! A change of the in-memory table.

use jiff::Timestamp;
use serde_dynamo::Item;

/// A change of one item, as the stream records it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The sequence number. All have the same length, so they sort as numbers.
    pub sequence_number: String,
    /// The key of the changed item.
    pub id: String,
    /// The old image; `None` for INSERT.
    pub old: Option<Item>,
    /// The new image; `None` for REMOVE.
    pub new: Option<Item>,
    /// The time of the change.
    pub at: Timestamp,
    /// Whether DynamoDB TTL removed the item.
    pub by_ttl: bool,
}
