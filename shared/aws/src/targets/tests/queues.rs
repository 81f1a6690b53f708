use futures::future::join_all;
use serde_json::{Value, json};

use super::wire::{
    Answer, Outcome, Wire, accept, busy, check_lost_answers, deliver, event, failed, fault,
    large_event, ok, permanent,
};
use crate::targets::{ServiceTarget, TargetSettings};

const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:refunds";
const FIFO: &str = "arn:aws:sqs:eu-west-1:123456789012:refunds.fifo";

fn sent(ids: &[&str]) -> Value {
    let entry = |id: &&str| json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": "d"});
    json!({"Successful": ids.iter().map(entry).collect::<Vec<_>>(), "Failed": []})
}

async fn queue(wire: &Wire, arn: &str) -> ServiceTarget {
    wire.target(arn, &TargetSettings::default()).await
}

#[tokio::test(start_paused = true)]
async fn sends_concurrent_events_as_one_batch_in_the_region_of_the_arn() {
    let wire = Wire::new([ok(&sent(&["0", "1"]))]);
    let queue = queue(&wire, QUEUE).await;
    let events = [event("n-1"), event("n-2")];
    let outcomes = join_all(events.iter().map(|event| accept(&queue, event))).await;
    assert_eq!(outcomes, [Outcome::Happened, Outcome::Happened]);
    let request = wire.only();
    assert_eq!(request.uri, "https://sqs.eu-west-1.amazonaws.com/");
    assert_eq!(
        request.headers["x-amz-target"],
        "AmazonSQS.SendMessageBatch"
    );
    assert_eq!(
        request.headers["content-type"],
        "application/x-amz-json-1.0"
    );
    assert!(request.headers["authorization"].contains("/eu-west-1/sqs/aws4_request"));
    let expected = json!({
        "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/refunds",
        "Entries": [
            {"Id": "0", "MessageBody": events[0].to_json()},
            {"Id": "1", "MessageBody": events[1].to_json()},
        ],
    });
    assert_eq!(request.body, expected);
}

#[tokio::test(start_paused = true)]
async fn a_fifo_queue_gets_the_notification_as_group_and_the_event_for_deduplication() {
    let wire = Wire::new([ok(&sent(&["0"]))]);
    let queue = queue(&wire, FIFO).await;
    assert_eq!(accept(&queue, &event("n 1")).await, Outcome::Happened);
    let entry = &wire.only().body["Entries"][0];
    let group = entry["MessageGroupId"].as_str().unwrap();
    let deduplication = entry["MessageDeduplicationId"].as_str().unwrap();
    assert!(group.starts_with("sha256-") && deduplication.starts_with("sha256-"));
    assert_ne!(group, deduplication);
}

#[tokio::test(start_paused = true)]
async fn entries_fail_alone_and_one_without_a_result_counts_as_failed() {
    let failure = |id: &str, code: &str, fault: bool| json!({"Id": id, "Code": code, "SenderFault": fault, "Message": "canary-7f3a"});
    let answer = json!({
        "Successful": [{"Id": "0"}, {"Id": "5"}],
        "Failed": [
            failure("1", "InvalidMessageContents", true),
            failure("2", "InternalError", false),
            failure("3", "RequestThrottled", true),
            failure("5", "InternalError", false),
            failure("6", "InvalidParameterValue", true),
            failure("7", "KmsAccessDenied", true),
        ],
    });
    let wire = Wire::new([ok(&answer)]);
    let queue = queue(&wire, QUEUE).await;
    let events = ["a", "b", "c", "d", "e", "f", "g", "h"].map(event);
    let outcomes = join_all(events.iter().map(|event| accept(&queue, event))).await;
    let unreadable = busy("the outcome at SQS is unknown: the response cannot be read");
    let expected = [
        Outcome::Happened,
        permanent("SQS does not accept the event (InvalidMessageContents)"),
        busy("the outcome at SQS is unknown: InternalError"),
        busy("SQS throttles (RequestThrottled)"),
        unreadable,
    ];
    assert_eq!(outcomes[..5], expected);
    // Two results contradict each other.
    assert_eq!(outcomes[5], expected[4]);
    // The message is above the limit of the queue.
    let refused = permanent("SQS does not accept the event (InvalidParameterValue)");
    assert_eq!(outcomes[6], refused);
    assert_eq!(outcomes[7], fault("SQS returned KmsAccessDenied"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_never_a_success() {
    check_lost_answers(QUEUE, "SQS").await;
    for (answer, expected) in [
        (
            failed(400, "RequestThrottled"),
            busy("SQS throttles (RequestThrottled)"),
        ),
        (failed(429, "SomeCode"), busy("SQS throttles (SomeCode)")),
        (
            failed(400, "QueueDoesNotExist"),
            fault("SQS returned QueueDoesNotExist"),
        ),
        (
            failed(400, "BatchRequestTooLong"),
            permanent("larger than the queue or topic allows (SQS)"),
        ),
        (
            failed(403, "AccessDenied canary-7f3a!"),
            fault("SQS returned an unreadable error code"),
        ),
        (
            ok(&json!({})),
            busy("the outcome at SQS is unknown: the response cannot be read"),
        ),
        (
            Answer::Http(413, Vec::new(), "too large".to_owned()),
            fault("SQS returned 413"),
        ),
    ] {
        assert_eq!(deliver(QUEUE, answer.clone()).await, expected, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_sqs_would_never_accept_does_not_spoil_a_batch() {
    let wire = Wire::new([ok(&sent(&["0"]))]);
    let queue = queue(&wire, QUEUE).await;
    let mut forbidden = event("n-3");
    forbidden.enrichment = Some("{\"text\":\"\u{ffff}\"}".to_owned());
    let events = [event("n-1"), large_event("n-2", 1024 * 1024), forbidden];
    let outcomes = join_all(events.iter().map(|event| accept(&queue, event))).await;
    let expected = [
        Outcome::Happened,
        permanent("larger than the service allows (SQS)"),
        permanent("the event contains a character that SQS does not allow"),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(wire.only().body["Entries"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_at_most_one_mebibyte() {
    let wire = Wire::new([ok(&sent(&["0"])), ok(&sent(&["0"]))]);
    let queue = queue(&wire, QUEUE).await;
    let events = ["n-1", "n-2"].map(|id| large_event(id, 600 * 1024));
    let outcomes = join_all(events.iter().map(|event| accept(&queue, event))).await;
    assert_eq!(outcomes, [Outcome::Happened, Outcome::Happened]);
    assert_eq!(wire.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_configured_endpoint_is_used_in_the_url_of_the_queue_too() {
    let wire = Wire::new([ok(&sent(&["0"]))]);
    let config = wire.config().await.to_builder();
    let config = config.endpoint_url("http://127.0.0.1:4566").build();
    let queue = ServiceTarget::new(&config, &QUEUE.parse().unwrap(), &TargetSettings::default());
    assert_eq!(
        accept(&queue.unwrap(), &event("n-1")).await,
        Outcome::Happened
    );
    let request = wire.only();
    assert_eq!(request.uri, "http://127.0.0.1:4566/");
    let url = "http://127.0.0.1:4566/123456789012/refunds";
    assert_eq!(request.body["QueueUrl"], url);
}
