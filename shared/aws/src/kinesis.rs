//! The port to the notification stream, on Kinesis: one `PutRecords` call, answered entry by entry.

use aws_config::SdkConfig;
use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{PutRecordsRequestEntry, PutRecordsResultEntry},
};

use crate::{clients::kinesis_client, failure::from_sdk_error};
use onewrite::error::ServiceError;
use onewrite::stream::{EventStream, PutResult, Record, StreamError};

/// One Kinesis stream of notification events.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    client: Client,
    stream_name: String,
}

impl KinesisStream {
    /// The stream with this name, accessed with a client of `config`.
    pub fn new(config: &SdkConfig, stream_name: impl Into<String>) -> Self {
        Self {
            client: kinesis_client(config),
            stream_name: stream_name.into(),
        }
    }
}

impl EventStream for KinesisStream {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        let entries = records
            .iter()
            .map(to_entry)
            .collect::<Result<Vec<_>, _>>()?;
        let request = self
            .client
            .put_records()
            .stream_name(&self.stream_name)
            .set_records(Some(entries));
        // Boxed, because the futures of the SDK are large and deeply nested.
        let response = Box::pin(request.send())
            .await
            .map_err(|error| from_sdk_error(&error))?;
        // Only the position connects an entry with its record. With another number of entries, none can be trusted.
        if response.records.len() != records.len() {
            return Err(StreamError::Malformed {
                sent: records.len(),
                received: response.records.len(),
            });
        }
        Ok(response.records.into_iter().map(to_put_result).collect())
    }
}

fn to_entry(record: &Record) -> Result<PutRecordsRequestEntry, ServiceError> {
    PutRecordsRequestEntry::builder()
        .partition_key(record.id.as_str())
        .data(Blob::new(record.data.as_slice()))
        .build()
        .map_err(|_| ServiceError::refused("ConstructionFailure"))
}

/// An entry is confirmed only if it has a shard and a sequence number. `FailedRecordCount` adds nothing to that.
fn to_put_result(entry: PutRecordsResultEntry) -> PutResult {
    match (entry.error_code, entry.shard_id, entry.sequence_number) {
        (None, Some(shard_id), Some(sequence_number)) => PutResult::Confirmed {
            shard_id,
            sequence_number,
        },
        (code, _, _) => PutResult::Failed {
            code: code.unwrap_or_else(|| "NoSequenceNumber".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests;
