//! Collections that never grow beyond a limit: the oldest entry makes room for the newest.

use std::collections::{BTreeMap, VecDeque};

/// A map that forgets its oldest entries.
#[derive(Debug)]
pub(super) struct BoundedMap<V> {
    limit: usize,
    entries: BTreeMap<String, (u64, V)>,
    /// The keys by age, with the number of their insertion. A removed key stays until it is the oldest.
    order: VecDeque<(u64, String)>,
    inserted: u64,
    forgotten: u64,
}

impl<V> BoundedMap<V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            inserted: 0,
            forgotten: 0,
        }
    }

    /// Inserts or replaces an entry. It is the newest one.
    pub(super) fn insert(&mut self, key: String, value: V) {
        self.inserted += 1;
        self.order.push_back((self.inserted, key.clone()));
        self.entries.insert(key, (self.inserted, value));
        while self.entries.len() > self.limit || self.order.len() > 2 * self.limit {
            let Some((number, key)) = self.order.pop_front() else {
                break;
            };
            if self.is_current(number, &key) {
                self.entries.remove(&key);
                self.forgotten += 1;
            }
        }
    }

    fn is_current(&self, number: u64, key: &str) -> bool {
        self.entries
            .get(key)
            .is_some_and(|(current, _)| *current == number)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(super) fn peek(&self, key: &str) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    /// How many entries made room for others although nobody removed them.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_entries_and_counts_them() {
        let mut map = BoundedMap::new(3);
        for number in 0..5 {
            map.insert(number.to_string(), number);
        }
        assert_eq!((map.entries.len(), map.forgotten()), (3, 2));
        assert!(!map.contains("1") && map.contains("2"));
        map.remove("2");
        map.insert("5".to_owned(), 5);
        assert_eq!((map.entries.len(), map.forgotten()), (3, 2));
        assert_eq!(map.get_mut("3"), Some(&mut 3));
    }

    #[test]
    fn a_removed_entry_that_comes_back_is_new() {
        let mut map = BoundedMap::new(2);
        map.insert("a".to_owned(), 1);
        map.remove("a");
        map.insert("b".to_owned(), 2);
        map.insert("a".to_owned(), 3);
        map.insert("c".to_owned(), 4);
        assert!(map.contains("a") && map.contains("c") && !map.contains("b"));
    }

    #[test]
    fn keys_that_come_and_go_do_not_grow_the_order() {
        let mut map = BoundedMap::new(4);
        for number in 0..1_000 {
            map.insert(number.to_string(), ());
            map.remove(&number.to_string());
        }
        assert!(map.order.len() <= 8, "{}", map.order.len());
        assert_eq!(map.forgotten(), 0);
    }
}
