//! A bound on how much a command asks of a service in a second.

use std::time::Duration;

use tokio::time::Instant;

/// So many units a second on average. A use that is greater than the rest of its second is paid for by the next ones.
#[derive(Debug)]
pub struct Pace {
    per_second: u32,
    free_at: Instant,
}

impl Pace {
    /// So many a second; nothing is used yet. Nought is taken for one.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            free_at: Instant::now(),
        }
    }

    /// When the next use may begin that is not known beforehand: what was used before is paid for then.
    #[must_use]
    pub fn free_at(&self) -> Instant {
        self.free_at
    }

    /// Books one unit; when it may be used.
    #[must_use]
    pub fn turn(&mut self) -> Instant {
        let turn = self.free_at;
        self.used(1.0);
        turn
    }

    /// So much was used.
    pub fn used(&mut self, units: f64) {
        let price = Duration::from_secs_f64(units.max(0.0) / f64::from(self.per_second));
        // Time that went by unused is no credit: it would become a burst.
        self.free_at = self.free_at.max(Instant::now()) + price;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_paid_for_and_idle_time_is_no_credit() {
        let mut pace = Pace::new(10);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        pace.free_at = long_ago;
        let start = Instant::now();
        assert_eq!(pace.turn(), long_ago, "at once");
        let second = pace.turn();
        assert!(second >= start + Duration::from_millis(100));
        pace.used(2.5);
        assert_eq!(pace.free_at(), second + Duration::from_millis(350));
    }
}
