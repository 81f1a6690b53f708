//! Targets whose requests are answered from a script.

use onewrite::{
    completion::{Downstream as _, DownstreamError, Effect},
    event::NotificationEvent,
};
use onewrite_testing::contract::notification;
use serde_json::json;

use crate::{
    replay::http,
    targets::{ServiceTarget, TargetSettings, TransactWriteItem},
};

pub(super) use crate::replay::{Answer, Endpoint as Wire, ok};

/// Text of the payload, which no error may contain.
const CANARY: &str = "canary-7f3a";

/// An error of a JSON protocol. Its message quotes the request, as those of AWS can.
pub(super) fn failed(status: u16, code: &str) -> Answer {
    let body = json!({"__type": format!("com.amazonaws#{code}"), "message": CANARY});
    http(status, body.to_string())
}

impl Wire {
    /// A target with this client.
    pub(super) async fn target(&self, address: &str, settings: &TargetSettings) -> ServiceTarget {
        let address = address.parse().unwrap();
        ServiceTarget::new(&self.config().await, &address, settings).unwrap()
    }
}

pub(super) fn event(id: &str) -> NotificationEvent {
    let item = notification(id, &format!(r#"{{"note":"{CANARY}"}}"#));
    NotificationEvent::from_item(&item)
}

/// An event whose document has at least this size.
pub(super) fn large_event(id: &str, bytes: usize) -> NotificationEvent {
    let mut event = event(id);
    // An item could not store it. Only an enrichment that grew by escapes makes an event larger than its item.
    event.enrichment = Some(format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes)));
    event
}

/// What a target made of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Happened,
    Writes(usize),
    Refused(String),
    Fault(String),
    Permanent(String),
    Busy(String),
}

/// Delivers an event. No error contains its payload.
pub(super) async fn accept(target: &ServiceTarget, event: &NotificationEvent) -> Outcome {
    outcome(target.accept(event).await)
}

pub(super) fn outcome(result: Result<Effect<TransactWriteItem>, DownstreamError>) -> Outcome {
    match result {
        Ok(Effect::Happened) => Outcome::Happened,
        Ok(Effect::CommitWith(writes)) => Outcome::Writes(writes.len()),
        Ok(Effect::Refused(code)) => Outcome::Refused(code.to_string()),
        Err(error) => {
            assert!(!format!("{error:?}").contains(CANARY), "{error:?}");
            let reason = error.to_string();
            if error.is_busy() {
                Outcome::Busy(reason)
            } else if error.is_permanent() {
                Outcome::Permanent(reason)
            } else {
                Outcome::Fault(reason)
            }
        }
    }
}

pub(super) fn fault(reason: &str) -> Outcome {
    Outcome::Fault(reason.to_owned())
}

pub(super) fn permanent(reason: &str) -> Outcome {
    Outcome::Permanent(reason.to_owned())
}

pub(super) fn busy(reason: &str) -> Outcome {
    Outcome::Busy(reason.to_owned())
}

/// Answers that leave the outcome of any call open, and the reason that is logged.
pub(super) fn lost_answers() -> [(Answer, &'static str); 4] {
    [
        (Answer::Reset, "connection reset"),
        (
            Answer::Silence,
            "operation attempt timeout (single attempt) occurred after 10s",
        ),
        (failed(500, "InternalServerError"), "InternalServerError"),
        (
            Answer::Http(200, Vec::new(), "{\"half".to_owned()),
            "the response cannot be read",
        ),
    ]
}

/// Delivers one event with each answer that leaves the outcome open. None of them is a success or a fault.
pub(super) async fn check_lost_answers(address: &str, service: &str) {
    for (answer, reason) in lost_answers() {
        let wire = Wire::new([answer.clone()]);
        let target = wire.target(address, &TargetSettings::default()).await;
        let expected = busy(&format!("the outcome at {service} is unknown: {reason}"));
        assert_eq!(accept(&target, &event("n-1")).await, expected, "{answer:?}");
        assert_eq!(wire.sent().len(), 1);
    }
}

/// Delivers one event with an answer of the whole call.
pub(super) async fn deliver(address: &str, answer: Answer) -> Outcome {
    let target = Wire::new([answer])
        .target(address, &TargetSettings::default())
        .await;
    accept(&target, &event("n-1")).await
}
