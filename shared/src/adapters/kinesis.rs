//! The port to the notification stream, on Kinesis: one `PutRecords` call, answered entry by entry.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{PutRecordsRequestEntry, PutRecordsResultEntry},
};

use super::{clients::kinesis_client, failure::Failure};
use crate::stream::{EventStream, Put, Record, StreamError};

/// One Kinesis stream of notification events.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    client: Client,
    stream_name: String,
}

impl KinesisStream {
    /// The stream of that name, by a client of `config`.
    pub fn new(config: &SdkConfig, stream_name: impl Into<String>) -> Self {
        Self {
            client: kinesis_client(config),
            stream_name: stream_name.into(),
        }
    }
}

#[async_trait]
impl EventStream for KinesisStream {
    async fn put(&self, records: &[Record]) -> Result<Vec<Put>, StreamError> {
        let entries = records
            .iter()
            .map(to_entry)
            .collect::<Result<Vec<_>, _>>()?;
        let answer = self
            .client
            .put_records()
            .stream_name(&self.stream_name)
            .set_records(Some(entries))
            .send()
            .await
            .map_err(|error| Failure::of(&error))?;
        // An answer belongs to a record by its place alone, so with another number of them none can be believed.
        if answer.records.len() != records.len() {
            return Err(StreamError::Malformed {
                sent: records.len(),
                answered: answer.records.len(),
            });
        }
        Ok(answer.records.into_iter().map(to_put).collect())
    }
}

fn to_entry(record: &Record) -> Result<PutRecordsRequestEntry, Failure> {
    PutRecordsRequestEntry::builder()
        .partition_key(record.id.as_str())
        .data(Blob::new(record.data.as_slice()))
        .build()
        .map_err(|_| Failure::refused("ConstructionFailure"))
}

/// Confirmed is only what has a place in a shard; `FailedRecordCount` says nothing the entries do not say.
fn to_put(entry: PutRecordsResultEntry) -> Put {
    match (entry.error_code, entry.shard_id, entry.sequence_number) {
        (None, Some(shard_id), Some(sequence_number)) => Put::Confirmed {
            shard_id,
            sequence_number,
        },
        (code, _, _) => Put::Failed {
            code: code.unwrap_or_else(|| "NoSequenceNumber".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests;
