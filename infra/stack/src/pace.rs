//! A limit on how much a command uses of a service in a second.

use std::time::Duration;

use tokio::time::Instant;

/// A number of units a second, on average. A use greater than the rest of its second delays the uses after it.
#[derive(Debug)]
pub struct Pace {
    per_second: u32,
    free_at: Instant,
}

impl Pace {
    /// Creates a pace of which nothing is used yet. Zero means one.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            free_at: Instant::now(),
        }
    }

    /// The time at which a use of unknown size may begin: all earlier uses are paid for by then.
    #[must_use]
    pub fn free_at(&self) -> Instant {
        self.free_at
    }

    /// Reserves one unit and returns the time at which it may be used.
    #[must_use]
    pub fn reserve(&mut self) -> Instant {
        let start = self.free_at;
        self.record_use(1.0);
        start
    }

    /// Records a use of this many units.
    pub fn record_use(&mut self, units: f64) {
        let price = Duration::from_secs_f64(units.max(0.0) / f64::from(self.per_second));
        // Unused time is not saved up: it would allow a burst.
        self.free_at = self.free_at.max(Instant::now()) + price;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_later_uses_and_saves_no_idle_time() {
        let mut pace = Pace::new(10);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        pace.free_at = long_ago;
        let start = Instant::now();
        assert_eq!(pace.reserve(), long_ago, "the first use starts at once");
        let second = pace.reserve();
        assert!(second >= start + Duration::from_millis(100));
        pace.record_use(2.5);
        assert_eq!(pace.free_at(), second + Duration::from_millis(350));
    }
}
