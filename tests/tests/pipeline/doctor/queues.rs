//! Misconfigured queues.

use aws_sdk_sqs::types::QueueAttributeName;
use onewrite_local::parameters::STACK_NAME;
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

    check_redrive_policy(stack).await;
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
    check_key(stack).await;
    check_orphaned_queue(stack).await;
}

async fn check_redrive_policy(stack: &DoctorStack) {
    use QueueAttributeName as Name;
    let outputs = stack.stack.outputs();
    let queue = &outputs.queue_url;
    let broken = |check| [("broken", check, "queue")];
    let arn = &outputs.all["NotificationQueueArn"];
    for (policy, check) in [
        (
            json!({"deadLetterTargetArn": arn, "maxReceiveCount": 6}).to_string(),
            "dead-letter-queue",
        ),
        (String::new(), "dead-letter-queue"),
    ] {
        stack
            .check_queue_attribute(queue, Name::RedrivePolicy, policy, &broken(check))
            .await;
    }
    let attributes = stack.clients.sqs.get_queue_attributes().queue_url(queue);
    let attributes = attributes.attribute_names(Name::RedrivePolicy).send().await;
    let policy = attributes.unwrap().attributes.unwrap()[&Name::RedrivePolicy].clone();
    let mut policy: Value = serde_json::from_str(&policy).unwrap();
    policy["maxReceiveCount"] = json!(5);
    stack
        .check_queue_attribute(queue, Name::RedrivePolicy, policy, &broken("max-receives"))
        .await;
}

/// A key that no parameter names: the roles may not use it.
async fn check_key(stack: &DoctorStack) {
    let url = &stack.stack.outputs().queue_url;
    for (key, expected) in [
        ("alias/another", &[("broken", "key", "queue")][..]),
        ("", &[]),
    ] {
        let name = QueueAttributeName::KmsMasterKeyId;
        stack.set_queue_attribute(url, name, key).await;
        let name = QueueAttributeName::SqsManagedSseEnabled;
        stack.set_queue_attribute(url, name, key.is_empty()).await;
        stack.assert_findings(expected).await;
    }
}

/// A queue that an earlier deployment left behind is reported if it holds messages.
async fn check_orphaned_queue(stack: &DoctorStack) {
    let sqs = &stack.clients.sqs;
    let create = sqs.create_queue();
    let create = create.queue_name(format!("{STACK_NAME}-NotificationQueue-old"));
    let url = create.send().await.unwrap().queue_url.unwrap();
    stack.assert_findings(&[]).await;
    let send = sqs.send_message().queue_url(&url).message_body("{}");
    send.send().await.unwrap();
    stack
        .assert_findings(&[("broken", "orphaned-queue", "queue")])
        .await;
    sqs.delete_queue().queue_url(&url).send().await.unwrap();
}
