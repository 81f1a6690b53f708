//! On-demand capacity of tables and streams. It grows to twice the previous peak once per period, up to a quota.

/// A capacity that follows its usage.
#[derive(Debug, Clone)]
pub struct OnDemandCapacity {
    level: f64,
    quota: f64,
    period: f64,
    peak: f64,
    left: f64,
}

impl OnDemandCapacity {
    /// Starts at `first`, and grows once every `period` seconds.
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

    /// Units per second that it accepts.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        self.level.min(self.quota)
    }

    /// The capacity of its partitions, regardless of the quota. It never shrinks.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.level
    }

    #[must_use]
    pub fn quota(&self) -> f64 {
        self.quota
    }

    /// Advances by `seconds` with this usage per second.
    pub fn record_usage(&mut self, each_second: f64, seconds: f64) {
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
    fn grows_to_twice_its_peak_once_per_period_up_to_the_quota() {
        let mut table = OnDemandCapacity::new(4.0, 10.0, 30.0);
        let mut levels = vec![];
        for second in 0..120 {
            if second % 30 == 0 {
                levels.push(table.capacity());
            }
            let wanted: f64 = 100.0;
            table.record_usage(wanted.min(table.capacity()), 1.0);
        }
        assert_eq!(levels, [4.0, 8.0, 10.0, 10.0]);
    }

    #[test]
    fn does_not_grow_without_demand() {
        let mut table = OnDemandCapacity::new(4.0, 10.0, 30.0);
        (0..100).for_each(|_| table.record_usage(2.0, 1.0));
        assert!((table.capacity() - 4.0).abs() < 1e-9);
    }
}
