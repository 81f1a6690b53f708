//! Handles the results of invocations and of failure records (rules D8 to D18, D21, D22).

use super::batch::{self, Batch, PendingRecord};
use super::contract::{Action, CallId, Finding, InvocationId};
use super::{PendingFailureRecord, StreamPoller};
use crate::failure_record::{Condition, FailureRecord, LastResponse};
use crate::invocation::InvocationOutcome;
use crate::report::{self, Report};

impl StreamPoller {
    /// Discards the records that are too old, before every attempt (D18, Q19). Returns the batch if it can be invoked
    /// now. If a failure record must be sent first, the rest of the batch waits in its lane.
    pub(super) fn discard_expired(
        &mut self,
        id: &str,
        lane: usize,
        mut batch: Batch,
        actions: &mut Vec<Action>,
    ) -> Option<Batch> {
        let Some(maximum_age) = self.mapping.maximum_record_age() else {
            return Some(batch);
        };
        let now = self.now;
        let is_young =
            |record: &PendingRecord| now < record.record.arrived.saturating_add(maximum_age);
        let young = batch.records.iter().position(is_young);
        let young = young.unwrap_or(batch.records.len());
        if young == 0 {
            return Some(batch);
        }
        let (runs, request_id) = (batch.runs, batch.request_id.clone());
        let aged = batch.split_off_processed(young, &self.choices);
        let was_invoked = runs.max(1);
        if !batch.records.is_empty()
            && let Some(lane) = self.lane(id, lane)
        {
            lane.retries.push_front(batch);
        }
        let condition = Condition::RecordAgeExceeded;
        self.discard(
            (id, lane),
            &aged,
            condition,
            was_invoked,
            request_id,
            actions,
        );
        None
    }

    /// Discards records and sends a failure record. The records are processed once the destination has responded (D17, D21).
    fn discard(
        &mut self,
        (id, lane): (&str, usize),
        records: &[PendingRecord],
        condition: Condition,
        runs: u64,
        request_id: Option<String>,
        actions: &mut Vec<Action>,
    ) {
        let span = batch::span(id, records);
        let places: Vec<u64> = records.iter().map(|record| record.place).collect();
        actions.push(Action::Report(Finding::Discarded {
            condition,
            records: span.clone(),
        }));
        let Some(destination) = self.mapping.on_failure.clone() else {
            self.mark_processed(id, places);
            return;
        };
        let call = CallId(self.next_id());
        let arrival =
            |record: Option<&PendingRecord>| record.map_or(0, |record| record.record.arrived);
        let failure_record = FailureRecord {
            kind: self.mapping.kind,
            request_id: request_id.unwrap_or_else(|| self.request_id()),
            function_arn: self.mapping.function_arn.clone(),
            condition,
            approximate_invoke_count: runs,
            timestamp: self.now,
            shard_id: id.to_owned(),
            start_sequence_number: span.first.clone(),
            end_sequence_number: span.last.clone(),
            first_arrival: arrival(records.first()),
            last_arrival: arrival(records.last()),
            batch_size: records.len(),
            stream_arn: self.mapping.event_source_arn.clone(),
        };
        actions.push(Action::SendFailureRecord {
            call,
            destination,
            failure_record: Box::new(failure_record),
            event: batch::event(records),
        });
        if let Some(lane) = self.lane(id, lane) {
            lane.notifying = true;
        }
        let pending = PendingFailureRecord {
            shard: id.to_owned(),
            lane,
            records: span,
            places,
        };
        self.failure_records.insert(call, pending);
    }

    /// Creates a request id, in Lambda's format, for a batch that was never invoked.
    fn request_id(&mut self) -> String {
        let (high, low) = (self.mixer.next(), self.mixer.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }

    pub(super) fn handle_failure_record_result(
        &mut self,
        call: CallId,
        delivered: bool,
        actions: &mut Vec<Action>,
    ) {
        let Some(pending) = self.failure_records.remove(&call) else {
            return;
        };
        if let Some(lane) = self.lane(&pending.shard, pending.lane) {
            lane.notifying = false;
        }
        self.mark_processed(&pending.shard, pending.places);
        if !delivered {
            actions.push(Action::Report(Finding::FailureRecordRejected {
                records: pending.records,
            }));
        }
    }

    pub(super) fn handle_result(
        &mut self,
        invocation: InvocationId,
        request_id: Option<String>,
        outcome: InvocationOutcome,
        actions: &mut Vec<Action>,
    ) {
        let Some((id, lane)) = self.running.remove(&invocation) else {
            return;
        };
        let (now, choices) = (self.now, self.choices);
        let batch = self
            .lane(&id, lane)
            .and_then(|lane| {
                lane.open_window(now);
                lane.running.take()
            })
            .map(|(_, batch)| batch);
        let Some(mut batch) = batch else {
            return;
        };
        batch.request_id = request_id.or(batch.request_id);
        match outcome {
            InvocationOutcome::Response(response) => {
                self.handle_response((&id, lane), invocation, batch, &response, actions);
            }
            InvocationOutcome::FunctionError(_) => {
                actions.push(Action::Report(Finding::FunctionError {
                    invocation,
                    batch: batch::span(&id, &batch.records),
                }));
                if self.mapping.bisect_batch_on_function_error && batch.records.len() > 1 {
                    batch.wait(now, &choices);
                    let (first, second) = batch.bisect(&choices);
                    self.retry(&id, lane, [Some(first), second]);
                } else {
                    self.fail_attempt(&id, lane, batch, LastResponse::FunctionError, actions);
                }
            }
            // The code did not run, so this does not count as an attempt (D9).
            not_run @ (InvocationOutcome::Throttled | InvocationOutcome::InvocationError(_)) => {
                batch.wait(now, &choices);
                actions.push(Action::Report(Finding::NotInvoked {
                    invocation,
                    throttled: not_run == InvocationOutcome::Throttled,
                    retry_at: batch.not_before,
                }));
                self.retry(&id, lane, [Some(batch), None]);
            }
        }
    }

    fn handle_response(
        &mut self,
        (id, lane): (&str, usize),
        invocation: InvocationId,
        mut batch: Batch,
        response: &str,
        actions: &mut Vec<Action>,
    ) {
        let (now, choices) = (self.now, self.choices);
        let sequence_numbers = batch.sequence_numbers();
        let reports_failures = self.mapping.report_batch_item_failures;
        match report::read(response, reports_failures, &sequence_numbers) {
            Report::AllSucceeded => {
                self.mark_processed(id, batch.records.iter().map(|record| record.place))
            }
            Report::WholeBatchFailed(reason) => {
                actions.push(Action::Report(Finding::MalformedResponse {
                    invocation,
                    reason,
                    batch: batch::span(id, &batch.records),
                }));
                self.fail_attempt(id, lane, batch, LastResponse::FailureReport, actions);
            }
            Report::Partial(failures) => {
                let lowest = failures.lowest_sequence_number();
                let index = sequence_numbers.iter().position(|number| number == lowest);
                let done = batch.split_off_processed(index.unwrap_or(0), &choices);
                actions.push(Action::Report(Finding::BatchItemFailures {
                    invocation,
                    again: batch::span(id, &batch.records),
                }));
                if failures.duplicates() > 0 {
                    actions.push(Action::Report(Finding::RepeatedIdentifiers {
                        invocation,
                        count: failures.duplicates(),
                    }));
                }
                if done.is_empty() {
                    self.fail_attempt(id, lane, batch, LastResponse::FailureReport, actions);
                } else {
                    // Moving the checkpoint resets the number of attempts (D14).
                    self.mark_processed(id, done.iter().map(|record| record.place));
                    batch.wait(now, &choices);
                    self.retry(id, lane, [Some(batch), None]);
                }
            }
        }
    }

    /// Counts an attempt without progress. The batch is retried, or discarded if its attempts are exhausted (D10,
    /// D17).
    fn fail_attempt(
        &mut self,
        id: &str,
        lane: usize,
        mut batch: Batch,
        last_answer: LastResponse,
        actions: &mut Vec<Action>,
    ) {
        batch.runs += 1;
        let retries = self.mapping.maximum_retry_attempts.map(u64::from);
        if retries.is_some_and(|retries| batch.runs > retries) {
            let condition = Condition::RetryAttemptsExhausted(last_answer);
            let Batch {
                records,
                runs,
                request_id,
                ..
            } = batch;
            return self.discard((id, lane), &records, condition, runs, request_id, actions);
        }
        batch.wait(self.now, &self.choices);
        self.retry(id, lane, [Some(batch), None]);
    }

    /// Puts these batches at the front of their lane, in this order.
    fn retry(&mut self, id: &str, lane: usize, batches: [Option<Batch>; 2]) {
        if let Some(lane) = self.lane(id, lane) {
            for batch in batches.into_iter().rev().flatten() {
                lane.retries.push_front(batch);
            }
        }
    }
}
