//! Who reads the queue: pollers that Lambda scales, or provisioned ones.

use crate::{
    limits::{
        POLLER_BYTES, POLLER_CONCURRENCY, POLLER_CONCURRENCY_PER_MINUTE, POLLER_RECEIVES,
        RECEIVE_MESSAGES, SQS_CONCURRENCY_PER_MINUTE, SQS_FIRST_CONCURRENCY, SQS_MOST_CONCURRENCY,
    },
    settings::Polling,
};

/// The pollers of one mapping.
#[derive(Debug, Clone)]
pub struct Pollers {
    polling: Polling,
    /// Concurrent invocations for standard pollers, pollers for provisioned ones.
    now: f64,
}

/// What is asked of them, each second.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Invocations at the same time.
    pub concurrency: f64,
    /// Messages.
    pub messages: f64,
    /// Bytes of a message.
    pub message_bytes: f64,
}

impl Pollers {
    /// As they are at the start.
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

    /// Invocations that they make at the same time.
    #[must_use]
    pub fn concurrency(&self) -> f64 {
        match self.polling {
            Polling::Standard { .. } => self.now,
            Polling::Provisioned { .. } => self.now * POLLER_CONCURRENCY,
        }
    }

    /// Batches that are collected at the same time.
    #[must_use]
    pub fn collectors(&self) -> f64 {
        self.now
    }

    /// The same when they have scaled as far as they may.
    #[must_use]
    pub fn most_concurrency(&self) -> f64 {
        match self.polling {
            Polling::Standard {
                maximum_concurrency,
            } => SQS_MOST_CONCURRENCY.min(maximum_concurrency.into()),
            Polling::Provisioned { maximum, .. } => f64::from(maximum) * POLLER_CONCURRENCY,
        }
    }

    /// Messages that they read each second, and could if they had scaled as far as they may. No page says it of standard
    /// pollers: infinite.
    #[must_use]
    pub fn messages(&self, message_bytes: f64) -> (f64, f64) {
        match self.polling {
            Polling::Standard { .. } => (f64::INFINITY, f64::INFINITY),
            Polling::Provisioned { maximum, .. } => {
                let each = of_one_poller(message_bytes);
                (self.now * each, f64::from(maximum) * each)
            }
        }
    }

    /// Provisioned ones, as they are.
    #[must_use]
    pub fn provisioned(&self) -> f64 {
        match self.polling {
            Polling::Standard { .. } => 0.0,
            Polling::Provisioned { .. } => self.now,
        }
    }

    /// Whether they have scaled as far as they may.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.concurrency() >= self.most_concurrency() - 1e-9
    }

    /// Goes on by `seconds` in which so much was wanted: up while they do not suffice, down otherwise.
    pub fn scale(&mut self, wanted: Wanted, seconds: f64) {
        let (least, most, step, needed) = match self.polling {
            Polling::Standard { .. } => (
                SQS_FIRST_CONCURRENCY.min(self.most_concurrency()),
                self.most_concurrency(),
                SQS_CONCURRENCY_PER_MINUTE / 60.0 * seconds,
                wanted.concurrency,
            ),
            Polling::Provisioned { minimum, maximum } => (
                f64::from(minimum),
                f64::from(maximum),
                POLLER_CONCURRENCY_PER_MINUTE / POLLER_CONCURRENCY / 60.0 * seconds,
                (wanted.concurrency / POLLER_CONCURRENCY)
                    .max(wanted.messages / of_one_poller(wanted.message_bytes)),
            ),
        };
        let next = needed.clamp(self.now - step, self.now + step);
        self.now = next.clamp(least, most.max(least));
    }
}

/// Messages that one provisioned poller reads each second.
fn of_one_poller(message_bytes: f64) -> f64 {
    (POLLER_RECEIVES * RECEIVE_MESSAGES).min(POLLER_BYTES / message_bytes.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDLESS: Wanted = Wanted {
        concurrency: 1e9,
        messages: 1e9,
        message_bytes: 1_000.0,
    };

    #[test]
    fn standard_pollers_reach_their_most_in_about_four_minutes() {
        let mut pollers = Pollers::new(Polling::Standard {
            maximum_concurrency: 2_000,
        });
        let mut seconds = 0;
        while pollers.concurrency() < SQS_MOST_CONCURRENCY {
            pollers.scale(ENDLESS, 1.0);
            seconds += 1;
        }
        assert_eq!(seconds, 249, "(1250 - 5) / 5");
    }

    #[test]
    fn provisioned_pollers_read_a_hundred_messages_each() {
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
    fn they_go_back_when_little_is_wanted() {
        let mut pollers = Pollers::new(Polling::Standard {
            maximum_concurrency: 50,
        });
        (0..60).for_each(|_| pollers.scale(ENDLESS, 1.0));
        assert!((pollers.concurrency() - 50.0).abs() < 1e-9);
        let little = Wanted {
            concurrency: 1.0,
            ..ENDLESS
        };
        (0..60).for_each(|_| pollers.scale(little, 1.0));
        assert!((pollers.concurrency() - 5.0).abs() < 1e-9);
    }
}
