//! `onewrite doctor` on a deployed stack: the findings of a new stack, and of one that is misconfigured. The operator crate
//! tests the misconfigurations that the emulator does not support: a standard queue that became FIFO, replicas, record
//! distribution by Kinesis, a bucket without encryption, and a caller without permissions.

mod functions;
mod mappings;
mod queues;
mod stack;
mod stores;

use self::stack::{DoctorStack, run_doctor};
use super::operator::onewrite;

#[tokio::test(flavor = "multi_thread")]
async fn doctor_reports_each_misconfiguration_and_nothing_else() {
    let stack = DoctorStack::new().await;
    // The local parameters disable these safeguards; `stream-retention` comes from the template's default.
    let initial: Vec<(&str, &str, &str)> = stack
        .initial
        .iter()
        .map(|(severity, check, place)| (severity.as_str(), check.as_str(), place.as_str()))
        .collect();
    assert_eq!(
        initial,
        [
            ("advice", "stream-retention", "stream"),
            ("advice", "tls", "dead-letter queue"),
            ("advice", "tls", "failure bucket"),
            ("advice", "tls", "queue"),
        ]
    );
    let (_, stdout, _) = onewrite(&stack.stack, &["doctor"]).await;
    assert!(
        stdout.ends_with("\n0 broken, 0 could not be checked, 4 advice.\n"),
        "{stdout}"
    );

    // The logs of a local stack are read as those on AWS.
    let (_, stdout, _) = onewrite(&stack.stack, &["status"]).await;
    assert!(stdout.contains("errors          none logged"), "{stdout}");

    queues::check(&stack).await;
    mappings::check_settings(&stack).await;
    mappings::check_filters(&stack).await;
    mappings::check_version(&stack).await;
    mappings::check_number_and_position(&stack).await;
    functions::check(&stack).await;
    stores::check(&stack).await;
    stack.assert_findings(&[]).await;
    check_pause(&stack).await;
    check_deleted_queue(&stack).await;
    stack.stack.stop().await;
}

/// The parameter names the functions that are invoked, so a pause of one that it names was not deployed.
async fn check_pause(stack: &DoctorStack) {
    let ingest = &stack.stack.outputs().ingest;
    stack
        .update_mapping(ingest, |update| update.enabled(false))
        .await;
    stack
        .assert_findings(&[("broken", "paused", "ingest")])
        .await;
    stack
        .update_mapping(ingest, |update| update.enabled(true))
        .await;
    stack.assert_findings(&[]).await;
}

/// A deleted resource is reported as missing, not as unreadable.
async fn check_deleted_queue(stack: &DoctorStack) {
    let url = &stack.stack.outputs().dead_letter_queue_url;
    let delete = stack.clients.sqs.delete_queue().queue_url(url);
    delete.send().await.unwrap();
    let (code, found) = run_doctor(&stack.stack).await;
    let of_queue = found
        .iter()
        .filter(|(.., place)| place == "dead-letter queue");
    let of_queue: Vec<_> = of_queue
        .map(|(severity, check, _)| (severity.as_str(), check.as_str()))
        .collect();
    assert_eq!((code, of_queue), (6, vec![("broken", "missing")]));
}
