//! One trace across all functions. The sample events in `infra/events` follow one notification; each function emits a span
//! that continues the trace of the message.
#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, str::FromStr, time::Duration};

use aws_lambda_events::event::streams::KinesisEventResponse;
use onewrite::{
    completion::Completer,
    event::EventSource,
    item::Enrichment,
    notification::{MessagePointers, TraceParent},
};
use onewrite_complete::handler::Complete;
use onewrite_forward::handler::Forward;
use onewrite_ingest::handler::Ingest;
use onewrite_runtime::{budget::Budget, event::UndecodableEvent, observer::Observer, spans::Span};
use onewrite_testing::{Accepting, InMemoryStream, InMemoryTable};
use onewrite_tests::template::repository;

thread_local! {
    static SPANS: RefCell<Vec<Span>> = const { RefCell::new(Vec::new()) };
}

fn record(spans: &[Span]) {
    SPANS.with_borrow_mut(|recorded| recorded.extend_from_slice(spans));
}

fn sample<E: FromStr<Err = UndecodableEvent>>(name: &str) -> E {
    let text = std::fs::read_to_string(repository(&format!("infra/events/{name}.json")));
    text.unwrap().parse().unwrap()
}

fn budget() -> Budget {
    Budget::from_remaining(None, Duration::from_secs(10))
}

#[tokio::test]
async fn every_function_continues_the_trace_and_duplicates_emit_no_span() {
    let table = InMemoryTable::default();
    let pointers = MessagePointers::default();
    let ingest = Ingest::new(table.clone(), pointers, 4, |_| Enrichment::default());
    let ingest = ingest.with_observer(Observer::default().with_metrics(|_| {}).with_spans(record));
    let forward = Forward::new(InMemoryStream::new(1), EventSource::default());
    let forward =
        forward.with_observer(Observer::default().with_metrics(|_| {}).with_spans(record));
    let complete = Complete::new(Completer::new(table, 0), Accepting, 4);
    let complete =
        complete.with_observer(Observer::default().with_metrics(|_| {}).with_spans(record));

    let failures = ingest.handle(sample("ingest"), budget()).await;
    assert!(failures.unwrap().batch_item_failures.is_empty());
    let change = sample("forward");
    let failures = forward.handle(change, budget()).await.unwrap();
    assert!(failures.batch_item_failures.is_empty());
    for _ in 0..2 {
        // The second time, the item is already DONE.
        let event = sample("complete");
        let failures = complete.handle(event, budget()).await.unwrap();
        assert_eq!(failures, KinesisEventResponse::default());
    }
    let duplicate = ingest.handle(sample("ingest-duplicate"), budget());
    duplicate.await.unwrap();
    let conflict = ingest.handle(sample("ingest-conflict"), budget());
    conflict.await.unwrap();

    let spans = SPANS.take();
    let functions: Vec<&str> = spans.iter().map(|span| span.function).collect();
    assert_eq!(functions, ["ingest", "forward", "complete"]);
    let upstream = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for span in &spans {
        assert_eq!(
            Some(&span.traceparent),
            TraceParent::parse(upstream).as_ref()
        );
        assert_eq!(span.notification_id.as_str(), "rf_8841");
        assert!(span.from <= span.to, "{span:?}");
    }
}
