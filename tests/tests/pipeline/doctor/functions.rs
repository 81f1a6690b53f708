//! Misconfigured environment variables and concurrency.

use aws_sdk_sqs::types::QueueAttributeName;

use super::stack::DoctorStack;

/// Variables of a function with a wrong value, and the check that finds it.
type WrongVariables = &'static [(&'static str, &'static str, &'static str)];

const INGEST: WrongVariables = &[
    ("NOTIFICATION_ID_POINTER", "notification_id", "pointers"),
    ("NOTIFICATION_ID_POINTER", "", "pointers"),
    ("NOTIFICATION_ID_POINTER", "/payload", "pointers"),
    ("NOTIFICATION_ID_POINTER", "/type", "pointers"),
    ("PAYLOAD_POINTER", "/a~2", "pointers"),
    ("OUTAGE_SECONDS", "36001", "outage-seconds"),
    ("TABLE_NAME", "another", "environment"),
];

const FORWARD: WrongVariables = &[
    ("STREAM_NAME", "another", "environment"),
    ("EVENT_SOURCE", "urn:another", "parameter"),
];

const COMPLETE: WrongVariables = &[
    ("TABLE_NAME", "another", "environment"),
    ("DONE_RETENTION_DAYS", "28", "done-retention"),
];

pub(super) async fn check(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    for (function, place, variables) in [
        (&outputs.ingest, "ingest", INGEST),
        (&outputs.forward, "forward", FORWARD),
        (&outputs.complete, "complete", COMPLETE),
    ] {
        for (name, value, check) in variables {
            let expected = [("broken", *check, place)];
            stack.check_variable(function, name, value, &expected).await;
        }
    }
    let queue = &outputs.dead_letter_queue_url;
    let expected = [("broken", "queue-url", "ingest")];
    stack
        .check_variable(&outputs.ingest, "QUEUE_URL", queue, &expected)
        .await;
    stack
        .check_variable(&outputs.complete, "DONE_RETENTION_DAYS", "29", &[])
        .await;

    check_targets(stack).await;
    check_concurrency(stack).await;
}

/// Each target that is wrong, and that the variable is not the one of the stack.
async fn check_targets(stack: &DoctorStack) {
    let complete = &stack.stack.outputs().complete;
    let queue = &stack.stack.outputs().queue_url;
    let attributes = stack.clients.sqs.get_queue_attributes().queue_url(queue);
    let attributes = attributes.attribute_names(QueueAttributeName::QueueArn);
    let attributes = attributes.send().await.unwrap();
    let own_queue = &attributes.attributes().unwrap()[&QueueAttributeName::QueueArn];
    let resource = |service: &str, resource: &str| {
        let prefix: Vec<_> = own_queue.split(':').collect();
        format!("arn:aws:{service}:{}:{}:{resource}", prefix[3], prefix[4])
    };
    for (name, value, check) in [
        ("DOWNSTREAM_ARNS", own_queue.clone(), "target-loop"),
        (
            "DOWNSTREAM_ARNS",
            resource("sqs", "nowhere"),
            "target-missing",
        ),
        (
            "DOWNSTREAM_ARNS",
            resource("lambda", "function:nowhere"),
            "target-missing",
        ),
        (
            "DOWNSTREAM_ARNS",
            resource("states", "stateMachine:nowhere"),
            "target-missing",
        ),
        (
            "DOWNSTREAM_ARNS",
            resource("events", "event-bus/nowhere"),
            "target-missing",
        ),
        (
            "DOWNSTREAM_ARNS",
            resource("sns", "nowhere"),
            "target-missing",
        ),
        (
            "DOWNSTREAM_ARNS",
            resource("secretsmanager", "secret:nowhere-AbCdEf"),
            "secret-missing",
        ),
        (
            "DOWNSTREAM_ARNS",
            resource("ssm", "parameter/nowhere"),
            "secret-missing",
        ),
        (
            "DOWNSTREAM_ARNS",
            resource("kinesis", "stream/s"),
            "target-arn",
        ),
        (
            "DOWNSTREAM_TYPES",
            "refunds=refund.*".to_owned(),
            "type-pattern",
        ),
    ] {
        let expected = [
            ("broken", check, "downstream"),
            ("broken", "parameter", "downstream"),
        ];
        stack
            .check_variable(complete, name, &value, &expected)
            .await;
    }
}

async fn check_concurrency(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    let lambda = &stack.clients.lambda;
    let reserve = lambda.put_function_concurrency();
    let reserve = reserve.function_name(&outputs.ingest);
    reserve
        .reserved_concurrent_executions(4)
        .send()
        .await
        .unwrap();
    stack
        .assert_findings(&[("broken", "reserved-concurrency", "ingest")])
        .await;
    let free = lambda.delete_function_concurrency();
    free.function_name(&outputs.ingest).send().await.unwrap();
}
