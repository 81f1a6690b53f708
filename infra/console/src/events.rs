//! Server-sent events: one poller reads the pipeline for all pages.
//!
//! The events are `overview`, `charts`, `lab`, `progress` and `problem`. The data of `problem` is
//! `{"of": "overview", "error": "..."}`: the pipeline did not answer, and the page shows what it has until the next event of that
//! name.
//!
//! Memory is bounded: a page that reads slowly skips events and gets the newest ones when it reads again.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use futures::{Stream, stream::unfold};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch},
    time::{sleep, timeout},
};

use crate::{pipeline::PipelineError, view::Applied};

/// Events that wait for a slow page.
const WAITING_EVENTS: usize = 64;

/// Pages that listen at the same time.
const MAX_PAGES: usize = 32;

/// A silence is interrupted by a comment, so that the page and the server notice a lost connection.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// One reading must end within this time.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What the poller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Overview,
    Charts,
    Lab,
}

impl Topic {
    fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Charts => "charts",
            Self::Lab => "lab",
        }
    }
}

/// The newest events of a topic.
#[derive(Default)]
struct Newest {
    data: Option<Bytes>,
    problem: Option<Bytes>,
}

/// Passes events from the poller to the pages.
pub(crate) struct Hub {
    sender: broadcast::Sender<Bytes>,
    newest: Mutex<BTreeMap<Topic, Newest>>,
    /// Changes with each page that begins to listen.
    arrivals: watch::Sender<()>,
    /// Changes when the pipeline was changed, so that the pages show it at once.
    changes: watch::Sender<()>,
    /// Whether the server ends.
    end: watch::Receiver<bool>,
    pages: Arc<Semaphore>,
}

#[derive(Serialize)]
struct Problem<'a> {
    of: &'a str,
    error: &'a str,
}

#[derive(Serialize)]
struct Progress<'a> {
    token: &'a str,
    applied: &'a Applied,
}

impl Hub {
    pub(crate) fn new(end: watch::Receiver<bool>) -> Self {
        Self {
            sender: broadcast::Sender::new(WAITING_EVENTS),
            newest: Mutex::default(),
            arrivals: watch::Sender::new(()),
            changes: watch::Sender::new(()),
            end,
            pages: Arc::new(Semaphore::new(MAX_PAGES)),
        }
    }

    /// Ends when the server ends.
    pub(crate) async fn ended(&self) {
        let _ = self.end.clone().wait_for(|is_ended| *is_ended).await;
    }

    pub(crate) fn is_ended(&self) -> bool {
        *self.end.borrow()
    }

    /// Has the poller read again at once.
    pub(crate) fn refresh(&self) {
        self.changes.send_replace(());
    }

    /// Reports the result of one entry of a redrive.
    pub(crate) fn progress(&self, token: &str, applied: &Applied) {
        let event = encode("progress", &Progress { token, applied });
        // Without pages nobody listens.
        let _ = self.sender.send(event);
    }

    fn has_pages(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Forgets a topic that nobody listened to: it would be old when the next page comes.
    fn forget(&self, topic: Topic) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.remove(&topic);
    }

    /// Passes a reading on, unless it is the same as before.
    fn publish(&self, topic: Topic, read: Result<Bytes, PipelineError>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = newest.entry(topic).or_default();
        let before = newest.problem.as_ref().or(newest.data.as_ref());
        let (event, is_problem) = match read {
            Ok(data) => (data, false),
            Err(error) => (problem(topic, &error), true),
        };
        if before == Some(&event) {
            return;
        }
        if is_problem {
            newest.problem = Some(event.clone());
        } else {
            newest.data = Some(event.clone());
            newest.problem = None;
        }
        let _ = self.sender.send(event);
    }

    fn newest(&self) -> VecDeque<Bytes> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let events = newest
            .values()
            .flat_map(|one| [one.data.clone(), one.problem.clone()]);
        events.flatten().collect()
    }

    /// The events for one page: the newest ones, then all that follow until the server ends. `None` if too many pages listen.
    pub(crate) fn listen(
        self: &Arc<Self>,
    ) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>> {
        let permit = Arc::clone(&self.pages).try_acquire_owned().ok()?;
        let receiver = self.sender.subscribe();
        let mut waiting = VecDeque::from([Bytes::from_static(b": connected\n\n")]);
        waiting.extend(self.newest());
        self.arrivals.send_replace(());
        let page = Page {
            hub: Arc::clone(self),
            receiver,
            waiting,
            _permit: permit,
        };
        Some(unfold(page, |mut page| async move {
            let event = page.next().await?;
            Some((Ok(event), page))
        }))
    }
}

/// A page that listens.
struct Page {
    hub: Arc<Hub>,
    receiver: broadcast::Receiver<Bytes>,
    waiting: VecDeque<Bytes>,
    _permit: OwnedSemaphorePermit,
}

impl Page {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            tokio::select! {
                biased;
                () = self.hub.ended() => return None,
                event = self.receiver.recv() => match event {
                    Ok(event) => return Some(event),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.waiting = self.hub.newest(),
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = sleep(LONGEST_SILENCE) => return Some(Bytes::from_static(b": still connected\n\n")),
            }
        }
    }
}

/// Encodes an event. JSON of `serde_json` has no line breaks, so the data is one line.
fn encode<T: Serialize>(name: &str, data: &T) -> Bytes {
    match serde_json::to_string(data) {
        Ok(data) => Bytes::from(format!("event: {name}\ndata: {data}\n\n")),
        // The types of the page have string keys only, so this does not happen.
        Err(_) => Bytes::from_static(b": cannot be encoded\n\n"),
    }
}

fn problem(topic: Topic, error: &PipelineError) -> Bytes {
    let error = error.to_string();
    let of = topic.name();
    encode("problem", &Problem { of, error: &error })
}

/// Reads a topic at this interval while pages listen, and at once after a change. Never ends.
pub(crate) async fn poll<T, Reading>(
    hub: &Hub,
    topic: Topic,
    interval: Duration,
    read: impl Fn() -> Reading,
) where
    T: Serialize,
    Reading: Future<Output = Result<T, PipelineError>>,
{
    let mut arrivals = hub.arrivals.subscribe();
    let mut changes = hub.changes.subscribe();
    loop {
        arrivals.borrow_and_update();
        if !hub.has_pages() {
            hub.forget(topic);
            // The hub holds the sender, so there is no error.
            let _ = arrivals.changed().await;
            continue;
        }
        changes.borrow_and_update();
        let read = timeout(READ_TIMEOUT, read()).await.unwrap_or_else(|_| {
            let seconds = READ_TIMEOUT.as_secs();
            let text = format!("no answer within {seconds} seconds");
            Err(PipelineError::Failed(text))
        });
        hub.publish(topic, read.map(|data| encode(topic.name(), &data)));
        tokio::select! {
            () = sleep(interval) => {}
            _ = changes.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests;
