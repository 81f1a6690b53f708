//! Executes the actions of a stream's poller, for DynamoDB and Kinesis.

mod dynamodb;
mod failure_destinations;
mod kinesis;
mod reader;
mod source;

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use onewrite_event_sources::Millis;
use onewrite_event_sources::mapping::StreamKind;
use onewrite_event_sources::stream::{
    Action, CallId, Finding, Input, InvocationId, Position, StreamPoller,
};

pub(super) use dynamodb::TableStreamSource;
pub(super) use failure_destinations::FailureDestinations;
pub(super) use kinesis::KinesisSource;
use reader::Reader;
pub(super) use source::Source;
use source::{Page, ReadError};

use super::invoker::{Function, Invoker};
use super::lambda_metrics::LambdaMetrics;
use super::observer::Observer;
use super::poller::{Executor, Poller};

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

    fn is_idle(&self) -> bool {
        let in_flight = self.in_flight();
        in_flight.records + in_flight.failure_records + in_flight.invocations == 0
    }
}

/// The stream, function and failure destination of one mapping.
pub(super) struct StreamExecutor<S> {
    reader: Arc<Reader<S>>,
    function: Function,
    invoker: Arc<dyn Invoker>,
    destinations: Arc<FailureDestinations>,
    metrics: LambdaMetrics,
    watched: Watched,
}

/// The kind of a stream, and what sees its records.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) kind: StreamKind,
    pub(super) observer: Arc<dyn Observer>,
}

impl<S: Source> StreamExecutor<S> {
    pub(super) fn new(
        source: S,
        function: Function,
        invoker: Arc<dyn Invoker>,
        destinations: FailureDestinations,
        metrics: LambdaMetrics,
        watched: Watched,
    ) -> Self {
        Self {
            reader: Arc::new(Reader::new(source)),
            function,
            invoker,
            destinations: Arc::new(destinations),
            metrics,
            watched,
        }
    }

    fn invoke(
        &self,
        invocation: InvocationId,
        payload: String,
        records: usize,
    ) -> BoxFuture<'static, Input> {
        let (invoker, function) = (Arc::clone(&self.invoker), self.function.clone());
        let observer = Arc::clone(&self.watched.observer);
        let invoke = async move {
            observer.invoking(&function.name, records);
            let result = invoker.invoke(&function, payload).await;
            observer.invoked(&function.name, records, &result.outcome);
            Input::Invoked {
                invocation,
                request_id: result.request_id,
                outcome: result.outcome,
            }
        };
        invoke.boxed()
    }
}

impl<S: Source> Executor<StreamPoller> for StreamExecutor<S> {
    fn execute(&mut self, action: Action) -> Option<BoxFuture<'static, Input>> {
        match action {
            Action::ListShards { call } => {
                Some(list_shards(Arc::clone(&self.reader), call).boxed())
            }
            Action::Read {
                call,
                shard,
                position,
                limit,
            } => {
                let (reader, watched) = (Arc::clone(&self.reader), self.watched.clone());
                Some(read(reader, watched, call, (shard, position), limit).boxed())
            }
            Action::Invoke {
                invocation,
                payload,
                shard: _,
                sequence_numbers,
            } => Some(self.invoke(invocation, payload, sequence_numbers.len())),
            Action::SendFailureRecord {
                call,
                destination,
                failure_record,
                event,
            } => {
                let destinations = Arc::clone(&self.destinations);
                let (metrics, function) = (self.metrics.clone(), self.function.name.clone());
                let notify = async move {
                    let result = destinations
                        .send(&destination, &failure_record, &event)
                        .await;
                    metrics.record_discarded_batch(
                        &function,
                        failure_record.batch_size,
                        result.is_ok(),
                    );
                    match result {
                        Ok(()) => Input::FailureRecordDelivered { call },
                        Err(error) => {
                            tracing::warn!(error, "failed to write to a failure destination");
                            Input::FailureRecordRejected { call }
                        }
                    }
                };
                Some(notify.boxed())
            }
            Action::Report(finding) => {
                report(&self.function.name, &finding);
                None
            }
        }
    }
}

async fn list_shards<S: Source>(reader: Arc<Reader<S>>, call: CallId) -> Input {
    match reader.list_shards().await {
        Ok(shards) => Input::Shards { call, shards },
        Err(error) => {
            tracing::warn!(error, "failed to list shards");
            Input::ListFailed { call }
        }
    }
}

async fn read<S: Source>(
    reader: Arc<Reader<S>>,
    watched: Watched,
    call: CallId,
    (shard, position): (String, Position),
    limit: u32,
) -> Input {
    match reader.read(&shard, &position, limit).await {
        Ok(Page { records, next }) => {
            watched.observer.read(watched.kind, &shard, &records);
            Input::Records {
                call,
                records,
                end_of_shard: next.is_none(),
            }
        }
        Err(ReadError::Trimmed) => Input::Trimmed { call },
        Err(error) => {
            tracing::warn!(shard, ?error, "failed to read a shard");
            Input::ReadFailed { call }
        }
    }
}

/// Failed records are logged by the function itself, so they are not worth a warning here.
fn report(function: &str, finding: &Finding) {
    match finding {
        Finding::Filtered { .. }
        | Finding::BatchItemFailures { .. }
        | Finding::ShardFinished { .. } => tracing::debug!(function, ?finding, "stream"),
        _ => tracing::warn!(function, ?finding, "stream"),
    }
}
