//! A message that fails for a transient reason waits longer than the visibility timeout of its queue.

use std::time::{Duration, SystemTime};

use onewrite::deferral::Waits;
use onewrite_local::{inspect, messages, oracle};
use onewrite_tests::{
    recorder::Recorder,
    settings::{redirect, set_variable},
};

use super::support::{assert_no_violations, malformed, options, settle, start, valid, wait_until};

/// Timeout of `ingest` in seconds, which leaves time for the call that defers a message.
const INGEST_TIMEOUT: u64 = 5;
/// The visibility timeout that the template derives from it.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(6 * INGEST_TIMEOUT);
/// With the waits for such an outage, the third receive is followed by a wait above the visibility timeout.
const OUTAGE: Duration = Duration::from_secs(600);

/// The times of all invocations of `ingest` with this message.
fn receives(recorder: &Recorder, function: &str, message_id: &str) -> Vec<SystemTime> {
    let invocations = recorder.invocations(function).into_iter();
    let with_message = invocations.filter(|invocation| {
        let ids = invocation.texts("/messageId");
        ids.iter().any(|id| id == message_id)
    });
    with_message.map(|invocation| invocation.at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_the_table_fails_wait_longer_and_malformed_ones_do_not() {
    let options =
        options("deferral").parameter("IngestTimeoutSeconds", &INGEST_TIMEOUT.to_string());
    let (mut stack, recorder) = start(options).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let seconds = OUTAGE.as_secs().to_string();
    set_variable(&clients, &outputs.ingest, "OUTAGE_SECONDS", &seconds)
        .await
        .unwrap();
    let endpoint = stack.endpoint();
    let tls_endpoint = endpoint.replace("http://", "https://");
    redirect(&clients, &outputs.ingest, "DYNAMODB", &tls_endpoint)
        .await
        .unwrap();
    let samples = [valid("deferred", "1.0"), malformed("{")];
    let sent = messages::send(&clients, &outputs.queue_url, &samples, |_| {}).await;
    let sent = sent.unwrap();
    let receives_of = |place: usize| receives(&recorder, &outputs.ingest, &sent[place].message_id);
    wait_until("three receives failed", async || receives_of(0).len() == 3).await;
    redirect(&clients, &outputs.ingest, "DYNAMODB", &endpoint)
        .await
        .unwrap();
    wait_until("the fourth receive", async || receives_of(0).len() == 4).await;

    let wait = Waits::outlasting(OUTAGE).after(3, 0.0).unwrap();
    assert!(wait > VISIBILITY_TIMEOUT);
    let [.., third, fourth] = receives_of(0)[..] else {
        panic!("four receives");
    };
    assert!(fourth.duration_since(third).unwrap() >= wait);
    // The malformed message comes at each end of the visibility timeout.
    let of_malformed = receives_of(1).into_iter().filter(|at| *at < fourth);
    assert!(of_malformed.count() > 2);

    // Between these receives, nothing that `settle` looks at changes.
    wait_until("the malformed message had six receives", async || {
        receives_of(1).len() == 6
    })
    .await;
    settle(&mut stack, sent.len()).await;
    let found = inspect::read_final_state(&clients, &outputs).await.unwrap();
    assert_no_violations(&oracle::verify(&sent, &found));
    stack.stop().await;
}
