//! INIT -> DONE over the in-memory table.
#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use onewrite::{
    completion::{
        Completer, CompletionError, CompletionOutcome, Downstream, DownstreamError, Effect,
    },
    error::ServiceError,
    event::NotificationEvent,
    item::NotificationItem,
    notification::Status,
    table::{NewNotifications as _, TableError, Verdict},
};
use onewrite_testing::{InMemoryTable, contract};

struct Called;

impl<W: Send> Downstream<W> for Called {
    async fn accept(&self, _event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        Ok(Effect::Happened)
    }
}

/// Completes one item and returns it. It expires after `retention_days`.
async fn completed(retention_days: u32) -> NotificationItem {
    let table = InMemoryTable::default();
    let item = contract::notification("n1", "1");
    table.insert(&item).await.unwrap();
    let completer =
        Completer::new(table.clone(), retention_days).with_clock(|| Timestamp::UNIX_EPOCH);
    let event = NotificationEvent::from_item(&item);
    let outcome = completer.complete(&event, &Called).await.unwrap();
    assert_eq!(outcome, CompletionOutcome::Settled(Verdict::Done));
    let outcome = completer.complete(&event, &Called).await.unwrap();
    assert_eq!(outcome, CompletionOutcome::AlreadySettled(Status::Done));
    NotificationItem::from_item(&table.item("n1").unwrap()).unwrap()
}

#[tokio::test]
async fn done_has_the_time_of_the_clock_and_expires_if_configured() {
    let kept = completed(0).await;
    assert_eq!((kept.status, kept.expires_at), (Status::Done, None));
    assert_eq!(kept.updated_at, Timestamp::UNIX_EPOCH);
    assert_eq!(completed(1).await.expires_at, Some(86_400));
}

struct Refusing;

impl<W: Send> Downstream<W> for Refusing {
    async fn accept(&self, _event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        Ok(Effect::Refused("account_closed".parse().unwrap()))
    }
}

#[tokio::test]
async fn refusals_are_final_and_have_their_reason() {
    let table = InMemoryTable::default();
    let item = contract::notification("n1", "1");
    table.insert(&item).await.unwrap();
    let completer = Completer::new(table.clone(), 1).with_clock(|| Timestamp::UNIX_EPOCH);
    let event = NotificationEvent::from_item(&item);
    for expected in [
        CompletionOutcome::Settled(Verdict::Refused("account_closed".parse().unwrap())),
        CompletionOutcome::AlreadySettled(Status::Refused),
    ] {
        let outcome = completer.complete(&event, &Refusing).await.unwrap();
        assert_eq!(outcome, expected);
    }
    let contradicted = completer.complete(&event, &Called).await.unwrap();
    assert_eq!(
        contradicted,
        CompletionOutcome::Contradicted {
            found: Status::Refused,
            decided: Verdict::Done,
        }
    );
    let refused = NotificationItem::from_item(&table.item("n1").unwrap()).unwrap();
    assert_eq!(refused.status, Status::Refused);
    assert_eq!(refused.refusal.unwrap().as_str(), "account_closed");
    assert_eq!(refused.expires_at, Some(86_400));
}

#[tokio::test]
async fn an_event_settles_no_other_notification_of_a_reused_id() {
    let table = InMemoryTable::default();
    let (first, second) = (
        contract::notification("n1", "1"),
        contract::notification("n1", "2"),
    );
    table.insert(&first).await.unwrap();
    table.expire("n1");
    table.insert(&second).await.unwrap();
    let completer = Completer::new(table.clone(), 0);
    let stale = NotificationEvent::from_item(&first);
    let result = completer.complete(&stale, &Called).await;
    assert!(
        matches!(result, Err(CompletionError::OtherNotification)),
        "{result:?}"
    );
    assert_eq!(
        NotificationItem::from_item(&table.item("n1").unwrap()),
        Ok(second)
    );
}

#[tokio::test]
async fn ignores_events_of_settled_notifications() {
    for status in [Status::Done, Status::Refused] {
        let mut item = contract::notification("n1", "1");
        item.status = status;
        let completer = Completer::new(InMemoryTable::default(), 0);
        let event = NotificationEvent::from_item(&item);
        let outcome = completer.complete(&event, &Called).await.unwrap();
        assert_eq!(outcome, CompletionOutcome::Ignored);
    }
}

#[test]
fn errors_have_names_and_know_whether_a_retry_may_succeed() {
    let reason = || "busy".to_owned();
    let code = || "Code".to_owned();
    for (error, name, transient) in [
        (CompletionError::UnknownId, "UnknownId", false),
        (
            CompletionError::OtherNotification,
            "OtherNotification",
            false,
        ),
        (CompletionError::VersionMismatch, "VersionMismatch", false),
        (CompletionError::WritesRefused, "WritesRefused", false),
        (
            DownstreamError::new(reason()).into(),
            "DownstreamFailed",
            true,
        ),
        (CompletionError::Panicked, "Panicked", true),
        (
            TableError::from(ServiceError::Throttled { code: code() }).into(),
            "TableFailed",
            true,
        ),
        (
            TableError::from(ServiceError::Unknown { reason: reason() }).into(),
            "TableFailed",
            true,
        ),
        (
            TableError::from(ServiceError::Refused { code: code() }).into(),
            "TableFailed",
            false,
        ),
    ] {
        assert_eq!((error.name(), error.is_transient()), (name, transient));
    }
}
