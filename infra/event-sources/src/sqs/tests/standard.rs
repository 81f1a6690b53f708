//! S1 to S21, X1 to X3, X10 and X11, on standard queues.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::harness::*;
use crate::choices::Choices;
use crate::invocation::{InvocationOutcome, MAX_EVENT_BYTES};
use crate::message::{AttributeValue, MessageAttribute};
use crate::queue::{NewMessage, QueueSettings, Redrive};
use crate::report::MalformedResponse;
use crate::sqs::{Action, Finding, ReleaseCause};

fn with_dead_letters(visibility_timeout: u64, max_receive_count: u32) -> QueueSettings {
    let retention = QueueSettings::standard().retention;
    QueueSettings {
        redrive: Some(Redrive {
            max_receive_count,
            retention,
        }),
        ..standard(visibility_timeout)
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

fn send_numbered(harness: &mut Harness, count: usize) -> Vec<String> {
    harness.send(
        &numbered(count)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    )
}

/// Is throttled at first, then succeeds.
fn throttled_times(times: usize) -> impl FnMut(&Event) -> InvocationOutcome {
    let mut left = times;
    move |_| {
        if left == 0 {
            return success();
        }
        left -= 1;
        InvocationOutcome::Throttled
    }
}

#[test]
fn s1_receive_is_limited_to_ten_messages_and_twenty_seconds() {
    let settings = json!({ "BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 300 });
    let mut harness = Harness::instant(standard(400 * SECOND), settings, |_| success());
    send_numbered(&mut harness, 100);
    harness.run(400 * SECOND);
    for receive in &harness.receives {
        let Action::Receive {
            max_messages,
            wait_seconds,
            ..
        } = receive
        else {
            unreachable!()
        };
        assert!(*max_messages == 10 && *wait_seconds <= 20);
    }
    assert!(harness.receives.len() > 20, "it goes on polling");
}

#[test]
fn s1_batching_window_uses_up_visibility_timeout() {
    let settings = json!({ "MaximumBatchingWindowInSeconds": 10 });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |event| {
        if event.receive_counts() == ["1"] {
            error()
        } else {
            success()
        }
    });
    harness.send(&["a"]);
    harness.run(100 * SECOND);
    // Invoked at the end of the window, visible again 30 s after the receive (not after the failure), then in a new
    // window.
    assert_eq!(harness.times(), [10 * SECOND, 40 * SECOND]);
}

#[test]
fn s2_a_batch_has_batch_size_messages_at_most() {
    let settings = json!({ "BatchSize": 15, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    let ids = send_numbered(&mut harness, 40);
    harness.run(20 * SECOND);
    assert!(harness.batch_sizes().iter().all(|size| *size <= 15));
    assert_eq!(harness.deleted_ids(), set(&ids));
}

#[test]
fn s2_without_a_window_a_single_message_is_invoked_at_once() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |_| success());
    harness.send(&["a"]);
    harness.run(SECOND);
    assert_eq!(harness.times(), [0]);
}

#[test]
fn s3_a_full_batch_is_invoked_before_its_window_ends() {
    let settings = json!({ "BatchSize": 20, "MaximumBatchingWindowInSeconds": 10, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut harness = Harness::instant(standard(60 * SECOND), settings, |_| success());
    send_numbered(&mut harness, 30);
    harness.run(30 * SECOND);
    assert_eq!(harness.batch_sizes(), [20, 10]);
    assert_eq!(harness.times(), [0, 10 * SECOND]);
}

#[test]
fn s3_end_of_window_sends_partial_batch() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut harness = Harness::instant(standard(60 * SECOND), settings, |_| success());
    harness.send(&["a"]);
    harness.run(3 * SECOND);
    harness.send(&["b"]);
    harness.pass(20 * SECOND);
    let sent: Vec<String> = harness.batches().concat();
    assert_eq!(sent, ["a", "b"]);
    assert!(harness.times()[0] == 5 * SECOND && *harness.times().last().unwrap() <= 8 * SECOND);
}

#[test]
fn s3_event_never_exceeds_six_megabytes_including_metadata() {
    let settings = json!({ "BatchSize": 20, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut harness = Harness::instant(standard(60 * SECOND), settings, |_| success());
    let bodies: Vec<String> = (0..13).map(megabyte).collect();
    let ids = harness.send(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    harness.run(20 * SECOND);
    assert!(
        harness.batch_sizes().iter().all(|size| *size <= 6),
        "{:?}",
        harness.batch_sizes()
    );
    assert!(
        harness.batch_sizes().contains(&6) && harness.times()[0] == 0,
        "a full event does not wait for its window"
    );
    assert_eq!(harness.deleted_ids(), set(&ids));
    for seen in &harness.seen {
        let payload = json!({ "Records": seen.event.records }).to_string();
        assert!(payload.len() <= MAX_EVENT_BYTES);
    }
}

#[test]
fn s4_extends_short_visibility_timeout_by_thirty_seconds() {
    // The function of the harness has a timeout of three seconds.
    let asked = |window: u64| {
        let settings = json!({ "MaximumBatchingWindowInSeconds": window });
        let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
        harness.enable();
        match harness.receives[0] {
            Action::Receive {
                visibility_timeout_seconds,
                ..
            } => visibility_timeout_seconds,
            _ => unreachable!(),
        }
    };
    assert_eq!((asked(0), asked(27), asked(28)), (30, 30, 28 + 3 + 30));
}

#[test]
fn s4_window_may_exceed_the_queue_visibility_timeout() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 60 });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    harness.send(&["a"]);
    harness.run(100 * SECOND);
    assert_eq!(harness.times(), [60 * SECOND]);
    assert!(harness.queue.is_empty());
}

#[test]
fn s5_concurrency_starts_at_five_and_grows_by_three_hundred_a_minute() {
    let settings = json!({ "BatchSize": 1 });
    let hour = 3_600 * SECOND;
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(hour), settings, choices, move |_, _| {
        (success(), hour)
    });
    send_numbered(&mut harness, 1_000);
    harness.run(0);
    assert_eq!(harness.concurrent(), 5);
    harness.pass(60 * SECOND);
    assert_eq!(harness.concurrent(), 305);
}

#[test]
fn s5_concurrency_ends_at_1250() {
    let settings = json!({ "BatchSize": 1 });
    let hour = 3_600 * SECOND;
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(2 * hour), settings, choices, move |_, _| {
        (success(), hour)
    });
    send_numbered(&mut harness, 1_300);
    harness.run(0);
    harness.pass(300 * SECOND);
    assert_eq!(harness.concurrent(), 1_250);
}

#[test]
fn s5_maximum_concurrency_limits_invocations_and_receives() {
    let settings = json!({ "BatchSize": 1, "ScalingConfig": { "MaximumConcurrency": 3 } });
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(60 * SECOND), settings, choices, |_, _| {
        (success(), 10 * SECOND)
    });
    send_numbered(&mut harness, 10);
    harness.run(5 * SECOND);
    assert_eq!(
        (harness.concurrent(), harness.queue.in_flight(harness.now)),
        (3, 3)
    );
    harness.pass(60 * SECOND);
    assert_eq!(harness.seen.len(), 10);
    assert!(
        harness
            .seen
            .iter()
            .all(|seen| seen.event.receive_counts() == ["1"]),
        "no message waited until it was visible"
    );
}

#[test]
fn s5_an_idle_mapping_keeps_two_receives_waiting() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |_| success());
    send_numbered(&mut harness, 100);
    harness.run(60 * SECOND);
    assert_eq!(harness.poller.in_flight().receives, 2);
}

#[test]
fn s6_deletes_all_without_parsing_if_partial_responses_are_off() {
    for answer in [
        "not json",
        r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
        "null",
        "[1]",
    ] {
        let mut harness = Harness::instant(standard(30 * SECOND), json!({}), move |_| {
            InvocationOutcome::Response(answer.to_owned())
        });
        let ids = harness.send(&["a", "b"]);
        harness.run(100 * SECOND);
        assert_eq!(
            (harness.seen.len(), harness.deleted_ids()),
            (1, set(&ids)),
            "{answer}"
        );
        assert!(harness.findings.is_empty(), "{answer}");
    }
}

#[test]
fn s6_ignores_failures_if_partial_responses_are_off() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |event| {
        failures(&event.message_ids())
    });
    harness.send(&["a", "b"]);
    harness.run(100 * SECOND);
    assert!(harness.queue.is_empty() && harness.seen.len() == 1);
}

#[test]
fn s7_function_error_deletes_nothing_and_messages_return() {
    for settings in [json!({}), reporting()] {
        let mut harness = Harness::instant(standard(30 * SECOND), settings, |event| {
            if event.receive_counts().contains(&"1".to_owned()) {
                error()
            } else {
                success()
            }
        });
        let ids = harness.send(&["a", "b"]);
        harness.run(29 * SECOND);
        assert!(harness.deleted.is_empty());
        assert_eq!(
            harness.found(|finding| matches!(finding, Finding::FunctionError { .. })),
            1
        );
        harness.pass(SECOND);
        assert_eq!(harness.batches(), [["a", "b"], ["a", "b"]]);
        assert_eq!(harness.deleted_ids(), set(&ids));
    }
}

#[test]
fn s7_failed_messages_may_return_in_other_batches() {
    let settings = json!({ "BatchSize": 2 });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |event| {
        if event.bodies().contains(&"a".to_owned()) {
            error()
        } else {
            success()
        }
    });
    harness.send(&["a", "b", "c"]);
    harness.run(SECOND);
    harness.send(&["d"]);
    harness.pass(60 * SECOND);
    assert_eq!(
        harness.batches(),
        [
            vec!["a", "b"],
            vec!["c"],
            vec!["d"],
            vec!["a", "b"],
            vec!["a", "b"]
        ]
    );
}

#[test]
fn s8_failure_does_not_change_the_visibility_timeout() {
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(30 * SECOND), json!({}), choices, |_, event| {
        (
            if event.receive_counts() == ["1"] {
                error()
            } else {
                success()
            },
            3 * SECOND,
        )
    });
    harness.send(&["a"]);
    harness.run(60 * SECOND);
    assert_eq!(
        harness.times(),
        [0, 30 * SECOND],
        "neither at the failure, nor 30 s after it"
    );
}

#[test]
fn s8_visibility_that_the_function_changed_outlasts_its_failure() {
    for wait in [5 * SECOND, 120 * SECOND] {
        let choices = Choices::default_outcomes();
        let mut harness = Harness::new(standard(30 * SECOND), reporting(), choices, |_, event| {
            let is_first = event.receive_counts().contains(&"1".to_owned());
            let failed = event.message_ids().into_iter().take(usize::from(is_first));
            (failures(&failed.collect::<Vec<_>>()), SECOND)
        });
        harness.send(&["failed", "stored"]);
        harness.run(0);
        harness.change_visibility("failed", wait);
        harness.pass(200 * SECOND);
        assert_eq!(
            harness.batches(),
            [vec!["failed", "stored"], vec!["failed"]]
        );
        assert_eq!(harness.times(), [0, wait]);
        assert_eq!(harness.seen[1].event.receive_counts(), ["2"]);
        assert!(harness.queue.is_empty());
    }
}

#[test]
fn s9_throttled_batch_is_retried_within_its_visibility_timeout() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), throttled_times(5));
    harness.send(&["a", "b"]);
    harness.run(29 * SECOND);
    assert_eq!(harness.seen.len(), 6);
    assert!(
        harness.batches().iter().all(|batch| *batch == ["a", "b"]),
        "the very batch"
    );
    assert!(
        harness
            .seen
            .iter()
            .all(|seen| seen.event.receive_counts() == ["1", "1"]),
        "received once"
    );
    let gaps: Vec<u64> = harness
        .times()
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    assert!(
        gaps.is_sorted() && gaps[0] > 0 && gaps[4] > gaps[0],
        "it backs off: {gaps:?}"
    );
    assert!(harness.queue.is_empty());
}

#[test]
fn s9_throttles_alone_can_dead_letter_a_message() {
    let mut harness = Harness::instant(with_dead_letters(30 * SECOND, 2), json!({}), |_| {
        InvocationOutcome::Throttled
    });
    let ids = harness.send(&["a"]);
    harness.run(61 * SECOND);
    assert_eq!(harness.dead_letters(), ids);
    assert!(harness.deleted.is_empty());
    assert_eq!(
        harness.found(|finding| matches!(
            finding,
            Finding::Released {
                cause: ReleaseCause::Throttled,
                ..
            }
        )),
        2
    );
    assert!(harness.poller.is_idle());
}

#[test]
fn q20_throttled_batch_is_released_at_visibility_timeout() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |event| {
        if event.receive_counts() == ["1"] {
            InvocationOutcome::Throttled
        } else {
            success()
        }
    });
    harness.send(&["a"]);
    harness.run(29 * SECOND);
    assert_eq!(harness.poller.in_flight().buffered, 1);
    harness.pass(SECOND);
    let (last, before) = harness.seen.split_last().unwrap();
    assert_eq!(
        (last.at - START, last.event.receive_counts()),
        (30 * SECOND, vec!["2".to_owned()])
    );
    assert!(before.iter().all(|seen| seen.at - START < 30 * SECOND));
}

#[test]
fn q6_uses_the_chosen_backoff() {
    let choices = Choices {
        retry_base_millis: 7,
        retry_cap_millis: 20,
        ..Choices::default_outcomes()
    };
    let mut throttled = throttled_times(4);
    let mut harness = Harness::new(
        standard(30 * SECOND),
        json!({}),
        choices,
        move |_, event| (throttled(event), 0),
    );
    harness.send(&["a"]);
    harness.run(SECOND);
    assert_eq!(
        harness.times(),
        [0, 7, 7 + 14, 7 + 14 + 20, 7 + 14 + 20 + 20]
    );
}

#[test]
fn s10_function_errors_lower_concurrency_unless_failures_are_reported() {
    let concurrent_after_errors = |settings: Value| {
        let choices = Choices::default_outcomes();
        let mut harness = Harness::new(standard(30 * SECOND), settings, choices, |_, event| {
            if event.bodies() == ["fails"] {
                (error(), 0)
            } else {
                (success(), 20 * SECOND)
            }
        });
        harness.send(&["fails", "fails", "fails"]);
        harness.run(SECOND);
        send_numbered(&mut harness, 10);
        harness.pass(100);
        harness.concurrent()
    };
    let without = json!({ "BatchSize": 1 });
    let with = json!({ "BatchSize": 1, "FunctionResponseTypes": ["ReportBatchItemFailures"] });
    assert_eq!(
        (
            concurrent_after_errors(without),
            concurrent_after_errors(with)
        ),
        (2, 5)
    );
}

#[test]
fn s10_concurrency_stays_above_zero_and_recovers() {
    let settings = json!({ "BatchSize": 1 });
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(30 * SECOND), settings, choices, |_, event| {
        if event.receive_counts() == ["1"] {
            (error(), 0)
        } else {
            (success(), SECOND)
        }
    });
    let ids = send_numbered(&mut harness, 20);
    harness.run(60 * SECOND);
    assert_eq!(harness.deleted_ids(), set(&ids));
}

#[test]
fn s11_empty_partial_response_deletes_the_whole_batch() {
    let answers = [
        "null",
        "",
        "{}",
        r#"{"other":1}"#,
        r#"{"batchItemFailures":null}"#,
        r#"{"batchItemFailures":[]}"#,
    ];
    for answer in answers {
        let mut harness = Harness::instant(standard(30 * SECOND), reporting(), move |_| {
            InvocationOutcome::Response(answer.to_owned())
        });
        let ids = harness.send(&["a", "b"]);
        harness.run(60 * SECOND);
        assert_eq!(
            (harness.deleted_ids(), harness.seen.len()),
            (set(&ids), 1),
            "{answer}"
        );
    }
}

#[test]
fn s12_malformed_partial_response_deletes_nothing() {
    let entry = |entry: &str| format!(r#"{{"batchItemFailures":[{entry}]}}"#);
    let answers = [
        ("not json".to_owned(), MalformedResponse::NotJson),
        (
            entry(r#"{"itemIdentifier":""}"#),
            MalformedResponse::IdentifierEmpty,
        ),
        (
            entry(r#"{"itemIdentifier":null}"#),
            MalformedResponse::IdentifierNotString,
        ),
        (
            entry(r#"{"foo":"notvalid"}"#),
            MalformedResponse::IdentifierMissing,
        ),
        (
            entry(r#"{"itemIdentifier":"unknown"}"#),
            MalformedResponse::IdentifierUnknown,
        ),
        (r#""text""#.to_owned(), MalformedResponse::NotAnObject),
    ];
    for (answer, wanted) in answers {
        let response = answer.clone();
        let mut harness = Harness::instant(standard(30 * SECOND), reporting(), move |_| {
            InvocationOutcome::Response(response.clone())
        });
        let ids = harness.send(&["a", "b"]);
        harness.run(29 * SECOND);
        assert!(
            harness.deleted.is_empty() && harness.queue.len() == 2,
            "{answer}"
        );
        let Finding::MalformedResponse {
            reason,
            message_ids,
            ..
        } = &harness.findings[0].1
        else {
            panic!("{answer}: {:?}", harness.findings)
        };
        assert_eq!((*reason, message_ids), (wanted, &ids), "{answer}");
    }
}

#[test]
fn q2_a_list_with_valid_and_invalid_entries_fails_the_whole_batch() {
    let mut harness = Harness::instant(standard(30 * SECOND), reporting(), |event| {
        failures([&event.message_ids()[0], &"unknown".to_owned()])
    });
    harness.send(&["a", "b"]);
    harness.run(29 * SECOND);
    assert!(harness.deleted.is_empty());
}

#[test]
fn s13_keeps_failed_messages_and_deletes_the_others() {
    let mut harness = Harness::instant(standard(30 * SECOND), reporting(), |event| {
        if event.receive_counts()[0] == "1" {
            failures([&event.message_ids()[1]])
        } else {
            success()
        }
    });
    let ids = harness.send(&["a", "b", "c"]);
    harness.run(29 * SECOND);
    assert_eq!(
        harness.deleted_ids(),
        set(&[ids[0].clone(), ids[2].clone()])
    );
    harness.pass(SECOND);
    assert_eq!(harness.batches(), [vec!["a", "b", "c"], vec!["b"]]);
    assert_eq!(harness.times(), [0, 30 * SECOND]);
    assert!(harness.queue.is_empty());
}

#[test]
fn q1_repeated_identifiers_are_a_set_and_are_reported() {
    let mut harness = Harness::instant(standard(30 * SECOND), reporting(), |event| {
        let ids = event.message_ids();
        failures([&ids[0], &ids[0]])
    });
    let ids = harness.send(&["a", "b"]);
    harness.run(SECOND);
    assert_eq!(harness.deleted_ids(), set(&ids[1..]));
    assert_eq!(
        harness.found(|finding| matches!(finding, Finding::RepeatedIdentifiers { count: 1, .. })),
        1
    );
}

#[test]
fn s14_two_invocations_then_the_dead_letter_queue() {
    let mut harness = Harness::instant(with_dead_letters(5 * SECOND, 2), json!({}), |_| error());
    let ids = harness.send(&["a"]);
    harness.run(9 * SECOND);
    assert!(harness.dead_letters().is_empty());
    harness.pass(SECOND);
    assert_eq!(harness.dead_letters(), ids);
    let counts: Vec<String> = harness
        .seen
        .iter()
        .flat_map(|seen| seen.event.receive_counts())
        .collect();
    assert_eq!(counts, ["1", "2"]);
}

#[test]
fn s17_slow_run_overlaps_a_second_delivery() {
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(10 * SECOND), json!({}), choices, |_, event| {
        (
            success(),
            if event.receive_counts() == ["1"] {
                15 * SECOND
            } else {
                10 * SECOND - 1
            },
        )
    });
    harness.send(&["a"]);
    harness.run(16 * SECOND);
    assert_eq!(harness.times(), [0, 10 * SECOND]);
    assert!(harness.seen[0].until > harness.seen[1].at);
    assert_eq!(
        (harness.deleted.len(), harness.queue.len()),
        (1, 1),
        "the older handle's delete had no effect"
    );
    harness.pass(10 * SECOND);
    assert_eq!((harness.seen.len(), harness.queue.len()), (2, 0));
}

#[test]
fn s18_function_can_receive_a_duplicate_without_a_failure() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |_| success());
    let ids = harness.send(&["a"]);
    harness.run(SECOND);
    assert!(harness.queue.redeliver(harness.now, &ids[0]));
    harness.pass(SECOND);
    assert_eq!(harness.batches(), [["a"], ["a"]]);
    assert!(harness.queue.is_empty());
}

#[test]
fn s19_messages_that_no_filter_matches_are_deleted_and_never_invoked() {
    let settings =
        json!({ "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] } });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    let ids = harness.send(&[r#"{"k":"v"}"#, r#"{"k":"w"}"#, "plain text"]);
    harness.run(60 * SECOND);
    assert_eq!(harness.batches(), [[r#"{"k":"v"}"#]]);
    assert_eq!(harness.deleted_ids(), set(&ids));
    assert!(harness.queue.is_empty());
    assert_eq!(
        harness.findings[0].1,
        Finding::Filtered {
            message_ids: ids[1..].to_vec()
        }
    );
}

#[test]
fn q16_filtered_messages_are_deleted_even_if_the_batch_fails() {
    let settings =
        json!({ "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] } });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| error());
    let ids = harness.send(&[r#"{"k":"v"}"#, r#"{"k":"w"}"#]);
    harness.run(20 * SECOND);
    assert_eq!(harness.deleted, [(START, ids[1].clone())]);
    assert!(harness.queue.contains(&ids[0]));
}

#[test]
fn x10_only_matching_messages_count_towards_a_batch() {
    let settings = json!({
        "BatchSize": 4, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": { "MaximumConcurrency": 2 },
        "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] },
    });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    for n in 0..16 {
        harness.send(&[&format!(
            r#"{{"n":{n},"k":"{}"}}"#,
            if n % 2 == 0 { "v" } else { "w" }
        )]);
    }
    harness.run(0);
    assert_eq!(
        harness.batch_sizes().first(),
        Some(&4),
        "full without the messages that were dropped"
    );
}

#[test]
fn x10_no_match_no_invocation() {
    let settings =
        json!({ "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] } });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    harness.send(&["{}", "{}"]);
    harness.run(60 * SECOND);
    assert!(harness.seen.is_empty() && harness.queue.is_empty());
}

#[test]
fn s20_a_record_has_exactly_the_fields_of_aws() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |_| success());
    let body = "\u{feff} {\"n\": 1.0,\t\"big\":123456789012345678901234567890} \"\\ \u{1F600}\r\n";
    let id = harness.send_one(NewMessage {
        trace_header: Some("Root=1-0-0".to_owned()),
        ..NewMessage::new(body)
    });
    harness.run(0);
    let mut record = harness.seen[0].event.records[0].clone();
    let handle = record["receiptHandle"].take();
    assert!(harness.hidden_until.contains_key(handle.as_str().unwrap()));
    let expected = json!({
        "messageId": id,
        "receiptHandle": null,
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": START.to_string(),
            "ApproximateFirstReceiveTimestamp": START.to_string(),
            "SenderId": record["attributes"]["SenderId"],
            "AWSTraceHeader": "Root=1-0-0",
        },
        "messageAttributes": {},
        "md5OfBody": record["md5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue",
        "awsRegion": "us-east-1",
    });
    assert_eq!(record, expected);
}

#[test]
fn s21_message_attributes_have_the_form_of_aws() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |_| success());
    let attribute = |data_type: &str, value| MessageAttribute {
        data_type: data_type.to_owned(),
        value,
    };
    let message_attributes = BTreeMap::from([
        (
            "WeeksOn".to_owned(),
            attribute("Number", AttributeValue::Text("6".to_owned())),
        ),
        (
            "Raw".to_owned(),
            attribute("Binary", AttributeValue::Binary(vec![0, 255])),
        ),
    ]);
    harness.send_one(NewMessage {
        message_attributes,
        ..NewMessage::new("a")
    });
    harness.run(0);
    let record = &harness.seen[0].event.records[0];
    let expected = json!({
        "WeeksOn": { "stringValue": "6", "stringListValues": [], "binaryListValues": [], "dataType": "Number" },
        "Raw": { "binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary" },
    });
    assert_eq!(record["messageAttributes"], expected);
    assert_eq!(
        record["md5OfMessageAttributes"].as_str().map(str::len),
        Some(32)
    );
}

#[test]
fn s21_the_digest_of_no_attributes_is_absent_or_with_a_window_null() {
    let record = |settings: Value| {
        let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
        harness.send(&["a"]);
        harness.run(10 * SECOND);
        harness.seen.remove(0).event.records.remove(0)
    };
    assert_eq!(record(json!({})).get("md5OfMessageAttributes"), None);
    let windowed = record(json!({ "MaximumBatchingWindowInSeconds": 1 }));
    assert_eq!(windowed.get("md5OfMessageAttributes"), Some(&Value::Null));
}

#[test]
fn x1_failure_causes_no_other_call() {
    let mut harness = Harness::instant(standard(3_600 * SECOND), json!({}), |_| error());
    harness.send(&["a"]);
    harness.run(600 * SECOND);
    assert_eq!(
        (harness.seen.len(), harness.deleted.len()),
        (1, 0),
        "neither retried nor sent anywhere"
    );
}

#[test]
fn x2_an_invocation_error_deletes_nothing_and_lowers_nothing() {
    let settings = json!({ "BatchSize": 1 });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |event| {
        if event.receive_counts() == ["1"] {
            InvocationOutcome::InvocationError("ServiceException".to_owned())
        } else {
            success()
        }
    });
    let ids = send_numbered(&mut harness, 5);
    harness.run(29 * SECOND);
    assert_eq!((harness.seen.len(), harness.deleted.len()), (5, 0));
    harness.pass(SECOND);
    assert_eq!(harness.deleted_ids(), set(&ids));
    assert_eq!(
        harness.times()[5..],
        [30 * SECOND; 5],
        "all five side by side"
    );
}

#[test]
fn x3_timeout_is_a_function_error_and_side_effects_remain() {
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(30 * SECOND), reporting(), choices, |_, event| {
        let timed_out = InvocationOutcome::FunctionError(
            r#"{"errorMessage":"Task timed out after 3.00 seconds"}"#.to_owned(),
        );
        (
            if event.receive_counts() == ["1"] {
                timed_out
            } else {
                success()
            },
            3 * SECOND,
        )
    });
    harness.send(&["a"]);
    harness.run(60 * SECOND);
    assert_eq!(harness.times(), [0, 30 * SECOND]);
}

#[test]
fn x11_a_new_window_opens_when_the_previous_invocation_completes() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 10, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(60 * SECOND), settings, choices, |_, _| {
        (success(), 2 * SECOND)
    });
    harness.send(&["a", "b"]);
    harness.run(15 * SECOND);
    assert_eq!(harness.times(), [10 * SECOND]);
    // The run ended at 12 s, so the window that opened then ends at 22 s, whenever the message arrives.
    harness.send(&["c"]);
    harness.pass(30 * SECOND);
    assert_eq!(harness.times(), [10 * SECOND, 22 * SECOND]);
}

#[test]
fn x11_a_window_that_ended_without_a_message_opens_with_the_next() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 5 });
    let mut harness = Harness::instant(standard(60 * SECOND), settings, |_| success());
    harness.run(47 * SECOND);
    harness.send(&["a"]);
    harness.pass(30 * SECOND);
    assert_eq!(harness.times(), [52 * SECOND]);
}
