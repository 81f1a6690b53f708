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

/// Resources that do not exist or are no targets, with their service and the check that finds them.
const MISSING: [(&str, &str, &str); 8] = [
    ("sqs", "nowhere", "target-missing"),
    ("lambda", "function:nowhere", "target-missing"),
    ("states", "stateMachine:nowhere", "target-missing"),
    ("events", "event-bus/nowhere", "target-missing"),
    ("sns", "nowhere", "target-missing"),
    ("secretsmanager", "secret:nowhere-AbCdEf", "secret-missing"),
    ("ssm", "parameter/nowhere", "secret-missing"),
    ("kinesis", "stream/s", "target-arn"),
];

/// Each target that is wrong, and that the variable is not the one of the stack.
async fn check_targets(stack: &DoctorStack) {
    let queue = &stack.stack.outputs().queue_url;
    let attributes = stack.clients.sqs.get_queue_attributes().queue_url(queue);
    let attributes = attributes.attribute_names(QueueAttributeName::QueueArn);
    let attributes = attributes.send().await.unwrap();
    let own_queue = &attributes.attributes().unwrap()[&QueueAttributeName::QueueArn];
    check_target(stack, "DOWNSTREAM_ARNS", own_queue, "target-loop").await;
    let parts: Vec<_> = own_queue.split(':').collect();
    for (service, resource, check) in MISSING {
        let arn = format!("arn:aws:{service}:{}:{}:{resource}", parts[3], parts[4]);
        check_target(stack, "DOWNSTREAM_ARNS", &arn, check).await;
    }
    let types = "refunds=refund.*";
    check_target(stack, "DOWNSTREAM_TYPES", types, "type-pattern").await;
}

/// Sets a variable of `complete`, which differs from the parameter then, and asserts the other finding.
async fn check_target(stack: &DoctorStack, name: &str, value: &str, check: &'static str) {
    let complete = &stack.stack.outputs().complete;
    let expected = [
        ("broken", check, "downstream"),
        ("broken", "parameter", "downstream"),
    ];
    stack.check_variable(complete, name, value, &expected).await;
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
