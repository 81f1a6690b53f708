//! A workflow, an event bus and a topic together.

use std::collections::BTreeSet;

use onewrite_local::{inspect, messages, oracle::SentMessage, sample::Sample, stack::Stack};
use onewrite_tests::{
    fault_proxy::{FaultProxy, WireFault},
    settings::redirect,
};
use serde_json::{Value, json};

use super::{assert_settled, of_type};
use crate::{
    least_privilege::run_script,
    support::{options, settle, start_event_sources, wait_until},
};

const SCRIPT: &str = include_str!("services.py");

/// The emulator's account, so the targets can be named before they exist.
const ARNS: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:workflow,\
arn:aws:events:us-east-1:000000000000:event-bus/bus,\
arn:aws:sns:us-east-1:000000000000:topic";

/// More failures than one invocation has attempts.
const LOST_WRITES: usize = 40;

/// The notification ids of the executions, one for each execution, in order.
async fn executions(stack: &Stack) -> Vec<String> {
    let output = run_script(stack, SCRIPT, &json!({"command": "executions"})).await;
    let mut ids: Vec<String> = serde_json::from_slice(&output).unwrap();
    ids.sort();
    ids
}

/// The notification ids that arrived in the queue through the bus, and those through the topic.
async fn deliveries(stack: &Stack, queue_url: &str) -> [BTreeSet<String>; 2] {
    let mut ids = [BTreeSet::new(), BTreeSet::new()];
    for message in inspect::drain_queue(stack.clients(), queue_url)
        .await
        .unwrap()
    {
        let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
        let (place, event) = match body["Message"].as_str() {
            Some(message) => (1, serde_json::from_str(message).unwrap()),
            None => {
                assert_eq!(body["detail-type"], body["detail"]["type"]);
                assert_eq!(body["source"], body["detail"]["source"]);
                (0, body["detail"].clone())
            }
        };
        let event: Value = event;
        ids[place].insert(event["subject"].as_str().unwrap().to_owned());
    }
    ids
}

/// Makes DONE fail after the targets have accepted, and then continues in another process, which does not remember them.
async fn repeat_deliveries(stack: &mut Stack, samples: &[Sample]) -> Vec<SentMessage> {
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let endpoint = stack.endpoint();
    let emulator = endpoint.trim_start_matches("http://").parse().unwrap();
    let proxy = FaultProxy::start(emulator).await.unwrap();
    proxy.script("UpdateItem", [WireFault::InternalError; LOST_WRITES]);
    redirect(&clients, &outputs.complete, "DYNAMODB", &proxy.endpoint())
        .await
        .unwrap();
    let recorder = start_event_sources(stack).await;
    let sent = messages::send(&clients, &outputs.queue_url, samples, |_| {}).await;
    let sent = sent.unwrap();
    wait_until("an invocation of complete failed", async || {
        let invocations = recorder.invocations(&outputs.complete);
        invocations.iter().any(|one| !one.failed().is_empty())
    })
    .await;
    redirect(&clients, &outputs.complete, "DYNAMODB", &endpoint)
        .await
        .unwrap();
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_start_one_execution_and_events_reach_subscribers() {
    let options = options("services").parameter("DownstreamArns", ARNS);
    let mut stack = Stack::start(options).await.unwrap();
    let queue = stack.clients().sqs.create_queue().queue_name("subscriber");
    let queue_url = queue.send().await.unwrap().queue_url.unwrap();
    let create = json!({"command": "create", "queue_url": queue_url});
    run_script(&stack, SCRIPT, &create).await;

    // The second id is not a valid name of an execution.
    let ids = ["w-1", "w:2", "w-3"];
    let samples = ids.map(|id| of_type("refund", id));
    let sent = repeat_deliveries(&mut stack, &samples).await;
    settle(&mut stack, sent.len()).await;
    assert_settled(&stack, &sent).await;

    let expected: BTreeSet<String> = ids.map(str::to_owned).into();
    assert_eq!(executions(&stack).await, Vec::from_iter(expected.clone()));
    let [from_bus, from_topic] = deliveries(&stack, &queue_url).await;
    assert_eq!(from_bus, expected);
    assert_eq!(from_topic, expected);
    stack.stop().await;
}
