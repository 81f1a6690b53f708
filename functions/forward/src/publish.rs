//! Events into the stream, in order for each notification.
//!
//! `PutRecords` keeps no order among its records, and a record that failed may be stored all the same. So one call has
//! at most one record of an id, and the next one of that id goes only when the one before it is confirmed: whatever
//! fails, none is overtaken.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use onewrite::{
    budget::Budget,
    limits::{MAX_PUT_RECORDS, MAX_PUT_RECORDS_BYTES, RETRY_BASE, RETRY_CAP},
    notification::NotificationId,
    stream::{EventStream, Put, Record, StreamError},
};

/// What became of some records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// For each record whether the stream has confirmed it.
    pub confirmed: Vec<bool>,
    /// `PutRecords` calls.
    pub calls: usize,
    /// Calls that failed as a whole, or were not answered in time.
    pub failed_calls: usize,
    /// Entries that failed in calls that succeeded.
    pub failed_entries: usize,
    /// Records that were put more than once.
    pub retried_entries: usize,
}

impl Published {
    /// The first record that is not confirmed.
    #[must_use]
    pub fn first_unconfirmed(&self) -> Option<usize> {
        self.confirmed.iter().position(|confirmed| !confirmed)
    }
}

/// Puts `records`, which are in the order of their changes, and puts what fails again, with back-off and jitter, while
/// the budget lasts.
///
/// It does not stop at a record that keeps failing: those of other ids go on. Where the stream refuses a call, a retry
/// would not heal it, so nothing more is tried. `jitter` draws from 0 to 1.
pub async fn publish<S: EventStream>(
    stream: &S,
    records: &[Record],
    budget: Budget,
    jitter: fn() -> f64,
) -> Published {
    let mut publisher = Publisher::new(records);
    let mut failures_in_a_row = 0;
    while !budget.left().is_zero() {
        let Some(call) = publisher.next_call() else {
            // All that is left has failed since the last pause.
            if publisher.failed.is_empty() {
                break;
            }
            if !pause(jittered(failures_in_a_row, jitter()), budget).await {
                break;
            }
            failures_in_a_row += 1;
            publisher.try_again();
            continue;
        };
        let batch: Vec<Record> = call.iter().map(|index| records[*index].clone()).collect();
        let answer = tokio::time::timeout_at(budget.end(), stream.put(&batch)).await;
        let progress = match answer {
            Ok(Ok(puts)) if puts.len() == batch.len() => publisher.answered(&call, &puts),
            Ok(Ok(puts)) => {
                let (sent, answered) = (batch.len(), puts.len());
                publisher.call_failed(call, Some(&StreamError::Malformed { sent, answered }));
                break;
            }
            Ok(Err(error)) => {
                let is_final = !is_transient(&error);
                publisher.call_failed(call, Some(&error));
                if is_final || !pause(jittered(failures_in_a_row, jitter()), budget).await {
                    break;
                }
                failures_in_a_row += 1;
                publisher.try_again();
                false
            }
            Err(_elapsed) => {
                publisher.call_failed(call, None);
                break;
            }
        };
        if progress {
            failures_in_a_row = 0;
        }
    }
    publisher.published
}

/// Whether repetition alone may heal it; else an operator must act.
fn is_transient(error: &StreamError) -> bool {
    match error {
        StreamError::Throttled { .. } | StreamError::Unknown { .. } => true,
        StreamError::Refused { .. } | StreamError::Malformed { .. } => false,
    }
}

/// Waits before what failed is tried again; false where the time is up before that.
async fn pause(pause: Duration, budget: Budget) -> bool {
    if pause >= budget.left() {
        return false;
    }
    tokio::time::sleep(pause).await;
    true
}

/// "Full jitter": anything between nothing and the doubled pause, so that invocations that failed together do not come
/// again together (AWS Architecture Blog, "Exponential Backoff And Jitter"). `draw` is between 0 and 1.
fn jittered(failures_in_a_row: u32, draw: f64) -> Duration {
    let doubled = RETRY_BASE.saturating_mul(2_u32.saturating_pow(failures_in_a_row));
    doubled.min(RETRY_CAP).mul_f64(draw)
}

struct Publisher<'a> {
    records: &'a [Record],
    published: Published,
    /// The next record of each id: free to go, since what came before it is confirmed. Lowest first.
    ready: BinaryHeap<Reverse<usize>>,
    /// Records that failed and wait for the next pause to end.
    failed: Vec<usize>,
    /// For each record the next one of its id.
    next_of_id: Vec<Option<usize>>,
    tried: Vec<bool>,
}

impl<'a> Publisher<'a> {
    fn new(records: &'a [Record]) -> Self {
        let mut next_of_id = vec![None; records.len()];
        let mut ready = BinaryHeap::new();
        let mut last_of_id: HashMap<&NotificationId, usize> = HashMap::new();
        for (index, record) in records.iter().enumerate() {
            match last_of_id.insert(&record.id, index) {
                Some(last) => next_of_id[last] = Some(index),
                None => ready.push(Reverse(index)),
            }
        }
        let published = Published {
            confirmed: vec![false; records.len()],
            ..Published::default()
        };
        Self {
            records,
            published,
            ready,
            failed: Vec::new(),
            next_of_id,
            tried: vec![false; records.len()],
        }
    }

    /// The records of the next call: as many as its limits allow, each of another id.
    fn next_call(&mut self) -> Option<Vec<usize>> {
        let (mut call, mut bytes) = (Vec::new(), 0);
        while let Some(Reverse(index)) = self.ready.peek().copied() {
            bytes += self.records[index].bytes();
            let fits = call.len() < MAX_PUT_RECORDS && bytes <= MAX_PUT_RECORDS_BYTES;
            if !fits && !call.is_empty() {
                break;
            }
            self.ready.pop();
            if std::mem::replace(&mut self.tried[index], true) {
                self.published.retried_entries += 1;
            }
            call.push(index);
        }
        self.published.calls += usize::from(!call.is_empty());
        (!call.is_empty()).then_some(call)
    }

    /// Whether any record was confirmed.
    fn answered(&mut self, call: &[usize], puts: &[Put]) -> bool {
        let mut codes: Vec<&str> = Vec::new();
        for (index, put) in call.iter().zip(puts) {
            match put {
                Put::Confirmed { .. } => {
                    self.published.confirmed[*index] = true;
                    self.ready.extend(self.next_of_id[*index].map(Reverse));
                }
                Put::Failed { code } => {
                    self.failed.push(*index);
                    codes.push(code);
                }
            }
        }
        let failed = codes.len();
        self.published.failed_entries += failed;
        if failed > 0 {
            codes.sort_unstable();
            codes.dedup();
            tracing::warn!(
                failed,
                of = call.len(),
                ?codes,
                "entries of a PutRecords call failed"
            );
        }
        failed < call.len()
    }

    /// Nothing is known of any record of the call.
    fn call_failed(&mut self, call: Vec<usize>, error: Option<&StreamError>) {
        let records = call.len();
        let reason = error.map_or_else(
            || "the invocation's time was up".to_owned(),
            ToString::to_string,
        );
        if error.is_none_or(is_transient) {
            tracing::warn!(records, reason, "a PutRecords call failed");
        } else {
            tracing::error!(
                records,
                reason,
                "a PutRecords call failed, and a retry alone will not heal it"
            );
        }
        self.published.failed_calls += 1;
        self.failed.extend(call);
    }

    fn try_again(&mut self) {
        self.ready.extend(self.failed.drain(..).map(Reverse));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_retry_heals_is_told_from_what_asks_for_an_operator() {
        let text = String::new;
        assert!(is_transient(&StreamError::Throttled { code: text() }));
        assert!(is_transient(&StreamError::Unknown { reason: text() }));
        assert!(!is_transient(&StreamError::Refused { code: text() }));
        let (sent, answered) = (2, 1);
        assert!(!is_transient(&StreamError::Malformed { sent, answered }));
    }

    #[test]
    fn pauses_double_up_to_a_cap_and_jitter_takes_any_part_of_them() {
        let longest: Vec<_> = (0..8)
            .map(|failures| jittered(failures, 1.0).as_millis())
            .collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(jittered(u32::MAX, 1.0), RETRY_CAP);
        assert_eq!(jittered(5, 0.0), Duration::ZERO);
        assert_eq!(jittered(0, 0.5), RETRY_BASE / 2);
    }
}
