//! Redelivery from the table's stream, and several consumers of the notification stream.

use std::collections::BTreeMap;

use aws_sdk_lambda::types::{EventSourcePosition, FunctionResponseType};
use onewrite_local::{demo, inspect, progress::Progress, sample::Sample, stack::Stack};
use onewrite_tests::{
    fault_proxy::FaultProxy,
    recorder::{Invocation, Recorder},
    settings::redirect,
};

use super::support::{
    assert_no_violations, options, settle, start_event_sources, store, valid, wait_until,
    wait_until_idle,
};

const RECORDS: usize = 9;

#[tokio::test(flavor = "multi_thread")]
async fn failed_stream_record_is_retried_with_all_records_behind_it() {
    // With one lane, all records of the stream's shard arrive in one batch.
    let options = options("partial").parameter("StreamParallelizationFactor", "1");
    let mut stack = Stack::start(options).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let emulator = stack.endpoint();
    let emulator = emulator.trim_start_matches("http://").parse().unwrap();
    let proxy = FaultProxy::start(emulator).await.unwrap();
    redirect(&clients, &outputs.forward, "KINESIS", &proxy.endpoint())
        .await
        .unwrap();
    let recorder = start_event_sources(&mut stack).await;
    for (phase, place) in [("head", 0), ("middle", RECORDS / 2), ("end", RECORDS - 1)] {
        fail_one_record(&mut stack, &recorder, &proxy, phase, place).await;
    }

    let found = inspect::read_final_state(&clients, &outputs).await.unwrap();
    assert_eq!(found.items.len(), 3 * RECORDS);
    assert!(found.items.iter().all(|item| item.status == "DONE"));
    let count = |id: &str, status: &str| {
        let events = found.events.iter();
        events
            .filter(|event| event.id == id && event.status == status)
            .count()
    };
    for item in &found.items {
        assert!(
            count(&item.id, "INIT") >= 1 && count(&item.id, "DONE") == 1,
            "{}",
            item.id
        );
    }
    stack.stop().await;
}

/// Lets the record at this place of a batch fail once, and asserts what Lambda retries.
async fn fail_one_record(
    stack: &mut Stack,
    recorder: &Recorder,
    proxy: &FaultProxy,
    phase: &str,
    place: usize,
) {
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    stack.event_sources().unwrap().disable();
    wait_until_idle(stack).await;
    let ids: Vec<String> = (0..RECORDS).map(|n| format!("{phase}-{n}")).collect();
    store(&clients, &outputs.table, &ids).await;
    let failing = &ids[place];
    proxy.fail(failing, u32::MAX);
    let seen = recorder.invocations(&outputs.forward).len();
    stack.event_sources().unwrap().enable();

    let invocations = || -> Vec<Invocation> {
        let all = recorder.invocations(&outputs.forward).into_iter();
        all.skip(seen).collect()
    };
    wait_until("forward reports the record", async || {
        invocations().iter().any(|i| !i.failed().is_empty())
    })
    .await;
    assert!(proxy.left() < u32::MAX, "the record did not fail");
    proxy.fail(failing, 0);
    settle(stack, RECORDS).await;

    let key = "/dynamodb/Keys/notification_id/S";
    let invocations = invocations();
    let mut from_failure = invocations.iter().skip_while(|i| i.failed().is_empty());
    let failed = from_failure.next().unwrap();
    assert_eq!(failed.texts(key), ids, "the records must share one batch");
    let number = &failed.texts("/dynamodb/SequenceNumber")[place];
    assert_eq!(failed.failed(), std::slice::from_ref(number), "{phase}");
    let retry = from_failure.next().unwrap();
    assert_eq!(
        retry.texts(key),
        ids[place..],
        "{phase}: the retry must start at the failed record"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_consumers_complete_each_notification_once() {
    let mut stack = Stack::start(options("consumers")).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    add_second_consumer(&stack).await;
    let recorder = start_event_sources(&mut stack).await;
    let messages: Vec<Sample> = (0..40).map(|n| valid(&format!("n-{n}"), "{}")).collect();
    let report = demo::run_messages(&mut stack, &messages, Progress::Silent);
    let report = report.await.unwrap();
    assert_no_violations(&report);
    assert_eq!((report.counts.created, report.counts.done), (40, 40));

    // Both consumers receive every event; the second one may be a poll behind.
    wait_until("both consumers received every notification", async || {
        let mut received: BTreeMap<String, usize> = BTreeMap::new();
        for invocation in recorder.invocations(&outputs.complete) {
            for key in invocation.texts("/kinesis/partitionKey") {
                *received.entry(key).or_default() += 1;
            }
        }
        received.len() == 40 && received.values().all(|count| *count >= 2)
    })
    .await;
    let invocations = recorder.invocations(&outputs.complete);
    assert!(invocations.iter().all(|i| i.failed().is_empty()));
    let events = inspect::read_events(&clients, &outputs.stream).await;
    let events = events.unwrap().0;
    for n in 0..40 {
        let id = format!("n-{n}");
        let done = events
            .iter()
            .filter(|event| event.id == id && event.status == "DONE")
            .count();
        assert_eq!(done, 1, "{id}: one change to DONE has one event");
    }
    let items = inspect::read_items(&clients, &outputs.table).await.unwrap();
    assert!(
        items
            .iter()
            .all(|item| item.status == "DONE" && item.version == 2)
    );
    stack.stop().await;
}

/// Adds a second mapping of the same function and stream, which receives every event as another consumer would.
async fn add_second_consumer(stack: &Stack) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let summary = clients
        .kinesis
        .describe_stream_summary()
        .stream_name(&outputs.stream)
        .send()
        .await
        .unwrap();
    let stream_arn = summary.stream_description_summary.unwrap().stream_arn;
    clients
        .lambda
        .create_event_source_mapping()
        .function_name(&outputs.complete)
        .event_source_arn(stream_arn)
        .starting_position(EventSourcePosition::TrimHorizon)
        .function_response_types(FunctionResponseType::ReportBatchItemFailures)
        .send()
        .await
        .unwrap();
}
