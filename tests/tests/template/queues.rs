//! The message queue and its dead-letter queue.

use onewrite::limits::MAX_RECEIVES;
use serde_json::json;

use crate::{get_att, reference, template};

#[test]
fn moves_messages_to_the_dead_letter_queue_after_six_receives() {
    let expected = json!({"deadLetterTargetArn": get_att("DeadLetterQueue.Arn"), "maxReceiveCount": MAX_RECEIVES});
    assert_eq!(
        *template().property("NotificationQueue", "RedrivePolicy"),
        expected
    );
}

#[test]
fn visibility_timeout_is_six_timeouts_plus_the_batching_window() {
    let template = template();
    let expected = json!({"Fn::FindInMap": [
        "Visibility", reference("IngestTimeoutSeconds"), reference("BatchingWindowSeconds"),
    ]});
    assert_eq!(
        *template.property("NotificationQueue", "VisibilityTimeout"),
        expected
    );
    assert_eq!(
        *template.property("IngestFunction", "Timeout"),
        reference("IngestTimeoutSeconds")
    );
    let choices = |parameter: &str| -> Vec<u64> {
        let values = template.at(&format!("/Parameters/{parameter}/AllowedValues"));
        values
            .as_array()
            .unwrap()
            .iter()
            .map(|value| value.as_u64().unwrap())
            .collect()
    };
    let windows = choices("BatchingWindowSeconds");
    for timeout in choices("IngestTimeoutSeconds") {
        for window in &windows {
            let seconds = template.at(&format!("/Mappings/Visibility/{timeout}/{window}"));
            assert_eq!(
                *seconds,
                json!(6 * timeout + window),
                "timeout {timeout}, window {window}"
            );
        }
    }
}

#[test]
fn keeps_messages_and_dead_letters_for_14_days() {
    // The age of a standard message counts from its first send (S15), so a shorter retention could delete it on arrival.
    for queue in ["NotificationQueue", "DeadLetterQueue"] {
        assert_eq!(
            *template().property(queue, "MessageRetentionPeriod"),
            json!(14 * 24 * 60 * 60),
            "{queue}"
        );
    }
}

#[test]
fn both_queues_have_the_same_type() {
    let fifo = json!({"Fn::If": ["IsFifo", true, reference("AWS::NoValue")]});
    for queue in ["NotificationQueue", "DeadLetterQueue"] {
        assert_eq!(*template().property(queue, "FifoQueue"), fifo, "{queue}");
    }
}

#[test]
fn fifo_batches_have_one_message() {
    let one = json!({"Fn::If": ["IsFifo", 1, reference("IngestBatchSize")]});
    assert_eq!(*template().property("IngestEventSource", "BatchSize"), one);
}
