//! The pollers of the queue: standard ones, which Lambda scales, or provisioned ones.

use crate::{
    limits::{
        POLLER_BYTES, POLLER_CONCURRENCY, POLLER_CONCURRENCY_PER_MINUTE, POLLER_RECEIVES,
        RECEIVE_MESSAGES, SQS_CONCURRENCY_PER_MINUTE, SQS_FIRST_CONCURRENCY,
        SQS_MAXIMUM_CONCURRENCY,
    },
    settings::Polling,
};

/// The pollers of one event source mapping.
#[derive(Debug, Clone)]
pub struct Pollers {
    polling: Polling,
    /// Concurrent invocations of standard pollers, or the number of provisioned pollers.
    now: f64,
}

/// The demand per second.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// Concurrent invocations.
    pub concurrency: f64,
    pub messages: f64,
    pub message_bytes: f64,
}

impl Pollers {
    /// The pollers at the start.
    #[must_use]
    pub fn new(polling: Polling) -> Self {
        let now = match polling {
            Polling::Standard {
                maximum_concurrency,
            } => SQS_FIRST_CONCURRENCY.min(maximum_concurrency.into()),
            Polling::Provisioned { minimum, .. } => minimum.into(),
        };
        Self { polling, now }
    }

    /// Their current concurrent invocations.
    #[must_use]
    pub fn concurrency(&self) -> f64 {
        match self.polling {
            Polling::Standard { .. } => self.now,
            Polling::Provisioned { .. } => self.now * POLLER_CONCURRENCY,
        }
    }

    /// Number of batches that are collected at the same time.
    #[must_use]
    pub fn collectors(&self) -> f64 {
        self.now
    }

    /// Their concurrent invocations when they are fully scaled.
    #[must_use]
    pub fn maximum_concurrency(&self) -> f64 {
        match self.polling {
            Polling::Standard {
                maximum_concurrency,
            } => SQS_MAXIMUM_CONCURRENCY.min(maximum_concurrency.into()),
            Polling::Provisioned { maximum, .. } => f64::from(maximum) * POLLER_CONCURRENCY,
        }
    }

    /// Messages per second that they read now, and when they are fully scaled. Infinite for standard pollers, because AWS
    /// does not document it.
    #[must_use]
    pub fn messages(&self, message_bytes: f64) -> (f64, f64) {
        match self.polling {
            Polling::Standard { .. } => (f64::INFINITY, f64::INFINITY),
            Polling::Provisioned { maximum, .. } => {
                let each = messages_per_poller(message_bytes);
                (self.now * each, f64::from(maximum) * each)
            }
        }
    }

    /// The number of provisioned pollers.
    #[must_use]
    pub fn provisioned(&self) -> f64 {
        match self.polling {
            Polling::Standard { .. } => 0.0,
            Polling::Provisioned { .. } => self.now,
        }
    }

    /// Whether they are fully scaled.
    #[must_use]
    pub fn are_fully_scaled(&self) -> bool {
        self.concurrency() >= self.maximum_concurrency() - 1e-9
    }

    /// Advances by `seconds` with this demand: scales up while the pollers are not enough, and down otherwise.
    pub fn scale(&mut self, demand: Demand, seconds: f64) {
        let (minimum, maximum, step, needed) = match self.polling {
            Polling::Standard { .. } => (
                SQS_FIRST_CONCURRENCY.min(self.maximum_concurrency()),
                self.maximum_concurrency(),
                SQS_CONCURRENCY_PER_MINUTE / 60.0 * seconds,
                demand.concurrency,
            ),
            Polling::Provisioned { minimum, maximum } => (
                f64::from(minimum),
                f64::from(maximum),
                POLLER_CONCURRENCY_PER_MINUTE / POLLER_CONCURRENCY / 60.0 * seconds,
                (demand.concurrency / POLLER_CONCURRENCY)
                    .max(demand.messages / messages_per_poller(demand.message_bytes)),
            ),
        };
        let next = needed.clamp(self.now - step, self.now + step);
        self.now = next.clamp(minimum, maximum.max(minimum));
    }
}

/// Messages per second that one provisioned poller reads.
fn messages_per_poller(message_bytes: f64) -> f64 {
    (POLLER_RECEIVES * RECEIVE_MESSAGES).min(POLLER_BYTES / message_bytes.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDLESS: Demand = Demand {
        concurrency: 1e9,
        messages: 1e9,
        message_bytes: 1_000.0,
    };

    #[test]
    fn standard_pollers_scale_to_their_maximum_in_four_minutes() {
        let mut pollers = Pollers::new(Polling::Standard {
            maximum_concurrency: 2_000,
        });
        let mut seconds = 0;
        while pollers.concurrency() < SQS_MAXIMUM_CONCURRENCY {
            pollers.scale(ENDLESS, 1.0);
            seconds += 1;
        }
        assert_eq!(seconds, 249, "(1250 - 5) / 5");
    }

    #[test]
    fn a_provisioned_poller_reads_100_messages_per_second() {
        let mut pollers = Pollers::new(Polling::Provisioned {
            minimum: 200,
            maximum: 2_000,
        });
        assert_eq!(pollers.messages(1_000.0), (20_000.0, 200_000.0));
        assert_eq!(pollers.messages(100_000.0), (2_000.0, 20_000.0));
        (0..60).for_each(|_| pollers.scale(ENDLESS, 1.0));
        assert!((pollers.concurrency() - 3_000.0).abs() < 1e-6, "1,000 more");
    }

    #[test]
    fn pollers_scale_down_with_the_demand() {
        let mut pollers = Pollers::new(Polling::Standard {
            maximum_concurrency: 50,
        });
        (0..60).for_each(|_| pollers.scale(ENDLESS, 1.0));
        assert!((pollers.concurrency() - 50.0).abs() < 1e-9);
        let low = Demand {
            concurrency: 1.0,
            ..ENDLESS
        };
        (0..60).for_each(|_| pollers.scale(low, 1.0));
        assert!((pollers.concurrency() - 5.0).abs() < 1e-9);
    }
}
