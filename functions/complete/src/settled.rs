//! The notifications that this process knows to be settled.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use onewrite::{
    event::NotificationEvent,
    notification::{Fingerprint, NotificationId},
};

/// Most notifications that a process remembers: about 2 MB.
///
/// As long as one record of a batch fails, Lambda delivers the records behind it again. They are at most 100 (`BatchSize` in
/// template.yaml) for each target of at most some fifty, whose ARNs share 4 KB of variables. Whatever is forgotten is found in
/// the table, at the price of a read.
pub const MAX_REMEMBERED: usize = 10_000;

/// A notification. The time at which it was stored keeps it apart from one that was removed and sent again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NotificationKey {
    id: NotificationId,
    fingerprint: Fingerprint,
    stored_at: Timestamp,
}

impl From<&NotificationEvent> for NotificationKey {
    /// The notification of an INIT event, whose time is the time of storing.
    fn from(event: &NotificationEvent) -> Self {
        Self {
            id: event.subject.clone(),
            fingerprint: event.fingerprint,
            stored_at: event.time,
        }
    }
}

/// A bounded set, which forgets its oldest members.
#[derive(Debug)]
pub struct Memory<K> {
    entries: Mutex<Entries<K>>,
    capacity: usize,
}

#[derive(Debug)]
struct Entries<K> {
    known: HashSet<K>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + std::hash::Hash> Memory<K> {
    /// An empty set for at most `capacity` members.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let entries = Mutex::new(Entries {
            known: HashSet::new(),
            order: VecDeque::new(),
        });
        Self { entries, capacity }
    }

    /// Whether `key` was remembered and is not forgotten.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.lock().known.contains(key)
    }

    /// Remembers `key`.
    pub fn insert(&self, key: K) {
        let mut entries = self.lock();
        if !entries.known.insert(key.clone()) {
            return;
        }
        entries.order.push_back(key);
        if entries.order.len() > self.capacity
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.known.remove(&oldest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries<K>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_members() {
        let memory = Memory::new(2);
        for key in [1, 2, 1, 3] {
            memory.insert(key);
        }
        assert_eq!(
            [1, 2, 3].map(|key| memory.contains(&key)),
            [false, true, true]
        );
    }
}
