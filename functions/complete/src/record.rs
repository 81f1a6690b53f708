//! Decodes Kinesis records, finds copies of one event, and decides which record is reported after a failure.

use std::collections::HashMap;

use aws_lambda_events::encodings::Base64Data;
use onewrite::event::{NotificationEvent, UnreadableEvent};
use onewrite_runtime::event::{Batch, BatchRecord};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// The event of a Kinesis shard.
pub type ShardEvent = Batch<KinesisRecord>;

/// A record of the event: the fields that are used (Lambda developer guide, "Using Lambda with Kinesis").
#[derive(Deserialize, Clone, PartialEq)]
#[serde(from = "Envelope<Content>")]
pub struct KinesisRecord {
    /// The sequence number, which a batch item failure names. Empty only in a malformed record.
    pub sequence_number: String,
    /// The data. `None` if the record cannot be decoded.
    pub data: Option<Vec<u8>>,
    /// The partition key, which `forward` sets to the notification id. Empty if the record cannot be decoded.
    pub partition_key: String,
    /// When Kinesis received the record, in seconds since 1970. `None` if that is not known.
    pub arrived: Option<f64>,
    /// The id of the shard and the sequence number. Empty if the record cannot be decoded.
    pub event_id: String,
}

/// The record around what Kinesis stores.
#[derive(Deserialize)]
struct Envelope<T> {
    kinesis: T,
    #[serde(rename = "eventID", default, deserialize_with = "lenient")]
    event_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    sequence_number: String,
    data: Base64Data,
    #[serde(default, deserialize_with = "lenient")]
    partition_key: String,
    #[serde(default, deserialize_with = "lenient")]
    approximate_arrival_timestamp: Option<f64>,
}

/// A value of this type, or the default if it is something else. A field that no event needs must not make its record
/// undecodable.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Lenient<T> {
        Known(T),
        Other(IgnoredAny),
    }

    Ok(match Lenient::deserialize(deserializer)? {
        Lenient::Known(value) => value,
        Lenient::Other(_) => T::default(),
    })
}

impl From<Envelope<Content>> for KinesisRecord {
    fn from(Envelope { kinesis, event_id }: Envelope<Content>) -> Self {
        Self {
            sequence_number: kinesis.sequence_number,
            data: Some(kinesis.data.0),
            partition_key: kinesis.partition_key,
            arrived: kinesis.approximate_arrival_timestamp,
            event_id,
        }
    }
}

/// What a record needs to be reported as failed.
#[derive(Deserialize, Default)]
#[serde(from = "Envelope<SequenceNumber>")]
pub struct RecordIdentity(String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SequenceNumber {
    sequence_number: String,
}

impl From<Envelope<SequenceNumber>> for RecordIdentity {
    fn from(Envelope { kinesis, .. }: Envelope<SequenceNumber>) -> Self {
        Self(kinesis.sequence_number)
    }
}

impl BatchRecord for KinesisRecord {
    type Identity = RecordIdentity;

    fn undecodable(RecordIdentity(sequence_number): RecordIdentity) -> Self {
        Self {
            sequence_number,
            data: None,
            partition_key: String::new(),
            arrived: None,
            event_id: String::new(),
        }
    }
}

/// Why a record has no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableRecord {
    /// The record has no data, or no valid data.
    #[error("the record cannot be decoded")]
    Undecodable,
    /// The data is not an event of this project.
    #[error(transparent)]
    Event(#[from] UnreadableEvent),
}

impl KinesisRecord {
    fn event(&self) -> Result<NotificationEvent, UnreadableRecord> {
        let data = self.data.as_deref().ok_or(UnreadableRecord::Undecodable)?;
        Ok(NotificationEvent::parse(data)?)
    }
}

/// One unit of work in a batch: an event with all its copies, or one record that cannot be decoded.
pub struct IncomingEvent {
    /// The event, if the record can be decoded.
    pub event: Result<NotificationEvent, UnreadableRecord>,
    /// The first record that contains the event.
    pub record: KinesisRecord,
    /// The sequence numbers of all records that contain the event.
    pub sequence_numbers: Vec<String>,
}

impl IncomingEvent {
    /// Decodes a batch and merges copies. Redelivery and redrive can put the same event into a batch twice, and handling
    /// both would call the downstream twice for no reason.
    #[must_use]
    pub fn read_all(records: Vec<KinesisRecord>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::with_capacity(records.len());
        let mut position_of_event = HashMap::new();
        for record in records {
            let event = record.event();
            let mut position = all.len();
            if let Ok(event) = &event {
                // Includes the version, which differs if somebody edited the item, and the fingerprint, which differs if
                // the id was used again. In both cases one of the events may succeed.
                let key = (
                    event.subject.clone(),
                    event.fingerprint,
                    event.status,
                    event.sequence,
                );
                position = *position_of_event.entry(key).or_insert(position);
            }
            let sequence_number = record.sequence_number.clone();
            if position == all.len() {
                all.push(Self {
                    event,
                    record,
                    sequence_numbers: Vec::new(),
                });
            }
            all[position].sequence_numbers.push(sequence_number);
        }
        all
    }
}

/// A failed record with a missing or invalid sequence number cannot be reported, so the whole batch fails and nothing is
/// lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a failed record has no sequence number: the whole batch fails")]
pub struct MissingSequenceNumber;

/// The lowest of the failed sequence numbers. Lambda retries from there, so no other number matters (Lambda developer guide, "Configuring partial batch response with Kinesis").
///
/// # Errors
/// [`MissingSequenceNumber`]: a number is invalid and could be the lowest.
pub fn lowest<'a>(
    failed: impl IntoIterator<Item = &'a String>,
) -> Result<Option<&'a String>, MissingSequenceNumber> {
    failed.into_iter().try_fold(None, |lowest, number| {
        let value = value(number).ok_or(MissingSequenceNumber)?;
        Ok(lowest
            .filter(|lowest: &&String| self::value(lowest).is_some_and(|least| least <= value))
            .or(Some(number)))
    })
}

/// A sort key for decimal numbers of any length. Kinesis' sequence numbers have up to 129 digits without padding (API
/// reference, `SequenceNumber`).
fn value(number: &str) -> Option<(usize, &str)> {
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let digits = number.trim_start_matches('0');
    is_number.then_some((digits.len(), digits))
}
