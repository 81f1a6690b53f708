use std::{
    collections::BTreeSet,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use super::{
    inspect::{HIDDEN, Inspection, MAX_INSPECTED, inspect},
    interrupt::NEVER,
    judge::Judge,
    memory::{Letter, MemoryQueue},
    port::{DeadLetterQueue as _, MAX_HIDDEN, MAX_IN_FLIGHT},
    redrive::{EndReason, LetterResult, Redrive, RedriveEnd, hidden_time},
};
use crate::dead_letter::{DeadLetter, DeadLetterReason, MessageRules, StoredContent};

const STARTED_AT: Timestamp = Timestamp::UNIX_EPOCH;

fn judge(ids: &[&str]) -> Judge {
    Judge {
        rules: MessageRules::default(),
        ids: ids.iter().map(ToString::to_string).collect(),
    }
}

/// Every `stride`th letter is rejected, the others are valid and not stored.
fn letter(number: u64, stride: u64) -> Letter {
    let body = if number.is_multiple_of(stride) {
        format!(r#"{{"notification_id":"n-{number}","payload":"#)
    } else {
        format!(r#"{{"notification_id":"n-{number}","payload":1}}"#)
    };
    Letter {
        body,
        group: None,
        sent_at: STARTED_AT,
    }
}

fn queue(count: u64, stride: u64) -> MemoryQueue<impl Fn(u64) -> Letter + Send + Sync> {
    MemoryQueue::new(count, false, move |number| letter(number, stride))
}

/// Of `per_group` letters in each group, the first is rejected.
fn fifo(count: u64, per_group: u64) -> MemoryQueue<impl Fn(u64) -> Letter + Send + Sync> {
    MemoryQueue::new(count, true, move |number| Letter {
        group: Some((number / per_group).to_string()),
        ..letter(number, per_group)
    })
}

fn is_valid(letter: &DeadLetter) -> bool {
    !letter.reason.is_rejection()
}

struct Outcome {
    end: RedriveEnd,
    results: Vec<(DeadLetter, LetterResult)>,
}

impl Outcome {
    fn count(&self, is: impl Fn(&LetterResult) -> bool) -> usize {
        self.results.iter().filter(|(_, result)| is(result)).count()
    }
}

/// Redrives at 1,000 letters a second.
async fn redrive<L: Fn(u64) -> Letter + Send + Sync>(
    queue: &MemoryQueue<L>,
    ids: &[&str],
    selects: impl Fn(&DeadLetter) -> bool,
) -> Outcome {
    let redrive = Redrive {
        judge: &judge(ids),
        selects,
        at_most: usize::MAX,
        rate: 1_000,
        started_at: STARTED_AT,
        is_interrupted: NEVER,
    };
    let mut results = Vec::new();
    let end = redrive
        .run(queue, |letter, result| results.push((letter, result)))
        .await;
    Outcome { end, results }
}

#[tokio::test(start_paused = true)]
async fn moves_every_selected_letter_once_and_leaves_the_others_visible() {
    let queue = queue(20_000, 50);
    let outcome = redrive(&queue, &[], is_valid).await;
    assert!(matches!(outcome.end.reason, EndReason::NoMore));
    assert_eq!(outcome.end.not_judged, Some(0));
    let sent = queue.sent();
    assert_eq!(sent.len(), 19_600);
    assert!(
        sent.iter()
            .all(|(number, times)| number % 50 != 0 && *times == 1)
    );
    assert_eq!(outcome.count(|one| *one == LetterResult::LeftAlone), 400);
    assert_eq!(queue.count_visible(), 400);
    let rejected = outcome.results.iter().find(|(letter, _)| !is_valid(letter));
    let id = rejected.unwrap().0.notification_id.as_deref();
    assert!(id.unwrap().starts_with("n-"), "named by the id in its text");
}

#[tokio::test(start_paused = true)]
async fn says_how_many_letters_it_did_not_judge_if_too_many_stay() {
    let queue = queue(150_000, 1);
    let outcome = redrive(&queue, &[], is_valid).await;
    assert!(matches!(outcome.end.reason, EndReason::TooManyStay));
    let inspected = outcome.results.len();
    assert!(inspected >= MAX_INSPECTED && queue.most_in_flight() < MAX_IN_FLIGHT);
    assert_eq!(outcome.end.not_judged, Some(150_000 - inspected));
    assert_eq!(queue.count_visible(), 150_000, "all are visible again");
}

/// A letter that is visible again before the end would be received again, in place of the others.
#[tokio::test(start_paused = true)]
async fn receives_no_letter_twice_in_a_redrive_of_hours() {
    let queue = queue(20_000, 2);
    let redrive = Redrive {
        judge: &judge(&[]),
        selects: is_valid,
        at_most: usize::MAX,
        rate: 2,
        started_at: STARTED_AT,
        is_interrupted: NEVER,
    };
    let end = redrive.run(&queue, |_, _| {}).await;
    assert!(matches!(end.reason, EndReason::NoMore) && end.not_judged == Some(0));
    assert_eq!(queue.sent().len(), 10_000);
    let most = (0..20_000).map(|number| queue.receives(number)).max();
    assert_eq!(most, Some(1));
}

#[tokio::test(start_paused = true)]
async fn stops_at_its_limit_and_says_how_many_letters_are_left() {
    let queue = queue(5_000, 2);
    let inspection = inspect(&queue, &judge(&[]), 1_000, NEVER, |_| {})
        .await
        .unwrap();
    let Inspection {
        letters,
        inspected,
        not_inspected,
    } = inspection;
    assert_eq!(letters.len(), inspected);
    assert!((1_000..1_010).contains(&inspected));
    assert_eq!(not_inspected, 5_000 - inspected);
    assert_eq!(queue.count_visible(), 5_000);
    let all = inspect(&queue, &judge(&[]), 10_000, NEVER, |_| {})
        .await
        .unwrap();
    assert_eq!((all.inspected, all.not_inspected), (5_000, 0));
    let ids: BTreeSet<_> = all.letters.iter().map(|one| &one.message_id).collect();
    assert_eq!(ids.len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn reports_letters_that_somebody_else_received() {
    let queue = queue(100, 2);
    let others = queue.receive(HIDDEN).await.unwrap().len();
    let inspection = inspect(&queue, &judge(&[]), 1_000, NEVER, |_| {})
        .await
        .unwrap();
    assert_eq!(
        (inspection.inspected, inspection.not_inspected),
        (100 - others, others)
    );
    let outcome = redrive(&queue, &[], is_valid).await;
    assert!(matches!(outcome.end.reason, EndReason::NoMore));
    assert_eq!(outcome.end.not_judged, Some(others));
}

#[tokio::test(start_paused = true)]
async fn a_late_count_is_not_reported_as_letters_that_were_not_judged() {
    let queue = queue(1_000, 50).with_count_delay(Duration::from_secs(60));
    let outcome = redrive(&queue, &[], is_valid).await;
    assert!(matches!(outcome.end.reason, EndReason::NoMore));
    assert_eq!(outcome.end.not_judged, Some(0));
    assert_eq!((queue.sent().len(), queue.count_visible()), (980, 20));
}

#[tokio::test(start_paused = true)]
async fn reports_letters_behind_those_that_stay_in_a_fifo_group() {
    let queue = fifo(60, 20);
    let inspection = inspect(&queue, &judge(&[]), 1_000, NEVER, |_| {})
        .await
        .unwrap();
    assert_eq!((inspection.inspected, inspection.not_inspected), (30, 30));
    // The first letter of each group stays, so SQS returns only the nine that it returned with it.
    let outcome = redrive(&queue, &[], is_valid).await;
    assert_eq!(queue.sent().len(), 27);
    assert_eq!(outcome.end.not_judged, Some(30));
    let outcome = redrive(&queue, &[], |_| true).await;
    assert_eq!(outcome.end.not_judged, Some(0));
    assert_eq!((queue.sent().len(), queue.count_visible()), (60, 0));
}

#[tokio::test(start_paused = true)]
async fn keeps_the_order_of_a_fifo_group() {
    let queue = fifo(100, 50);
    let outcome = redrive(&queue, &[], |_| true).await;
    let mut last = [None; 2];
    for (letter, _) in &outcome.results {
        let number: u64 = letter.message_id["m-".len()..].parse().unwrap();
        let last = &mut last[number as usize / 50];
        assert!(last.is_none_or(|last| last < number), "{number}");
        *last = Some(number);
    }
    assert_eq!(outcome.results.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn moves_no_letter_past_one_of_its_group_that_failed() {
    let queue = fifo(20, 20);
    queue.fail_next(1, 0);
    let outcome = redrive(&queue, &[], |_| true).await;
    assert!(matches!(outcome.end.reason, EndReason::Failed(_)));
    assert_eq!((queue.sent().len(), queue.count_visible()), (0, 20));
    assert_eq!(outcome.end.not_judged, Some(20));
}

#[tokio::test(start_paused = true)]
async fn moves_only_letters_of_the_requested_ids() {
    let queue = queue(200, 10).with_stored("n-7", StoredContent::Item(None));
    let outcome = redrive(&queue, &["n-7", "n-3"], |_| true).await;
    let mut letters: Vec<_> = outcome.results.iter().map(|(letter, _)| letter).collect();
    letters.sort_by_key(|letter| &letter.notification_id);
    let found: Vec<_> = letters
        .iter()
        .map(|one| (one.notification_id.as_deref().unwrap(), &one.reason))
        .collect();
    let rejected = found.iter().filter(|(_, reason)| reason.is_rejection());
    // A rejected letter belongs to every id in its text: n-30 contains n-3.
    assert_eq!(rejected.count(), 2, "{found:?}");
    assert!(
        found.contains(&("n-7", &DeadLetterReason::Conflict)),
        "{found:?}"
    );
    assert!(
        found.contains(&("n-3", &DeadLetterReason::NotStored)),
        "{found:?}"
    );
    assert_eq!(outcome.end.not_judged, Some(0), "the others were judged");
}

#[tokio::test(start_paused = true)]
async fn leaves_letters_that_were_sent_after_its_start() {
    let queue = MemoryQueue::new(20, false, |number| Letter {
        sent_at: STARTED_AT + SignedDuration::from_secs(number as i64 - 10),
        ..letter(number, 100)
    });
    let outcome = redrive(&queue, &[], |_| true).await;
    assert_eq!(
        queue.sent().into_keys().collect::<Vec<_>>(),
        Vec::from_iter(0..=10)
    );
    assert_eq!(outcome.count(|one| *one == LetterResult::SentLater), 9);
    assert_eq!(outcome.end.not_judged, Some(0));
}

#[tokio::test(start_paused = true)]
async fn reports_copies_and_keeps_what_failed() {
    let queue = queue(10, 100);
    queue.fail_next(0, 1);
    let outcome = redrive(&queue, &[], |_| true).await;
    let copied = outcome.count(|one| matches!(one, LetterResult::Copied(_)));
    assert_eq!((copied, queue.count_visible()), (1, 1));
    assert!(
        queue.sent().values().all(|times| *times == 1),
        "{:?}",
        queue.sent()
    );

    let queue = self::queue(10, 100);
    queue.fail_next(1, 0);
    let outcome = redrive(&queue, &[], |_| true).await;
    assert!(matches!(outcome.end.reason, EndReason::Failed(_)));
    let moved = outcome.results.len();
    assert_eq!(outcome.end.not_judged, Some(10 - moved));
    assert_eq!(queue.count_visible(), 10 - moved);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_ends_it_and_makes_the_rest_visible() {
    let queue = queue(1_000, 100);
    let is_interrupted = AtomicBool::new(false);
    let redrive = Redrive {
        judge: &judge(&[]),
        selects: |_: &DeadLetter| true,
        at_most: usize::MAX,
        rate: 10,
        started_at: STARTED_AT,
        is_interrupted: &|| is_interrupted.load(Ordering::Relaxed),
    };
    let mut moved = 0;
    let end = redrive.run(&queue, |_, _| {
        moved += 1;
        is_interrupted.fetch_or(moved == 3, Ordering::Relaxed);
    });
    let end = end.await;
    assert!(matches!(end.reason, EndReason::Interrupted));
    assert_eq!(queue.sent().len(), 3, "moves that waited did not start");
    assert_eq!(end.not_judged, Some(1_000 - queue.sent().len()));
    assert_eq!(queue.count_visible(), 1_000 - queue.sent().len());
}

/// Longer than letters stay hidden after an interruption.
const UNTIL_VISIBLE: Duration = Duration::from_secs(3);

/// The longest time from an interruption to the end. A program may end a second after Ctrl-C.
const END: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn an_interruption_ends_a_long_poll_and_the_wait_for_a_late_count() {
    // The long polls take about five seconds, then the redrive waits for the count.
    for time in [Duration::from_millis(500), Duration::from_secs(7)] {
        let queue = queue(100, 100);
        let others = queue.receive(HIDDEN).await.unwrap().len();
        let start = Instant::now();
        let redrive = Redrive {
            judge: &judge(&[]),
            selects: |_: &DeadLetter| false,
            at_most: usize::MAX,
            rate: 1_000,
            started_at: STARTED_AT,
            is_interrupted: &|| start.elapsed() >= time,
        };
        let end = redrive.run(&queue, |_, _| {}).await;
        // Those of the interrupted receive are not judged.
        assert!(end.not_judged >= Some(others));
        let took = start.elapsed() - time;
        assert!(took < END, "{took:?} after {time:?}");
        sleep(UNTIL_VISIBLE).await;
        assert_eq!(queue.count_visible(), 100 - others);
    }
}

/// SQS goes on with a long poll although nobody waits for its response.
#[tokio::test(start_paused = true)]
async fn an_abandoned_long_poll_hides_no_letter_that_was_made_visible() {
    let queue = queue(100, 2);
    let others = queue.receive(HIDDEN).await.unwrap().len();
    let start = Instant::now();
    let is_interrupted = || start.elapsed() >= Duration::from_millis(1_500);
    let inspection = inspect(&queue, &judge(&[]), 1_000, &is_interrupted, |_| {}).await;
    assert_eq!(inspection.unwrap().inspected, 100 - others);
    sleep(UNTIL_VISIBLE).await;
    assert_eq!(queue.count_visible(), 100 - others);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_makes_thousands_of_letters_visible_in_time() {
    let queue = queue(20_000, 1);
    let interrupted_at = OnceLock::new();
    let redrive = Redrive {
        judge: &judge(&[]),
        selects: is_valid,
        at_most: usize::MAX,
        rate: 1_000,
        started_at: STARTED_AT,
        is_interrupted: &|| interrupted_at.get().is_some(),
    };
    let mut judged = 0;
    let end = redrive.run(&queue, |_, _| {
        judged += 1;
        if judged == 10_000 {
            let _ = interrupted_at.set(Instant::now());
        }
    });
    let end = end.await;
    assert!(matches!(end.reason, EndReason::Interrupted));
    assert_eq!(queue.count_visible(), 20_000);
    let took = interrupted_at.get().unwrap().elapsed();
    assert!(took < END, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_inspection_makes_its_letters_visible() {
    let queue = queue(5_000, 2);
    let start = Instant::now();
    let time = Duration::from_millis(500);
    let is_interrupted = || start.elapsed() >= time;
    let inspection = inspect(&queue, &judge(&[]), 5_000, &is_interrupted, |_| {}).await;
    let inspected = inspection.unwrap().inspected;
    assert!((1..1_000).contains(&inspected), "{inspected}");
    assert_eq!(queue.count_visible(), 5_000);
    assert!(start.elapsed() < time + END);
}

#[tokio::test(start_paused = true)]
async fn says_how_long_letters_are_hidden_if_it_cannot_make_them_visible() {
    // A redrive of few letters of a large queue hides none for longer than it needs.
    for (at_most, hidden) in [(usize::MAX, Duration::from_secs(2_000)), (10, HIDDEN)] {
        let queue = queue(1_000, 100);
        let redrive = Redrive {
            judge: &judge(&[]),
            selects: is_valid,
            at_most,
            rate: 1,
            started_at: STARTED_AT,
            is_interrupted: NEVER,
        };
        // As credentials that expire.
        let end = redrive.run(&queue, |_, _| queue.disconnect()).await;
        assert!(matches!(end.reason, EndReason::Failed(_)));
        assert_eq!(end.not_judged, None);
        assert_eq!(end.hidden_for, Some(hidden));
    }
}

#[test]
fn hides_letters_for_longer_than_moving_all_of_them_takes() {
    assert_eq!(hidden_time(10, 100), HIDDEN);
    assert_eq!(hidden_time(1_000_000, 100), Duration::from_secs(20_000));
    assert_eq!(hidden_time(usize::MAX, 0), MAX_HIDDEN);
}
