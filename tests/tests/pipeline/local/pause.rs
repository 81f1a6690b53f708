//! Functions that the parameter `EventSourcesEnabled` leaves out, or that `onewrite pause` pauses, are not invoked.

use std::collections::BTreeMap;

use onewrite_local::inspect;
use onewrite_local::stack::Stack;

use super::traffic::{send, wait_for_items, wait_until_done};
use crate::operator::onewrite;
use crate::support::{options, start_event_sources, wait_until, wait_until_idle};

async fn run(stack: &Stack, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = onewrite(stack, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {stdout} {stderr}");
    stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_event_sources_are_not_polled_until_they_are_resumed() {
    let options = options("pause").parameter("EventSourcesEnabled", "ingest,forward");
    let mut stack = Stack::start(options).await.unwrap();
    let recorder = start_event_sources(&mut stack).await;
    let complete = stack.outputs().complete.clone();
    let ids = |numbers: std::ops::Range<u32>| numbers.map(|number| format!("n-{number}"));
    let store = async |stack: &Stack, numbers: std::ops::Range<u32>| {
        let all = ids(0..numbers.end).count();
        for id in ids(numbers) {
            send(stack, &id).await;
        }
        wait_for_items(stack, "until all are stored", |items| items.len() == all).await;
    };

    store(&stack, 0..5).await;
    let status = run(&stack, &["status"]).await;
    assert!(status.contains("ingest          Enabled\n"), "{status}");
    assert!(status.contains("complete        Disabled\n"), "{status}");
    let resumed = run(&stack, &["resume", "complete", "--yes"]).await;
    assert!(resumed.contains("complete  Enabled"), "{resumed}");
    let all: Vec<String> = ids(0..5).collect();
    wait_until_done(&stack, &all).await;

    // From the moment at which no invocation is in flight, a paused function is invoked no more.
    run(&stack, &["pause", "complete", "--yes"]).await;
    let sources = stack.event_sources().unwrap();
    wait_until("the pause is noticed", async || {
        !sources.is_polling(&complete)
    })
    .await;
    wait_until_idle(&stack).await;
    let before = recorder.invocations(&complete).len();
    store(&stack, 5..10).await;
    wait_until("all events are published", async || {
        let (events, _) = inspect::read_events(stack.clients(), &stack.outputs().stream)
            .await
            .unwrap();
        ids(5..10).all(|id| events.iter().any(|event| event.id == id))
    })
    .await;
    assert_eq!(recorder.invocations(&complete).len(), before);

    // A deployment sets what the parameter says.
    let changed = BTreeMap::from([(
        "EventSourcesEnabled".to_owned(),
        "ingest,forward,complete".to_owned(),
    )]);
    stack.redeploy(&changed).await.unwrap();
    let all: Vec<String> = ids(0..10).collect();
    wait_until_done(&stack, &all).await;
    stack.stop().await;
}
