use futures::future::join_all;
use onewrite::notification::NotificationType;
use serde_json::json;

use super::wire::{
    Outcome, Wire, accept, busy, check_lost_answers, deliver, event, failed, fault, large_event,
    ok, permanent,
};
use crate::targets::TargetSettings;

const BUS: &str = "arn:aws:events:eu-west-1:123456789012:event-bus/refunds";

#[tokio::test(start_paused = true)]
async fn puts_concurrent_events_in_one_call_with_source_and_type() {
    let wire = Wire::new([ok(&json!({
        "FailedEntryCount": 0,
        "Entries": [{"EventId": "1"}, {"EventId": "2"}],
    }))]);
    let bus = wire.target(BUS, &TargetSettings::default()).await;
    let events = [event("n-1"), event("n-2")];
    let outcomes = join_all(events.iter().map(|event| accept(&bus, event))).await;
    assert_eq!(outcomes, [Outcome::Happened, Outcome::Happened]);
    let request = wire.only();
    assert_eq!(request.uri, "https://events.eu-west-1.amazonaws.com/");
    assert_eq!(request.headers["x-amz-target"], "AWSEvents.PutEvents");
    assert_eq!(
        request.headers["content-type"],
        "application/x-amz-json-1.1"
    );
    let entries = events.each_ref().map(|event| {
        json!({
            "EventBusName": BUS,
            "Source": "onewrite",
            "DetailType": "refund.init",
            "Detail": event.to_json(),
        })
    });
    assert_eq!(request.body, json!({"Entries": entries}));
}

#[tokio::test(start_paused = true)]
async fn entries_fail_alone() {
    let wire = Wire::new([ok(&json!({
        "FailedEntryCount": 3,
        "Entries": [
            {"EventId": "1"},
            {"ErrorCode": "MalformedDetail", "ErrorMessage": "canary-7f3a"},
            {"ErrorCode": "InternalFailure", "ErrorMessage": "canary-7f3a"},
            {"ErrorCode": "ThrottlingException", "ErrorMessage": "canary-7f3a"},
            {},
        ],
    }))]);
    let bus = wire.target(BUS, &TargetSettings::default()).await;
    let events = ["a", "b", "c", "d", "e"].map(event);
    let outcomes = join_all(events.iter().map(|event| accept(&bus, event))).await;
    let expected = [
        Outcome::Happened,
        fault("EventBridge returned MalformedDetail"),
        busy("the outcome at EventBridge is unknown: InternalFailure"),
        busy("EventBridge throttles (ThrottlingException)"),
        busy("the outcome at EventBridge is unknown: the response cannot be read"),
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_never_a_success() {
    check_lost_answers(BUS, "EventBridge").await;
    let unreadable = || busy("the outcome at EventBridge is unknown: the response cannot be read");
    for (answer, expected) in [
        (
            failed(400, "ThrottlingException"),
            busy("EventBridge throttles (ThrottlingException)"),
        ),
        (
            failed(400, "AccessDeniedException"),
            fault("EventBridge returned AccessDeniedException"),
        ),
        (ok(&json!({"Entries": []})), unreadable()),
        (
            ok(&json!({"Entries": [{"EventId": "1"}, {"EventId": "2"}]})),
            unreadable(),
        ),
    ] {
        assert_eq!(deliver(BUS, answer.clone()).await, expected, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_eventbridge_would_never_accept_is_not_put() {
    let wire = Wire::new([]);
    let bus = wire.target(BUS, &TargetSettings::default()).await;
    let large = large_event("n-1", 1024 * 1024);
    let expected = permanent("larger than the service allows (EventBridge)");
    assert_eq!(accept(&bus, &large).await, expected);
    let mut long = event("n-1");
    long.kind = NotificationType::parse("x".repeat(124)).unwrap();
    let expected = permanent("the type is longer than EventBridge allows");
    assert_eq!(accept(&bus, &long).await, expected);
    assert!(wire.sent().is_empty());
}
