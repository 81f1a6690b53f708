//! Publishes records to the stream, in order for each notification.
//!
//! `PutRecords` keeps no order among its records, and a failed record may be stored nevertheless. Therefore one call
//! contains at most one record per id, and the next record of an id is sent only after the previous one is confirmed. No
//! failure lets a record overtake an earlier one.
//!
//! This is the only place that retries `PutRecords`; the SDK makes one attempt per call. A call without an answer may have stored
//! its records, so the next one is smaller ([`crate::call_limit`]), and each record is stored a few times at most.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use onewrite::{
    error::ServiceError,
    limits::{RETRY_BASE, RETRY_CAP},
    notification::NotificationId,
    stream::{EventStream, PutResult, Record, StreamError},
};
use onewrite_runtime::budget::Budget;
use tokio::time::Instant;

use crate::call_limit::{CallLimit, CallSize};

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
/// the budget is used up. `limit` learns from the calls how large they may be.
///
/// A record that keeps failing does not stop records of other ids. If the stream refuses a whole call, a retry would not
/// help, so publishing ends. `jitter` returns values from 0 to 1.
pub async fn publish<S: EventStream>(
    stream: &S,
    records: &[Record],
    budget: Budget,
    limit: &mut CallLimit,
    jitter: fn() -> f64,
) -> PublishResult {
    let mut publisher = Publisher::new(records);
    let mut failures_in_a_row = 0;
    while !budget.left().is_zero() {
        let progress = match publisher.next_call(limit.of_call(budget.left())) {
            Some(call) => publisher.send(stream, call, budget, limit).await,
            // All remaining records have failed since the last pause.
            None if publisher.failed.is_empty() => break,
            None => Progress::None,
        };
        match progress {
            Progress::Some => failures_in_a_row = 0,
            // The next call may hold records that have not failed.
            Progress::Entries => {}
            Progress::None => {
                if !pause(jittered(failures_in_a_row, jitter()), budget).await {
                    break;
                }
                failures_in_a_row += 1;
                publisher.requeue_failed();
            }
            Progress::Over => break,
        }
    }
    publisher.published
}

/// How a call advances the publishing.
enum Progress {
    /// The stream confirmed at least one record.
    Some,
    /// The stream answered, and every entry failed.
    Entries,
    /// The call failed, and a retry may help.
    None,
    /// The call failed, and a retry does not help.
    Over,
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

    /// The records of the next call: as many as the limit allows, at least one, each with a different id.
    fn next_call(&mut self, limit: CallSize) -> Option<Vec<usize>> {
        let (mut call, mut bytes) = (Vec::new(), 0);
        while let Some(Reverse(index)) = self.ready.peek().copied() {
            bytes += self.records[index].bytes();
            let records = call.len() + 1;
            if records > 1 && !limit.allows(CallSize { records, bytes }) {
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

    /// Sends a call and stores its results.
    async fn send<S: EventStream>(
        &mut self,
        stream: &S,
        call: Vec<usize>,
        budget: Budget,
        limit: &mut CallLimit,
    ) -> Progress {
        let batch: Vec<Record> = call
            .iter()
            .map(|index| self.records[*index].clone())
            .collect();
        let size = CallSize {
            records: batch.len(),
            bytes: batch.iter().map(Record::bytes).sum(),
        };
        let time = limit.timeout().min(budget.left());
        let started = Instant::now();
        match tokio::time::timeout(time, stream.put(&batch)).await {
            Ok(Ok(puts)) => {
                limit.answered(size, started.elapsed());
                let (sent, received) = (batch.len(), puts.len());
                if sent != received {
                    self.call_failed(call, &StreamError::Malformed { sent, received });
                    return Progress::Over;
                }
                if self.record_results(&call, &puts) {
                    Progress::Some
                } else {
                    Progress::Entries
                }
            }
            Ok(Err(error)) => {
                if let StreamError::Service(ServiceError::Unknown { .. }) = error {
                    limit.unanswered(size, limit.timeout());
                }
                self.call_failed(call, &error);
                if error.is_transient() {
                    Progress::None
                } else {
                    Progress::Over
                }
            }
            Err(_elapsed) => {
                limit.unanswered(size, time);
                let reason = format!("no answer within {} ms", time.as_millis());
                self.call_failed(call, &ServiceError::unknown(reason).into());
                Progress::None
            }
        }
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
    fn call_failed(&mut self, call: Vec<usize>, error: &StreamError) {
        let records = call.len();
        let reason = error.to_string();
        if error.is_transient() {
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
