//! Runs a function in its own process, wired as in its `main`. Two kinds of parts differ: a hook and a downstream that
//! panic with all they know, and ports that print everything that passes them.

use std::{
    collections::HashMap,
    fmt::{Debug, Display},
};

use aws_sdk_dynamodb::types::{AttributeValue, Put as PutItem, TransactWriteItem};
use lambda_runtime::Error;
use onewrite::{
    completion::{Completer, Downstream, DownstreamError, Effect},
    error::ServiceError,
    event::NotificationEvent,
    item::{Enrichment, NotificationItem},
    notification::{Notification, NotificationId},
    queue::{Deferral, DeferralResult, DelayedDelivery},
    stream::{EventStream, PutResult, Record, StreamError},
    table::{
        Completion, CompletionResult, Completions, CurrentState, CurrentStates, InsertResult,
        NewNotifications, TableError,
    },
};
use onewrite_aws::{clients, dynamodb::DynamoDbTable, kinesis::KinesisStream, sqs::SqsQueue};
use onewrite_complete::{handler::Complete, record::ShardEvent};
use onewrite_forward::{change::ChangeEvent, handler::Forward};
use onewrite_ingest::{handler::Ingest, message::QueueEvent};
use onewrite_runtime::{budget::Budget, config::Environment, invocation, telemetry};

/// The environment variable that selects the function of this process.
pub(crate) const NAME: &str = "CANARY_FUNCTION";

/// Prefix of lines that the product does not write. Test parts print the `Debug` output of their values with it.
pub(crate) const DEBUG_PREFIX: &str = "debug: ";

/// Not a real test. Other tests start this program again with it: it runs the function that the environment names, or
/// returns.
#[test]
fn process() {
    let Ok(name) = std::env::var(NAME) else {
        return;
    };
    telemetry::init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let result = match name.as_str() {
        "ingest" => runtime.block_on(ingest()),
        "forward" => runtime.block_on(forward()),
        "complete" => runtime.block_on(complete()),
        other => panic!("unknown function {other}"),
    };
    result.unwrap();
}

async fn ingest() -> Result<(), Error> {
    let config = onewrite_ingest::config::Config::read(&Environment::from_process())?;
    let sdk_config = clients::sdk_config().await;
    let table = PrintingPort(DynamoDbTable::new(&sdk_config, &config.table_name));
    let queue = config.queue_url;
    let queue = queue.map(|url| PrintingPort(SqsQueue::new(&sdk_config, url.as_str())));
    let ingest = Ingest::new(table, config.pointers, config.max_in_flight, aggregate)
        .with_queue(queue)
        .with_waits(config.waits)
        .with_compression(config.compression);
    invocation::serve(
        config.invocation_budget,
        async |event: QueueEvent, budget: Budget| ingest.handle(event, budget).await,
    )
    .await
}

async fn forward() -> Result<(), Error> {
    let config = onewrite_forward::config::Config::read(&Environment::from_process())?;
    let stream = PrintingPort(KinesisStream::new(
        &clients::sdk_config().await,
        &config.stream_name,
    ));
    let forward = Forward::new(stream, config.event_source);
    invocation::serve(
        config.invocation_budget,
        async |event: ChangeEvent, budget: Budget| forward.handle(event, budget).await,
    )
    .await
}

async fn complete() -> Result<(), Error> {
    let config = onewrite_complete::config::Config::read(&Environment::from_process())?;
    let table = PrintingPort(DynamoDbTable::new(
        &clients::sdk_config().await,
        &config.table_name,
    ));
    let completer = Completer::new(table, config.done_retention_days);
    let complete = Complete::new(completer, PrintingDownstream, config.max_concurrency);
    invocation::serve(
        config.invocation_budget,
        async |event: ShardEvent, budget: Budget| complete.handle(event, budget).await,
    )
    .await
}

fn print_debug(what: &impl Debug) {
    println!("{DEBUG_PREFIX}{what:?}");
}

fn print_result<T: Debug, E: Debug + Display>(result: &Result<T, E>) {
    print_debug(result);
    if let Err(error) = result {
        println!("{DEBUG_PREFIX}{error}");
    }
}

/// Enriches with the payload, so the enrichment is secret too.
fn aggregate(notification: &Notification) -> Enrichment {
    print_debug(notification);
    let payload = notification.payload.as_str();
    assert!(notification.id.as_str() != "panics", "{payload}");
    let mut enrichment = Enrichment::default();
    enrichment.insert("copy", payload);
    print_debug(&enrichment);
    enrichment
}

/// A downstream that decides by the id: `panics` panics, `commits-` commits writes with the payload, anything else
/// succeeds.
struct PrintingDownstream;

impl Downstream<TransactWriteItem> for PrintingDownstream {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        print_debug(event);
        let (id, data) = (event.subject.as_str(), event.data.as_str());
        assert!(id != "panics", "{data}");
        if id == "rejected" {
            return Err(DownstreamError::new("the provider responded with 503"));
        }
        if !id.starts_with("commits-") {
            return Ok(Effect::Happened);
        }
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let write = PutItem::builder()
            .table_name("ledger")
            .item("entry", text(id))
            .item("kind", text(event.kind.as_str()))
            .item("copy", text(data))
            .build()
            .unwrap();
        Ok(Effect::CommitWith(vec![
            TransactWriteItem::builder().put(write).build(),
        ]))
    }
}

/// A port that prints each request and its response.
struct PrintingPort<P>(P);

impl<T: NewNotifications> NewNotifications for PrintingPort<T> {
    async fn insert(&self, item: &NotificationItem) -> Result<InsertResult, TableError> {
        print_debug(item);
        let answer = self.0.insert(item).await;
        print_result(&answer);
        answer
    }
}

impl<T: CurrentStates> CurrentStates for PrintingPort<T> {
    async fn current_states(
        &self,
        ids: &[NotificationId],
    ) -> Result<HashMap<NotificationId, CurrentState>, TableError> {
        print_debug(&ids);
        let answer = self.0.current_states(ids).await;
        print_result(&answer);
        answer
    }
}

impl<T: Completions> Completions for PrintingPort<T> {
    type Write = T::Write;

    async fn complete(
        &self,
        completion: &Completion,
        writes: Vec<T::Write>,
    ) -> Result<CompletionResult, TableError> {
        print_debug(completion);
        let answer = self.0.complete(completion, writes).await;
        print_result(&answer);
        answer
    }
}

impl<Q: DelayedDelivery> DelayedDelivery for PrintingPort<Q> {
    async fn defer(&self, deferrals: &[Deferral]) -> Result<Vec<DeferralResult>, ServiceError> {
        // A receipt handle has the marker too, but is not confidential: `Debug` prints it.
        let answer = self.0.defer(deferrals).await;
        print_result(&answer);
        answer
    }
}

impl<S: EventStream> EventStream for PrintingPort<S> {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        print_debug(&records);
        for record in records {
            let data = String::from_utf8_lossy(&record.data);
            assert!(record.id.as_str() != "panics", "{data}");
        }
        let answer = self.0.put(records).await;
        print_result(&answer);
        answer
    }
}
