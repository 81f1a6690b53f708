//! Publishes records to the stream, in order for each notification.
//!
//! `PutRecords` keeps no order among its records, and a failed record may be stored nevertheless. Therefore one call
//! contains at most one record per id, and the next record of an id is sent only after the previous one is confirmed. No
//! failure lets a record overtake an earlier one.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use onewrite::{
    limits::{MAX_PUT_RECORDS, MAX_PUT_RECORDS_BYTES, RETRY_BASE, RETRY_CAP},
    notification::NotificationId,
    stream::{EventStream, PutResult, Record, StreamError},
};
use onewrite_runtime::budget::Budget;

/// The result of publishing some records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishResult {
    /// For each record, whether the stream confirmed it.
    pub confirmed: Vec<bool>,
    /// The number of `PutRecords` calls.
    pub calls: usize,
    /// Calls that failed as a whole or got no response in time.
    pub failed_calls: usize,
    /// Failed entries of successful calls.
    pub failed_entries: usize,
    /// Records that were put more than once.
    pub retried_entries: usize,
}

impl PublishResult {
    /// The position of the first unconfirmed record.
    #[must_use]
    pub fn first_unconfirmed(&self) -> Option<usize> {
        self.confirmed.iter().position(|confirmed| !confirmed)
    }
}

/// Publishes `records`, which must be in the order of their changes. Retries failed records with back-off and jitter until
/// the budget is used up.
///
/// A record that keeps failing does not stop records of other ids. If the stream refuses a whole call, a retry would not
/// help, so publishing ends. `jitter` returns values from 0 to 1.
pub async fn publish<S: EventStream>(
    stream: &S,
    records: &[Record],
    budget: Budget,
    jitter: fn() -> f64,
) -> PublishResult {
    let mut publisher = Publisher::new(records);
    let mut failures_in_a_row = 0;
    while !budget.left().is_zero() {
        let Some(call) = publisher.next_call() else {
            // All remaining records have failed since the last pause.
            if publisher.failed.is_empty() {
                break;
            }
            if !pause(jittered(failures_in_a_row, jitter()), budget).await {
                break;
            }
            failures_in_a_row += 1;
            publisher.requeue_failed();
            continue;
        };
        let batch: Vec<Record> = call.iter().map(|index| records[*index].clone()).collect();
        let answer = tokio::time::timeout_at(budget.end(), stream.put(&batch)).await;
        let progress = match answer {
            Ok(Ok(puts)) if puts.len() == batch.len() => publisher.record_results(&call, &puts),
            Ok(Ok(puts)) => {
                let (sent, received) = (batch.len(), puts.len());
                publisher.call_failed(call, Some(&StreamError::Malformed { sent, received }));
                break;
            }
            Ok(Err(error)) => {
                let is_final = !error.is_transient();
                publisher.call_failed(call, Some(&error));
                if is_final || !pause(jittered(failures_in_a_row, jitter()), budget).await {
                    break;
                }
                failures_in_a_row += 1;
                publisher.requeue_failed();
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

/// Waits before a retry. Returns false if the budget ends before the pause.
async fn pause(pause: Duration, budget: Budget) -> bool {
    if pause >= budget.left() {
        return false;
    }
    tokio::time::sleep(pause).await;
    true
}

/// "Full jitter": a pause between zero and the doubled limit, so that invocations that failed together do not retry
/// together (AWS Architecture Blog, "Exponential Backoff And Jitter"). `draw` is between 0 and 1.
fn jittered(failures_in_a_row: u32, draw: f64) -> Duration {
    let doubled = RETRY_BASE.saturating_mul(2_u32.saturating_pow(failures_in_a_row));
    doubled.min(RETRY_CAP).mul_f64(draw)
}

struct Publisher<'a> {
    records: &'a [Record],
    published: PublishResult,
    /// Records that may be sent now, because all earlier records of their ids are confirmed. Lowest position first.
    ready: BinaryHeap<Reverse<usize>>,
    /// Failed records that wait for the end of the next pause.
    failed: Vec<usize>,
    /// For each record, the next record with the same id.
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
        let published = PublishResult {
            confirmed: vec![false; records.len()],
            ..PublishResult::default()
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

    /// The records of the next call: as many as the limits allow, each with a different id.
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

    /// Stores the results of a call. Returns whether any record was confirmed.
    fn record_results(&mut self, call: &[usize], puts: &[PutResult]) -> bool {
        let mut codes: Vec<&str> = Vec::new();
        for (index, put) in call.iter().zip(puts) {
            match put {
                PutResult::Confirmed { .. } => {
                    self.published.confirmed[*index] = true;
                    self.ready.extend(self.next_of_id[*index].map(Reverse));
                }
                PutResult::Failed { code } => {
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

    /// Marks all records of a call as failed.
    fn call_failed(&mut self, call: Vec<usize>, error: Option<&StreamError>) {
        let records = call.len();
        let reason = error.map_or_else(
            || "the time of the invocation was up".to_owned(),
            ToString::to_string,
        );
        if error.is_none_or(StreamError::is_transient) {
            tracing::warn!(records, reason, "a PutRecords call failed");
        } else {
            tracing::error!(
                records,
                reason,
                "a PutRecords call failed, and a retry alone does not help"
            );
        }
        self.published.failed_calls += 1;
        self.failed.extend(call);
    }

    fn requeue_failed(&mut self) {
        self.ready.extend(self.failed.drain(..).map(Reverse));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_jitter_scales_them() {
        let longest: Vec<_> = (0..8)
            .map(|failures| jittered(failures, 1.0).as_millis())
            .collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(jittered(u32::MAX, 1.0), RETRY_CAP);
        assert_eq!(jittered(5, 0.0), Duration::ZERO);
        assert_eq!(jittered(0, 0.5), RETRY_BASE / 2);
    }
}
