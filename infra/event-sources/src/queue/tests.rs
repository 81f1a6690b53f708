//! One test per rule of the queue itself, named by its number.

use super::*;
use crate::message::{AttributeValue, MessageAttribute};

const SECOND: Millis = 1_000;
const NOW: Millis = 1_700_000_000_000;

fn queue(settings: QueueSettings) -> Queue {
    Queue::new(QueueSettings {
        visibility_timeout: 30 * SECOND,
        ..settings
    })
}

fn with_dead_letters(settings: QueueSettings, max_receive_count: u32) -> Queue {
    queue(QueueSettings {
        redrive: Some(Redrive {
            max_receive_count,
            retention: settings.retention,
        }),
        ..settings
    })
}

fn send(queue: &mut Queue, now: Millis, bodies: &[&str]) -> Vec<String> {
    bodies
        .iter()
        .map(|body| queue.send(now, NewMessage::new(*body)).unwrap().message_id)
        .collect()
}

fn send_group(queue: &mut Queue, now: Millis, group: &str, bodies: &[&str]) -> Vec<String> {
    bodies
        .iter()
        .map(|body| {
            queue
                .send(now, NewMessage::in_group(group, *body))
                .unwrap()
                .message_id
        })
        .collect()
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.body.as_str())
        .collect()
}

#[test]
fn s8_message_returns_at_receive_time_plus_visibility_timeout() {
    let mut queue = queue(QueueSettings::standard());
    send(&mut queue, NOW, &["a"]);
    assert_eq!(queue.receive(NOW, 10).len(), 1);
    assert_eq!(queue.next_visible(NOW), Some(NOW + 30 * SECOND));
    assert!(queue.receive(NOW + 30 * SECOND - 1, 10).is_empty());
    let again = queue.receive(NOW + 30 * SECOND, 10);
    assert_eq!(again[0].attributes["ApproximateReceiveCount"], "2");
    assert_eq!(
        again[0].attributes["ApproximateFirstReceiveTimestamp"],
        NOW.to_string()
    );
}

#[test]
fn s8_visibility_can_be_changed_while_the_message_is_in_flight() {
    let mut queue = queue(QueueSettings::standard());
    send(&mut queue, NOW, &["a"]);
    let handle = queue.receive(NOW, 1)[0].receipt_handle.clone();
    queue.change_visibility(NOW, &handle, 60 * SECOND).unwrap();
    assert!(queue.receive(NOW + 59 * SECOND, 1).is_empty());
    queue
        .change_visibility(NOW + 59 * SECOND, &handle, 0)
        .unwrap();
    let again = queue.receive(NOW + 59 * SECOND, 1);
    assert_eq!(again.len(), 1);
    let newer = &again[0].receipt_handle;
    let later = NOW + 100 * SECOND;
    assert_eq!(
        queue.change_visibility(later, &handle, 0),
        Err(VisibilityError::InvalidHandle)
    );
    assert_eq!(
        queue.change_visibility(later, newer, 0),
        Err(VisibilityError::NotInFlight)
    );
    let too_long = MAX_VISIBILITY_TIMEOUT + 1;
    assert_eq!(
        queue.change_visibility(later, newer, too_long),
        Err(VisibilityError::TooLong)
    );
}

#[test]
fn s14_receive_after_max_receive_count_moves_message() {
    let mut queue = with_dead_letters(QueueSettings::standard(), 2);
    let ids = send(&mut queue, NOW, &["a"]);
    for receive in 0..2 {
        assert_eq!(queue.receive(NOW + receive * 30 * SECOND, 10).len(), 1);
    }
    let third = NOW + 60 * SECOND;
    assert!(
        queue.dead_letter_queue().unwrap().is_empty(),
        "not before the next receive"
    );
    assert!(queue.receive(third, 10).is_empty());
    assert!(queue.is_empty());
    let dead = queue.dead_letter_queue_mut().unwrap().receive(third, 10);
    assert_eq!(
        (dead[0].message_id.as_str(), dead[0].body.as_str()),
        (ids[0].as_str(), "a")
    );
}

#[test]
fn s15_standard_message_keeps_its_age_in_dead_letter_queue() {
    let mut queue = with_dead_letters(
        QueueSettings {
            retention: 100 * SECOND,
            ..QueueSettings::standard()
        },
        1,
    );
    let ids = send(&mut queue, NOW, &["a"]);
    queue.receive(NOW, 1);
    queue.receive(NOW + 90 * SECOND, 1);
    assert_eq!(queue.dead_letter_queue().unwrap().len(), 1);
    queue.receive(NOW + 100 * SECOND, 1);
    assert!(queue.dead_letter_queue().unwrap().is_empty());
    assert!(
        queue
            .dead_letter_queue()
            .unwrap()
            .expired()
            .contains(&ids[0])
    );
}

#[test]
fn s16_message_expires_after_retention_even_in_flight() {
    let mut queue = queue(QueueSettings {
        retention: 60 * SECOND,
        ..QueueSettings::standard()
    });
    let ids = send(&mut queue, NOW, &["a"]);
    send(&mut queue, NOW + SECOND, &["b"]);
    let handle = queue.receive(NOW + 50 * SECOND, 1)[0]
        .receipt_handle
        .clone();
    assert_eq!(bodies(&queue.receive(NOW + 60 * SECOND, 10)), ["b"]);
    assert_eq!(queue.expired().iter().collect::<Vec<_>>(), [&ids[0]]);
    assert_eq!(
        queue.delete(NOW + 60 * SECOND, &handle),
        DeleteResult::NoEffect
    );
}

#[test]
fn s17_delete_with_old_handle_succeeds_without_effect() {
    let mut queue = queue(QueueSettings::standard());
    send(&mut queue, NOW, &["a"]);
    let older = queue.receive(NOW, 1)[0].receipt_handle.clone();
    let later = NOW + 30 * SECOND;
    let newer = queue.receive(later, 1)[0].receipt_handle.clone();
    assert_ne!(older, newer);
    assert_eq!(queue.delete(later, &older), DeleteResult::NoEffect);
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.delete(later, &newer), DeleteResult::Deleted);
    assert_eq!(queue.delete(later, &newer), DeleteResult::NoEffect);
    assert_eq!(queue.delete(later, "no handle"), DeleteResult::Rejected);
}

#[test]
fn s17_latest_handle_deletes_visible_standard_message() {
    let mut queue = queue(QueueSettings::standard());
    send(&mut queue, NOW, &["a"]);
    let handle = queue.receive(NOW, 1)[0].receipt_handle.clone();
    assert_eq!(
        queue.delete(NOW + 40 * SECOND, &handle),
        DeleteResult::Deleted
    );
}

#[test]
fn s18_standard_message_can_be_redelivered_even_after_delete() {
    let mut queue = queue(QueueSettings::standard());
    let ids = send(&mut queue, NOW, &["a"]);
    let first = queue.receive(NOW, 1);
    assert!(queue.redeliver(NOW, &ids[0]));
    let second = queue.receive(NOW, 1);
    assert_eq!(second[0].message_id, first[0].message_id);
    assert_eq!(
        queue.delete(NOW, &second[0].receipt_handle),
        DeleteResult::Deleted
    );
    assert!(queue.redeliver(NOW, &ids[0]));
    assert_eq!(
        queue.receive(NOW, 1)[0].attributes["ApproximateReceiveCount"],
        "3"
    );
    assert!(!queue.redeliver(NOW, "never sent"));
}

#[test]
fn s18_fifo_queue_creates_no_duplicates() {
    let mut queue = queue(QueueSettings::fifo());
    let ids = send_group(&mut queue, NOW, "g", &["a"]);
    queue.receive(NOW, 1);
    assert!(!queue.redeliver(NOW, &ids[0]));
    assert!(queue.receive(NOW, 1).is_empty());
}

#[test]
fn s20_system_attributes_are_strings() {
    let mut queue = queue(QueueSettings::standard());
    queue
        .send(
            NOW,
            NewMessage {
                trace_header: Some("Root=1".to_owned()),
                ..NewMessage::new("a")
            },
        )
        .unwrap();
    let message = queue.receive(NOW + 5, 1).remove(0);
    let names: Vec<&str> = message.attributes.keys().map(String::as_str).collect();
    let expected = [
        "AWSTraceHeader",
        "ApproximateFirstReceiveTimestamp",
        "ApproximateReceiveCount",
        "SenderId",
        "SentTimestamp",
    ];
    assert_eq!(names, expected);
    assert_eq!(message.attributes["SentTimestamp"], NOW.to_string());
    assert_eq!(
        message.attributes["ApproximateFirstReceiveTimestamp"],
        (NOW + 5).to_string()
    );
}

#[test]
fn rejects_message_above_one_mebibyte_including_attributes() {
    let mut queue = queue(QueueSettings::standard());
    let attribute = MessageAttribute {
        data_type: "String".to_owned(),
        value: AttributeValue::Text("v".to_owned()),
    };
    let mut outgoing = NewMessage::new("x".repeat(MAX_MESSAGE_BYTES - 8));
    outgoing
        .message_attributes
        .insert("n".to_owned(), attribute);
    assert!(queue.send(NOW, outgoing.clone()).is_ok());
    outgoing.body.push('x');
    assert_eq!(
        queue.send(NOW, outgoing),
        Err(SendError::TooLong(MAX_MESSAGE_BYTES + 1))
    );
}

#[test]
fn a_delayed_message_is_hidden_at_first() {
    let mut queue = queue(QueueSettings {
        delay: 5 * SECOND,
        ..QueueSettings::standard()
    });
    send(&mut queue, NOW, &["queue's delay"]);
    queue
        .send(
            NOW,
            NewMessage {
                delay: Some(0),
                ..NewMessage::new("its own")
            },
        )
        .unwrap();
    assert_eq!(bodies(&queue.receive(NOW, 10)), ["its own"]);
    assert_eq!(queue.in_flight(NOW), 1);
    assert_eq!(
        bodies(&queue.receive(NOW + 5 * SECOND, 10)),
        ["queue's delay"]
    );
}

#[test]
fn f2_receive_takes_one_group_then_fills_from_others_in_order() {
    let mut queue = queue(QueueSettings::fifo());
    send_group(&mut queue, NOW, "g", &["g1"]);
    send_group(&mut queue, NOW, "h", &["h1", "h2"]);
    send_group(&mut queue, NOW, "g", &["g2"]);
    assert_eq!(bodies(&queue.receive(NOW, 3)), ["g1", "g2", "h1"]);
}

#[test]
fn f3_group_is_blocked_while_a_message_is_in_flight() {
    let mut queue = queue(QueueSettings::fifo());
    send_group(&mut queue, NOW, "g", &["g1", "g2"]);
    send_group(&mut queue, NOW, "h", &["h1"]);
    let first = queue.receive(NOW, 1);
    assert_eq!(bodies(&first), ["g1"]);
    assert_eq!(bodies(&queue.receive(NOW, 10)), ["h1"]);
    assert!(!queue.has_receivable(NOW));
    assert_eq!(
        queue.delete(NOW, &first[0].receipt_handle),
        DeleteResult::Deleted
    );
    assert_eq!(bodies(&queue.receive(NOW, 10)), ["g2"]);
}

#[test]
fn f3_visible_message_waits_for_later_one_in_flight() {
    let mut queue = queue(QueueSettings::fifo());
    send_group(&mut queue, NOW, "g", &["g1", "g2"]);
    let both = queue.receive(NOW, 2);
    queue
        .change_visibility(NOW, &both[0].receipt_handle, 0)
        .unwrap();
    assert!(queue.receive(NOW, 10).is_empty());
    assert_eq!(bodies(&queue.receive(NOW + 30 * SECOND, 10)), ["g1", "g2"]);
}

#[test]
fn f7_rest_of_group_returns_in_order_with_higher_count() {
    let mut queue = queue(QueueSettings::fifo());
    send_group(&mut queue, NOW, "g", &["g1", "g2", "g3"]);
    let first = queue.receive(NOW, 10);
    assert_eq!(
        queue.delete(NOW, &first[0].receipt_handle),
        DeleteResult::Deleted
    );
    send_group(&mut queue, NOW, "g", &["g4"]);
    let again = queue.receive(NOW + 30 * SECOND, 10);
    assert_eq!(bodies(&again), ["g2", "g3", "g4"]);
    let counts: Vec<&str> = again
        .iter()
        .map(|m| m.attributes["ApproximateReceiveCount"].as_str())
        .collect();
    assert_eq!(counts, ["2", "2", "1"]);
}

#[test]
fn f8_poison_message_blocks_its_group_until_dead_lettered() {
    let mut queue = with_dead_letters(QueueSettings::fifo(), 3);
    send_group(&mut queue, NOW, "g", &["poison", "next"]);
    for receive in 0..3 {
        let now = NOW + receive * 30 * SECOND;
        assert_eq!(bodies(&queue.receive(now, 1)), ["poison"]);
        assert!(queue.receive(now, 1).is_empty());
    }
    assert_eq!(bodies(&queue.receive(NOW + 90 * SECOND, 1)), ["next"]);
    assert_eq!(queue.dead_letter_queue().unwrap().len(), 1);
}

#[test]
fn f9_fifo_dead_letter_resets_age_and_deduplication_id() {
    let mut queue = with_dead_letters(
        QueueSettings {
            retention: 100 * SECOND,
            ..QueueSettings::fifo()
        },
        1,
    );
    let ids = send_group(&mut queue, NOW, "g", &["a"]);
    queue.receive(NOW, 1);
    queue.receive(NOW + 90 * SECOND, 1);
    let dead_letters = queue.dead_letter_queue_mut().unwrap();
    let dead = dead_letters.receive(NOW + 189 * SECOND, 1);
    assert_eq!(dead[0].attributes["MessageDeduplicationId"], ids[0]);
    assert_eq!(dead[0].attributes["MessageGroupId"], "g");
    assert!(dead_letters.receive(NOW + 190 * SECOND, 1).is_empty());
    assert!(dead_letters.expired().contains(&ids[0]));
}

#[test]
fn f10_deduplicates_for_five_minutes_even_after_delete() {
    let mut queue = queue(QueueSettings::fifo());
    let first = queue.send(NOW, NewMessage::in_group("g", "a")).unwrap();
    let handle = queue.receive(NOW, 1)[0].receipt_handle.clone();
    queue.delete(NOW, &handle);
    let repeated = queue
        .send(
            NOW + DEDUPLICATION_INTERVAL - 1,
            NewMessage::in_group("h", "a"),
        )
        .unwrap();
    assert_eq!(
        repeated,
        SendReceipt {
            is_duplicate: true,
            ..first.clone()
        }
    );
    assert!(queue.is_empty());
    let anew = queue
        .send(NOW + DEDUPLICATION_INTERVAL, NewMessage::in_group("g", "a"))
        .unwrap();
    assert!(!anew.is_duplicate && anew.message_id != first.message_id);
}

#[test]
fn f10_explicit_deduplication_id_overrides_the_body() {
    let mut queue = queue(QueueSettings::fifo());
    let with_id = |id: &str| NewMessage {
        message_deduplication_id: Some(id.to_owned()),
        ..NewMessage::in_group("g", "same body")
    };
    assert!(!queue.send(NOW, with_id("1")).unwrap().is_duplicate);
    assert!(!queue.send(NOW, with_id("2")).unwrap().is_duplicate);
    assert!(queue.send(NOW, with_id("1")).unwrap().is_duplicate);
    assert_eq!(queue.len(), 2);
}

#[test]
fn f10_deduplication_does_not_stop_redelivery() {
    let mut queue = queue(QueueSettings::fifo());
    send_group(&mut queue, NOW, "g", &["a"]);
    assert_eq!(queue.receive(NOW, 1).len(), 1);
    assert_eq!(queue.receive(NOW + 30 * SECOND, 1).len(), 1);
}

#[test]
fn f11_late_fifo_delete_fails_and_message_returns() {
    let mut queue = queue(QueueSettings::fifo());
    send_group(&mut queue, NOW, "g", &["a"]);
    let handle = queue.receive(NOW, 1)[0].receipt_handle.clone();
    assert_eq!(
        queue.delete(NOW + 30 * SECOND, &handle),
        DeleteResult::Rejected
    );
    assert_eq!(queue.receive(NOW + 30 * SECOND, 1).len(), 1);
}

#[test]
fn f12_backlog_of_one_group_hides_later_groups() {
    let mut queue = queue(QueueSettings::fifo());
    for n in 0..FIFO_SEARCH_DEPTH {
        queue
            .send(NOW, NewMessage::in_group("backlog", n.to_string()))
            .unwrap();
    }
    send_group(&mut queue, NOW, "hidden", &["hidden"]);
    let head = queue.receive(NOW, 1);
    assert!(
        queue.receive(NOW, 10).is_empty(),
        "the backlog's group is in flight, the other is out of sight"
    );
    assert_eq!(
        queue.delete(NOW, &head[0].receipt_handle),
        DeleteResult::Deleted
    );
    queue.receive(NOW, 1);
    assert_eq!(bodies(&queue.receive(NOW, 10)), ["hidden"]);
}

#[test]
fn f13_fifo_messages_have_group_and_growing_sequence_number() {
    let mut queue = queue(QueueSettings::fifo());
    send_group(&mut queue, NOW, "g", &["a", "b"]);
    let messages = queue.receive(NOW, 10);
    assert_eq!(messages[0].attributes["MessageGroupId"], "g");
    let sha256_of_a = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    assert_eq!(
        messages[0].attributes["MessageDeduplicationId"],
        sha256_of_a
    );
    let numbers: Vec<&String> = messages
        .iter()
        .map(|m| &m.attributes["SequenceNumber"])
        .collect();
    assert!(numbers[0].len() == 20 && numbers[0] < numbers[1]);
}

#[test]
fn fifo_queue_rejects_missing_group_or_deduplication_id() {
    let mut queue = queue(QueueSettings {
        content_based_deduplication: false,
        ..QueueSettings::fifo()
    });
    assert_eq!(
        queue.send(NOW, NewMessage::new("a")),
        Err(SendError::NoGroup)
    );
    assert_eq!(
        queue.send(NOW, NewMessage::in_group("g", "a")),
        Err(SendError::NoDeduplicationId)
    );
    let delayed = NewMessage {
        delay: Some(1),
        ..NewMessage::in_group("g", "a")
    };
    assert_eq!(queue.send(NOW, delayed), Err(SendError::DelayOnFifo));
}

#[test]
fn q15_seed_decides_order_and_size_of_standard_receives() {
    let drain = |seed: u64| {
        let mut queue = queue(QueueSettings {
            shuffle: true,
            seed,
            ..QueueSettings::standard()
        });
        let sent: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        send(
            &mut queue,
            NOW,
            &sent.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let portions = std::iter::from_fn(|| {
            Some(queue.receive(NOW, 10)).filter(|portion| !portion.is_empty())
        });
        let portions: Vec<Vec<String>> = portions
            .map(|portion| portion.into_iter().map(|message| message.body).collect())
            .collect();
        let mut all = portions.concat();
        let in_order = all == sent;
        all.sort_by_key(|body| body.parse::<u32>().unwrap());
        assert_eq!(all, sent, "every message comes once");
        (portions, in_order)
    };
    assert_eq!(drain(1), drain(1));
    assert_ne!(drain(1), drain(2));
    let (portions, in_order) = drain(1);
    assert!(!in_order && portions.len() > 2, "shuffled, and not by tens");
}
