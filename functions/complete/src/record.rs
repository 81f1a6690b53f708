//! Decodes Kinesis records, finds copies of one event, and decides which record is reported after a failure.

use std::collections::HashMap;

use aws_lambda_events::event::kinesis::KinesisEventRecord;
use onewrite::event::{NotificationEvent, UnreadableEvent};

/// One unit of work in a batch: an event with all its copies, or one record that cannot be decoded.
pub struct IncomingEvent {
    /// The event, if the record can be decoded.
    pub event: Result<NotificationEvent, UnreadableEvent>,
    /// The sequence numbers of all records that contain the event.
    pub sequence_numbers: Vec<String>,
}

impl IncomingEvent {
    /// Decodes a batch and merges copies. Redelivery and redrive can put the same event into a batch twice, and handling
    /// both would call the downstream twice for no reason.
    #[must_use]
    pub fn read_all(records: Vec<KinesisEventRecord>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::with_capacity(records.len());
        let mut position_of_event = HashMap::new();
        for record in records {
            let event = NotificationEvent::parse(&record.kinesis.data);
            let mut position = all.len();
            if let Ok(event) = &event {
                // Includes the version: it differs if somebody edited the item, and then one of the events may succeed.
                let key = (event.subject.clone(), event.status, event.sequence);
                position = *position_of_event.entry(key).or_insert(position);
            }
            if position == all.len() {
                all.push(Self {
                    event,
                    sequence_numbers: Vec::new(),
                });
            }
            all[position]
                .sequence_numbers
                .push(record.kinesis.sequence_number);
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
