//! Which notifications were sent from the console, and what became of them.

use std::collections::BTreeSet;

use onewrite_console::lab::Ledger;
use onewrite_console::view::Count;

/// Notifications that are compared. Further ones are sent, but not compared.
const LIMIT: usize = 20_000;

/// Ids that the page names.
const EXAMPLES: usize = 10;

/// The distinct valid notifications that were sent from the console.
#[derive(Debug, Default)]
pub(super) struct SentIds(BTreeSet<String>);

impl SentIds {
    /// Adds an id. Returns whether it is compared.
    pub(super) fn add(&mut self, id: &str) -> bool {
        if self.0.contains(id) {
            return true;
        }
        self.0.len() < LIMIT && self.0.insert(id.to_owned())
    }

    pub(super) fn count(&self) -> Count {
        Count(self.0.len() as u64)
    }

    /// What became of them: `effects` of an id, and whether it `is_lost`.
    pub(super) fn ledger(
        &self,
        effects: impl Fn(&str) -> u32,
        is_lost: impl Fn(&str) -> bool,
    ) -> Ledger {
        let mut ledger = Ledger::default();
        for id in &self.0 {
            let times = effects(id);
            ledger.effects.0 += u64::from(times);
            let place = match times {
                0 if is_lost(id) => &mut ledger.lost,
                0 => &mut ledger.pending,
                1 => continue,
                _ => &mut ledger.repeated,
            };
            place.0 += 1;
            if (times > 1 || is_lost(id)) && ledger.examples.len() < EXAMPLES {
                ledger.examples.push(id.clone());
            }
        }
        ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_id_once_and_names_repeated_and_lost_ones() {
        let mut sent = SentIds::default();
        for id in ["once", "twice", "lost", "moving", "once"] {
            assert!(sent.add(id));
        }
        let effects = |id: &str| match id {
            "once" => 1,
            "twice" => 2,
            _ => 0,
        };
        let expected = Ledger {
            effects: Count(3),
            repeated: Count(1),
            lost: Count(1),
            pending: Count(1),
            examples: vec!["lost".to_owned(), "twice".to_owned()],
        };
        assert_eq!(sent.ledger(effects, |id| id == "lost"), expected);
        assert_eq!(sent.count(), Count(4));
    }

    #[test]
    fn compares_a_bounded_number() {
        let mut sent = SentIds::default();
        let compared = (0..LIMIT + 5).filter(|number| sent.add(&number.to_string()));
        assert_eq!(compared.count(), LIMIT);
        assert!(sent.add("7"), "a compared id can be sent again");
        let ledger = sent.ledger(|_| 2, |_| false);
        assert_eq!(ledger.examples.len(), EXAMPLES);
    }
}
