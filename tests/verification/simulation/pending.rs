//! What is pending in a world: requests of the pollers, results for them, and running invocations.

use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Choices;
use onewrite_event_sources::mapping::StreamMapping;
use onewrite_event_sources::sqs;
use onewrite_event_sources::stream::{self, StreamPoller};

/// Index of the queue's mapping in `World::pollers`, after those of the streams.
pub(crate) const QUEUE: usize = 3;

/// A stream mapping and its poller.
pub(crate) struct StreamSource {
    pub(crate) mapping: StreamMapping,
    pub(crate) poller: StreamPoller,
}

impl StreamSource {
    pub(crate) fn new(mapping: StreamMapping, choices: Choices) -> Self {
        Self {
            poller: StreamPoller::new(mapping.clone(), choices),
            mapping,
        }
    }
}

/// A pending result for a poller.
pub(crate) enum Due {
    Queue(sqs::Input),
    Source(usize, stream::Input),
}

/// A receive request that waits for messages.
pub(crate) struct Receive {
    pub(crate) call: sqs::CallId,
    pub(crate) max: u32,
    pub(crate) visibility: Millis,
    pub(crate) until: Millis,
}

/// The function that an invocation belongs to, and the items in its batch.
pub(crate) struct Job {
    pub(crate) target: JobTarget,
    /// The poller that waits for the response. A poller that replaces it does not know this invocation.
    pub(crate) poller: u64,
}

pub(crate) enum JobTarget {
    Queue {
        invocation: sqs::InvocationId,
        message_ids: Vec<String>,
    },
    Source {
        which: usize,
        invocation: stream::InvocationId,
        numbers: Vec<String>,
    },
}

impl JobTarget {
    /// Index of its mapping in `World::pollers`.
    pub(crate) fn mapping(&self) -> usize {
        match self {
            Self::Queue { .. } => QUEUE,
            Self::Source { which, .. } => *which,
        }
    }
}

/// The last characters of a sequence number, enough to distinguish it.
pub(crate) fn tail(number: Option<&String>) -> &str {
    end(number.map_or("", String::as_str))
}

pub(crate) fn end(number: &str) -> &str {
    let end = number.get(number.len().saturating_sub(4)..);
    end.unwrap_or(number)
}
