//! Misconfigured queues.

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use super::stack::DoctorStack;
use crate::operator::onewrite;

pub(super) async fn check(stack: &DoctorStack) {
    use QueueAttributeName as Name;
    let outputs = stack.stack.outputs();
    let (queue, dead_letters) = (&outputs.queue_url, &outputs.dead_letter_queue_url);
    let broken = |check, place| [("broken", check, place)];
    stack
        .check_queue_attribute(
            queue,
            Name::VisibilityTimeout,
            5,
            &broken("visibility-timeout", "queue"),
        )
        .await;
    let (_, stdout, _) = onewrite(&stack.stack, &["doctor"]).await;
    assert!(!stdout.contains("BROKEN"), "{stdout}");

    let arn = &outputs.all["NotificationQueueArn"];
    for (policy, check) in [
        (
            json!({"deadLetterTargetArn": arn, "maxReceiveCount": 6}).to_string(),
            "dead-letter-queue",
        ),
        (String::new(), "dead-letter-queue"),
    ] {
        stack
            .check_queue_attribute(queue, Name::RedrivePolicy, policy, &broken(check, "queue"))
            .await;
    }
    let attributes = stack.clients.sqs.get_queue_attributes().queue_url(queue);
    let attributes = attributes.attribute_names(Name::RedrivePolicy).send().await;
    let policy = attributes.unwrap().attributes.unwrap()[&Name::RedrivePolicy].clone();
    let mut policy: Value = serde_json::from_str(&policy).unwrap();
    policy["maxReceiveCount"] = json!(5);
    stack
        .check_queue_attribute(
            queue,
            Name::RedrivePolicy,
            policy,
            &broken("max-receives", "queue"),
        )
        .await;
    stack
        .check_queue_attribute(
            dead_letters,
            Name::MessageRetentionPeriod,
            345_600,
            &broken("dead-letter-retention", "dead-letter queue"),
        )
        .await;
    for (url, place) in [(queue, "queue"), (dead_letters, "dead-letter queue")] {
        stack
            .check_queue_attribute(
                url,
                Name::SqsManagedSseEnabled,
                false,
                &broken("encryption", place),
            )
            .await;
    }
}
