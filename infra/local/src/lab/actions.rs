//! Sends what the buttons of the console say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onewrite::notification::MessagePointers;
use onewrite_console::lab::{Action, Comparison, Ledger};
use onewrite_console::pipeline::PipelineError;
use onewrite_console::sentence::grouped;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::comparison::SentIds;
use super::observer::StackObserver;
use super::samples::{Samples, sample};
use crate::clients::Clients;
use crate::ledger_receiver::Effects;
use crate::messages::{self, Accepted};
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

/// Receives copies of the messages of the console that the queue has accepted.
pub(super) trait Copies: Send + Sync {
    fn send(&self, messages: &[Sample]);
}

/// Sends messages to a stack. Dropping it ends the sends that run.
pub(super) struct Sender {
    queue: Arc<Queue>,
    samples: Mutex<Samples>,
    /// The sends that run. `None` once the sender is stopped.
    sending: Mutex<Option<JoinSet<()>>>,
}

/// What each send needs.
struct Queue {
    clients: Clients,
    url: String,
    observer: Arc<StackObserver>,
    sent: Mutex<SentIds>,
    copies: Option<Arc<dyn Copies>>,
    is_stopped: AtomicBool,
}

impl Sender {
    pub(super) fn new(
        clients: Clients,
        queue_url: String,
        observer: Arc<StackObserver>,
        copies: Option<Arc<dyn Copies>>,
    ) -> Self {
        Self {
            queue: Arc::new(Queue {
                clients,
                url: queue_url,
                observer,
                sent: Mutex::default(),
                copies,
                is_stopped: AtomicBool::new(false),
            }),
            samples: Mutex::new(Samples::new(rand::random())),
            sending: Mutex::new(Some(JoinSet::new())),
        }
    }

    /// Sends the messages of an action. Returns a line for the page.
    pub(super) async fn send(&self, action: Action) -> Result<String, PipelineError> {
        let observer = &self.queue.observer;
        let pointers = observer.rules().pointers;
        let stored = observer.tally().newest_stored().cloned();
        let (messages, text) = compose(action, &mut lock(&self.samples), stored, &pointers)?;
        let sent = self.start(messages)?;
        let text = match tokio::time::timeout(WAIT, sent).await {
            Ok(Ok(Ok(()))) => format!("Sent {text}"),
            Ok(Ok(Err(error))) => return Err(error),
            Ok(Err(_)) => return Err(PipelineError::Failed("the send has ended".to_owned())),
            Err(_) => format!("Sending {text}; this takes a while"),
        };
        observer.tally().log.add(observer.now(), &text);
        Ok(text)
    }

    /// Starts to send messages. Returns where the result comes.
    fn start(
        &self,
        messages: Vec<Sample>,
    ) -> Result<oneshot::Receiver<Result<(), PipelineError>>, PipelineError> {
        let mut sending = lock(&self.sending);
        let sending = sending.as_mut().ok_or_else(ended)?;
        while sending.try_join_next().is_some() {}
        let (result, receiver) = oneshot::channel();
        let queue = Arc::clone(&self.queue);
        sending.spawn(async move {
            // Nobody waits for a send that takes long.
            let _ = result.send(queue.send(&messages).await);
        });
        Ok(receiver)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.queue.is_stopped.load(Ordering::Relaxed)
    }

    /// Refuses further actions, and returns when no message is on its way to the queue any more.
    pub(super) async fn stop(&self) {
        self.queue.is_stopped.store(true, Ordering::Relaxed);
        let sending = lock(&self.sending).take();
        let Some(mut sending) = sending else { return };
        while sending.join_next().await.is_some() {}
    }

    /// Compares what the target booked with `double_write`.
    pub(super) fn comparison(&self, effects: Option<&Effects>, double_write: Ledger) -> Comparison {
        let sent = lock(&self.queue.sent);
        let tally = self.queue.observer.tally();
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

impl Queue {
    async fn send(&self, messages: &[Sample]) -> Result<(), PipelineError> {
        let goes_on = || !self.is_stopped.load(Ordering::Relaxed);
        let mut count = 0;
        let accept = |accepted: Vec<Accepted<'_>>| {
            count += accepted.len();
            self.compare(accepted);
        };
        let sent = messages::send_while(&self.clients, &self.url, messages, goes_on, accept).await;
        let (count, all) = (grouped(count as u64), grouped(messages.len() as u64));
        let reason = match sent {
            Err(error) => format!("the queue accepted {count} of {all} messages: {error}"),
            Ok(()) if count == all => return Ok(()),
            Ok(()) => format!("the stack ends, and only {count} of {all} messages were sent"),
        };
        let text = format!("failed to send: {reason}");
        self.observer.tally().log.add(self.observer.now(), &text);
        Err(PipelineError::Failed(reason))
    }

    /// Notes what the queue has accepted, and sends copies of what is compared.
    fn compare(&self, accepted: Vec<Accepted<'_>>) {
        let mut sent = lock(&self.sent);
        let messages = accepted.into_iter().map(|one| one.message);
        let compared = messages.filter(|message| match &message.meaning {
            Meaning::Valid { id, .. } => sent.add(id),
            Meaning::Malformed => true,
        });
        let compared: Vec<Sample> = compared.cloned().collect();
        drop(sent);
        if let Some(copies) = &self.copies {
            copies.send(&compared);
        }
    }
}

/// Why an action is refused at the end.
pub(super) fn ended() -> PipelineError {
    PipelineError::Failed("the stack ends".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
mod tests;
