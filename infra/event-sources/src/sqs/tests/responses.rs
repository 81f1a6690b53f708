//! Responses of the function, deletes, retries and redrives of standard queues: S6 to S18, X1 to X3.

use super::harness::*;
use crate::choices::Choices;
use crate::invocation::InvocationOutcome;
use crate::report::MalformedResponse;
use crate::sqs::Finding;
use crate::sqs::ReleaseCause;
use serde_json::Value;
use serde_json::json;

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
    assert!(harness.seen.iter().all(|seen| !seen.after_dead_letter));
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
