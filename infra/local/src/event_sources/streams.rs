//! Carries out the actions of a stream's poller, whichever service the stream is of.

mod dynamodb;
mod kinesis;
mod notices;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use onewrite_event_sources::Millis;
use onewrite_event_sources::stream::{
    Action, Finding, Input, Position, ShardDescription, StreamPoller, StreamRecord,
};

pub(super) use dynamodb::TableStream;
pub(super) use kinesis::DataStream;
pub(super) use notices::Notices;

use super::drive::{Performer, Poller, Status};
use super::invoker::{Function, Invoker};

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
    /// An iterator at a position of a shard.
    async fn iterator(&self, shard: &str, position: &Position) -> Result<String, ReadFailure>;
    /// Reads on from an iterator.
    async fn read(&self, shard: &str, iterator: &str, limit: u32) -> Result<Page, ReadFailure>;
}

/// What a read returned.
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

/// The iterators that the last reads returned, each with the position it stands at.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<HashMap<String, (Position, String)>>>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Position, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard's iterator, if it stands there.
    fn take(&self, shard: &str, position: &Position) -> Option<String> {
        let (at, iterator) = self.lock().remove(shard)?;
        (at == *position).then_some(iterator)
    }

    fn keep(&self, shard: &str, position: Position, iterator: String) {
        self.lock().insert(shard.to_owned(), (position, iterator));
    }
}

/// The stream, function and failure destination of one mapping.
pub(super) struct Stream {
    source: Arc<dyn Source>,
    kept: Kept,
    function: Function,
    invoker: Arc<dyn Invoker>,
    notices: Arc<Notices>,
}

impl Stream {
    pub(super) fn new(
        source: Arc<dyn Source>,
        function: Function,
        invoker: Arc<dyn Invoker>,
        notices: Notices,
    ) -> Self {
        Self {
            source,
            kept: Kept::default(),
            function,
            invoker,
            notices: Arc::new(notices),
        }
    }
}

impl Performer<StreamPoller> for Stream {
    fn perform(&mut self, action: Action) -> Option<BoxFuture<'static, Input>> {
        match action {
            Action::ListShards { call } => {
                let source = Arc::clone(&self.source);
                let listed = async move {
                    match source.list().await {
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
                let (source, kept) = (Arc::clone(&self.source), self.kept.clone());
                let read = async move {
                    match read(source.as_ref(), &kept, &shard, position, limit).await {
                        Ok((records, end_of_shard)) => Input::Records {
                            call,
                            records,
                            end_of_shard,
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
                    let outcome = invoker.invoke(&function, payload).await;
                    Input::Invoked {
                        invocation,
                        // The emulator gives invocations no id that its logs would repeat.
                        request_id: None,
                        outcome,
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
                let told = async move {
                    match notices.send(&destination, &notice, &event).await {
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

/// Reads on with the iterator that the shard's last read returned, if it stands at `position` and has not expired.
/// Returns the records, and whether the shard ends with them.
async fn read(
    source: &dyn Source,
    kept: &Kept,
    shard: &str,
    position: Position,
    limit: u32,
) -> Result<(Vec<StreamRecord>, bool), ReadFailure> {
    let page = match kept.take(shard, &position) {
        Some(iterator) => match source.read(shard, &iterator, limit).await {
            Err(ReadFailure::Expired) => None,
            read => Some(read?),
        },
        None => None,
    };
    let page = match page {
        Some(page) => page,
        None => {
            let iterator = source.iterator(shard, &position).await?;
            source.read(shard, &iterator, limit).await?
        }
    };
    let end = page.records.last().map_or(position, |last| {
        Position::After(last.sequence_number.clone())
    });
    let end_of_shard = page.next.is_none();
    if let Some(next) = page.next {
        kept.keep(shard, end, next);
    }
    Ok((page.records, end_of_shard))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as records; an iterator is the number it stands before. Iterators of the first generation have expired.
    struct Numbers {
        count: usize,
        calls: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Source for Numbers {
        async fn list(&self) -> Result<Vec<ShardDescription>, String> {
            Ok(Vec::new())
        }

        async fn iterator(&self, _: &str, position: &Position) -> Result<String, ReadFailure> {
            self.calls.lock().unwrap().push(format!("{position:?}"));
            match position {
                Position::TrimHorizon => Ok("0".to_owned()),
                Position::Latest => Ok(self.count.to_string()),
                Position::AtTimestamp(_) => Err(ReadFailure::Trimmed),
                Position::After(number) => Ok((number.parse::<usize>().unwrap() + 1).to_string()),
            }
        }

        async fn read(&self, _: &str, iterator: &str, limit: u32) -> Result<Page, ReadFailure> {
            self.calls.lock().unwrap().push(format!("read {iterator}"));
            let start: usize = iterator.parse().map_err(|_| ReadFailure::Expired)?;
            let end = self.count.min(start + limit as usize);
            let record = |number: usize| StreamRecord {
                sequence_number: number.to_string(),
                key: String::new(),
                arrived: 0,
                event: String::new(),
            };
            Ok(Page {
                records: (start..end).map(record).collect(),
                next: Some(end.to_string()),
            })
        }
    }

    fn numbers() -> Numbers {
        Numbers {
            count: 4,
            calls: Mutex::default(),
        }
    }

    async fn read_from(numbers: &Numbers, kept: &Kept, position: Position) -> Vec<String> {
        let (records, end) = read(numbers, kept, "s", position, 2).await.unwrap();
        assert!(!end);
        records
            .into_iter()
            .map(|record| record.sequence_number)
            .collect()
    }

    #[tokio::test]
    async fn reading_goes_on_with_the_iterator_of_the_last_read() {
        let (numbers, kept) = (numbers(), Kept::default());
        assert_eq!(
            read_from(&numbers, &kept, Position::TrimHorizon).await,
            ["0", "1"]
        );
        let after = Position::After("1".to_owned());
        assert_eq!(read_from(&numbers, &kept, after).await, ["2", "3"]);
        let after = Position::After("3".to_owned());
        assert!(read_from(&numbers, &kept, after.clone()).await.is_empty());
        assert!(read_from(&numbers, &kept, after).await.is_empty());
        let calls = numbers.calls.lock().unwrap().clone();
        assert_eq!(
            calls,
            ["TrimHorizon", "read 0", "read 2", "read 4", "read 4"]
        );
    }

    #[tokio::test]
    async fn another_position_has_a_new_iterator() {
        let (numbers, kept) = (numbers(), Kept::default());
        read_from(&numbers, &kept, Position::TrimHorizon).await;
        assert_eq!(
            read_from(&numbers, &kept, Position::TrimHorizon).await,
            ["0", "1"]
        );
    }

    #[tokio::test]
    async fn an_expired_iterator_is_replaced() {
        let (numbers, kept) = (numbers(), Kept::default());
        let after = Position::After("0".to_owned());
        kept.keep("s", after.clone(), "expired".to_owned());
        assert_eq!(read_from(&numbers, &kept, after).await, ["1", "2"]);
    }

    #[tokio::test]
    async fn a_position_that_is_trimmed_is_told() {
        let read = read(
            &numbers(),
            &Kept::default(),
            "s",
            Position::AtTimestamp(1),
            2,
        )
        .await;
        assert_eq!(read.err(), Some(ReadFailure::Trimmed));
    }
}
