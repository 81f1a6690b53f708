use std::{
    collections::HashMap,
    future::pending,
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::FutureExt as _;
use onewrite::notification::{NotificationType, Refusal};
use onewrite_testing::contract;
use tokio::time::timeout;

use super::*;

/// What a scripted target does next.
#[derive(Clone)]
enum Step {
    Accept,
    Write(u32),
    Refuse,
    Fail,
    Busy(Option<Duration>),
    Hang,
    Panic,
}

/// A target that follows a script and then accepts.
#[derive(Default)]
struct Scripted {
    script: Mutex<HashMap<String, Vec<Step>>>,
    calls: AtomicUsize,
}

impl Scripted {
    fn new(id: &str, steps: &[Step]) -> Self {
        let target = Self::default();
        target.follow(id, steps);
        target
    }

    fn follow(&self, id: &str, steps: &[Step]) {
        let steps = steps.iter().rev().cloned().collect();
        self.script.lock().unwrap().insert(id.to_owned(), steps);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Downstream<u32> for &Scripted {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<u32>, DownstreamError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let step = {
            let mut script = self.script.lock().unwrap();
            script.get_mut(event.subject.as_str()).and_then(Vec::pop)
        };
        match step.unwrap_or(Step::Accept) {
            Step::Accept => Ok(Effect::Happened),
            Step::Write(number) => Ok(Effect::CommitWith(vec![number])),
            Step::Refuse => Ok(Effect::Refused(code())),
            Step::Fail => Err(DownstreamError::new("broken")),
            Step::Busy(retry_after) => Err(DownstreamError::retry_later("busy", retry_after)),
            Step::Hang => pending().await,
            Step::Panic => panic!("injected panic"),
        }
    }
}

fn code() -> Refusal {
    "account_closed".parse().unwrap()
}

fn event_with(id: &str, payload: &str) -> NotificationEvent {
    let event = NotificationEvent::from_item(&contract::notification(id, payload));
    let time = "2026-11-23T10:00:00Z".parse().unwrap();
    NotificationEvent { time, ..event }
}

fn event(id: &str) -> NotificationEvent {
    event_with(id, "1")
}

fn event_of(kind: &str, id: &str) -> NotificationEvent {
    let kind = NotificationType::parse(kind).unwrap();
    NotificationEvent { kind, ..event(id) }
}

fn begin_batch(targets: &Targets<&Scripted>, time: Duration) {
    Downstream::<u32>::begin_batch(targets, time);
}

fn postponement(targets: &Targets<&Scripted>, event: &NotificationEvent) -> Option<String> {
    Downstream::<u32>::postponement(targets, event).map(|error| error.to_string())
}

fn route<'a>(name: &str, types: &[&str], target: &'a Scripted) -> Route<&'a Scripted> {
    let types = types.iter().map(|text| text.parse().unwrap()).collect();
    Route::new(name, types, target, None)
}

/// The writes, the refusal, or the error.
async fn accept(
    targets: &Targets<&Scripted>,
    event: &NotificationEvent,
) -> Result<Vec<u32>, String> {
    match targets.accept(event).await {
        Ok(Effect::Happened) => Ok(Vec::new()),
        Ok(Effect::CommitWith(writes)) => Ok(writes),
        Ok(Effect::Refused(code)) => Err(format!("refused: {code}")),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn only_targets_that_take_the_type_are_called() {
    let [refunds, others, all] = [(); 3].map(|()| Scripted::default());
    let targets = Targets::new(vec![
        route("refunds", &["order", "ref*"], &refunds),
        route("others", &["order"], &others),
        route("all", &[], &all),
    ]);
    assert_eq!(accept(&targets, &event("n1")).await, Ok(vec![]));
    assert_eq!([refunds.calls(), others.calls(), all.calls()], [1, 0, 1]);
}

#[tokio::test]
async fn a_type_that_no_target_takes_is_an_error() {
    let orders = Scripted::default();
    let targets = Targets::new(vec![route("orders", &["order"], &orders)]);
    assert_eq!(
        accept(&targets, &event("n1")).await,
        Err(NO_TARGET.to_owned())
    );
    assert_eq!(orders.calls(), 0);
}

#[tokio::test]
async fn writes_of_all_targets_are_committed_together() {
    let first = Scripted::new("n1", &[Step::Write(1), Step::Write(2)]);
    let second = Scripted::new("n1", &[Step::Write(3), Step::Write(4)]);
    let third = Scripted::default();
    let targets = Targets::new(vec![
        route("first", &[], &first),
        route("second", &[], &second),
        route("third", &[], &third),
    ]);
    // The writes were not committed, so the targets that return them are called again; the other one is not.
    assert_eq!(accept(&targets, &event("n1")).await, Ok(vec![1, 3]));
    assert_eq!(accept(&targets, &event("n1")).await, Ok(vec![2, 4]));
    assert_eq!(third.calls(), 1);
}

#[tokio::test]
async fn a_refusal_ends_the_delivery() {
    let first = Scripted::new("n1", &[Step::Refuse]);
    let second = Scripted::default();
    let targets = Targets::new(vec![
        route("first", &[], &first),
        route("second", &[], &second),
    ]);
    let refused = Err("refused: account_closed".to_owned());
    assert_eq!(accept(&targets, &event("n1")).await, refused);
    assert_eq!(second.calls(), 0);
}

#[tokio::test]
async fn a_failure_names_its_target_and_does_not_repeat_the_calls_of_the_others() {
    let first = Scripted::default();
    let second = Scripted::new("n1", &[Step::Fail, Step::Busy(None)]);
    let third = Scripted::default();
    let targets = Targets::new(vec![
        route("first", &[], &first),
        route("second", &[], &second),
        route("third", &[], &third),
    ]);
    for expected in [Err("second: broken"), Err("second: busy"), Ok(vec![])] {
        let accepted = accept(&targets, &event("n1")).await;
        assert_eq!(accepted, expected.map_err(str::to_owned));
    }
    assert_eq!([first.calls(), second.calls(), third.calls()], [1, 3, 1]);
    // Another notification with the same id is another one.
    assert_eq!(accept(&targets, &event_with("n1", "2")).await, Ok(vec![]));
    assert_eq!([first.calls(), second.calls(), third.calls()], [2, 4, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_stops_the_calls_of_its_target_until_a_probe_succeeds() {
    let (broken, working) = (Scripted::default(), Scripted::default());
    let targets = Targets::new(vec![
        route("broken", &[], &broken),
        route("working", &[], &working),
    ]);
    for number in 0..OPENING_FAILURES {
        let id = format!("n{number}");
        broken.follow(&id, &[Step::Fail]);
        assert!(accept(&targets, &event(&id)).await.is_err());
    }
    let error = targets.accept(&event("n0")).await.err().unwrap();
    assert!(error.is_postponed(), "{error}");
    assert_eq!(broken.calls(), OPENING_FAILURES);
    tokio::time::advance(error.retry_after().unwrap()).await;
    // One that failed before lets others be tried first, once, and the batch goes on.
    let error = targets.accept(&event("n0")).await.err().unwrap();
    assert!(error.is_postponed() && !error.ends_batch(), "{error}");
    assert_eq!(broken.calls(), OPENING_FAILURES);
    for id in ["n9", "n0", "n1"] {
        assert_eq!(accept(&targets, &event(id)).await, Ok(vec![]));
    }
    assert_eq!(working.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_busy_target_postpones_only_the_notifications_that_need_it() {
    let (busy, healthy) = (
        Scripted::new("n1", &[Step::Busy(None)]),
        Scripted::default(),
    );
    let targets = Targets::new(vec![
        route("healthy", &[], &healthy),
        route("busy", &["refund"], &busy),
    ]);
    begin_batch(&targets, Duration::from_secs(30));
    let error = targets.accept(&event("n1")).await.err().unwrap();
    assert!(error.is_busy() && !error.ends_batch(), "{error}");
    // Neither target is called for one that needs both, and the healthy one is for those that need it alone.
    let expected = "busy: the target was busy in this batch";
    for id in ["n1", "n2"] {
        let refund = event(id);
        assert_eq!(postponement(&targets, &refund), Some(expected.to_owned()));
        assert_eq!(accept(&targets, &refund).await, Err(expected.to_owned()));
    }
    let order = event_of("order", "n3");
    assert_eq!(postponement(&targets, &order), None);
    assert_eq!(accept(&targets, &order).await, Ok(vec![]));
    assert_eq!([healthy.calls(), busy.calls()], [2, 1]);
    begin_batch(&targets, Duration::from_secs(30));
    assert_eq!(accept(&targets, &event("n1")).await, Ok(vec![]));
    assert_eq!([healthy.calls(), busy.calls()], [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_has_accepted_does_not_postpone_a_notification() {
    let first = Scripted::default();
    let second = Scripted::new("n1", &[Step::Fail]);
    let targets = Targets::new(vec![
        route("first", &[], &first),
        route("second", &[], &second),
    ]);
    begin_batch(&targets, Duration::from_secs(30));
    assert!(accept(&targets, &event("n1")).await.is_err());
    first.follow("n2", &[Step::Busy(None)]);
    assert!(accept(&targets, &event("n2")).await.is_err());
    assert_eq!(accept(&targets, &event("n1")).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn no_call_begins_with_too_little_time_left() {
    let (slow, limited) = (Scripted::new("n0", &[Step::Hang]), Scripted::default());
    let targets = Targets::new(vec![
        route("slow", &["order"], &slow),
        Route::new("limited", vec![], &limited, NonZeroU32::new(1)),
    ]);
    begin_batch(&targets, Duration::from_secs(2));
    let start = Instant::now();
    let ids: Vec<_> = (1..=9).map(|number| format!("n{number}")).collect();
    let events: Vec<_> = ids.iter().map(|id| event(id)).collect();
    let accepted = events.iter().map(|event| accept(&targets, event));
    let accepted = futures::future::join_all(accepted).await;
    let expected = "limited: too little time is left for a call";
    let late = |result: &&Result<_, _>| **result == Err(expected.to_owned());
    assert_eq!(accepted.iter().filter(late).count(), 9 - limited.calls());
    assert_eq!(limited.calls(), 2, "at 0 and 1 second");
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "nothing waits for the third call"
    );
    // Without a limit on the rate, the time counts too.
    assert!(accept(&targets, &event_of("order", "n0")).await.is_err());
    assert_eq!(slow.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn time_that_ends_in_one_target_repeats_only_the_call_of_this_one() {
    let [first, third] = [(); 2].map(|()| Scripted::default());
    let second = Scripted::new("n1", &[Step::Hang]);
    let targets = Targets::new(vec![
        route("first", &[], &first),
        route("second", &[], &second),
        route("third", &[], &third),
    ]);
    let ended = timeout(Duration::from_secs(1), accept(&targets, &event("n1"))).await;
    assert!(ended.is_err());
    assert_eq!(accept(&targets, &event("n1")).await, Ok(vec![]));
    assert_eq!([first.calls(), second.calls(), third.calls()], [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn calls_that_begin_together_after_a_pause_are_one_probe() {
    let target = Scripted::new("n0", &[Step::Busy(Some(Duration::from_secs(1)))]);
    let targets = Targets::new(vec![route("target", &[], &target)]);
    assert!(accept(&targets, &event("n0")).await.is_err());
    tokio::time::advance(Duration::from_secs(1)).await;
    let events: Vec<_> = (1..9).map(|number| event(&format!("n{number}"))).collect();
    for event in &events {
        target.follow(event.subject.as_str(), &[Step::Hang]);
    }
    let accepted = events
        .iter()
        .map(|event| timeout(Duration::from_secs(1), accept(&targets, event)));
    let accepted = futures::future::join_all(accepted).await;
    assert_eq!(accepted.iter().filter(|result| result.is_err()).count(), 1);
    assert_eq!(target.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_the_limit_are_not_made_when_the_breaker_opens() {
    let target = Scripted::new("n0", &[Step::Busy(Some(Duration::from_secs(60)))]);
    let targets = Targets::new(vec![Route::new(
        "target",
        vec![],
        &target,
        NonZeroU32::new(1),
    )]);
    let events: Vec<_> = (0..3).map(|number| event(&format!("n{number}"))).collect();
    let accepted = events.iter().map(|event| accept(&targets, event));
    assert!(
        futures::future::join_all(accepted)
            .await
            .iter()
            .all(Result::is_err)
    );
    assert_eq!(target.calls(), 1);
    let before = Instant::now();
    assert!(accept(&targets, &event("n3")).await.is_err());
    assert_eq!(Instant::now(), before, "an open breaker answers at once");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_or_panicking_probe_lets_another_one_follow() {
    let target = Scripted::new(
        "n0",
        &[Step::Busy(Some(Duration::from_secs(1))), Step::Hang],
    );
    target.follow("n1", &[Step::Panic]);
    let targets = Targets::new(vec![route("target", &[], &target)]);
    assert!(accept(&targets, &event("n0")).await.is_err());
    tokio::time::advance(Duration::from_secs(1)).await;
    let dropped = timeout(Duration::from_secs(9), accept(&targets, &event("n0"))).await;
    assert!(dropped.is_err());
    tokio::time::advance(Duration::from_secs(2)).await;
    let poison = event("n1");
    let panicking = AssertUnwindSafe(accept(&targets, &poison));
    assert!(panicking.catch_unwind().await.is_err());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(accept(&targets, &event("n2")).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_share_the_limit_of_their_target() {
    let target = Scripted::default();
    let targets = Targets::new(vec![Route::new(
        "target",
        vec![],
        &target,
        NonZeroU32::new(2),
    )]);
    let start = Instant::now();
    let events: Vec<_> = (0..5).map(|number| event(&format!("n{number}"))).collect();
    let accepted = events.iter().map(|event| accept(&targets, event));
    assert!(
        futures::future::join_all(accepted)
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(start.elapsed().as_secs(), 2);
}

/// A target whose effects are all writes.
struct Writing;

impl Downstream<u32> for Writing {
    async fn accept(&self, _event: &NotificationEvent) -> Result<Effect<u32>, DownstreamError> {
        Ok(Effect::CommitWith(vec![1]))
    }

    fn checks_state(&self) -> bool {
        false
    }
}

#[test]
fn states_are_checked_if_a_target_needs_it() {
    let scripted = Scripted::default();
    assert!(Targets::new(vec![route("first", &[], &scripted)]).checks_state());
    let writing = Route::new("first", vec![], Writing, None);
    assert!(!Targets::new(vec![writing]).checks_state());
}
