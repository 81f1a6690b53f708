//! Misconfigured environment variables and concurrency.

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

    check_concurrency(stack).await;
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
