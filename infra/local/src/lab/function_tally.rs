//! What a function does, and how its last batches ended.

use jiff::Timestamp;
use onewrite_event_sources::Millis;
use onewrite_event_sources::invocation::InvocationOutcome;

/// A function is not called failing any longer after its last failed batch. By then, what failed was tried again or is a dead letter.
const FAILING_FOR: Millis = 60_000;

/// What a function does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FunctionTally {
    /// Messages or records of invocations that run now.
    running: usize,
    /// Whether the last batch failed, at least in part.
    has_failed: bool,
    last_failure: Option<(Millis, String)>,
}

impl FunctionTally {
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Whether the last batch failed, within the last minute.
    pub(super) fn is_failing(&self, now: Millis) -> bool {
        let last = self.last_failure.as_ref().filter(|_| self.has_failed);
        last.is_some_and(|(at, _)| now < at + FAILING_FOR)
    }

    /// The last failure and its time.
    pub(super) fn last_failure(&self) -> Option<String> {
        let (at, text) = self.last_failure.as_ref()?;
        let at = Timestamp::from_millisecond(i64::try_from(*at).ok()?).ok()?;
        Some(format!("{text}, at {}", at.strftime("%FT%TZ")))
    }

    pub(super) fn started(&mut self, records: usize) {
        self.running += records;
    }

    /// Notes the end of an invocation. Returns why it failed, if it did.
    pub(super) fn ended(
        &mut self,
        now: Millis,
        records: usize,
        outcome: &InvocationOutcome,
    ) -> Option<String> {
        self.running = self.running.saturating_sub(records);
        let failure = failure(records, outcome);
        self.has_failed = failure.is_some();
        if let Some(failure) = &failure {
            self.last_failure = Some((now, failure.clone()));
        }
        failure
    }
}

/// Why an invocation failed, at least for a part of its batch. `None` if it did not.
fn failure(records: usize, outcome: &InvocationOutcome) -> Option<String> {
    match outcome {
        InvocationOutcome::Response(text) => {
            let response: serde_json::Value = serde_json::from_str(text).ok()?;
            let failed = response["batchItemFailures"].as_array()?.len();
            (failed > 0).then(|| format!("{failed} of {records} in a batch failed"))
        }
        InvocationOutcome::FunctionError(kind) => Some(format!("the invocation failed: {kind}")),
        InvocationOutcome::Throttled => Some("the invocation was throttled".to_owned()),
        InvocationOutcome::InvocationError(code) => Some(format!("was not invoked: {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29T10:00:00Z.
    const NOW: Millis = 1_795_946_400_000;

    fn response(text: &str) -> InvocationOutcome {
        InvocationOutcome::Response(text.to_owned())
    }

    fn failed() -> InvocationOutcome {
        response(r#"{"batchItemFailures":[{"itemIdentifier":"m1"}]}"#)
    }

    #[test]
    fn names_why_a_batch_failed() {
        for (outcome, expected) in [
            (response(r#"{"batchItemFailures":[]}"#), None),
            (response("null"), None),
            (failed(), Some("1 of 3 in a batch failed")),
            (
                InvocationOutcome::Throttled,
                Some("the invocation was throttled"),
            ),
            (
                InvocationOutcome::FunctionError("Unhandled".to_owned()),
                Some("the invocation failed: Unhandled"),
            ),
        ] {
            let mut tally = FunctionTally::default();
            tally.started(3);
            assert_eq!(tally.running(), 3);
            let failure = tally.ended(NOW, 3, &outcome);
            assert_eq!(failure.as_deref(), expected);
            assert_eq!(
                (tally.running(), tally.is_failing(NOW)),
                (0, expected.is_some())
            );
        }
    }

    #[test]
    fn a_function_does_not_fail_any_more_after_a_batch_that_succeeded() {
        let mut tally = FunctionTally::default();
        assert_eq!(tally.last_failure(), None);
        tally.ended(NOW, 3, &failed());
        tally.ended(NOW + 1_000, 3, &response("null"));
        assert!(!tally.is_failing(NOW + 1_000));
        let text = "1 of 3 in a batch failed, at 2026-11-29T10:00:00Z";
        assert_eq!(tally.last_failure().as_deref(), Some(text));
    }

    #[test]
    fn a_function_that_gets_nothing_more_fails_for_a_minute() {
        let mut tally = FunctionTally::default();
        tally.ended(NOW, 3, &failed());
        assert!(tally.is_failing(NOW + FAILING_FOR - 1));
        assert!(!tally.is_failing(NOW + FAILING_FOR));
        assert!(tally.last_failure().is_some());
    }
}
