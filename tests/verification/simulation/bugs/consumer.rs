//! Wrong consumers: `complete` over a wrong table, with a wrong downstream, or with a wrong response.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::TransactWriteItem;
use futures::FutureExt as _;
use onewrite::completion::{Downstream, DownstreamError, Effect};
use onewrite::event::NotificationEvent;
use onewrite::notification::{NotificationId, Status};
use onewrite::table::CurrentStates as _;
use onewrite_testing::InMemoryTable;
use serde_json::{Value, json};

use super::Bug;
use super::ports::WrongTable;
use crate::downstream::WorldDownstream;
use crate::effects::refusal;
use crate::functions::{Handler, Parts};
use crate::receivers::Process;

pub(super) fn over_wrong_table(parts: &Parts, bug: Bug) -> Handler {
    let table = WrongTable::new(parts.table.clone(), bug);
    parts.complete(table, parts.downstream())
}

pub(super) fn with_wrong_downstream(parts: &Parts, bug: Bug) -> Handler {
    let (table, right) = (parts.table.clone(), parts.downstream());
    let downstream = move |process: &Arc<Process>| WrongDownstream {
        inner: right(process),
        bug,
        table: table.clone(),
        process: Arc::clone(process),
        state: Mutex::default(),
    };
    parts.complete(parts.table.clone(), downstream)
}

/// If a receiver was busy, the response names the last record of the batch instead of the lowest one that failed.
pub(super) fn reporting_highest(parts: &Parts) -> Handler {
    let right = parts.complete(parts.table.clone(), parts.downstream());
    let receivers = parts.receivers.clone();
    Box::new(move |call| {
        let event: Value = serde_json::from_str(&call.event).unwrap();
        let before = receivers.busy_answers();
        let (receivers, response) = (receivers.clone(), right(call));
        async move {
            let mut response: Value = serde_json::from_str(&response.await?).unwrap();
            let last = event["Records"]
                .as_array()
                .and_then(|records| records.last());
            if let Some(failure) = response.pointer_mut("/batchItemFailures/0/itemIdentifier")
                && receivers.busy_answers() > before
                && let Some(last) = last
            {
                *failure = json!(last["kinesis"]["sequenceNumber"]);
            }
            Ok(response.to_string())
        }
        .boxed_local()
    })
}

struct WrongDownstream {
    inner: WorldDownstream,
    bug: Bug,
    table: InMemoryTable,
    process: Arc<Process>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accepted: HashSet<NotificationId>,
    is_open: bool,
    /// The time of the batch for beginning calls.
    time: Duration,
}

impl Downstream<TransactWriteItem> for WrongDownstream {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        if let Some(answer) = self.answer_before(event).await {
            return answer;
        }
        let answer = match self.bug {
            Bug::BusyContinued => {
                // The targets forget that a receiver was busy.
                let time = self.state.lock().unwrap().time;
                self.inner.begin_batch(time);
                self.inner.accept(event).await
            }
            Bug::AcceptanceForgotten => {
                let targets = self.process.receivers().targets(&self.process);
                targets.accept(event).await
            }
            _ => self.inner.accept(event).await,
        };
        self.answer_after(event, answer)
    }

    fn begin_batch(&self, time: Duration) {
        self.inner.begin_batch(time);
        self.state.lock().unwrap().time = time;
    }

    fn postponement(&self, event: &NotificationEvent) -> Option<DownstreamError> {
        self.inner.postponement(event)
    }

    fn checks_state(&self) -> bool {
        let skips = [Bug::StateUnchecked, Bug::StateFingerprintIgnored];
        self.inner.checks_state() && !skips.contains(&self.bug)
    }
}

impl WrongDownstream {
    /// The answer without a call.
    async fn answer_before(
        &self,
        event: &NotificationEvent,
    ) -> Option<Result<Effect<TransactWriteItem>, DownstreamError>> {
        if self.bug == Bug::StateFingerprintIgnored {
            let ids = [event.subject.clone()];
            let states = self.table.current_states(&ids).await.unwrap();
            return match states.get(&event.subject).map(|state| state.status) {
                Some(Status::Init) => None,
                Some(Status::Done) => Some(Ok(Effect::Happened)),
                Some(Status::Refused) => Some(Ok(Effect::Refused(refusal()))),
                None => Some(Err(DownstreamError::new("removed"))),
            };
        }
        let state = self.state.lock().unwrap();
        match self.bug {
            Bug::BreakerStaysOpen if state.is_open => {
                Some(Err(DownstreamError::retry_later("open", None)))
            }
            Bug::AcceptedById if state.accepted.contains(&event.subject) => {
                Some(Ok(Effect::Happened))
            }
            _ => None,
        }
    }

    fn answer_after(
        &self,
        event: &NotificationEvent,
        answer: Result<Effect<TransactWriteItem>, DownstreamError>,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        let mut state = self.state.lock().unwrap();
        state.is_open |= answer.as_ref().is_err_and(DownstreamError::is_busy);
        if let Ok(Effect::Happened) = &answer {
            state.accepted.insert(event.subject.clone());
        }
        let has_one_accepted = || self.process.receivers().has_accepted(0, event);
        match (self.bug, answer) {
            (Bug::FaultRefused, Err(_)) => Ok(Effect::Refused(refusal())),
            (Bug::ForbiddenRefused, Err(error)) if error.to_string().contains("403") => {
                Ok(Effect::Refused(refusal()))
            }
            (Bug::RefusalRetried, Ok(Effect::Refused(reason))) => {
                Err(DownstreamError::new(reason.as_str()))
            }
            (Bug::BusyAccepted, Err(error)) if error.is_busy() => Ok(Effect::Happened),
            (Bug::BusyEndsBatch, Err(error)) if error.is_busy() => {
                Err(DownstreamError::retry_later(error.to_string(), None))
            }
            (Bug::OneTargetSuffices, Err(_)) if has_one_accepted() => Ok(Effect::Happened),
            (_, answer) => answer,
        }
    }
}
