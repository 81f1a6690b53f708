//! The report of a trace: where the notification is now, its history, and what to do. No I/O.

use jiff::Timestamp;
use onewrite::notification::Status;
use onewrite_stack::{
    dead_letter::{DeadLetter, DeadLetterReason},
    failure_bucket::FailedBatch,
    function_errors::FunctionErrors,
    stream::StreamRecord,
    table::StoredItem,
};
use serde::Serialize;

use super::evidence::{Evidence, StreamPart};
use crate::{
    error::NOT_FOUND,
    format::{duration, shell_quote},
};

/// The shortest pause in the history that is shown as a line, in milliseconds.
const MIN_GAP_MILLIS: i64 = 60_000;

/// The digits of a fingerprint that are shown.
pub(crate) const FINGERPRINT_DIGITS: usize = 8;

/// Where a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Place {
    /// In no place that can be inspected.
    Unknown,
    /// Only in the dead-letter queue.
    DeadLettered,
    /// The item is gone, but events are still in the stream.
    Removed,
    /// The item was edited and can no longer be read.
    Unreadable,
    /// In the table, not yet in the stream.
    Stored,
    /// In the stream, not settled.
    Published,
    /// Not settled, and its event was given up.
    Failed,
    /// DONE, with or without its payload.
    Done,
    /// REFUSED, with or without its payload.
    Refused,
}

impl Place {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 9] = [
        Self::Done,
        Self::Refused,
        Self::Unknown,
        Self::Stored,
        Self::Published,
        Self::Failed,
        Self::DeadLettered,
        Self::Removed,
        Self::Unreadable,
    ];

    /// The exit code of the command, so that a script can ask for the place. Help and documentation list them.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unknown => NOT_FOUND,
            Self::Stored => 10,
            Self::Published => 11,
            Self::Failed => 12,
            Self::DeadLettered => 13,
            Self::Removed => 14,
            Self::Unreadable => 15,
            Self::Refused => 16,
        }
    }
}

/// One event in the history of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    pub at: Timestamp,
    pub what: &'static str,
    /// Ids and names; never a payload.
    pub detail: String,
}

/// The report of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TraceReport {
    pub id: String,
    pub place: Place,
    /// The name of the consumer that settled it.
    pub settled_by: Option<String>,
    /// The history, earliest first.
    pub steps: Vec<Step>,
    /// What this means, in sentences.
    #[serde(rename = "says")]
    pub summary: Vec<String>,
    pub records: Vec<StreamRecord>,
    pub dead_letters: Vec<DeadLetter>,
    pub failures: Vec<FailedBatch>,
    /// The newest error of the notification in the log of each function.
    pub errors: Vec<FunctionErrors>,
    /// If the search of the stream ended early: records after this time were not searched.
    pub stream_searched_until: Option<Timestamp>,
    pub looked_at: Timestamp,
    /// The content of the item, only if it was asked for.
    #[serde(flatten)]
    pub content: Option<Content>,
}

/// Payload and enrichment of a notification, as text, however the table stores them.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Content {
    pub payload: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrichment: Option<String>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} bytes)", self.payload.len())
    }
}

impl Content {
    /// `None` if its payload was erased.
    pub(crate) fn new(stored: &StoredItem) -> Option<Self> {
        stored.erased_at.is_none().then(|| Self {
            payload: stored.item.notification.payload.as_str().to_owned(),
            enrichment: stored.item.enrichment.clone(),
        })
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec!["Payload:".to_owned(), self.payload.clone()];
        if let Some(enrichment) = &self.enrichment {
            lines.extend(["Enrichment:".to_owned(), enrichment.clone()]);
        }
        lines
    }
}

pub(crate) fn readable(evidence: &Evidence) -> Option<&StoredItem> {
    evidence.item.as_ref()?.as_ref().ok()
}

impl TraceReport {
    pub(crate) fn new(evidence: &Evidence) -> Self {
        let place = place(evidence);
        let settled_by = readable(evidence).and_then(|stored| stored.item.settled_by.as_ref());
        Self {
            id: evidence.id.clone(),
            place,
            settled_by: settled_by.map(ToString::to_string),
            steps: history(evidence),
            summary: summary(evidence, place),
            records: evidence.records.clone(),
            dead_letters: evidence.dead_letters.clone(),
            failures: evidence.failures.clone(),
            errors: evidence.errors.clone(),
            stream_searched_until: match evidence.stream {
                StreamPart::Until(until) => Some(until),
                StreamPart::All | StreamPart::Nothing => None,
            },
            looked_at: evidence.collected_at,
            content: None,
        }
    }

    /// Adds payload and enrichment.
    pub(crate) fn with_content(self, evidence: &Evidence) -> Self {
        Self {
            content: readable(evidence).and_then(Content::new),
            ..self
        }
    }

    /// Whether a redrive of its dead letters can succeed.
    fn can_redrive_dead_letters(&self) -> bool {
        let mut letters = self.dead_letters.iter();
        letters.any(|letter| letter.reason == DeadLetterReason::NotStored)
    }

    /// The command that retries the notification; `None` if there is nothing to retry, or if waiting is enough.
    pub(crate) fn next_command(&self, command: &str) -> Option<String> {
        let id = shell_quote(&self.id);
        match self.place {
            Place::Failed => Some(format!("{command} redrive failures --id {id}")),
            Place::DeadLettered if self.can_redrive_dead_letters() => {
                Some(format!("{command} redrive dlq --id {id}"))
            }
            _ => None,
        }
    }

    /// The report as text: each step with the time since the first one, long pauses, and the suggested next call of
    /// `command`.
    pub(crate) fn text(&self, command: &str) -> String {
        let mut lines = Vec::new();
        let first = self.steps.first().map_or(self.looked_at, |step| step.at);
        let mut last = first;
        for Step { at, what, detail } in &self.steps {
            lines.extend(gap(last, *at));
            let since = format!("+{}", duration(millis(first, *at)));
            lines.push(format!("{since:<10} {what:<13} {detail}"));
            last = *at;
        }
        if !self.steps.is_empty()
            && !matches!(
                self.place,
                Place::Done | Place::Refused | Place::DeadLettered
            )
        {
            lines.extend(gap(last, self.looked_at));
        }
        lines.extend(self.summary.iter().cloned());
        let next = self.next_command(command);
        lines.extend(next.map(|line| format!("Next: {line}")));
        lines.extend(self.content.iter().flat_map(Content::lines));
        lines.join("\n") + "\n"
    }
}

fn place(evidence: &Evidence) -> Place {
    match &evidence.item {
        None if !evidence.dead_letters.is_empty() => Place::DeadLettered,
        None if !evidence.records.is_empty() => Place::Removed,
        None => Place::Unknown,
        Some(Err(_)) => Place::Unreadable,
        Some(Ok(stored)) if stored.item.status == Status::Done => Place::Done,
        Some(Ok(stored)) if stored.item.status == Status::Refused => Place::Refused,
        Some(Ok(_)) if !evidence.failures.is_empty() => Place::Failed,
        Some(Ok(_)) if evidence.records.is_empty() => Place::Stored,
        Some(Ok(_)) => Place::Published,
    }
}

fn history(evidence: &Evidence) -> Vec<Step> {
    let mut steps = item_steps(evidence);
    steps.extend(record_steps(&evidence.records));
    steps.extend(evidence.failures.iter().map(failure_step));
    steps.extend(evidence.errors.iter().filter_map(error_step));
    let letters = evidence.dead_letters.iter();
    steps.extend(letters.map(|letter| dead_letter_step(letter, evidence.collected_at)));
    steps.sort_by_key(|step| step.at);
    steps
}

fn item_steps(evidence: &Evidence) -> Vec<Step> {
    let Some(StoredItem { item, erased_at }) = readable(evidence) else {
        return Vec::new();
    };
    let fingerprint = item.notification.fingerprint.to_string();
    let fingerprint = &fingerprint[..FINGERPRINT_DIGITS];
    let message = &item.source_message_id;
    let mut steps = vec![Step {
        at: item.created_at,
        what: "stored",
        detail: format!("INIT, fingerprint {fingerprint}, of message {message}"),
    }];
    if item.status.is_settled() {
        let settler = item.settled_by.as_ref();
        let settler = settler.map_or_else(String::new, |name| format!(", by {name}"));
        let version = format!("version {}{settler}", item.version);
        let (what, detail) = if item.status == Status::Refused {
            // Another consumer can store any text as the reason, which may be confidential.
            let code = item
                .refusal
                .as_ref()
                .map_or("(not a code)", |code| code.as_str());
            ("refused", format!("{code}, {version}"))
        } else {
            ("done", version)
        };
        let at = item.updated_at;
        steps.push(Step { at, what, detail });
    }
    steps.extend(erased_at.map(|at| Step {
        at,
        what: "erased",
        detail: "payload and enrichment removed by an operator".to_owned(),
    }));
    steps
}

fn record_steps(records: &[StreamRecord]) -> impl Iterator<Item = Step> {
    records.iter().enumerate().map(|(index, record)| {
        let event = record.event_id.as_deref().unwrap_or("no event");
        let is_repeated = records[..index]
            .iter()
            .any(|earlier| earlier.event_id == record.event_id);
        Step {
            at: record.at,
            what: if is_repeated { "repeated" } else { "published" },
            detail: format!("{event}, {}, seq {}", record.shard, record.sequence_number),
        }
    })
}

fn failure_step(failure: &FailedBatch) -> Step {
    Step {
        at: failure.at,
        what: "given up",
        detail: failure_text(failure),
    }
}

/// A failed batch in words.
pub(crate) fn failure_text(failure: &FailedBatch) -> String {
    let function = failure.function.rsplit(':').find(|part| *part != "$LATEST");
    format!(
        "{}, {} after {} attempts, {}",
        function.unwrap_or_default(),
        failure.condition,
        failure.attempts,
        failure.key
    )
}

/// The newest error that a function logged for the notification.
fn error_step(errors: &FunctionErrors) -> Option<Step> {
    let newest = errors.kinds.first()?;
    Some(Step {
        at: newest.last.at,
        what: "error",
        detail: format!("{}: {}", errors.function, newest.last.text()),
    })
}

fn dead_letter_step(letter: &DeadLetter, now: Timestamp) -> Step {
    Step {
        at: letter.sent_at.unwrap_or(now),
        what: "dead letter",
        detail: dead_letter_text(letter),
    }
}

/// A dead letter in words.
pub(crate) fn dead_letter_text(letter: &DeadLetter) -> String {
    format!(
        "message {}, {}, received x{}",
        letter.message_id,
        letter.reason.text(),
        letter.receives
    )
}

fn summary(evidence: &Evidence, place: Place) -> Vec<String> {
    let mut summary = vec![meaning(evidence, place)];
    if let Some(Err(error)) = &evidence.item {
        summary.push(format!("{error}."));
    }
    summary.extend(consumer_problem(evidence, place));
    summary.extend(error_of_others(evidence, place));
    summary.extend(dead_letter_notes(&evidence.dead_letters));
    summary.extend(gaps_in_search(evidence));
    summary
}

fn meaning(evidence: &Evidence, place: Place) -> String {
    match place {
        Place::Unknown => format!(
            "Not found: not stored, not published, not in the dead-letter queue. The queue holds ~{} messages, which cannot be inspected.",
            evidence.waiting
        ),
        Place::DeadLettered => {
            "Never stored: it is only in the dead-letter queue. It has no effect until ingest accepts its message.".to_owned()
        }
        Place::Removed => {
            "The item was removed, by time to live or by hand; events are still in the stream. If the id is sent again, it is a new notification.".to_owned()
        }
        Place::Unreadable => {
            "The item was edited by hand and cannot be read. No function will change it.".to_owned()
        }
        Place::Stored if evidence.stream == StreamPart::All => {
            "Stored, not published: forward has not sent its event yet. Safe to redrive.".to_owned()
        }
        Place::Stored => {
            "Stored, not settled. Whether its event was published is not known. Safe to redrive.".to_owned()
        }
        Place::Published if !evidence.has_downstream => {
            "Published, not settled. No downstream is configured, so only your own consumer settles it.".to_owned()
        }
        Place::Published => "Published, not settled. Safe to redrive.".to_owned(),
        Place::Failed => {
            "Not settled: its event was given up. Fix the cause, then redrive. Safe to redrive.".to_owned()
        }
        Place::Done => "DONE: one accepted effect. Nothing to do.".to_owned(),
        Place::Refused => {
            "REFUSED: the downstream will never accept it. A correction is a new notification, with a new id.".to_owned()
        }
    }
}

/// The last result of the function that the notification waits for, if it is not good.
fn consumer_problem(evidence: &Evidence, place: Place) -> Option<String> {
    let (function, result) = match place {
        Place::Stored => ("forward", &evidence.last_result_of_forward),
        Place::Published | Place::Failed => ("complete", &evidence.last_result_of_complete),
        _ => return None,
    };
    let result = result.as_deref().filter(|result| is_problem(result))?;
    Some(format!("The last result of {function} is: {result}."))
}

/// The last error of the function that the notification waits for, of any notification.
fn error_of_others(evidence: &Evidence, place: Place) -> Option<String> {
    let (function, error) = match place {
        Place::Stored => ("forward", &evidence.last_error_of_forward),
        Place::Published => ("complete", &evidence.last_error_of_complete),
        _ => return None,
    };
    let error = error.as_ref()?;
    let (text, at) = (error.text(), error.at);
    Some(format!(
        "The last error of {function}, of any notification, at {at}: {text}."
    ))
}

/// Whether Lambda reports a failed batch. Its other results are `OK` and `No records processed`.
fn is_problem(last_result: &str) -> bool {
    last_result.starts_with("PROBLEM")
}

fn dead_letter_notes(letters: &[DeadLetter]) -> Vec<String> {
    let count = |reason: DeadLetterReason| {
        let with_reason = letters.iter().filter(|letter| letter.reason == reason);
        with_reason.count()
    };
    let (conflicts, copies) = (
        count(DeadLetterReason::Conflict),
        count(DeadLetterReason::AlreadyStored),
    );
    let mut notes = Vec::new();
    if conflicts > 0 {
        notes.push(format!(
            "Dead letters with this id but different content: {conflicts}. The stored content stands; the sender used the id twice."
        ));
    }
    if copies > 0 {
        notes.push(format!(
            "Dead letters that are copies of the stored notification: {copies}. You can delete them or move them back; both are harmless."
        ));
    }
    notes
}

/// What was not searched, so that nobody takes silence for absence.
fn gaps_in_search(evidence: &Evidence) -> Vec<String> {
    let mut gaps = Vec::new();
    match evidence.stream {
        StreamPart::All => {}
        StreamPart::Until(until) if until == Timestamp::UNIX_EPOCH => {
            gaps.push("The stream was not searched: the time was over.".to_owned());
        }
        StreamPart::Until(until) => {
            gaps.push(format!("The stream was not searched beyond {until}."));
        }
        StreamPart::Nothing => gaps.push("The stream was not searched.".to_owned()),
    }
    for errors in &evidence.errors {
        let function = errors.function;
        if let Some(reason) = &errors.not_read {
            gaps.push(format!("The log of {function} was not read: {reason}."));
        } else if let Some(since) = errors.read_since {
            gaps.push(format!(
                "The log of {function} was not searched before {since}."
            ));
        }
    }
    if evidence.uninspected_dead_letters > 0 {
        gaps.push(format!(
            "About {} dead letters were not inspected: they are beyond the limit, in flight, or behind others of their message group.",
            evidence.uninspected_dead_letters
        ));
    }
    if evidence.unreadable_failures > 0 {
        gaps.push(format!(
            "Objects in the failure bucket that cannot be read: {}. `onewrite redrive failures` names them.",
            evidence.unreadable_failures
        ));
    }
    gaps
}

fn millis(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millisecond() - from.as_millisecond()
}

fn gap(from: Timestamp, to: Timestamp) -> Option<String> {
    let millis = millis(from, to);
    (millis >= MIN_GAP_MILLIS).then(|| format!("{:<10} {}", "   gap", duration(millis)))
}
