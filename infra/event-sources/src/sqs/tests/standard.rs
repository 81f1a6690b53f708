//! S1 to S21, X1 to X3, X10 and X11, on standard queues.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::bench::*;
use crate::choices::Choices;
use crate::outcome::Outcome;
use crate::queue::{Outgoing, QueueSettings, Redrive};
use crate::report::Malformed;
use crate::sqs::{Action, AttributeValue, Finding, LetGo, MAX_EVENT_BYTES, MessageAttribute};

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

fn send_numbered(bench: &mut Bench, count: usize) -> Vec<String> {
    bench.send(
        &numbered(count)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    )
}

/// Throttled at first, then a success.
fn throttled_times(times: usize) -> impl FnMut(&Event) -> Outcome {
    let mut left = times;
    move |_| {
        if left == 0 {
            return success();
        }
        left -= 1;
        Outcome::Throttled
    }
}

#[test]
fn s1_a_receive_asks_for_ten_messages_at_most_and_waits_twenty_seconds_at_most() {
    let settings = json!({ "BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 300 });
    let mut bench = Bench::instant(standard(400 * SECOND), settings, |_| success());
    send_numbered(&mut bench, 100);
    bench.run(400 * SECOND);
    for receive in &bench.receives {
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
    assert!(bench.receives.len() > 20, "it goes on polling");
}

#[test]
fn s1_visibility_starts_at_the_receive_so_window_time_is_spent_from_it() {
    let settings = json!({ "MaximumBatchingWindowInSeconds": 10 });
    let mut bench = Bench::instant(standard(30 * SECOND), settings, |event| {
        if event.receive_counts() == ["1"] {
            error()
        } else {
            success()
        }
    });
    bench.send(&["a"]);
    bench.run(100 * SECOND);
    // Invoked at the window's end, back 30 s after the receive and not after the failure, then another window.
    assert_eq!(bench.times(), [10 * SECOND, 40 * SECOND]);
}

#[test]
fn s2_a_batch_has_batch_size_messages_at_most() {
    let settings = json!({ "BatchSize": 15, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut bench = Bench::instant(standard(30 * SECOND), settings, |_| success());
    let ids = send_numbered(&mut bench, 40);
    bench.run(20 * SECOND);
    assert!(bench.batch_sizes().iter().all(|size| *size <= 15));
    assert_eq!(bench.deleted_ids(), set(&ids));
}

#[test]
fn s2_without_a_window_a_single_message_is_invoked_at_once() {
    let mut bench = Bench::instant(standard(30 * SECOND), json!({}), |_| success());
    bench.send(&["a"]);
    bench.run(SECOND);
    assert_eq!(bench.times(), [0]);
}

#[test]
fn s3_a_full_batch_is_invoked_before_its_window_ends() {
    let settings = json!({ "BatchSize": 20, "MaximumBatchingWindowInSeconds": 10, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut bench = Bench::instant(standard(60 * SECOND), settings, |_| success());
    send_numbered(&mut bench, 30);
    bench.run(30 * SECOND);
    assert_eq!(bench.batch_sizes(), [20, 10]);
    assert_eq!(bench.times(), [0, 10 * SECOND]);
}

#[test]
fn s3_the_end_of_the_window_sends_what_there_is() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut bench = Bench::instant(standard(60 * SECOND), settings, |_| success());
    bench.send(&["a"]);
    bench.run(3 * SECOND);
    bench.send(&["b"]);
    bench.pass(20 * SECOND);
    let sent: Vec<String> = bench.batches().concat();
    assert_eq!(sent, ["a", "b"]);
    assert!(bench.times()[0] == 5 * SECOND && *bench.times().last().unwrap() <= 8 * SECOND);
}

#[test]
fn s3_an_event_never_exceeds_six_megabytes_metadata_counted() {
    let settings = json!({ "BatchSize": 20, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut bench = Bench::instant(standard(60 * SECOND), settings, |_| success());
    let bodies: Vec<String> = (0..13).map(megabyte).collect();
    let ids = bench.send(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    bench.run(20 * SECOND);
    assert!(
        bench.batch_sizes().iter().all(|size| *size <= 6),
        "{:?}",
        bench.batch_sizes()
    );
    assert!(
        bench.batch_sizes().contains(&6) && bench.times()[0] == 0,
        "a full event does not wait for its window"
    );
    assert_eq!(bench.deleted_ids(), set(&ids));
    for seen in &bench.seen {
        let payload = json!({ "Records": seen.event.records }).to_string();
        assert!(payload.len() <= MAX_EVENT_BYTES);
    }
}

#[test]
fn s4_a_window_that_leaves_too_little_visibility_lengthens_it_by_thirty_seconds() {
    // The bench's function has three seconds.
    let asked = |window: u64| {
        let settings = json!({ "MaximumBatchingWindowInSeconds": window });
        let mut bench = Bench::instant(standard(30 * SECOND), settings, |_| success());
        bench.enable();
        match bench.receives[0] {
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
fn s4_messages_outlast_a_window_longer_than_the_queues_visibility_timeout() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 60 });
    let mut bench = Bench::instant(standard(30 * SECOND), settings, |_| success());
    bench.send(&["a"]);
    bench.run(100 * SECOND);
    assert_eq!(bench.times(), [60 * SECOND]);
    assert!(bench.queue.is_empty());
}

#[test]
fn s5_concurrency_starts_at_five_and_grows_by_three_hundred_a_minute() {
    let settings = json!({ "BatchSize": 1 });
    let hour = 3_600 * SECOND;
    let choices = Choices::default_outcomes();
    let mut bench = Bench::new(standard(hour), settings, choices, move |_, _| {
        (success(), hour)
    });
    send_numbered(&mut bench, 1_000);
    bench.run(0);
    assert_eq!(bench.concurrent(), 5);
    bench.pass(60 * SECOND);
    assert_eq!(bench.concurrent(), 305);
}

#[test]
fn s5_concurrency_ends_at_1250() {
    let settings = json!({ "BatchSize": 1 });
    let hour = 3_600 * SECOND;
    let choices = Choices::default_outcomes();
    let mut bench = Bench::new(standard(2 * hour), settings, choices, move |_, _| {
        (success(), hour)
    });
    send_numbered(&mut bench, 1_300);
    bench.run(0);
    bench.pass(300 * SECOND);
    assert_eq!(bench.concurrent(), 1_250);
}

#[test]
fn s5_maximum_concurrency_caps_a_mapping_and_nothing_is_received_beyond_it() {
    let settings = json!({ "BatchSize": 1, "ScalingConfig": { "MaximumConcurrency": 3 } });
    let choices = Choices::default_outcomes();
    let mut bench = Bench::new(standard(60 * SECOND), settings, choices, |_, _| {
        (success(), 10 * SECOND)
    });
    send_numbered(&mut bench, 10);
    bench.run(5 * SECOND);
    assert_eq!(
        (bench.concurrent(), bench.queue.in_flight(bench.now)),
        (3, 3)
    );
    bench.pass(60 * SECOND);
    assert_eq!(bench.seen.len(), 10);
    assert!(
        bench
            .seen
            .iter()
            .all(|seen| seen.event.receive_counts() == ["1"]),
        "none waited until it was visible"
    );
}

#[test]
fn s5_an_idle_mapping_keeps_two_receives_waiting() {
    let mut bench = Bench::instant(standard(30 * SECOND), json!({}), |_| success());
    send_numbered(&mut bench, 100);
    bench.run(60 * SECOND);
    assert_eq!(bench.poller.in_flight().receives, 2);
}

#[test]
fn s6_without_partial_responses_the_answer_is_not_read_and_everything_is_deleted() {
    for answer in [
        "not json",
        r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
        "null",
        "[1]",
    ] {
        let mut bench = Bench::instant(standard(30 * SECOND), json!({}), move |_| {
            Outcome::Response(answer.to_owned())
        });
        let ids = bench.send(&["a", "b"]);
        bench.run(100 * SECOND);
        assert_eq!(
            (bench.seen.len(), bench.deleted_ids()),
            (1, set(&ids)),
            "{answer}"
        );
        assert!(bench.findings.is_empty(), "{answer}");
    }
}

#[test]
fn s6_without_partial_responses_a_list_of_failures_is_ignored() {
    let mut bench = Bench::instant(standard(30 * SECOND), json!({}), |event| {
        failures(&event.message_ids())
    });
    bench.send(&["a", "b"]);
    bench.run(100 * SECOND);
    assert!(bench.queue.is_empty() && bench.seen.len() == 1);
}

#[test]
fn s7_a_function_error_deletes_nothing_and_the_messages_come_back() {
    for settings in [json!({}), reporting()] {
        let mut bench = Bench::instant(standard(30 * SECOND), settings, |event| {
            if event.receive_counts().contains(&"1".to_owned()) {
                error()
            } else {
                success()
            }
        });
        let ids = bench.send(&["a", "b"]);
        bench.run(29 * SECOND);
        assert!(bench.deleted.is_empty());
        assert_eq!(
            bench.found(|finding| matches!(finding, Finding::FunctionError { .. })),
            1
        );
        bench.pass(SECOND);
        assert_eq!(bench.batches(), [["a", "b"], ["a", "b"]]);
        assert_eq!(bench.deleted_ids(), set(&ids));
    }
}

#[test]
fn s7_failed_messages_may_come_back_in_other_batches() {
    let settings = json!({ "BatchSize": 2 });
    let mut bench = Bench::instant(standard(30 * SECOND), settings, |event| {
        if event.bodies().contains(&"a".to_owned()) {
            error()
        } else {
            success()
        }
    });
    bench.send(&["a", "b", "c"]);
    bench.run(SECOND);
    bench.send(&["d"]);
    bench.pass(60 * SECOND);
    assert_eq!(
        bench.batches(),
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
fn s8_failure_leaves_the_visibility_timeout_alone() {
    let choices = Choices::default_outcomes();
    let mut bench = Bench::new(standard(30 * SECOND), json!({}), choices, |_, event| {
        (
            if event.receive_counts() == ["1"] {
                error()
            } else {
                success()
            },
            3 * SECOND,
        )
    });
    bench.send(&["a"]);
    bench.run(60 * SECOND);
    assert_eq!(
        bench.times(),
        [0, 30 * SECOND],
        "neither at the failure, nor 30 s after it"
    );
}

#[test]
fn s9_a_throttled_batch_is_held_and_tried_again_within_its_visibility_timeout() {
    let mut bench = Bench::instant(standard(30 * SECOND), json!({}), throttled_times(5));
    bench.send(&["a", "b"]);
    bench.run(29 * SECOND);
    assert_eq!(bench.seen.len(), 6);
    assert!(
        bench.batches().iter().all(|batch| *batch == ["a", "b"]),
        "the very batch"
    );
    assert!(
        bench
            .seen
            .iter()
            .all(|seen| seen.event.receive_counts() == ["1", "1"]),
        "received once"
    );
    let gaps: Vec<u64> = bench
        .times()
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    assert!(
        gaps.is_sorted() && gaps[0] > 0 && gaps[4] > gaps[0],
        "it backs off: {gaps:?}"
    );
    assert!(bench.queue.is_empty());
}

#[test]
fn s9_throttles_alone_bring_a_message_to_the_dead_letter_queue_with_the_function_never_run() {
    let mut bench = Bench::instant(with_dead_letters(30 * SECOND, 2), json!({}), |_| {
        Outcome::Throttled
    });
    let ids = bench.send(&["a"]);
    bench.run(61 * SECOND);
    assert_eq!(bench.dead_letters(), ids);
    assert!(bench.deleted.is_empty());
    assert_eq!(
        bench.found(|finding| matches!(
            finding,
            Finding::LetGo {
                cause: LetGo::Throttled,
                ..
            }
        )),
        2
    );
    assert!(bench.poller.is_idle());
}

#[test]
fn q20_a_throttled_batch_is_let_go_when_its_visibility_is_over_and_comes_back_with_a_higher_count()
{
    let mut bench = Bench::instant(standard(30 * SECOND), json!({}), |event| {
        if event.receive_counts() == ["1"] {
            Outcome::Throttled
        } else {
            success()
        }
    });
    bench.send(&["a"]);
    bench.run(29 * SECOND);
    assert_eq!(bench.poller.in_flight().buffered, 1);
    bench.pass(SECOND);
    let (last, before) = bench.seen.split_last().unwrap();
    assert_eq!(
        (last.at - START, last.event.receive_counts()),
        (30 * SECOND, vec!["2".to_owned()])
    );
    assert!(before.iter().all(|seen| seen.at - START < 30 * SECOND));
}

#[test]
fn q6_the_back_off_is_the_one_that_was_chosen() {
    let choices = Choices {
        retry_base_millis: 7,
        retry_cap_millis: 20,
        ..Choices::default_outcomes()
    };
    let mut throttled = throttled_times(4);
    let mut bench = Bench::new(
        standard(30 * SECOND),
        json!({}),
        choices,
        move |_, event| (throttled(event), 0),
    );
    bench.send(&["a"]);
    bench.run(SECOND);
    assert_eq!(bench.times(), [0, 7, 7 + 14, 7 + 14 + 20, 7 + 14 + 20 + 20]);
}

#[test]
fn s10_function_errors_lower_concurrency_unless_failures_are_reported() {
    let concurrent_after_errors = |settings: Value| {
        let choices = Choices::default_outcomes();
        let mut bench = Bench::new(standard(30 * SECOND), settings, choices, |_, event| {
            if event.bodies() == ["fails"] {
                (error(), 0)
            } else {
                (success(), 20 * SECOND)
            }
        });
        bench.send(&["fails", "fails", "fails"]);
        bench.run(SECOND);
        send_numbered(&mut bench, 10);
        bench.pass(100);
        bench.concurrent()
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
fn s10_concurrency_never_falls_to_nothing_and_recovers_with_success() {
    let settings = json!({ "BatchSize": 1 });
    let choices = Choices::default_outcomes();
    let mut bench = Bench::new(standard(30 * SECOND), settings, choices, |_, event| {
        if event.receive_counts() == ["1"] {
            (error(), 0)
        } else {
            (success(), SECOND)
        }
    });
    let ids = send_numbered(&mut bench, 20);
    bench.run(60 * SECOND);
    assert_eq!(bench.deleted_ids(), set(&ids));
}

#[test]
fn s11_with_partial_responses_an_empty_report_deletes_the_whole_batch() {
    let answers = [
        "null",
        "",
        "{}",
        r#"{"other":1}"#,
        r#"{"batchItemFailures":null}"#,
        r#"{"batchItemFailures":[]}"#,
    ];
    for answer in answers {
        let mut bench = Bench::instant(standard(30 * SECOND), reporting(), move |_| {
            Outcome::Response(answer.to_owned())
        });
        let ids = bench.send(&["a", "b"]);
        bench.run(60 * SECOND);
        assert_eq!(
            (bench.deleted_ids(), bench.seen.len()),
            (set(&ids), 1),
            "{answer}"
        );
    }
}

#[test]
fn s12_with_partial_responses_a_broken_report_deletes_nothing() {
    let entry = |entry: &str| format!(r#"{{"batchItemFailures":[{entry}]}}"#);
    let answers = [
        ("not json".to_owned(), Malformed::NotJson),
        (
            entry(r#"{"itemIdentifier":""}"#),
            Malformed::IdentifierEmpty,
        ),
        (
            entry(r#"{"itemIdentifier":null}"#),
            Malformed::IdentifierNotText,
        ),
        (entry(r#"{"foo":"notvalid"}"#), Malformed::IdentifierMissing),
        (
            entry(r#"{"itemIdentifier":"unknown"}"#),
            Malformed::IdentifierUnknown,
        ),
        (r#""text""#.to_owned(), Malformed::NotAnObject),
    ];
    for (answer, wanted) in answers {
        let response = answer.clone();
        let mut bench = Bench::instant(standard(30 * SECOND), reporting(), move |_| {
            Outcome::Response(response.clone())
        });
        let ids = bench.send(&["a", "b"]);
        bench.run(29 * SECOND);
        assert!(
            bench.deleted.is_empty() && bench.queue.len() == 2,
            "{answer}"
        );
        let Finding::MalformedResponse {
            reason,
            message_ids,
            ..
        } = &bench.findings[0].1
        else {
            panic!("{answer}: {:?}", bench.findings)
        };
        assert_eq!((*reason, message_ids), (wanted, &ids), "{answer}");
    }
}

#[test]
fn q2_a_list_with_valid_and_invalid_entries_fails_the_whole_batch() {
    let mut bench = Bench::instant(standard(30 * SECOND), reporting(), |event| {
        failures([&event.message_ids()[0], &"unknown".to_owned()])
    });
    bench.send(&["a", "b"]);
    bench.run(29 * SECOND);
    assert!(bench.deleted.is_empty());
}

#[test]
fn s13_the_listed_messages_stay_until_their_visibility_is_over_and_all_others_are_deleted() {
    let mut bench = Bench::instant(standard(30 * SECOND), reporting(), |event| {
        if event.receive_counts()[0] == "1" {
            failures([&event.message_ids()[1]])
        } else {
            success()
        }
    });
    let ids = bench.send(&["a", "b", "c"]);
    bench.run(29 * SECOND);
    assert_eq!(bench.deleted_ids(), set(&[ids[0].clone(), ids[2].clone()]));
    bench.pass(SECOND);
    assert_eq!(bench.batches(), [vec!["a", "b", "c"], vec!["b"]]);
    assert_eq!(bench.times(), [0, 30 * SECOND]);
    assert!(bench.queue.is_empty());
}

#[test]
fn q1_repeated_identifiers_are_a_set_and_are_reported() {
    let mut bench = Bench::instant(standard(30 * SECOND), reporting(), |event| {
        let ids = event.message_ids();
        failures([&ids[0], &ids[0]])
    });
    let ids = bench.send(&["a", "b"]);
    bench.run(SECOND);
    assert_eq!(bench.deleted_ids(), set(&ids[1..]));
    assert_eq!(
        bench.found(|finding| matches!(finding, Finding::RepeatedIdentifiers { count: 1, .. })),
        1
    );
}

#[test]
fn s14_two_invocations_then_the_dead_letter_queue() {
    let mut bench = Bench::instant(with_dead_letters(5 * SECOND, 2), json!({}), |_| error());
    let ids = bench.send(&["a"]);
    bench.run(9 * SECOND);
    assert!(bench.dead_letters().is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.dead_letters(), ids);
    let counts: Vec<String> = bench
        .seen
        .iter()
        .flat_map(|seen| seen.event.receive_counts())
        .collect();
    assert_eq!(counts, ["1", "2"]);
}

#[test]
fn s17_a_run_longer_than_the_visibility_timeout_overlaps_a_second_delivery() {
    let choices = Choices::default_outcomes();
    let mut bench = Bench::new(standard(10 * SECOND), json!({}), choices, |_, event| {
        (
            success(),
            if event.receive_counts() == ["1"] {
                15 * SECOND
            } else {
                10 * SECOND - 1
            },
        )
    });
    bench.send(&["a"]);
    bench.run(16 * SECOND);
    assert_eq!(bench.times(), [0, 10 * SECOND]);
    assert!(bench.seen[0].until > bench.seen[1].at);
    assert_eq!(
        (bench.deleted.len(), bench.queue.len()),
        (1, 1),
        "the older handle's delete had no effect"
    );
    bench.pass(10 * SECOND);
    assert_eq!((bench.seen.len(), bench.queue.len()), (2, 0));
}

#[test]
fn s18_the_function_sees_a_duplicate_although_nothing_failed() {
    let mut bench = Bench::instant(standard(30 * SECOND), json!({}), |_| success());
    let ids = bench.send(&["a"]);
    bench.run(SECOND);
    assert!(bench.queue.redeliver(bench.now, &ids[0]));
    bench.pass(SECOND);
    assert_eq!(bench.batches(), [["a"], ["a"]]);
    assert!(bench.queue.is_empty());
}

#[test]
fn s19_messages_that_no_filter_matches_are_deleted_and_never_invoked() {
    let settings =
        json!({ "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] } });
    let mut bench = Bench::instant(standard(30 * SECOND), settings, |_| success());
    let ids = bench.send(&[r#"{"k":"v"}"#, r#"{"k":"w"}"#, "plain text"]);
    bench.run(60 * SECOND);
    assert_eq!(bench.batches(), [[r#"{"k":"v"}"#]]);
    assert_eq!(bench.deleted_ids(), set(&ids));
    assert!(bench.queue.is_empty());
    assert_eq!(
        bench.findings[0].1,
        Finding::Filtered {
            message_ids: ids[1..].to_vec()
        }
    );
}

#[test]
fn q16_filtered_messages_are_deleted_whatever_becomes_of_the_batch() {
    let settings =
        json!({ "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] } });
    let mut bench = Bench::instant(standard(30 * SECOND), settings, |_| error());
    let ids = bench.send(&[r#"{"k":"v"}"#, r#"{"k":"w"}"#]);
    bench.run(20 * SECOND);
    assert_eq!(bench.deleted, [(START, ids[1].clone())]);
    assert!(bench.queue.contains(&ids[0]));
}

#[test]
fn x10_only_matching_messages_count_towards_a_batch() {
    let settings = json!({
        "BatchSize": 4, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": { "MaximumConcurrency": 2 },
        "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] },
    });
    let mut bench = Bench::instant(standard(30 * SECOND), settings, |_| success());
    for n in 0..16 {
        bench.send(&[&format!(
            r#"{{"n":{n},"k":"{}"}}"#,
            if n % 2 == 0 { "v" } else { "w" }
        )]);
    }
    bench.run(0);
    assert_eq!(
        bench.batch_sizes().first(),
        Some(&4),
        "full without the messages that were dropped"
    );
}

#[test]
fn x10_no_match_no_invocation() {
    let settings =
        json!({ "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] } });
    let mut bench = Bench::instant(standard(30 * SECOND), settings, |_| success());
    bench.send(&["{}", "{}"]);
    bench.run(60 * SECOND);
    assert!(bench.seen.is_empty() && bench.queue.is_empty());
}

#[test]
fn s20_a_record_has_exactly_the_fields_of_aws() {
    let mut bench = Bench::instant(standard(30 * SECOND), json!({}), |_| success());
    let body = "\u{feff} {\"n\": 1.0,\t\"big\":123456789012345678901234567890} \"\\ \u{1F600}\r\n";
    let id = bench.send_one(Outgoing {
        trace_header: Some("Root=1-0-0".to_owned()),
        ..Outgoing::body(body)
    });
    bench.run(0);
    let mut record = bench.seen[0].event.records[0].clone();
    let handle = record["receiptHandle"].take();
    assert!(bench.held_until.contains_key(handle.as_str().unwrap()));
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
    let mut bench = Bench::instant(standard(30 * SECOND), json!({}), |_| success());
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
    bench.send_one(Outgoing {
        message_attributes,
        ..Outgoing::body("a")
    });
    bench.run(0);
    let record = &bench.seen[0].event.records[0];
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
        let mut bench = Bench::instant(standard(30 * SECOND), settings, |_| success());
        bench.send(&["a"]);
        bench.run(10 * SECOND);
        bench.seen.remove(0).event.records.remove(0)
    };
    assert_eq!(record(json!({})).get("md5OfMessageAttributes"), None);
    let windowed = record(json!({ "MaximumBatchingWindowInSeconds": 1 }));
    assert_eq!(windowed.get("md5OfMessageAttributes"), Some(&Value::Null));
}

#[test]
fn x1_a_failure_leads_to_no_other_call() {
    let mut bench = Bench::instant(standard(3_600 * SECOND), json!({}), |_| error());
    bench.send(&["a"]);
    bench.run(600 * SECOND);
    assert_eq!(
        (bench.seen.len(), bench.deleted.len()),
        (1, 0),
        "neither retried nor sent anywhere"
    );
}

#[test]
fn x2_an_invocation_error_deletes_nothing_and_lowers_nothing() {
    let settings = json!({ "BatchSize": 1 });
    let mut bench = Bench::instant(standard(30 * SECOND), settings, |event| {
        if event.receive_counts() == ["1"] {
            Outcome::InvocationError("ServiceException".to_owned())
        } else {
            success()
        }
    });
    let ids = send_numbered(&mut bench, 5);
    bench.run(29 * SECOND);
    assert_eq!((bench.seen.len(), bench.deleted.len()), (5, 0));
    bench.pass(SECOND);
    assert_eq!(bench.deleted_ids(), set(&ids));
    assert_eq!(
        bench.times()[5..],
        [30 * SECOND; 5],
        "all five side by side"
    );
}

#[test]
fn x3_a_timeout_is_a_function_error_and_what_the_code_did_stays_done() {
    let choices = Choices::default_outcomes();
    let mut bench = Bench::new(standard(30 * SECOND), reporting(), choices, |_, event| {
        let timed_out = Outcome::FunctionError(
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
    bench.send(&["a"]);
    bench.run(60 * SECOND);
    assert_eq!(bench.times(), [0, 30 * SECOND]);
}

#[test]
fn x11_a_new_window_opens_when_the_previous_invocation_completes() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 10, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let choices = Choices::default_outcomes();
    let mut bench = Bench::new(standard(60 * SECOND), settings, choices, |_, _| {
        (success(), 2 * SECOND)
    });
    bench.send(&["a", "b"]);
    bench.run(15 * SECOND);
    assert_eq!(bench.times(), [10 * SECOND]);
    // The run ended at 12 s, so the window that opened then ends at 22 s, whenever the message came.
    bench.send(&["c"]);
    bench.pass(30 * SECOND);
    assert_eq!(bench.times(), [10 * SECOND, 22 * SECOND]);
}

#[test]
fn x11_a_window_that_ended_without_a_message_opens_with_the_next() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 5 });
    let mut bench = Bench::instant(standard(60 * SECOND), settings, |_| success());
    bench.run(47 * SECOND);
    bench.send(&["a"]);
    bench.pass(30 * SECOND);
    assert_eq!(bench.times(), [52 * SECOND]);
}
