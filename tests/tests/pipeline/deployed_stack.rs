//! `cargo local demo --stack` on a stack that is already deployed.

use onewrite_local::{demo, emulator::REGION, inspect, messages, progress::Progress, stack::Stack};
use onewrite_tests::cargo::cargo;

use super::support::{assert_no_violations, malformed, run_to_end, sam_options, start, valid};

/// Runs `cargo local demo --stack` with the emulator as its AWS endpoint; returns the exit code and all output.
async fn demo_of(stack: &Stack, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::from(cargo());
    command
        .args(["local", "demo", "--stack"])
        .args(arguments)
        .env("AWS_ENDPOINT_URL", stack.endpoint())
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", &stack.credentials().access_key_id)
        .env(
            "AWS_SECRET_ACCESS_KEY",
            &stack.credentials().secret_access_key,
        );
    run_to_end(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_verifies_a_deployed_stack_and_ignores_foreign_notifications() {
    let (mut stack, _recorder) = start(sam_options("deployed")).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let (code, output) = demo_of(&stack, &["nobody-s"]).await;
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("sam list stack-outputs failed"), "{output}");

    let earlier = [valid("earlier", "{}")];
    let report = demo::run_messages(&mut stack, &earlier, Progress::Silent).await;
    assert_no_violations(&report.unwrap());
    let run = ["onewrite", "--settle", "10", "--messages", "9"];
    let (code, output) = demo_of(&stack, &run).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("Every guarantee was kept."), "{output}");
    assert!(!output.contains("earlier"), "{output}");
    let items = inspect::read_items(&clients, &outputs.table).await.unwrap();
    assert_eq!(items.len(), 1 + 6, "the demo must use this stack");

    // A run cannot tell an existing dead letter from its own.
    let letter = [malformed("{")];
    messages::send(&clients, &outputs.dead_letter_queue_url, &letter, |_| {})
        .await
        .unwrap();
    let (code, output) = demo_of(&stack, &run).await;
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("holds 1 messages"), "{output}");
    let dead = inspect::read_queue_depth(&clients, &outputs.dead_letter_queue_url).await;
    assert_eq!(dead.unwrap().total(), 1, "the dead letter must stay");
    stack.stop().await;
}
