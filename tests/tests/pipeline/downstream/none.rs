//! A stack without a target, whose notifications wait for a consumer of your own.

use onewrite_local::{
    downstream::Downstream,
    inspect, messages,
    oracle::{self, Settlement},
    stack::StackOptions,
};

use crate::operator::onewrite;
use crate::support::{assert_no_violations, options, settle, start, valid};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_target_notifications_stay_in_init_and_status_says_so() {
    let options = StackOptions {
        downstream: Downstream::None,
        ..options("undelivered")
    };
    let (mut stack, recorder) = start(options).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let samples = ["n-1", "n-2", "n-3"].map(|id| valid(id, "1"));
    let sent = messages::send(&clients, &outputs.queue_url, &samples, |_| {}).await;
    let sent = sent.unwrap();
    settle(&mut stack, sent.len()).await;

    let mut found = inspect::read_final_state(&clients, &outputs).await.unwrap();
    assert_eq!(found.items.len(), 3);
    for item in &found.items {
        assert_eq!((item.status.as_str(), item.version), ("INIT", 1));
    }
    assert!(found.events.iter().all(|event| event.status == "INIT"));
    found.settlement = Settlement::Elsewhere;
    assert_no_violations(&oracle::verify(&sent, &found));
    assert!(recorder.invocations(&outputs.complete).is_empty());

    let (_, stdout, _) = onewrite(&stack, &["status", "--count"]).await;
    let expected = "no downstream configured: 3 notifications in INIT";
    assert!(stdout.contains(expected), "{stdout}");
    stack.stop().await;
}
