//! Capacity that follows what is asked of it: on-demand tables and streams. Each takes twice its previous peak at once, and
//! grows to that once in its period, up to its quota.

/// What can be taken, and how that grows.
#[derive(Debug, Clone)]
pub struct OnDemand {
    level: f64,
    quota: f64,
    period: f64,
    peak: f64,
    left: f64,
}

impl OnDemand {
    /// It begins at `first`, and doubles its peak once in `period` seconds up to `quota`.
    #[must_use]
    pub fn new(first: f64, quota: f64, period: f64) -> Self {
        Self {
            level: first,
            quota,
            period,
            peak: 0.0,
            left: period,
        }
    }

    /// What it takes each second.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        self.level.min(self.quota)
    }

    /// Its parts, quota or not: what it once was is kept.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Its quota.
    #[must_use]
    pub fn quota(&self) -> f64 {
        self.quota
    }

    /// Goes on by `seconds` in which so much was taken each second.
    pub fn took(&mut self, each_second: f64, seconds: f64) {
        self.peak = self.peak.max(each_second);
        self.left -= seconds;
        if self.left <= 1e-9 {
            self.level = self.level.max((2.0 * self.peak).min(self.quota));
            self.peak = 0.0;
            self.left = self.period;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_its_peak_once_in_a_period_up_to_its_quota() {
        let mut table = OnDemand::new(4.0, 10.0, 30.0);
        let mut levels = vec![];
        for second in 0..120 {
            if second % 30 == 0 {
                levels.push(table.capacity());
            }
            let wanted: f64 = 100.0;
            table.took(wanted.min(table.capacity()), 1.0);
        }
        assert_eq!(levels, [4.0, 8.0, 10.0, 10.0]);
    }

    #[test]
    fn what_asks_for_less_lets_it_be() {
        let mut table = OnDemand::new(4.0, 10.0, 30.0);
        (0..100).for_each(|_| table.took(2.0, 1.0));
        assert!((table.capacity() - 4.0).abs() < 1e-9);
    }
}
