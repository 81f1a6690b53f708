//! Carries out the actions of a stream's poller, whichever service the stream is of.

mod dynamodb;
mod kinesis;
mod notices;
mod reader;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use onewrite_event_sources::Millis;
use onewrite_event_sources::stream::{
    Action, Finding, Input, Position, ShardDescription, StreamPoller, StreamRecord,
};

pub(super) use dynamodb::TableStream;
pub(super) use kinesis::DataStream;
pub(super) use notices::Notices;
use reader::Reader;

use super::drive::{Performer, Poller, Status};
use super::invoker::{Function, Invoker};
use super::meter::Meter;

impl Poller for StreamPoller {
    type Input = Input;
    type Action = Action;

    fn handle(&mut self, now: Millis, input: Input) -> Vec<Action> {
        StreamPoller::handle(self, now, input)
    }

    fn next_wakeup(&self) -> Option<Millis> {
        StreamPoller::next_wakeup(self)
    }

    fn wake() -> Input {
        Input::Wake
    }

    fn status(&self) -> Status {
        let in_flight = self.in_flight();
        Status {
            held: in_flight.records + in_flight.notices,
            invocations: in_flight.invocations,
        }
    }
}

/// A stream as its service lets it be read.
#[async_trait]
pub(super) trait Source: Send + Sync {
    /// All shards, closed ones too.
    async fn list(&self) -> Result<Vec<ShardDescription>, String>;
    /// An iterator at a place in a shard.
    async fn iterator(&self, shard: &str, start: &Start) -> Result<String, ReadFailure>;
    /// Reads on from an iterator. MUST fail as a whole where a record lacks what every record has: what was left out
    /// would never come again.
    async fn read(&self, shard: &str, iterator: &str, limit: u32) -> Result<Page, ReadFailure>;
}

/// Where an iterator begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// Where a poller asks to read.
    Position(Position),
    /// Before the record of this sequence number.
    At(String),
}

/// What a read returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    records: Vec<StreamRecord>,
    /// Where to go on; none at the end of a closed shard.
    next: Option<String>,
}

/// Why a read returned nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadFailure {
    /// The position is older than the stream keeps records.
    Trimmed,
    /// The iterator has expired.
    Expired,
    /// Anything else, in the service's words.
    Failed(String),
}

impl ReadFailure {
    /// An answer that is none of the service's.
    fn incomplete(what: &str) -> Self {
        Self::Failed(format!("the answer has {what} without what every one has"))
    }
}

/// The stream, function and failure destination of one mapping.
pub(super) struct Stream {
    reader: Arc<Reader>,
    function: Function,
    invoker: Arc<dyn Invoker>,
    notices: Arc<Notices>,
    meter: Meter,
}

impl Stream {
    pub(super) fn new(
        source: Box<dyn Source>,
        function: Function,
        invoker: Arc<dyn Invoker>,
        notices: Notices,
        meter: Meter,
    ) -> Self {
        Self {
            reader: Arc::new(Reader::new(source)),
            function,
            invoker,
            notices: Arc::new(notices),
            meter,
        }
    }
}

impl Performer<StreamPoller> for Stream {
    fn perform(&mut self, action: Action) -> Option<BoxFuture<'static, Input>> {
        match action {
            Action::ListShards { call } => {
                let reader = Arc::clone(&self.reader);
                let listed = async move {
                    match reader.list().await {
                        Ok(shards) => Input::Shards { call, shards },
                        Err(error) => {
                            tracing::warn!(error, "a listing of shards failed");
                            Input::ListFailed { call }
                        }
                    }
                };
                Some(listed.boxed())
            }
            Action::Read {
                call,
                shard,
                position,
                limit,
            } => {
                let reader = Arc::clone(&self.reader);
                let read = async move {
                    match reader.read(&shard, &position, limit).await {
                        Ok(Page { records, next }) => Input::Records {
                            call,
                            records,
                            end_of_shard: next.is_none(),
                        },
                        Err(ReadFailure::Trimmed) => Input::Trimmed { call },
                        Err(failure) => {
                            tracing::warn!(shard, ?failure, "a read failed");
                            Input::ReadFailed { call }
                        }
                    }
                };
                Some(read.boxed())
            }
            Action::Invoke {
                invocation,
                payload,
                shard: _,
                sequence_numbers: _,
            } => {
                let (invoker, function) = (Arc::clone(&self.invoker), self.function.clone());
                let invoked = async move {
                    let invoked = invoker.invoke(&function, payload).await;
                    Input::Invoked {
                        invocation,
                        request_id: invoked.request_id,
                        outcome: invoked.outcome,
                    }
                };
                Some(invoked.boxed())
            }
            Action::Notify {
                call,
                destination,
                notice,
                event,
            } => {
                let notices = Arc::clone(&self.notices);
                let (meter, function) = (self.meter.clone(), self.function.name.clone());
                let told = async move {
                    let sent = notices.send(&destination, &notice, &event).await;
                    meter.given_up(&function, notice.batch_size, sent.is_ok());
                    match sent {
                        Ok(()) => Input::NoticeDelivered { call },
                        Err(error) => {
                            tracing::warn!(error, "a failure destination took no notice");
                            Input::NoticeRefused { call }
                        }
                    }
                };
                Some(told.boxed())
            }
            Action::Report(finding) => {
                report(&self.function.name, &finding);
                None
            }
        }
    }
}

/// What went wrong is worth a warning; a failed record is the function's to explain, and it has.
fn report(function: &str, finding: &Finding) {
    match finding {
        Finding::Filtered { .. }
        | Finding::BatchItemFailures { .. }
        | Finding::ShardFinished { .. } => tracing::debug!(function, ?finding, "stream"),
        _ => tracing::warn!(function, ?finding, "stream"),
    }
}
