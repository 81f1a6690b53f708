//! Handles the results of invocations: deletes, retries and releases (rules S6 to S13, F5, F6).

use super::batch::{self, Batch, ReceivedMessage};
use super::contract::{Action, Finding, InvocationId, ReleaseCause};
use super::{SqsPoller, ThrottledBatch, release};
use crate::invocation::InvocationOutcome;
use crate::report::{self, Failures, Report};

impl SqsPoller {
    pub(super) fn handle_result(
        &mut self,
        invocation: InvocationId,
        outcome: InvocationOutcome,
        actions: &mut Vec<Action>,
    ) {
        let Some(batch) = self.running.remove(&invocation) else {
            return;
        };
        let message_ids = batch.message_ids();
        let report = match outcome {
            InvocationOutcome::Throttled => return self.schedule_retry(invocation, batch, actions),
            InvocationOutcome::Response(response) => {
                self.concurrency.record_success();
                report::read(&response, batch.reports_failures, &message_ids)
            }
            InvocationOutcome::FunctionError(_) => {
                if !batch.reports_failures {
                    self.concurrency.record_failure();
                }
                actions.push(Action::Report(Finding::FunctionError {
                    invocation,
                    message_ids,
                }));
                return self.finish(batch, |_| true, actions);
            }
            InvocationOutcome::InvocationError(_) => {
                actions.push(Action::Report(Finding::InvocationError {
                    invocation,
                    message_ids,
                }));
                return self.finish(batch, |_| true, actions);
            }
        };
        match report {
            Report::AllSucceeded => self.finish(batch, |_| false, actions),
            Report::WholeBatchFailed(reason) => {
                actions.push(Action::Report(Finding::MalformedResponse {
                    invocation,
                    reason,
                    message_ids,
                }));
                self.finish(batch, |_| true, actions);
            }
            Report::Partial(failures) => {
                self.fail_items(invocation, batch, &failures, actions);
            }
        }
    }

    fn fail_items(
        &mut self,
        invocation: InvocationId,
        batch: Batch,
        failures: &Failures,
        actions: &mut Vec<Action>,
    ) {
        let failed = |message: &ReceivedMessage| failures.contains(&message.message_id);
        let message_ids = batch::ids(batch.messages.iter().filter(|message| failed(message)));
        actions.push(Action::Report(Finding::BatchItemFailures {
            invocation,
            message_ids,
        }));
        if failures.duplicates() > 0 {
            let count = failures.duplicates();
            actions.push(Action::Report(Finding::RepeatedIdentifiers {
                invocation,
                count,
            }));
        }
        let message_ids = batch::ids(batch::acknowledged_out_of_order(&batch.messages, failed));
        if !message_ids.is_empty() {
            actions.push(Action::Report(Finding::BrokenFifoOrder {
                invocation,
                message_ids,
            }));
        }
        self.finish(batch, failed, actions);
    }

    /// Deletes the messages that succeeded and leaves the failed ones alone (S8). The rest of a FIFO batch follows,
    /// or is released.
    fn finish(
        &mut self,
        batch: Batch,
        failed: impl Fn(&ReceivedMessage) -> bool,
        actions: &mut Vec<Action>,
    ) {
        let (failed, done): (Vec<ReceivedMessage>, Vec<ReceivedMessage>) =
            batch.messages.into_iter().partition(failed);
        let one_in = self.choices.delete_fails_one_in;
        let (forgotten, done): (Vec<ReceivedMessage>, Vec<ReceivedMessage>) = done
            .into_iter()
            .partition(|_| one_in > 0 && self.mixer.one_in(one_in));
        self.delete(done, actions);
        if !forgotten.is_empty() {
            actions.push(Action::Report(Finding::DeleteFailed {
                message_ids: batch::ids(&forgotten),
            }));
        }
        let (stuck, rest): (Vec<ReceivedMessage>, Vec<ReceivedMessage>) = batch
            .rest
            .into_iter()
            .partition(|message| failed.iter().any(|failed| failed.group == message.group));
        release(ReleaseCause::GroupFailed, batch::ids(&stuck), actions);
        if !rest.is_empty() {
            let next = self.batch(rest);
            self.ready.push_back(next);
        }
        for collector in self
            .collectors
            .iter_mut()
            .filter(|collector| collector.is_empty())
        {
            collector.opened_at = Some(self.now);
        }
    }

    fn schedule_retry(
        &mut self,
        invocation: InvocationId,
        mut batch: Batch,
        actions: &mut Vec<Action>,
    ) {
        let retry_at = self.now + batch.throttle_pause;
        batch.throttle_pause = self.next_pause(batch.throttle_pause);
        actions.push(Action::Report(Finding::Throttled {
            invocation,
            retry_at,
        }));
        self.throttled.push(ThrottledBatch { batch, retry_at });
    }
}
