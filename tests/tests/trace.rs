//! One trace over all functions: the sample events of `infra/events` follow one notification, and what each function tells
//! X-Ray of it is a span in the trace of the message that it came with.
#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, time::Duration};

use aws_lambda_events::event::{
    dynamodb, kinesis::KinesisEvent, sqs::SqsEvent, streams::KinesisEventResponse,
};
use onewrite::{
    budget::Budget,
    completion::Completer,
    event::EventSource,
    item::Enrichment,
    notification::{MessagePointers, TraceParent},
    spans::Span,
    testing::{InMemoryStream, InMemoryTable},
};
use onewrite_complete::{downstream::LogOnly, handler::Complete};
use onewrite_forward::handler::Forward;
use onewrite_ingest::handler::Ingest;
use onewrite_tests::template::repository;
use serde::de::DeserializeOwned;

thread_local! {
    static TOLD: RefCell<Vec<Span>> = const { RefCell::new(Vec::new()) };
}

fn tell(spans: &[Span]) {
    TOLD.with_borrow_mut(|told| told.extend_from_slice(spans));
}

fn sample<E: DeserializeOwned>(name: &str) -> E {
    let text = std::fs::read_to_string(repository(&format!("infra/events/{name}.json")));
    serde_json::from_str(&text.unwrap()).unwrap()
}

fn budget() -> Budget {
    Budget::of_remaining(None, Duration::from_secs(10))
}

#[tokio::test]
async fn the_upstream_s_trace_spans_all_functions_and_what_did_nothing_tells_nothing() {
    let table = InMemoryTable::default();
    let pointers = MessagePointers::default();
    let ingest = Ingest::new(table.clone(), pointers, 4, |_| Enrichment::default());
    let ingest = ingest.with_metrics(|_| {}).with_spans(tell);
    let forward = Forward::new(InMemoryStream::new(1), EventSource::default());
    let forward = forward.with_metrics(|_| {}).with_spans(tell);
    let complete = Complete::new(Completer::new(table, 0), LogOnly, 4);
    let complete = complete.with_metrics(|_| {}).with_spans(tell);

    let failures = ingest.handle(sample::<SqsEvent>("ingest"), budget()).await;
    assert!(failures.unwrap().batch_item_failures.is_empty());
    let change = sample::<dynamodb::Event>("forward");
    let failures = forward.handle(change, budget()).await.unwrap();
    assert!(failures.batch_item_failures.is_empty());
    for _ in 0..2 {
        // The second time it is DONE already.
        let event = sample::<KinesisEvent>("complete");
        let failures = complete.handle(event, budget()).await.unwrap();
        assert_eq!(failures, KinesisEventResponse::default());
    }
    let again = ingest.handle(sample::<SqsEvent>("ingest-duplicate"), budget());
    again.await.unwrap();
    let conflict = ingest.handle(sample::<SqsEvent>("ingest-conflict"), budget());
    conflict.await.unwrap();

    let told = TOLD.take();
    let functions: Vec<&str> = told.iter().map(|span| span.function).collect();
    assert_eq!(functions, ["ingest", "forward", "complete"]);
    let upstream = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for span in &told {
        assert_eq!(
            Some(&span.traceparent),
            TraceParent::parse(upstream).as_ref()
        );
        assert_eq!(span.notification_id.as_str(), "rf_8841");
        assert!(span.from <= span.to, "{span:?}");
    }
}
