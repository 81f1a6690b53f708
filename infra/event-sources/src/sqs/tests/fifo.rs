//! F1 to F13, Q4 and Q5: FIFO queues. The tests of the model cover the rules of the queue alone.

use serde_json::json;

use super::harness::*;
use crate::choices::Choices;
use crate::invocation::{InvocationOutcome, MAX_EVENT_BYTES};
use crate::queue::{QueueSettings, Redrive};
use crate::sqs::{Finding, ReleaseCause};

fn with_dead_letters(visibility_timeout: u64, max_receive_count: u32) -> QueueSettings {
    let retention = QueueSettings::fifo().retention;
    QueueSettings {
        redrive: Some(Redrive {
            max_receive_count,
            retention,
        }),
        ..fifo(visibility_timeout)
    }
}

/// Fails the first message with this body, and all messages of its group behind it.
fn stop_at(event: &Event, body: &str) -> InvocationOutcome {
    match event.bodies().iter().position(|b| b == body) {
        Some(first) => failures(&event.message_ids()[first..]),
        None => success(),
    }
}

#[test]
fn f1_a_batch_has_ten_messages_at_most_and_is_invoked_at_once() {
    let mut harness = Harness::instant(fifo(30 * SECOND), json!({}), |_| success());
    harness.send_group(
        "g",
        &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"],
    );
    harness.run(0);
    assert_eq!(
        (harness.batch_sizes(), harness.times()),
        (vec![10, 2], vec![0, 0])
    );
}

#[test]
fn f2_a_batch_may_span_groups_and_is_ordered_within_each() {
    let mut harness = Harness::instant(fifo(30 * SECOND), json!({}), |_| success());
    harness.send_group("g", &["g1"]);
    harness.send_group("h", &["h1"]);
    harness.send_group("g", &["g2"]);
    harness.run(0);
    assert_eq!(harness.batches(), [["g1", "g2", "h1"]]);
}

#[test]
fn q4_batch_contains_one_group_if_chosen() {
    let choices = Choices {
        fifo_one_group_per_batch: true,
        ..Choices::default_outcomes()
    };
    let mut harness = Harness::new(fifo(30 * SECOND), json!({}), choices, |_, _| {
        (success(), SECOND)
    });
    harness.send_group("g", &["g1", "g2"]);
    harness.send_group("h", &["h1"]);
    harness.run(0);
    assert_eq!(harness.batches(), [vec!["g1", "g2"], vec!["h1"]]);
    assert_eq!(harness.times(), [0, 0], "groups side by side");
}

#[test]
fn q4_one_group_batches_respect_maximum_concurrency() {
    let choices = Choices {
        fifo_one_group_per_batch: true,
        ..Choices::default_outcomes()
    };
    let settings = json!({ "ScalingConfig": { "MaximumConcurrency": 2 } });
    let mut harness = Harness::new(fifo(30 * SECOND), settings, choices, |_, _| {
        (success(), SECOND)
    });
    for group in ["a", "b", "c", "d", "e"] {
        harness.send_group(group, &[group]);
    }
    harness.run(500);
    assert_eq!(harness.concurrent(), 2);
    harness.pass(10 * SECOND);
    assert_eq!(harness.times(), [0, 0, SECOND, SECOND, 2 * SECOND]);
}

#[test]
fn q4_one_group_batches_that_wait_too_long_are_released() {
    let choices = Choices {
        fifo_one_group_per_batch: true,
        ..Choices::default_outcomes()
    };
    let settings = json!({ "ScalingConfig": { "MaximumConcurrency": 2 } });
    let mut harness = Harness::new(fifo(5 * SECOND), settings, choices, |_, _| {
        (success(), 4 * SECOND)
    });
    for group in ["a", "b", "c", "d", "e"] {
        harness.send_group(group, &[group]);
    }
    harness.run(60 * SECOND);
    assert!(
        harness
            .seen
            .iter()
            .all(|seen| seen.at < harness.hidden_until[handle(seen)])
    );
    assert!(
        harness.found(|finding| matches!(
            finding,
            Finding::Released {
                cause: ReleaseCause::VisibilityTimeoutEnded,
                ..
            }
        )) > 0
    );
    assert!(harness.queue.is_empty());
}

fn handle(seen: &ObservedInvocation) -> &str {
    seen.event.records[0]["receiptHandle"].as_str().unwrap()
}

#[test]
fn f3_one_batch_of_a_group_is_in_flight_at_a_time() {
    let settings = json!({ "BatchSize": 1 });
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(fifo(60 * SECOND), settings, choices, |_, _| {
        (success(), 5 * SECOND)
    });
    harness.send_group("g", &["0", "1", "2", "3", "4"]);
    harness.run(60 * SECOND);
    assert_eq!(harness.batches(), [["0"], ["1"], ["2"], ["3"], ["4"]]);
    assert_eq!(harness.times(), [0, 5_000, 10_000, 15_000, 20_000]);
}

#[test]
fn f3_a_group_waits_for_its_message_whose_visibility_was_changed() {
    let settings = json!({ "BatchSize": 1, "FunctionResponseTypes": ["ReportBatchItemFailures"] });
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(fifo(30 * SECOND), settings, choices, |_, event| {
        let outcome = if event.receive_counts() == ["1"] {
            stop_at(event, "g1")
        } else {
            success()
        };
        (outcome, SECOND)
    });
    harness.send_group("g", &["g1", "g2"]);
    harness.run(0);
    harness.change_visibility("g1", 3_600 * SECOND);
    harness.send_group("h", &["h1"]);
    harness.pass(3_599 * SECOND);
    assert_eq!(harness.batches(), [["g1"], ["h1"]], "other groups continue");
    harness.pass(10 * SECOND);
    assert_eq!(harness.batches(), [["g1"], ["h1"], ["g1"], ["g2"]]);
    assert!(harness.queue.is_empty());
}

#[test]
fn f3_rest_of_an_oversized_batch_runs_after_it() {
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(fifo(60 * SECOND), reporting(), choices, |_, _| {
        (success(), 5 * SECOND)
    });
    let bodies: Vec<String> = (0..10).map(megabyte).collect();
    harness.send_group("g", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    harness.run(60 * SECOND);
    assert_eq!(
        (harness.batch_sizes(), harness.times()),
        (vec![6, 4], vec![0, 5 * SECOND])
    );
    assert_eq!(harness.batches().concat(), bodies);
    assert!(bodies[..7].concat().len() > MAX_EVENT_BYTES);
}

#[test]
fn f5_rest_of_an_oversized_batch_is_released_when_its_group_fails() {
    let failed = |event: &Event| event.receive_counts().contains(&"1".to_owned());
    let mut harness = Harness::instant(fifo(30 * SECOND), json!({}), move |event| {
        if failed(event) { error() } else { success() }
    });
    let bodies: Vec<String> = (0..10).map(megabyte).collect();
    harness.send_group("g", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    harness.run(60 * SECOND);
    assert_eq!(harness.batch_sizes(), [6, 6, 4]);
    assert_eq!(harness.times(), [0, 30 * SECOND, 30 * SECOND]);
    assert_eq!(
        harness.found(|finding| matches!(
            finding,
            Finding::Released {
                cause: ReleaseCause::GroupFailed,
                ..
            }
        )),
        1
    );
}

#[test]
fn f5_rest_of_an_oversized_batch_is_released_at_visibility_timeout() {
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(fifo(10 * SECOND), json!({}), choices, |_, event| {
        let first = event.receive_counts().contains(&"1".to_owned());
        (success(), if first { 12 * SECOND } else { SECOND })
    });
    let bodies: Vec<String> = (0..10).map(megabyte).collect();
    harness.send_group("g", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    harness.run(30 * SECOND);
    let let_go = harness
        .findings
        .iter()
        .find_map(|(_, finding)| match finding {
            Finding::Released { message_ids, .. } => Some(message_ids.len()),
            _ => None,
        });
    assert_eq!(let_go, Some(4));
    assert_eq!(harness.times(), [0, 10 * SECOND, 11 * SECOND]);
    assert!(harness.queue.is_empty());
}

#[test]
fn f4_concurrency_is_bounded_by_groups_and_by_maximum_concurrency() {
    let peak = |groups: usize, settings: serde_json::Value| {
        let choices = Choices::default_outcomes();
        let mut harness = Harness::new(fifo(60 * SECOND), settings, choices, |_, _| {
            (success(), 5 * SECOND)
        });
        for n in 0..20 {
            harness.send_group(&format!("g{}", n % groups), &[&n.to_string()]);
        }
        harness.run(SECOND);
        harness.concurrent()
    };
    assert_eq!(peak(3, json!({ "BatchSize": 1 })), 3);
    assert_eq!(
        peak(
            4,
            json!({ "BatchSize": 1, "ScalingConfig": { "MaximumConcurrency": 2 } })
        ),
        2
    );
}

#[test]
fn f5_failed_groups_wait_and_return_in_order_while_others_continue() {
    let settings = json!({ "BatchSize": 2 });
    let mut harness = Harness::instant(fifo(30 * SECOND), settings, |event| {
        if event.receive_counts()[0] == "1" && event.bodies()[0] == "g1" {
            error()
        } else {
            success()
        }
    });
    harness.send_group("g", &["g1", "g2", "g3"]);
    harness.run(SECOND);
    harness.send_group("h", &["h1"]);
    harness.pass(60 * SECOND);
    assert_eq!(
        harness.batches(),
        [vec!["g1", "g2"], vec!["h1"], vec!["g1", "g2"], vec!["g3"]]
    );
    assert_eq!(harness.times(), [0, SECOND, 30 * SECOND, 30 * SECOND]);
}

#[test]
fn f6_exactly_the_unlisted_messages_are_deleted() {
    let mut harness = Harness::instant(fifo(30 * SECOND), reporting(), |event| stop_at(event, "2"));
    let ids = harness.send_group("g", &["1", "2", "3"]);
    harness.run(SECOND);
    assert_eq!(harness.deleted_ids(), set(&ids[..1]));
    assert_eq!(
        harness.found(|finding| matches!(finding, Finding::BrokenFifoOrder { .. })),
        0
    );
}

#[test]
fn q5_deletes_out_of_order_acknowledgement_and_reports_it() {
    let mut harness = Harness::instant(fifo(30 * SECOND), reporting(), |event| {
        let ids = event.message_ids();
        let second = event.bodies().iter().position(|body| body == "g2");
        second.map_or_else(success, |second| failures([&ids[second]]))
    });
    let ids = harness.send_group("g", &["g1", "g2", "g3"]);
    let other = harness.send_group("h", &["h1"]);
    harness.run(SECOND);
    let kept = &ids[1];
    assert_eq!(harness.queue.message_ids().collect::<Vec<_>>(), [kept]);
    assert!(
        harness.deleted_ids().contains(&other[0]),
        "another group is not concerned"
    );
    let broken = harness
        .findings
        .iter()
        .find_map(|(_, finding)| match finding {
            Finding::BrokenFifoOrder { message_ids, .. } => Some(message_ids.clone()),
            _ => None,
        });
    assert_eq!(broken, Some(vec![ids[2].clone()]));
}

#[test]
fn f7_failed_messages_return_in_order_with_higher_count() {
    let mut harness = Harness::instant(fifo(8 * SECOND), reporting(), |event| {
        if event.receive_counts()[0] == "1" {
            stop_at(event, "2")
        } else {
            success()
        }
    });
    harness.send_group("g", &["1", "2", "3", "4"]);
    harness.run(20 * SECOND);
    assert_eq!(
        harness.batches(),
        [vec!["1", "2", "3", "4"], vec!["2", "3", "4"]]
    );
    assert_eq!(harness.seen[1].event.receive_counts(), ["2", "2", "2"]);
    assert_eq!(harness.times(), [0, 8 * SECOND]);
}

#[test]
fn f8_poison_message_blocks_its_group_until_dead_lettered() {
    let settings = json!({ "BatchSize": 1 });
    let mut harness = Harness::instant(with_dead_letters(10 * SECOND, 3), settings, |event| {
        if event.bodies() == ["poison"] {
            error()
        } else {
            success()
        }
    });
    let ids = harness.send_group("g", &["poison", "next"]);
    harness.run(29 * SECOND);
    assert_eq!(harness.batches(), [["poison"], ["poison"], ["poison"]]);
    harness.pass(SECOND);
    assert_eq!(harness.dead_letters(), ids[..1]);
    assert_eq!(
        (
            harness.batches().last().unwrap(),
            *harness.times().last().unwrap()
        ),
        (&vec!["next".to_owned()], 30_000)
    );
}

#[test]
fn f11_late_delete_fails_and_message_is_redelivered() {
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(fifo(10 * SECOND), json!({}), choices, |_, event| {
        (
            success(),
            if event.receive_counts() == ["1"] {
                12 * SECOND
            } else {
                5 * SECOND
            },
        )
    });
    harness.send_group("g", &["a"]);
    harness.run(30 * SECOND);
    assert_eq!(harness.batches(), [["a"], ["a"]]);
    assert_eq!(
        harness.found(|finding| matches!(finding, Finding::DeleteFailed { .. })),
        1
    );
    assert!(harness.queue.is_empty());
}

#[test]
fn f13_record_contains_group_deduplication_id_and_sequence_number() {
    let mut harness = Harness::instant(fifo(30 * SECOND), json!({}), |_| success());
    harness.send_group("g", &["a"]);
    harness.run(0);
    let record = &harness.seen[0].event.records[0];
    assert_eq!(record["attributes"]["MessageGroupId"], "g");
    assert_eq!(
        record["attributes"]["MessageDeduplicationId"]
            .as_str()
            .map(str::len),
        Some(64)
    );
    assert_eq!(
        record["attributes"]["SequenceNumber"]
            .as_str()
            .map(str::len),
        Some(20)
    );
    assert_eq!(
        record["eventSourceARN"],
        "arn:aws:sqs:us-east-1:000000000000:queue.fifo"
    );
}

#[test]
fn s9_a_throttled_fifo_batch_keeps_its_place() {
    let mut throttled = 3;
    let mut harness = Harness::instant(fifo(30 * SECOND), json!({ "BatchSize": 2 }), move |_| {
        throttled -= i32::from(throttled > 0);
        if throttled > 0 {
            InvocationOutcome::Throttled
        } else {
            success()
        }
    });
    harness.send_group("g", &["1", "2", "3", "4"]);
    harness.run(29 * SECOND);
    assert_eq!(
        harness.batches(),
        [["1", "2"], ["1", "2"], ["1", "2"], ["3", "4"]]
    );
}
