//! The sentence on top of the page of a local stack, which `cargo local up` prints too.

use crate::view::{Count, Totals};

impl Totals {
    /// The sentence of a local stack, such as "1,204 messages sent, 1,180 notifications, 1,180 effects, 9 in conflict, 15 rejected,
    /// 0 lost". An unknown number is left out. Messages and notifications in progress are added as "3 still on their way".
    #[must_use]
    pub fn sentence(&self) -> String {
        let named = [
            (self.sent, " message sent", " messages sent"),
            (self.created, " notification", " notifications"),
            (self.effects, " effect", " effects"),
            (
                self.refused.filter(|count| count.0 > 0),
                " refused",
                " refused",
            ),
            (self.conflicts, " in conflict", " in conflict"),
            (self.rejected, " rejected", " rejected"),
            (self.lost, " lost", " lost"),
        ];
        let parts = named.into_iter().filter_map(|(count, one, many)| {
            let Count(count) = count?;
            let name = if count == 1 { one } else { many };
            Some(format!("{}{name}", grouped(count)))
        });
        let mut parts: Vec<String> = parts.collect();
        let (moving, theirs) = match self.in_progress() {
            1 => (1, "its"),
            moving => (moving, "their"),
        };
        if moving > 0 {
            parts.push(format!("{} still on {theirs} way", grouped(moving)));
        }
        parts.join(", ")
    }

    /// Messages in the queue, and notifications that are not settled yet. Without a target, nothing settles them, and they do not
    /// count.
    ///
    /// If every message is accounted for, these are the messages that neither repeat a notification, nor have settled one, nor are
    /// dead letters, nor are lost: each notification has one message that created it. That includes a message whose change the
    /// table's stream has not delivered yet. Otherwise it is an estimate, because a message in flight can be in the queue and
    /// stored at the same time.
    #[must_use]
    pub fn in_progress(&self) -> u64 {
        let of = |count: Option<Count>| count.unwrap_or_default().0;
        let settled = of(self.done) + of(self.refused);
        let open = self
            .done
            .map_or(0, |_| of(self.created).saturating_sub(settled));
        let moving = of(self.waiting) + open;
        let Some(Count(sent)) = self.sent else {
            return moving;
        };
        let rest = sent.saturating_sub(settled + of(self.dead_letters));
        let estimate = moving.min(rest);
        match (self.duplicates, self.lost, self.done) {
            (Some(Count(duplicates)), Some(Count(lost)), Some(_)) => {
                // A notification that was settled before its item was deleted is both settled and lost.
                rest.saturating_sub(duplicates + lost).max(estimate)
            }
            _ => estimate,
        }
    }
}

/// Groups digits by thousands: 1,204.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_204, "1,204"),
            (120_400, "120,400"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn names_what_is_known_and_what_is_on_its_way() {
        let count = |count| Some(Count(count));
        let mut totals = Totals {
            sent: count(1_204),
            created: count(1_180),
            done: count(1_180),
            refused: count(0),
            effects: count(1_180),
            conflicts: count(9),
            rejected: count(15),
            waiting: count(0),
            lost: count(0),
            ..Totals::default()
        };
        let settled = "1,204 messages sent, 1,180 notifications, 1,180 effects, 9 in conflict, 15 rejected, 0 lost";
        assert_eq!(totals.sentence(), settled);
        (totals.waiting, totals.done) = (count(2), count(1_179));
        assert_eq!(
            totals.sentence(),
            format!("{settled}, 3 still on their way")
        );
        (totals.waiting, totals.refused) = (count(1), count(1));
        totals.lost = None;
        assert_eq!(
            totals.sentence(),
            "1,204 messages sent, 1,180 notifications, 1,180 effects, 1 refused, 9 in conflict, 15 rejected, 1 still on its way"
        );
    }

    #[test]
    fn a_message_in_flight_that_is_stored_is_on_its_way_once() {
        let count = |count| Some(Count(count));
        let totals = Totals {
            sent: count(107),
            created: count(50),
            done: count(10),
            waiting: count(95),
            dead_letters: count(2),
            ..Totals::default()
        };
        assert_eq!(totals.in_progress(), 95);
    }

    #[test]
    fn a_stored_message_is_on_its_way_before_its_change_is_read() {
        let count = |count| Some(Count(count));
        let mut totals = Totals {
            sent: count(10),
            created: count(6),
            done: count(6),
            duplicates: count(1),
            waiting: count(0),
            dead_letters: count(1),
            lost: count(1),
            ..Totals::default()
        };
        assert_eq!(totals.in_progress(), 1);
        totals.duplicates = None;
        assert_eq!(totals.in_progress(), 0);
    }

    #[test]
    fn a_deleted_item_hides_nothing_that_is_on_its_way() {
        let count = |count| Some(Count(count));
        let totals = Totals {
            sent: count(3),
            created: count(2),
            done: count(1),
            duplicates: count(1),
            waiting: count(0),
            dead_letters: count(0),
            lost: count(1),
            ..Totals::default()
        };
        assert_eq!(totals.in_progress(), 1);
    }

    #[test]
    fn nothing_is_on_its_way_in_a_table_that_nothing_settles() {
        let totals = Totals {
            created: Some(Count(5)),
            waiting: Some(Count(0)),
            ..Totals::default()
        };
        assert_eq!(totals.in_progress(), 0);
        assert_eq!(totals.sentence(), "5 notifications");
    }
}
