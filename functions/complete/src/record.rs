//! What of a Kinesis record is used, which records are copies of one event, and which record is reported where some
//! fail.

use std::collections::HashMap;

use aws_lambda_events::event::kinesis::KinesisEventRecord;
use onewrite::event::{NotificationEvent, UnreadableEvent};

/// One thing to take of a batch: an event with all its copies, or one record that is no event.
pub struct Arrival {
    /// The event, if the record is one.
    pub event: Result<NotificationEvent, UnreadableEvent>,
    /// The sequence numbers of the records it came in, as they were sent.
    pub sequence_numbers: Vec<String>,
}

impl Arrival {
    /// Reads a batch, each event once: redelivery and redrive may put the same event into it twice, and to take it
    /// twice at the same time would call the downstream twice for nothing.
    #[must_use]
    pub fn read_all(records: Vec<KinesisEventRecord>) -> Vec<Self> {
        let mut arrivals: Vec<Self> = Vec::with_capacity(records.len());
        let mut place_of_event = HashMap::new();
        for record in records {
            let event = NotificationEvent::parse(&record.kinesis.data);
            let mut place = arrivals.len();
            if let Ok(event) = &event {
                // The version too: it differs where somebody edited the item, and then one may succeed.
                let key = (event.subject.clone(), event.status, event.sequence);
                place = *place_of_event.entry(key).or_insert(place);
            }
            if place == arrivals.len() {
                arrivals.push(Self {
                    event,
                    sequence_numbers: Vec::new(),
                });
            }
            arrivals[place]
                .sequence_numbers
                .push(record.kinesis.sequence_number);
        }
        arrivals
    }
}

/// A failed record whose sequence number is missing or no number cannot be reported, so the batch fails whole and
/// nothing of it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a failed record has no sequence number: the whole batch is failed")]
pub struct MissingSequenceNumber;

/// The lowest of the failed sequence numbers. It alone decides: Lambda delivers it and everything after it again
/// (Lambda developer guide, "Configuring partial batch response with Kinesis").
///
/// # Errors
/// [`MissingSequenceNumber`]: one of them could be the lowest and cannot be named.
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

/// Orders decimal numbers of any length by their value: Kinesis' have up to 129 digits, without padding (API
/// reference, `SequenceNumber`).
fn value(number: &str) -> Option<(usize, &str)> {
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let digits = number.trim_start_matches('0');
    is_number.then_some((digits.len(), digits))
}
