//! Remembers the changes that the stream confirmed and that Lambda will redeliver all the same.
//!
//! Lambda redelivers a batch from its first unpublished change on, with all later changes, published or not. The memory saves the
//! stream from the same events again. It only saves work: another process, or a new one, knows nothing, and publishes them again.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher as _,
};

use onewrite::stream::Record;

/// Most changes that are remembered: as many as the largest batch has (Lambda developer guide, "Process DynamoDB records with
/// Lambda": 10,000). With about 150 bytes each, they take 1.5 MB.
const MAX_CHANGES: usize = 10_000;

/// Recent changes whose events are in the stream although Lambda will redeliver the changes. It forgets the oldest first.
#[derive(Debug, Default)]
pub struct ConfirmedChanges {
    /// The hash of the event, by the sequence number of the change.
    events: HashMap<String, u64>,
    /// The sequence numbers, the oldest first.
    numbers: VecDeque<String>,
    hasher: RandomState,
}

impl ConfirmedChanges {
    /// Remembers that the stream confirmed `record`, the event of the change with this sequence number.
    pub fn remember(&mut self, sequence_number: &str, record: &Record) {
        let hash = self.hash(record);
        let number = sequence_number.to_owned();
        if self.events.insert(number.clone(), hash).is_some() {
            return;
        }
        self.numbers.push_back(number);
        if self.numbers.len() > MAX_CHANGES
            && let Some(oldest) = self.numbers.pop_front()
        {
            self.events.remove(&oldest);
        }
    }

    /// Whether the stream confirmed `record` for the change with this sequence number.
    ///
    /// Sequence numbers are unique in one stream of one table only. Because the event is compared too, the change of another
    /// table is not mistaken for this one. A redrive has the same event and another sequence number, so it is published.
    #[must_use]
    pub fn contains(&self, sequence_number: &str, record: &Record) -> bool {
        let event = self.events.get(sequence_number);
        event.is_some_and(|event| *event == self.hash(record))
    }

    fn hash(&self, record: &Record) -> u64 {
        self.hasher.hash_one((record.id.as_str(), &record.data))
    }
}

#[cfg(test)]
mod tests {
    use onewrite::notification::NotificationId;

    use super::*;

    fn record(id: &str, data: &str) -> Record {
        Record {
            id: NotificationId::parse(id).unwrap(),
            data: data.as_bytes().to_vec(),
        }
    }

    #[test]
    fn knows_the_same_change_with_the_same_event_only() {
        let mut confirmed = ConfirmedChanges::default();
        confirmed.remember("1", &record("a", "x"));
        assert!(confirmed.contains("1", &record("a", "x")));
        assert!(!confirmed.contains("2", &record("a", "x")), "a redrive");
        assert!(!confirmed.contains("1", &record("b", "x")));
        assert!(!confirmed.contains("1", &record("a", "y")), "another table");
        confirmed.remember("1", &record("a", "y"));
        assert!(confirmed.contains("1", &record("a", "y")));
    }

    #[test]
    fn forgets_the_oldest_change_first() {
        let mut confirmed = ConfirmedChanges::default();
        let event = record("a", "x");
        for number in 0..MAX_CHANGES + 2 {
            confirmed.remember(&number.to_string(), &event);
            confirmed.remember(&number.to_string(), &event);
        }
        assert_eq!(confirmed.events.len(), MAX_CHANGES);
        assert_eq!(confirmed.numbers.len(), MAX_CHANGES);
        let is_known = |number: usize| confirmed.contains(&number.to_string(), &event);
        assert!(!is_known(1) && is_known(2) && is_known(MAX_CHANGES + 1));
    }
}
