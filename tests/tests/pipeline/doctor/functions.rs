//! Misconfigured environment variables and concurrency.

use super::stack::DoctorStack;

pub(super) async fn check(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    let pointers = ["notification_id", "", "/payload", "/type"].map(|pointer| {
        (
            &outputs.ingest,
            "NOTIFICATION_ID_POINTER",
            pointer,
            "pointers",
            "ingest",
        )
    });
    let others = [
        (
            &outputs.ingest,
            "PAYLOAD_POINTER",
            "/a~2",
            "pointers",
            "ingest",
        ),
        (
            &outputs.ingest,
            "QUEUE_URL",
            outputs.dead_letter_queue_url.as_str(),
            "queue-url",
            "ingest",
        ),
        (
            &outputs.ingest,
            "OUTAGE_SECONDS",
            "36001",
            "outage-seconds",
            "ingest",
        ),
        (
            &outputs.ingest,
            "TABLE_NAME",
            "another",
            "environment",
            "ingest",
        ),
        (
            &outputs.forward,
            "STREAM_NAME",
            "another",
            "environment",
            "forward",
        ),
        (
            &outputs.forward,
            "EVENT_SOURCE",
            "urn:another",
            "parameter",
            "forward",
        ),
        (
            &outputs.complete,
            "TABLE_NAME",
            "another",
            "environment",
            "complete",
        ),
        (
            &outputs.complete,
            "DONE_RETENTION_DAYS",
            "28",
            "done-retention",
            "complete",
        ),
    ];
    for (function, name, value, check, place) in pointers.into_iter().chain(others) {
        let expected = [("broken", check, place)];
        stack.check_variable(function, name, value, &expected).await;
    }
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
