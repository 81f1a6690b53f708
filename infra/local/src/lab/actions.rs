//! Sends what the buttons of the console say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onewrite::notification::MessagePointers;
use onewrite_console::lab::{Action, Comparison, Ledger};
use onewrite_console::pipeline::PipelineError;
use onewrite_console::sentence::grouped;

use super::comparison::SentIds;
use super::observer::StackObserver;
use super::samples::{Samples, sample};
use crate::clients::Clients;
use crate::error::LocalError;
use crate::ledger_receiver::Effects;
use crate::messages;
use crate::oracle::Meaning;
use crate::sample::Sample;

/// The most notifications of one action.
const MAX_SEND: u32 = 10_000;

/// The most lines of one action.
const MAX_LINES: usize = 1_000;

/// How often a duplicate is sent.
const COPIES: usize = 5;

/// How long an action waits for its messages to be sent. Afterwards, they are sent in the background.
const WAIT: Duration = Duration::from_secs(3);

/// Receives copies of the messages of the console.
pub(super) trait Copies: Send + Sync {
    fn send(&self, messages: &[Sample]);
}

/// Sends messages to a stack.
pub(super) struct Sender {
    clients: Clients,
    queue_url: String,
    observer: Arc<StackObserver>,
    samples: Mutex<Samples>,
    sent: Mutex<SentIds>,
    copies: Option<Arc<dyn Copies>>,
}

impl Sender {
    pub(super) fn new(
        clients: Clients,
        queue_url: String,
        observer: Arc<StackObserver>,
        copies: Option<Arc<dyn Copies>>,
    ) -> Self {
        Self {
            clients,
            queue_url,
            observer,
            samples: Mutex::new(Samples::new(rand::random())),
            sent: Mutex::default(),
            copies,
        }
    }

    /// Sends the messages of an action. Returns a line for the page.
    pub(super) async fn send(&self, action: Action) -> Result<String, PipelineError> {
        let pointers = self.observer.rules().pointers;
        let stored = self.observer.tally().newest_stored().cloned();
        let (messages, text) = compose(action, &mut lock(&self.samples), stored, &pointers)?;
        self.compare(&messages);
        let (clients, queue_url) = (self.clients.clone(), self.queue_url.clone());
        let observer = Arc::clone(&self.observer);
        let mut sending = tokio::spawn(async move {
            let sent = messages::send(&clients, &queue_url, &messages, |_| {}).await;
            if let Err(error) = &sent {
                let (now, text) = (observer.now(), format!("failed to send: {error}"));
                observer.tally().log.add(now, &text);
            }
            sent
        });
        let text = match tokio::time::timeout(WAIT, &mut sending).await {
            Ok(Ok(Ok(_))) => format!("Sent {text}"),
            Ok(Ok(Err(error))) => return Err(failed(&error)),
            Ok(Err(error)) => return Err(PipelineError::Failed(error.to_string())),
            Err(_) => format!("Sending {text}; this takes a while"),
        };
        let now = self.observer.now();
        self.observer.tally().log.add(now, &text);
        Ok(text)
    }

    /// Notes what is sent, and sends copies of what is compared.
    fn compare(&self, messages: &[Sample]) {
        let mut sent = lock(&self.sent);
        let compared = messages.iter().filter(|message| match &message.meaning {
            Meaning::Valid { id, .. } => sent.add(id),
            Meaning::Malformed => true,
        });
        let compared: Vec<Sample> = compared.cloned().collect();
        drop(sent);
        if let Some(copies) = &self.copies {
            copies.send(&compared);
        }
    }

    /// Compares what the target booked with `double_write`.
    pub(super) fn comparison(&self, effects: Option<&Effects>, double_write: Ledger) -> Comparison {
        let sent = lock(&self.sent);
        let tally = self.observer.tally();
        Comparison {
            ids: sent.count(),
            onewrite: sent.ledger(
                |id| effects.map_or(0, |effects| effects.of(id)),
                |id| tally.is_lost(id),
            ),
            double_write,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: &LocalError) -> PipelineError {
    PipelineError::Failed(error.to_string())
}

/// The messages of an action, and what they are.
fn compose(
    action: Action,
    samples: &mut Samples,
    stored: Option<String>,
    pointers: &MessagePointers,
) -> Result<(Vec<Sample>, String), PipelineError> {
    match action {
        Action::Send { count } if !(1..=MAX_SEND).contains(&count) => {
            let limit = grouped(MAX_SEND.into());
            invalid(format!("count must be from 1 to {limit}"))
        }
        Action::Send { count } => {
            let new = |_| readable(samples.notification(pointers));
            let messages: Result<Vec<_>, _> = (0..count).map(new).collect();
            let name = if count == 1 {
                "notification"
            } else {
                "notifications"
            };
            Ok((messages?, format!("{} new {name}", grouped(count.into()))))
        }
        Action::SendLines { lines } => {
            let messages = parse_lines(lines, pointers)?;
            let text = match messages.len() {
                1 => "1 line".to_owned(),
                count => format!("{} lines", grouped(count as u64)),
            };
            Ok((messages, text))
        }
        Action::SendDuplicates => {
            let message = readable(samples.notification(pointers))?;
            Ok((
                vec![message; COPIES],
                format!("one new notification {COPIES} times"),
            ))
        }
        Action::SendConflict => {
            let Some(id) = stored else {
                return invalid("send a notification first: none is stored yet".to_owned());
            };
            let message = readable(samples.conflict(&id, pointers))?;
            Ok((vec![message], format!("other content for {id}")))
        }
        Action::SendPoison => Ok((vec![samples.poison()], "a malformed message".to_owned())),
        Action::SetFault { .. }
        | Action::Pause
        | Action::Resume
        | Action::StartGuided { .. }
        | Action::StopGuided => invalid("this action sends nothing".to_owned()),
    }
}

/// Refuses a sample that the settings of this stack make unreadable.
fn readable(message: Sample) -> Result<Sample, PipelineError> {
    match message.meaning {
        Meaning::Valid { .. } => Ok(message),
        Meaning::Malformed => {
            let reason = "this stack reads id, type or payload at other places than the samples have them; send lines of your own";
            invalid(reason.to_owned())
        }
    }
}

fn parse_lines(
    lines: Vec<String>,
    pointers: &MessagePointers,
) -> Result<Vec<Sample>, PipelineError> {
    let lines: Vec<(usize, String)> = lines
        .into_iter()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    if lines.is_empty() || lines.len() > MAX_LINES {
        let limit = grouped(MAX_LINES as u64);
        return invalid(format!("send 1 to {limit} lines that are not empty"));
    }
    let parsed = lines.into_iter().map(|(index, line)| {
        let line = line.trim_end_matches(['\r', '\n']).to_owned();
        match messages::check(&line) {
            Ok(()) => Ok(sample(line, pointers)),
            Err(reason) => invalid(format!("line {}: {reason}", index + 1)),
        }
    });
    parsed.collect()
}

fn invalid<T>(reason: String) -> Result<T, PipelineError> {
    Err(PipelineError::Invalid(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(action: Action, stored: Option<&str>) -> Result<(Vec<Sample>, String), String> {
        let mut samples = Samples::new(1);
        let stored = stored.map(str::to_owned);
        let result = compose(action, &mut samples, stored, &MessagePointers::default());
        result.map_err(|error| error.to_string())
    }

    fn lines(lines: &[&str]) -> Action {
        Action::SendLines {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    #[test]
    fn sends_as_many_notifications_as_asked_for() {
        for count in [1, MAX_SEND] {
            let (messages, _) = composed(Action::Send { count }, None).unwrap();
            assert_eq!(messages.len(), usize::try_from(count).unwrap());
        }
        for count in [0, MAX_SEND + 1] {
            let error = composed(Action::Send { count }, None).unwrap_err();
            assert_eq!(error, "count must be from 1 to 10,000");
        }
    }

    #[test]
    fn duplicates_are_five_copies_of_one_message() {
        let (messages, text) = composed(Action::SendDuplicates, None).unwrap();
        assert_eq!(messages.len(), 5);
        assert!(messages.iter().all(|message| *message == messages[0]));
        assert_eq!(text, "one new notification 5 times");
    }

    #[test]
    fn a_conflict_needs_a_stored_notification() {
        let error = composed(Action::SendConflict, None).unwrap_err();
        assert!(error.contains("send a notification first"), "{error}");
        let (messages, _) = composed(Action::SendConflict, Some("rf_1")).unwrap();
        assert_eq!(messages[0].meaning.id().unwrap(), "rf_1");
    }

    #[test]
    fn lines_are_sent_as_they_are_except_empty_ones() {
        let valid = r#"{"notification_id":"a","payload":{ "x" : 1.0 }}"#;
        let (messages, text) = composed(lines(&[valid, "", "no json\r"]), None).unwrap();
        let bodies: Vec<&str> = messages.iter().map(|one| one.body.as_str()).collect();
        assert_eq!(bodies, [valid, "no json"]);
        assert_eq!(messages[1].meaning, Meaning::Malformed);
        assert_eq!(text, "2 lines");
    }

    #[test]
    fn lines_that_sqs_rejects_are_named_without_their_text() {
        let error = composed(lines(&["{}", "", "canary\u{1}"]), None).unwrap_err();
        assert_eq!(error, "line 3: SQS does not accept U+0001");
        for invalid in [vec![], vec!["", " "], vec!["{}"; MAX_LINES + 1]] {
            assert!(composed(lines(&invalid), None).is_err());
        }
    }

    #[test]
    fn samples_that_the_settings_make_unreadable_are_not_sent() {
        let pointers = MessagePointers {
            payload: "/data".parse().unwrap(),
            ..MessagePointers::default()
        };
        let mut samples = Samples::new(1);
        let action = Action::Send { count: 1 };
        let error = compose(action, &mut samples, None, &pointers).unwrap_err();
        assert!(error.to_string().contains("send lines of your own"));
    }
}
