use serde_json::json;

use super::wire::{
    Outcome, Wire, accept, busy, check_lost_answers, deliver, event, failed, fault, large_event,
    ok, permanent,
};
use crate::targets::TargetSettings;

const MACHINE: &str = "arn:aws:states:eu-west-1:123456789012:stateMachine:refund";

#[tokio::test(start_paused = true)]
async fn starts_an_execution_named_after_the_notification() {
    let wire = Wire::new([ok(&json!({"executionArn": "arn", "startDate": 1.5}))]);
    let machine = wire.target(MACHINE, &TargetSettings::default()).await;
    let event = event("n-1");
    assert_eq!(accept(&machine, &event).await, Outcome::Happened);
    let request = wire.only();
    assert_eq!(request.uri, "https://states.eu-west-1.amazonaws.com/");
    assert_eq!(
        request.headers["x-amz-target"],
        "AWSStepFunctions.StartExecution"
    );
    assert_eq!(
        request.headers["content-type"],
        "application/x-amz-json-1.0"
    );
    let fingerprint = event.fingerprint.to_string();
    let expected = json!({
        "stateMachineArn": MACHINE,
        "name": format!("n-1-{}", &fingerprint[..16]),
        "input": event.to_json(),
    });
    assert_eq!(request.body, expected);
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_exists_already_is_accepted() {
    let exists = failed(400, "ExecutionAlreadyExists");
    assert_eq!(deliver(MACHINE, exists).await, Outcome::Happened);
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_never_a_success() {
    check_lost_answers(MACHINE, "SFN").await;
    for (answer, expected) in [
        (
            failed(400, "ExecutionLimitExceeded"),
            busy("SFN throttles (ExecutionLimitExceeded)"),
        ),
        (
            failed(400, "ThrottlingException"),
            busy("SFN throttles (ThrottlingException)"),
        ),
        (
            failed(400, "StateMachineDoesNotExist"),
            fault("SFN returned StateMachineDoesNotExist"),
        ),
        (
            ok(&json!({})),
            busy("the outcome at SFN is unknown: the response cannot be read"),
        ),
    ] {
        assert_eq!(
            deliver(MACHINE, answer.clone()).await,
            expected,
            "{answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_above_the_limit_of_an_input_starts_nothing() {
    let wire = Wire::new([]);
    let machine = wire.target(MACHINE, &TargetSettings::default()).await;
    let event = large_event("n-1", 256 * 1024);
    let expected = permanent("larger than the service allows (SFN)");
    assert_eq!(accept(&machine, &event).await, expected);
}
