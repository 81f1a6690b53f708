//! Dead letters: the list, with the code of `onewrite redrive dlq`, and the redrive of exactly those that were previewed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use onewrite_console::{
    pipeline::PipelineError,
    view::{Applied, Entry},
};
use onewrite_stack::{
    dead_letter::{DeadLetter, DeadLetterReason, MessageRules},
    dead_letter_queue::{
        inspect::{Inspection, inspect},
        interrupt::IsInterrupted,
        judge::Judge,
        port::DeadLetterQueue,
        redrive::{EndReason, LetterResult, Redrive, RedriveEnd},
    },
};

use super::{
    candidates::{Candidate, Found, MAX_ENTRIES, Target, ValidFilter},
    failed::failed,
    previews::PlannedLetter,
};
use crate::{
    arguments::DEFAULT_RATE,
    commands::redrive::dlq::{
        Plan,
        letters::{DlqResult, not_judged},
        selection::{REASONS, Selection},
    },
};

/// The selection of the command that has the ids and the reason of the filter.
pub(super) fn selection(filter: &ValidFilter) -> Result<Selection, PipelineError> {
    let reason = filter.reason.as_ref().map(|reason| {
        let known = REASONS
            .into_iter()
            .find(|name| name.eq_ignore_ascii_case(reason));
        known
            .map(str::to_owned)
            .ok_or_else(|| PipelineError::Invalid("dead letters have no such reason".to_owned()))
    });
    Ok(Selection {
        ids: filter.ids.clone(),
        reasons: reason.transpose()?.into_iter().collect(),
    })
}

/// Inspects dead letters. Each of them is received.
pub(super) async fn find(
    queue: &impl DeadLetterQueue,
    rules: MessageRules,
    filter: &ValidFilter,
    is_ending: IsInterrupted<'_>,
) -> Result<Found, PipelineError> {
    let judge = Judge {
        rules,
        ids: filter.ids.iter().map(ToString::to_string).collect(),
    };
    let inspection = inspect(queue, &judge, MAX_ENTRIES, is_ending, |_| {}).await;
    let inspection = inspection.map_err(failed)?;
    found(&selection(filter)?, inspection)
}

fn found(selection: &Selection, inspection: Inspection) -> Result<Found, PipelineError> {
    // The command's preview with reasons leaves out all others. The list shows them, so the plan has only the ids.
    let by_id = Selection {
        ids: selection.ids.clone(),
        reasons: Vec::new(),
    };
    let plan = Plan::new(&by_id, inspection);
    let mut notes = Vec::new();
    if plan.inspected > 0 {
        notes.push(format!(
            "This list received {} dead letters and made them visible again. This counts as a receive of each letter.",
            plan.inspected
        ));
    }
    if plan.not_inspected > 0 {
        notes.push(format!(
            "About {} were not inspected: they are beyond the limit of {MAX_ENTRIES}, in flight, or behind others of their message group.",
            plan.not_inspected
        ));
    }
    let letters = plan.letters.into_iter().map(|one| {
        let is_selected = if selection.reasons.is_empty() {
            one.outcome == DlqResult::WouldBeMoved
        } else {
            selection.selects(&one.letter)
        };
        candidate(one.letter, is_selected)
    });
    Ok(Found {
        candidates: letters.collect(),
        not_inspected: plan.not_inspected as u64,
        notes,
    })
}

fn candidate(letter: DeadLetter, is_selected: bool) -> Candidate {
    let can_be_accepted = matches!(
        letter.reason,
        DeadLetterReason::NotStored | DeadLetterReason::AlreadyStored
    );
    Candidate {
        entry: Entry {
            key: letter.message_id,
            notification_id: letter.notification_id,
            notification_type: letter.notification_type,
            reason: letter.reason.name().to_owned(),
            since: letter.sent_at.map(|at| at.to_string()),
            is_redrivable: can_be_accepted,
            detail: format!("{}, received x{}", letter.reason.text(), letter.receives),
        },
        since: letter.sent_at,
        target: Some(Target::Letter(letter.reason)),
        is_selected,
    }
}

/// The letters that were previewed and have no result yet.
struct Waiting<'a>(Mutex<BTreeMap<&'a str, &'a PlannedLetter>>);

impl<'a> Waiting<'a> {
    fn new(letters: &'a [PlannedLetter]) -> Self {
        let by_id = letters.iter().map(|one| (one.message_id.as_str(), one));
        Self(Mutex::new(by_id.collect()))
    }

    fn letters(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'a str, &'a PlannedLetter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the letter was previewed and is still as it was.
    fn selects(&self, letter: &DeadLetter) -> bool {
        let letters = self.letters();
        let planned = letters.get(letter.message_id.as_str());
        planned.is_some_and(|planned| planned.reason == letter.reason)
    }

    /// Takes a letter that has its result now.
    fn take(&self, letter: &DeadLetter) -> Option<&'a PlannedLetter> {
        self.letters().remove(letter.message_id.as_str())
    }
}

/// Moves exactly these letters back to the queue, and reports the result of each. Once the console ends, no further one is moved,
/// and those that were received are made visible again.
///
/// # Errors
/// [`PipelineError::Failed`]: letters that stay could not be made visible again. Each letter has its result all the same.
pub(super) async fn redrive(
    queue: &impl DeadLetterQueue,
    rules: MessageRules,
    letters: &[PlannedLetter],
    is_ending: IsInterrupted<'_>,
    progress: &(dyn Fn(Applied) + Send + Sync),
) -> Result<(), PipelineError> {
    let judge = Judge {
        rules,
        ids: std::collections::BTreeSet::new(),
    };
    let waiting = Waiting::new(letters);
    let redrive = Redrive {
        judge: &judge,
        selects: |letter: &DeadLetter| waiting.selects(letter),
        at_most: letters.len(),
        rate: DEFAULT_RATE,
        // The message ids decide. Letters that were sent later have other ids.
        started_at: Timestamp::MAX,
        // If all letters have their result, it need not look at the rest of the queue.
        is_interrupted: &|| is_ending() || waiting.letters().is_empty(),
    };
    let on_letter = |letter: DeadLetter, result: LetterResult| {
        if let Some(planned) = waiting.take(&letter) {
            progress(applied(planned, &letter, &result));
        }
    };
    let end = redrive.run(queue, on_letter).await;
    let result = missing_text(&end);
    for planned in waiting.letters().values() {
        progress(Applied {
            key: planned.message_id.clone(),
            notification_id: planned.notification_id.clone(),
            is_redriven: false,
            result: result.clone(),
        });
    }
    match (end.hidden_for, not_judged(&end)) {
        (Some(_), Some(text)) => Err(PipelineError::Failed(text)),
        _ => Ok(()),
    }
}

fn applied(planned: &PlannedLetter, letter: &DeadLetter, result: &LetterResult) -> Applied {
    let (is_redriven, result) = match result {
        LetterResult::Moved(id) => (true, format!("moved, now message {id}")),
        LetterResult::Copied(id) => (
            true,
            format!("moved, now message {id}; it could not be deleted here, which is harmless"),
        ),
        LetterResult::LeftAlone | LetterResult::SentLater => (
            false,
            format!("changed since the preview: {}", letter.reason.text()),
        ),
    };
    Applied {
        key: planned.message_id.clone(),
        notification_id: planned.notification_id.clone(),
        is_redriven,
        result,
    }
}

/// The result of a letter that the redrive did not meet.
fn missing_text(end: &RedriveEnd) -> String {
    match &end.reason {
        EndReason::Failed(error) => {
            format!("not known: {error}. If it was sent, a second copy is harmless")
        }
        EndReason::NoMore if end.not_judged == Some(0) => {
            "gone: it is no longer in the dead-letter queue".to_owned()
        }
        EndReason::Interrupted => "not moved: the console ended".to_owned(),
        _ => "not found: it is in flight, or behind others of its message group; preview again in five minutes"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;
