//! The interface to a stream's service.

use onewrite_event_sources::stream::{Position, ShardDescription, StreamRecord};

/// A stream as its service serves it.
pub(crate) trait Source: Send + Sync + 'static {
    /// Lists all shards, including closed ones.
    fn list_shards(&self) -> impl Future<Output = Result<Vec<ShardDescription>, String>> + Send;

    /// Requests an iterator.
    fn iterator(
        &self,
        shard: &str,
        start: &IteratorStart,
    ) -> impl Future<Output = Result<String, ReadError>> + Send;

    /// Reads from an iterator. MUST fail as a whole if a record is incomplete: a skipped record would never be read
    /// again.
    fn read(
        &self,
        shard: &str,
        iterator: &str,
        limit: u32,
    ) -> impl Future<Output = Result<Page, ReadError>> + Send;
}

/// The place where an iterator starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IteratorStart {
    Position(Position),
    /// At the record with this sequence number.
    At(String),
}

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(super) records: Vec<StreamRecord>,
    /// The next iterator; `None` at the end of a closed shard.
    pub(super) next: Option<String>,
}

/// The reason a read failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The position is older than the stream's retention.
    Trimmed,
    /// The iterator has expired.
    Expired,
    /// Any other error, as text.
    Other(String),
}

impl ReadError {
    pub(super) fn incomplete_record() -> Self {
        Self::Other("the response has an incomplete record".to_owned())
    }

    pub(super) fn missing_iterator() -> Self {
        Self::Other("the response has no iterator".to_owned())
    }
}
