use onewrite::notification::{MessagePointers, Rejection};
use onewrite_stack::dead_letter::{MessageRules, StoredContent};

use super::*;

const NOW: Millis = 1_000_000;

fn message(id: &str, receives: u32, sent_at: Millis) -> Message {
    let attribute = |name: &str, value: String| (name.to_owned(), value);
    Message {
        message_id: id.to_owned(),
        receipt_handle: String::new(),
        body: String::new(),
        md5_of_body: String::new(),
        attributes: BTreeMap::from([
            attribute("ApproximateReceiveCount", receives.to_string()),
            attribute("SentTimestamp", sent_at.to_string()),
        ]),
        message_attributes: BTreeMap::new(),
        md5_of_message_attributes: None,
    }
}

fn body(id: &str, payload: &str) -> MessageBody {
    let text = format!(r#"{{"notification_id":"{id}","payload":{payload}}}"#);
    MessageBody::parse(&text, "m", &MessageRules::default())
}

fn receive(tally: &mut Tally, now: Millis, message_id: &str, receives: u32, body: MessageBody) {
    let message = message(message_id, receives, now);
    tally.received(now, &message, Some(body));
}

fn created(id: &str, message_id: &str, at: Millis) -> Option<Change> {
    Some(Change::Created {
        id: id.to_owned(),
        message_id: Some(message_id.to_owned()),
        at: Some(at),
    })
}

fn settled(is_refused: bool) -> Option<Change> {
    Some(Change::Settled {
        id: "a".to_owned(),
        is_refused,
        took: Some(40),
    })
}

fn depths(acknowledged: u64, waiting: u64, dead_letters: u64) -> Depths {
    Depths {
        acknowledged,
        dead_letters,
        waiting,
    }
}

/// Answers every due check: the message that created the item of an id, or no item.
fn answer(tally: &mut Tally, now: Millis, item: impl Fn(&str) -> Option<&'static str>) {
    tally.due_checks(now, 100);
    tally.checked(now, |check| item(&check.id).map(Some));
}

#[test]
fn a_message_and_its_copy_are_one_notification_and_one_duplicate() {
    let mut tally = Tally::default();
    for message_id in ["m1", "m2"] {
        receive(&mut tally, NOW, message_id, 1, body("a", "1"));
        tally.deleted(NOW, message_id);
    }
    tally.changed(NOW, "shard", "1", || created("a", "m1", NOW + 30));
    tally.changed(NOW, "shard", "2", || settled(false));
    tally.read_depths(NOW, depths(2, 0, 0));
    answer(&mut tally, NOW, |_| Some("m1"));
    let totals = tally.totals(true);
    let count = |count| Some(Count(count));
    assert_eq!((totals.sent, totals.created), (count(2), count(1)));
    assert_eq!((totals.done, totals.duplicates), (count(1), count(1)));
    assert_eq!((totals.lost, totals.conflicts), (count(0), count(0)));
    assert_eq!(totals.in_progress(), 0);
}

#[test]
fn a_redelivered_message_is_no_duplicate() {
    let mut tally = Tally::default();
    for receives in 1..=3 {
        receive(&mut tally, NOW, "m1", receives, body("a", "1"));
    }
    assert_eq!(tally.in_retry(), 1);
    tally.deleted(NOW, "m1");
    answer(&mut tally, NOW, |_| Some("m1"));
    tally.read_depths(NOW, depths(1, 0, 0));
    let totals = tally.totals(true);
    assert_eq!(totals.sent, Some(Count(1)));
    assert_eq!(totals.duplicates, Some(Count(0)));
    assert_eq!(tally.in_retry(), 0);
}

#[test]
fn records_of_a_shard_that_are_read_again_do_not_count_twice() {
    let mut tally = Tally::default();
    for _read in 0..3 {
        tally.changed(NOW, "shard", "9", || created("a", "m1", NOW));
        tally.changed(NOW, "shard", "10", || settled(false));
        tally.changed(NOW, "shard", "11", || settled(true));
        tally.published(
            NOW,
            "shard-0",
            "49590338271490256608559692538361571095921575989136588898",
        );
    }
    tally.changed(NOW, "other shard", "10", || created("b", "m2", NOW));
    let totals = tally.totals(true);
    let count = |count| Some(Count(count));
    assert_eq!((totals.created, totals.done), (count(2), count(1)));
    assert_eq!(totals.refused, count(1));
    assert_eq!(tally.published_by_shard()["shard-0"], 1);
}

#[test]
fn an_acknowledged_message_without_an_item_is_lost() {
    let mut tally = Tally::default();
    receive(&mut tally, NOW, "m1", 1, body("a", "1"));
    tally.deleted(NOW, "m1");
    let gone = |_: &str| None;
    answer(&mut tally, NOW, gone);
    assert_eq!(
        tally.totals(true).lost,
        Some(Count(0)),
        "it may have expired"
    );
    assert!(!tally.is_checked());
    answer(&mut tally, NOW + REMOVAL_LAG - 1, gone);
    assert_eq!(tally.totals(true).lost, Some(Count(0)));
    answer(&mut tally, NOW + REMOVAL_LAG, gone);
    assert_eq!(tally.totals(true).lost, Some(Count(1)));
    assert!(tally.is_lost("a") && tally.is_checked());
    assert!(tally.log.lines()[0].contains("LOST: a"));
}

fn removed(is_expected: bool) -> Option<Change> {
    Some(Change::Removed {
        id: "a".to_owned(),
        message_id: Some("m1".to_owned()),
        is_expected,
    })
}

#[test]
fn an_item_that_somebody_deletes_later_is_lost_once() {
    let mut tally = Tally::default();
    receive(&mut tally, NOW, "m1", 1, body("a", "1"));
    tally.deleted(NOW, "m1");
    answer(&mut tally, NOW, |_| Some("m1"));
    assert_eq!(tally.totals(true).lost, Some(Count(0)));
    tally.changed(NOW, "shard", "5", || removed(false));
    answer(&mut tally, NOW, |_| None);
    assert_eq!(tally.totals(true).lost, Some(Count(1)));
    tally.changed(NOW, "shard", "5", || removed(false));
    answer(&mut tally, NOW + 10 * REMOVAL_LAG, |_| None);
    assert_eq!(tally.totals(true).lost, Some(Count(1)));
}

#[test]
fn an_item_that_is_written_again_after_its_removal_is_not_lost() {
    let mut tally = Tally::default();
    tally.changed(NOW, "shard", "5", || removed(false));
    answer(&mut tally, NOW, |_| Some("m2"));
    let totals = tally.totals(true);
    assert_eq!(
        (totals.lost, totals.duplicates),
        (Some(Count(0)), Some(Count(0)))
    );
}

#[test]
fn expired_and_erased_items_are_not_lost() {
    let mut tally = Tally::default();
    receive(&mut tally, NOW, "m1", 1, body("a", "1"));
    tally.deleted(NOW, "m1");
    answer(&mut tally, NOW, |_| None);
    // The record of the removal follows the removal.
    tally.changed(NOW, "shard", "5", || removed(true));
    answer(&mut tally, NOW + REMOVAL_LAG, |_| None);
    assert_eq!(tally.totals(true).lost, Some(Count(0)));
    assert!(tally.is_checked());
}

#[test]
fn an_acknowledged_message_that_was_rejected_is_lost() {
    let mut tally = Tally::default();
    let rejected = MessageBody::Rejected(Rejection::MissingId);
    receive(&mut tally, NOW, "m1", 1, rejected);
    tally.deleted(NOW, "m1");
    assert_eq!(tally.totals(true).lost, Some(Count(1)));
}

/// The visibility timeout can end before the invocation: then a second one has the message too, and both acknowledge it.
#[test]
fn a_message_that_is_acknowledged_twice_counts_once() {
    let mut tally = Tally::default();
    receive(&mut tally, NOW, "m", 1, body("a", "1"));
    receive(&mut tally, NOW, "m", 2, body("a", "1"));
    for _ in 0..2 {
        tally.deleted(NOW, "m");
    }
    assert_eq!(tally.acknowledged(), 1);
    assert_eq!(tally.totals(true).lost, Some(Count(0)));
}

#[test]
fn a_number_that_is_not_known_is_not_claimed() {
    let mut tally = Tally::default();
    tally.deleted(NOW, "never received");
    let totals = tally.totals(false);
    assert_eq!((totals.lost, totals.duplicates), (None, None));
    assert_eq!((totals.sent, totals.waiting), (None, None));
    assert_eq!((totals.done, totals.refused), (None, None));
    for number in 0..=SEEN_LIMIT {
        receive(&mut tally, NOW, &number.to_string(), 1, body("a", "1"));
    }
    let totals = tally.totals(false);
    assert_eq!((totals.conflicts, totals.rejected), (None, None));
}

/// Receives a message for the last time, and reads the queues when it is moved.
fn dead_letter(tally: &mut Tally, message_id: &str, body: MessageBody) -> Millis {
    receive(tally, NOW, message_id, 6, body);
    NOW + tally.queue.visibility
}

#[test]
fn dead_letters_are_judged_by_what_the_table_has() {
    let mut tally = Tally::default();
    let stored = match body("a", "1") {
        MessageBody::Notification { fingerprint, .. } => StoredContent::Item(Some(fingerprint)),
        MessageBody::Rejected(_) => panic!(),
    };
    dead_letter(&mut tally, "conflict", body("a", "2"));
    dead_letter(&mut tally, "copy", body("a", "1"));
    let rejected = MessageBody::Rejected(Rejection::MissingId);
    let later = dead_letter(&mut tally, "rejected", rejected);
    tally.read_depths(later, depths(0, 0, 3));
    let letters = tally.dead_letters(later);
    assert_eq!(letters.len(), 3);
    assert!(!tally.is_checked(), "no letter is judged");
    for letter in letters {
        let reason = letter.body.reason(stored);
        tally.judged(later, &letter, &reason);
    }
    let totals = tally.totals(true);
    let count = |count| Some(Count(count));
    assert_eq!((totals.conflicts, totals.rejected), (count(1), count(1)));
    assert_eq!((totals.sent, totals.dead_letters), (count(3), count(3)));
    let log = tally.log.lines().join("\n");
    assert!(log.contains("a is dead-lettered: conflict"), "{log}");
    assert!(
        log.contains("rejected is dead-lettered: rejected: MissingId"),
        "{log}"
    );
    assert!(tally.dead_letters(later + 1).is_empty());
    assert!(tally.is_checked());
}

/// The queues can show a message as moved before it is due here: its visibility timeout began before its receive was seen.
#[test]
fn numbers_are_not_final_before_the_last_dead_letter_is_judged() {
    let mut tally = Tally::default();
    let later = dead_letter(&mut tally, "late", body("a", "2"));
    tally.read_depths(later - 1, depths(0, 0, 1));
    assert!(tally.dead_letters(later - 1).is_empty());
    assert!(!tally.is_checked());
    let letter = tally.dead_letters(later).remove(0);
    tally.judged(later, &letter, &DeadLetterReason::Conflict);
    assert!(tally.is_checked());
}

#[test]
fn a_message_that_is_acknowledged_while_it_is_judged_is_no_dead_letter() {
    let mut tally = Tally::default();
    let later = dead_letter(&mut tally, "m", body("a", "2"));
    tally.read_depths(later, depths(0, 0, 1));
    let letter = tally.dead_letters(later).remove(0);
    tally.deleted(later, "m");
    tally.judged(later, &letter, &DeadLetterReason::Conflict);
    assert_eq!(tally.totals(true).conflicts, Some(Count(0)));
}

/// A look at the table that fails or is ended leaves its checks and letters open.
#[test]
fn a_round_that_is_ended_is_made_again() {
    let mut tally = Tally::default();
    receive(&mut tally, NOW, "m1", 1, body("a", "1"));
    tally.deleted(NOW, "m1");
    let later = dead_letter(&mut tally, "m2", body("a", "2"));
    tally.read_depths(later, depths(1, 0, 1));
    for _round in 0..2 {
        assert_eq!(tally.due_checks(later, 100).len(), 1);
        assert_eq!(tally.dead_letters(later).len(), 1);
        assert!(!tally.is_checked());
    }
}

#[test]
fn a_dead_letter_that_is_redriven_in_vain_counts_once() {
    let mut tally = Tally::default();
    let fail = |tally: &mut Tally, message_id: &str, dead_letters: u64| {
        let later = dead_letter(tally, message_id, body("a", "2"));
        tally.read_depths(later, depths(0, 0, dead_letters));
        for letter in tally.dead_letters(later) {
            tally.judged(later, &letter, &DeadLetterReason::Conflict);
        }
        tally.totals(true).conflicts
    };
    let count = |count| Some(Count(count));
    assert_eq!(fail(&mut tally, "first", 1), count(1));
    assert_eq!(
        fail(&mut tally, "another with the same content", 2),
        count(2)
    );
    tally.read_depths(NOW, depths(0, 1, 1));
    assert_eq!(fail(&mut tally, "copy of the first", 2), count(2));
    assert_eq!(fail(&mut tally, "third", 3), count(3));
}

#[test]
fn a_message_counts_as_dead_letter_only_if_the_queue_has_moved_it() {
    let mut tally = Tally::default();
    let rejected = || MessageBody::Rejected(Rejection::MissingId);
    receive(&mut tally, NOW, "fifth", 5, rejected());
    let later = dead_letter(&mut tally, "sixth", rejected());
    tally.read_depths(later, depths(0, 2, 0));
    assert!(
        tally.dead_letters(later).is_empty(),
        "both are in the queue"
    );
    tally.read_depths(later, depths(0, 1, 1));
    assert!(
        tally.dead_letters(later - 1).is_empty(),
        "it is still hidden"
    );
    let letters = tally.dead_letters(later);
    let ids: Vec<&str> = letters.iter().map(|one| one.message_id.as_str()).collect();
    assert_eq!(ids, ["sixth"]);
}

#[test]
fn a_valid_message_that_may_be_deferred_is_judged_when_the_queue_is_empty() {
    let mut tally = Tally::default();
    let later = dead_letter(&mut tally, "m1", body("a", "1"));
    tally.read_depths(later, depths(0, 1, 1));
    let mut letters = tally.dead_letters(later);
    tally.judged(later, &letters.remove(0), &DeadLetterReason::NotStored);
    assert!(tally.log.lines().is_empty());
    // It was deferred, and it is stored after all.
    tally.deleted(later, "m1");
    answer(&mut tally, later, |_| Some("m1"));
    assert_eq!(tally.totals(true).lost, Some(Count(0)));
}

#[test]
fn a_reading_in_the_middle_of_traffic_never_takes_messages_back() {
    let mut tally = Tally::default();
    let sent = |tally: &Tally| tally.totals(true).sent.unwrap().0;
    for number in 0..10 {
        receive(&mut tally, NOW, &number.to_string(), 1, body("a", "1"));
    }
    tally.read_depths(NOW, depths(0, 10, 0));
    assert_eq!(sent(&tally), 10);
    tally.deleted(NOW, "0");
    tally.deleted(NOW, "1");
    // One of the two was deleted between the readings.
    tally.read_depths(NOW, depths(0, 9, 0));
    assert_eq!(sent(&tally), 10);
    tally.read_depths(NOW, depths(2, 8, 0));
    assert_eq!(sent(&tally), 10);
    // Somebody purged the queue.
    tally.read_depths(NOW, depths(2, 0, 0));
    assert_eq!(sent(&tally), 2);
}

#[test]
fn failures_of_functions_are_in_the_log() {
    let mut tally = Tally::default();
    tally.invoking(NOW, "f", 3, Event::Ingested);
    assert_eq!(tally.function("f").running(), 3);
    tally.invoked(NOW, ("f", "ingest"), 3, &InvocationOutcome::Throttled);
    let state = tally.function("f");
    assert_eq!((state.running(), state.is_failing(NOW)), (0, true));
    assert!(tally.log.lines()[0].ends_with("ingest: the invocation was throttled"));
}

#[test]
fn measures_from_the_sending_of_a_message_to_its_item() {
    let mut tally = Tally::default();
    let pointers = MessagePointers::default();
    assert!(pointers.parse("{}").is_err());
    receive(&mut tally, NOW, "m1", 1, body("a", "1"));
    // The message is acknowledged before the record of its item is read.
    tally.deleted(NOW + 30, "m1");
    tally.changed(NOW + 300, "shard", "1", || created("a", "m1", NOW + 25));
    let charts = tally.charts(NOW + 10_000);
    let value = |chart: &str| {
        let mut lines = charts.series.iter();
        let line = lines.find(|line| line.chart == chart && line.name == "p50");
        line.unwrap().values.iter().flatten().copied().next()
    };
    assert_eq!(value("queue_to_stored"), Some(25.0));
    assert_eq!(value("stored_to_done"), None);
}
