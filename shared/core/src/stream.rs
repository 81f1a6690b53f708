//! The port to the notification stream. Kinesis confirms each record of a call separately.

use crate::{error::ServiceError, notification::NotificationId};

/// The stream as `forward` sees it.
pub trait EventStream: Send + Sync {
    /// Puts `records` in one `PutRecords` call: 1 to [`crate::limits::MAX_PUT_RECORDS`] records with at most
    /// [`crate::limits::MAX_PUT_RECORDS_BYTES`] in total.
    ///
    /// An adapter MUST use the unchanged notification id as partition key. It MUST return one result per record, in the
    /// order of the records. It MUST NOT retry a call or a record itself: the caller keeps the order, and after an unknown outcome
    /// it sends less. It MUST return within [`crate::limits::PUT_RECORDS_TIMEOUT`]. Callers must not rely on any order among the
    /// records of one call (Kinesis API reference, PutRecords).
    ///
    /// # Errors
    /// [`StreamError`]: the call failed as a whole, and the state of every record is unknown.
    fn put(
        &self,
        records: &[Record],
    ) -> impl Future<Output = Result<Vec<PutResult>, StreamError>> + Send;
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
    /// The size that counts against the limits of a call, in bytes: data plus partition key.
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

/// The result for one record of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutResult {
    /// The record is in the stream.
    Confirmed {
        /// The shard that holds it.
        shard_id: String,
        /// Its sequence number within the shard.
        sequence_number: String,
    },
    /// The record was not accepted, or its state is unknown: after `InternalFailure` it may have been stored.
    Failed {
        /// Kinesis' error code.
        code: String,
    },
}

/// A `PutRecords` call that failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Kinesis gave no usable answer.
    #[error("Kinesis: {0}")]
    Service(#[from] ServiceError),
    /// The response has another number of entries than the request.
    #[error("the response has {received} entries for {sent} records")]
    Malformed {
        /// Records in the request.
        sent: usize,
        /// Entries in the response.
        received: usize,
    },
}

impl StreamError {
    /// Whether a retry alone may succeed. If not, an operator must act.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Service(error) => error.is_transient(),
            Self::Malformed { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_a_record_hides_its_data() {
        let record = Record {
            id: NotificationId::parse("n1").unwrap(),
            data: b"DE00".to_vec(),
        };
        assert_eq!(format!("{record:?}"), "Record(n1, 4 bytes)");
    }

    #[test]
    fn a_malformed_response_needs_an_operator() {
        let malformed = StreamError::Malformed {
            sent: 2,
            received: 1,
        };
        assert!(!malformed.is_transient());
        let refused = ServiceError::refused("ResourceNotFoundException");
        assert!(!StreamError::from(refused).is_transient());
        assert!(StreamError::from(ServiceError::unknown("timeout")).is_transient());
    }
}
