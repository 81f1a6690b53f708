//! Reads the changes of a batch in windows of bounded bytes.
//!
//! A payload is compressed in the table, so the changes of one batch, 6 MB at most, can become events of more than a gigabyte.
//! The function may have 128 MB.

use jiff::Timestamp;
use onewrite::{
    event::EventSource, limits::MAX_RECORD_BYTES, notification::TraceParent, stream::Record,
};

use crate::{
    change::ChangeRecord,
    confirmed::ConfirmedChanges,
    select::{Selection, is_redrive, key, select},
};

/// Most bytes of the events of a window. Our own limit: the events, the copy in a call and its request, which is a third larger,
/// fit into the memory of the smallest function.
pub(crate) const WINDOW_BYTES: usize = 8 * 1024 * 1024;

const _: () = assert!(
    MAX_RECORD_BYTES <= WINDOW_BYTES,
    "every event fits into a window"
);

/// Some consecutive changes of a batch, divided into records to publish and changes to pass over.
#[derive(Default)]
pub(crate) struct Window<'a> {
    /// The records to publish, in the order of their changes.
    pub(crate) records: Vec<Record>,
    /// For each record, its change.
    pub(crate) origins: Vec<Origin<'a>>,
    /// Changes whose events the stream confirmed in an earlier delivery of the batch.
    pub(crate) already_forwarded: usize,
    /// Changes that do not concern the downstream.
    pub(crate) skipped: usize,
    /// Changes that cannot become events.
    pub(crate) unreadable: usize,
}

/// The change that a record was made from.
#[derive(Default)]
pub(crate) struct Origin<'a> {
    /// The sequence number, if the change has one.
    pub(crate) sequence_number: Option<&'a str>,
    /// The time of the change. `None` for a redrive, which repeats an old change.
    pub(crate) changed_at: Option<Timestamp>,
    /// The trace that the message came with.
    pub(crate) trace: Option<TraceParent>,
}

impl<'a> Window<'a> {
    /// Reads the first of `changes`, until one more event could exceed the bytes of a window.
    pub(crate) fn read(
        changes: &'a [ChangeRecord],
        source: &EventSource,
        confirmed: &ConfirmedChanges,
    ) -> Self {
        let mut window = Self::default();
        let mut bytes = 0;
        for change in changes {
            if bytes + MAX_RECORD_BYTES > WINDOW_BYTES {
                break;
            }
            bytes += window.add(change, source, confirmed);
        }
        window
    }

    /// The number of changes.
    pub(crate) fn changes(&self) -> usize {
        self.records.len() + self.already_forwarded + self.skipped + self.unreadable
    }

    /// Adds a change and returns the bytes of its record.
    fn add(
        &mut self,
        change: &'a ChangeRecord,
        source: &EventSource,
        confirmed: &ConfirmedChanges,
    ) -> usize {
        let sequence_number = sequence_number(change);
        match select(change) {
            Selection::Forward(event) => {
                let event = event.with_source(source.clone());
                let origin = Origin {
                    sequence_number,
                    changed_at: (!is_redrive(change)).then_some(event.time),
                    trace: event.traceparent.clone(),
                };
                let record = Record {
                    data: event.to_json().into_bytes(),
                    id: event.subject,
                };
                let is_confirmed = |number| confirmed.contains(number, &record);
                if sequence_number.is_some_and(is_confirmed) {
                    self.already_forwarded += 1;
                    return 0;
                }
                let bytes = record.bytes();
                self.origins.push(origin);
                self.records.push(record);
                return bytes;
            }
            Selection::Skip(_) => self.skipped += 1,
            Selection::Unreadable(unreadable) => {
                self.unreadable += 1;
                tracing::error!(
                    notification_id = key(change),
                    sequence_number,
                    reason = unreadable.to_string(),
                    "unreadable: skipped, the item stays in the table"
                );
            }
        }
        0
    }
}

/// The sequence number of a change, if it has one.
pub(crate) fn sequence_number(change: &ChangeRecord) -> Option<&str> {
    let number = change.sequence_number.as_deref();
    number.filter(|number| !number.is_empty())
}
