//! The port to the notification stream: what Kinesis confirms, entry by entry.

use async_trait::async_trait;

use crate::notification::NotificationId;

/// The stream as `forward` sees it.
#[async_trait]
pub trait EventStream: Send + Sync {
    /// Puts `records` in one `PutRecords` call: 1 to [`crate::limits::MAX_PUT_RECORDS`] of them, at most
    /// [`crate::limits::MAX_PUT_RECORDS_BYTES`].
    ///
    /// An adapter MUST use the notification id as partition key, unchanged, and MUST answer for each record in its
    /// place. It MUST NOT send a failed record again by itself (the caller keeps the order), though the SDK may repeat
    /// the whole call. It MUST return in bounded time. A caller may not rely on any order among the records of one
    /// call (Kinesis API reference, PutRecords).
    ///
    /// # Errors
    /// [`StreamError`]: the call as a whole failed, and nothing is known of any record.
    async fn put(&self, records: &[Record]) -> Result<Vec<Put>, StreamError>;
}

/// One record to put.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The partition key.
    pub id: NotificationId,
    /// The event document.
    pub data: Vec<u8>,
}

impl Record {
    /// What the record counts against the limits of a call, in bytes: data and partition key.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len() + self.id.as_str().len()
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({}, {} bytes)", self.id, self.data.len())
    }
}

/// What Kinesis says of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is in the stream.
    Confirmed {
        /// The shard it is in.
        shard_id: String,
        /// Its place there.
        sequence_number: String,
    },
    /// It was not taken, or nothing is known of it (`InternalFailure` may have been stored all the same).
    Failed {
        /// Kinesis' error code.
        code: String,
    },
}

/// A `PutRecords` call that failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Throttled past the SDK's own attempts.
    #[error("the stream is throttled ({code})")]
    Throttled {
        /// Kinesis' error code.
        code: String,
    },
    /// Timed out, cut off, or a server error: the records may have been stored.
    #[error("the outcome of the call is not known: {reason}")]
    Unknown {
        /// What happened, in the SDK's words, without the request.
        reason: String,
    },
    /// Refused in a way that a retry alone does not heal (access denied, no such stream).
    #[error("the stream refuses the call ({code})")]
    Refused {
        /// Kinesis' error code.
        code: String,
    },
    /// The response has another number of entries than the request.
    #[error("{answered} entries answered for {sent} sent")]
    Malformed {
        /// Records sent.
        sent: usize,
        /// Entries answered.
        answered: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_shows_its_size_and_not_its_data() {
        let record = Record {
            id: NotificationId::parse("n1").unwrap(),
            data: b"DE00".to_vec(),
        };
        assert_eq!(format!("{record:?}"), "Record(n1, 4 bytes)");
    }
}
