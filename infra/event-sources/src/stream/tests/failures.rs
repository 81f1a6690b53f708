//! Failing batches: attempts, partial responses, bisection and throttles.

use serde_json::{Value, json};

use super::harness::*;
use crate::choices::Choices;
use crate::invocation::InvocationOutcome;
use crate::mapping::StreamKind::{DynamoDb, Kinesis};
use crate::report::MalformedResponse;
use crate::stream::Finding;

/// A function that fails every batch that contains `label`.
fn failing_whole(settings: Value, label: &'static str) -> Harness {
    Harness::new(DynamoDb, settings).function(
        move |invocation| {
            if invocation.has(label) { error() } else { ok() }
        },
    )
}

/// A function that reports `label` as failed.
fn reporting(settings: Value, label: &'static str) -> Harness {
    Harness::new(DynamoDb, settings).function(move |invocation| invocation.failing(&[label]))
}

fn run(harness: &mut Harness, labels: &[&str]) -> Vec<String> {
    harness.put_all(labels);
    harness.enable();
    harness.pass(600_000);
    harness.batches()
}

#[test]
fn d8_checkpoint_advances_only_on_success() {
    let mut failures = 4;
    let mut harness = Harness::new(DynamoDb, json!({"BatchSize": 2})).function(move |_| {
        failures -= 1;
        if failures >= 0 { error() } else { ok() }
    });
    let batches = run(&mut harness, &["a", "b", "c", "d"]);
    assert_eq!(batches, ["ab", "ab", "ab", "ab", "ab", "cd"]);
}

#[test]
fn d9_throttles_and_invocation_errors_do_not_count_as_attempts() {
    let mut count = 0;
    let settings = to_queue(json!({"MaximumRetryAttempts": 0}));
    let mut harness = Harness::new(DynamoDb, settings).function(move |_| {
        count += 1;
        match count {
            1..=10 => InvocationOutcome::Throttled,
            11..=20 => InvocationOutcome::InvocationError("503".to_owned()),
            _ => ok(),
        }
    });
    let batches = run(&mut harness, &["a"]);
    assert_eq!((batches.len(), harness.failure_records.len()), (21, 0));
    let not_invoked = |throttled| {
        let is = |finding: &&Finding| matches!(finding, Finding::NotInvoked { throttled: t, .. } if *t == throttled);
        harness.findings.iter().filter(is).count()
    };
    assert_eq!((not_invoked(true), not_invoked(false)), (10, 10));
}

#[test]
fn d10_n_retries_are_n_plus_one_invocations() {
    for retries in 0..5 {
        let mut harness = failing_whole(to_queue(json!({"MaximumRetryAttempts": retries})), "a");
        let batches = run(&mut harness, &["a"]);
        assert_eq!(batches.len(), retries + 1);
        let told = (
            "RetryAttemptsExhausted".to_owned(),
            retries as u64 + 1,
            "a".to_owned(),
        );
        assert_eq!(harness.failure_records_sent(), [told]);
    }
}

#[test]
fn d11_empty_responses_succeed() {
    for answer in [
        "null",
        "{}",
        "[]",
        "",
        r#""""#,
        r#"{"batchItemFailures":[]}"#,
    ] {
        let mut harness = Harness::new(Kinesis, json!({}))
            .function(move |_| InvocationOutcome::Response(answer.to_owned()));
        assert_eq!(run(&mut harness, &["a", "b"]), ["ab"], "{answer}");
    }
}

#[test]
fn d12_malformed_response_fails_the_batch_and_counts_as_attempt() {
    for (entry, reason) in [
        (
            json!({"itemIdentifier": ""}),
            MalformedResponse::IdentifierEmpty,
        ),
        (
            json!({"itemIdentifier": null}),
            MalformedResponse::IdentifierNotString,
        ),
        (json!({"item": "1"}), MalformedResponse::IdentifierMissing),
        (
            json!({"itemIdentifier": "123456789"}),
            MalformedResponse::IdentifierUnknown,
        ),
    ] {
        let answer = json!({"batchItemFailures": [entry]}).to_string();
        let settings = to_queue(json!({"MaximumRetryAttempts": 1}));
        let mut harness = Harness::new(DynamoDb, settings)
            .function(move |_| InvocationOutcome::Response(answer.clone()));
        assert_eq!(run(&mut harness, &["a", "b"]), ["ab", "ab"]);
        assert_eq!(harness.failure_records_sent()[0].1, 2);
        let told = harness
            .findings
            .iter()
            .any(|f| matches!(f, Finding::MalformedResponse { reason: r, .. } if *r == reason));
        assert!(told, "{reason}");
    }
}

#[test]
fn d13_retries_from_the_lowest_failure_on() {
    let mut first = true;
    let mut harness = Harness::new(DynamoDb, json!({})).function(move |invocation| {
        // In arbitrary order.
        let outcome = invocation.failing(if first { &["d", "b"] } else { &[] });
        first = false;
        outcome
    });
    assert_eq!(
        run(&mut harness, &["a", "b", "c", "d", "e"]),
        ["abcde", "bcde"]
    );
}

#[test]
fn k6_lowest_sequence_number_is_numeric() {
    let mut first = true;
    let mut harness = Harness::new(Kinesis, json!({})).function(move |invocation| {
        let outcome = invocation.failing(if first { &["9", "10"] } else { &[] });
        first = false;
        outcome
    });
    for n in 1..=11 {
        harness.put(&n.to_string());
    }
    harness.enable();
    harness.pass(60_000);
    // "10" is the lower string.
    assert_eq!(harness.batches(), ["1234567891011", "91011"]);
}

#[test]
fn d14_moving_checkpoint_resets_attempts() {
    let mut harness = reporting(to_queue(json!({"MaximumRetryAttempts": 3})), "c");
    assert_eq!(
        run(&mut harness, &["a", "b", "c"]),
        ["abc", "c", "c", "c", "c"]
    );
    assert_eq!(
        harness.failure_records_sent(),
        [("RetryAttemptsExhausted".to_owned(), 4, "c".to_owned())]
    );
}

#[test]
fn d14_attempts_accumulate_without_progress() {
    let mut harness = reporting(to_queue(json!({"MaximumRetryAttempts": 2})), "a");
    assert_eq!(run(&mut harness, &["a", "b"]), ["ab", "ab", "ab"]);
    assert_eq!(
        harness.failure_records_sent(),
        [("RetryAttemptsExhausted".to_owned(), 3, "ab".to_owned())]
    );
}

#[test]
fn d15_a_function_error_splits_the_batch_down_to_the_poison_record() {
    let settings = json!({"MaximumRetryAttempts": 1, "BisectBatchOnFunctionError": true});
    let mut harness = failing_whole(to_queue(settings), "f");
    assert_eq!(
        run(&mut harness, &["a", "b", "c", "d", "e", "f", "g", "h"]),
        ["abcdefgh", "abcd", "efgh", "ef", "e", "f", "f", "gh"]
    );
    assert_eq!(
        harness.failure_records_sent(),
        [("RetryAttemptsExhausted".to_owned(), 2, "f".to_owned())]
    );
}

#[test]
fn d16_partial_response_retries_remainder_and_errors_bisect() {
    let settings = json!({"MaximumRetryAttempts": 5, "BisectBatchOnFunctionError": true});
    let mut runs = 0;
    let mut harness = Harness::new(DynamoDb, settings).function(move |invocation| {
        runs += 1;
        match runs {
            1 => invocation.failing(&["c"]),
            2 => error(),
            _ => ok(),
        }
    });
    assert_eq!(
        run(&mut harness, &["a", "b", "c", "d", "e", "f"]),
        ["abcdef", "cdef", "cd", "ef"]
    );
}

#[test]
fn d17_exhausted_batch_is_discarded_and_shard_continues() {
    let settings = to_queue(json!({"MaximumRetryAttempts": 1, "BatchSize": 2}));
    let mut harness = failing_whole(settings, "b");
    assert_eq!(run(&mut harness, &["a", "b", "c", "d"]), ["ab", "ab", "cd"]);
    assert_eq!(
        harness.failure_records_sent(),
        [("RetryAttemptsExhausted".to_owned(), 2, "ab".to_owned())]
    );
}

#[test]
fn d17_batch_is_discarded_without_a_destination_too() {
    let mut harness = failing_whole(json!({"MaximumRetryAttempts": 0, "BatchSize": 1}), "a");
    assert_eq!(run(&mut harness, &["a", "b"]), ["a", "b"]);
    assert!(
        harness
            .findings
            .iter()
            .any(|finding| matches!(finding, Finding::Discarded { .. }))
    );
}

#[test]
fn d18_discards_old_records_and_delivers_younger_ones() {
    let settings = to_queue(json!({"MaximumRecordAgeInSeconds": 60, "BatchSize": 2}));
    let mut harness = failing_whole(settings, "a");
    harness.put("a");
    harness.now += 30_000;
    harness.put("b");
    harness.enable();
    harness.pass(600_000);
    let batches = harness.batches();
    assert!(
        batches[..batches.len() - 1]
            .iter()
            .all(|batch| batch == "ab")
    );
    assert_eq!(batches.last().unwrap(), "b");
    let (condition, _, labels) = harness.failure_records_sent().remove(0);
    assert_eq!(
        (condition.as_str(), labels.as_str()),
        ("RecordAgeExceeded", "a")
    );
    assert_eq!(harness.failure_records.len(), 1);
}

#[test]
fn q19_checks_age_before_every_attempt_including_the_limit() {
    for (age, invoked) in [(59_999, 1), (60_000, 0)] {
        let settings = to_queue(json!({"MaximumRecordAgeInSeconds": 60}));
        let mut harness = Harness::new(DynamoDb, settings);
        harness.put("a");
        harness.now += age;
        harness.enable();
        harness.pass(10_000);
        assert_eq!(
            (harness.invocations.len(), harness.failure_records.len()),
            (invoked, 1 - invoked)
        );
    }
    // Only the maximum age ends throttling (D9).
    let settings = to_queue(json!({"MaximumRecordAgeInSeconds": 60, "MaximumRetryAttempts": 0}));
    let mut harness = Harness::new(DynamoDb, settings).function(|_| InvocationOutcome::Throttled);
    run(&mut harness, &["a"]);
    assert!(harness.times().into_iter().all(|time| time < 60_000));
    assert_eq!(harness.failure_records_sent()[0].0, "RecordAgeExceeded");
}

#[test]
fn k10_a_retry_has_the_same_records() {
    let mut harness = failing_whole(json!({"MaximumRetryAttempts": 3}), "a");
    harness.put("a");
    harness.enable();
    harness.pass(50);
    harness.put("b");
    harness.pass(60_000);
    assert_eq!(harness.batches(), ["a", "a", "a", "a", "b"]);
}

#[test]
fn q1_repeated_identifiers_are_a_set_and_are_reported() {
    let mut first = true;
    let mut harness = Harness::new(DynamoDb, json!({})).function(move |invocation| {
        if !std::mem::replace(&mut first, false) {
            return ok();
        }
        let entry = json!({"itemIdentifier": invocation.numbers[1]});
        InvocationOutcome::Response(json!({"batchItemFailures": [entry, entry]}).to_string())
    });
    assert_eq!(run(&mut harness, &["a", "b"]), ["ab", "b"]);
    let told = |finding: &Finding| matches!(finding, Finding::RepeatedIdentifiers { count: 1, .. });
    assert!(harness.findings.iter().any(told));
}

#[test]
fn q2_a_list_with_valid_and_invalid_entries_fails_the_whole_batch() {
    let mut first = true;
    let mut harness = Harness::new(DynamoDb, json!({})).function(move |invocation| {
        if !std::mem::replace(&mut first, false) {
            return ok();
        }
        let valid = json!({"itemIdentifier": invocation.numbers[1]});
        InvocationOutcome::Response(
            json!({"batchItemFailures": [valid, {"itemIdentifier": "?"}]}).to_string(),
        )
    });
    assert_eq!(run(&mut harness, &["a", "b"]), ["ab", "ab"]);
}

#[test]
fn q3_non_object_response_fails_the_whole_batch() {
    for answer in ["5", "true", "[1]", r#""text""#] {
        let mut first = true;
        let mut harness = Harness::new(DynamoDb, json!({})).function(move |_| {
            let answer = if std::mem::replace(&mut first, false) {
                answer
            } else {
                ""
            };
            InvocationOutcome::Response(answer.to_owned())
        });
        assert_eq!(run(&mut harness, &["a"]), ["a", "a"], "{answer}");
    }
}

#[test]
fn q6_uses_the_chosen_backoff() {
    let choices = Choices {
        retry_base_millis: 1_000,
        retry_cap_millis: 3_000,
        ..Choices::default_outcomes()
    };
    let settings = json!({"MaximumRetryAttempts": 4});
    let mut harness = Harness::with(DynamoDb, settings, choices).function(|_| error());
    harness.run = 0;
    run(&mut harness, &["a"]);
    assert_eq!(harness.times(), [0, 1_000, 3_000, 6_000, 9_000]);
}

#[test]
fn q7_first_half_completes_first_and_rounding_is_chosen() {
    for (bisect_round_up, expected) in [
        (false, ["abcde", "ab", "a", "b", "cde"]),
        (true, ["abcde", "abc", "ab", "c", "de"]),
    ] {
        let choices = Choices {
            bisect_round_up,
            ..Choices::default_outcomes()
        };
        let mut runs = 0;
        let settings = json!({"BisectBatchOnFunctionError": true});
        let mut harness = Harness::with(DynamoDb, settings, choices).function(move |_| {
            runs += 1;
            if runs <= 2 { error() } else { ok() }
        });
        assert_eq!(run(&mut harness, &["a", "b", "c", "d", "e"]), expected);
    }
}

#[test]
fn q8_half_resets_or_inherits_attempts() {
    // The batch fails once with a report, then with errors. The poison record has one attempt less if halves inherit
    // attempts.
    for (bisect_carries_attempts, count) in [(false, 3), (true, 2)] {
        let choices = Choices {
            bisect_carries_attempts,
            ..Choices::default_outcomes()
        };
        let settings = json!({"BisectBatchOnFunctionError": true, "MaximumRetryAttempts": 2});
        let mut first = true;
        let mut harness =
            Harness::with(DynamoDb, to_queue(settings), choices).function(move |invocation| {
                if std::mem::replace(&mut first, false) {
                    invocation.failing(&["a"])
                } else if invocation.has("a") {
                    error()
                } else {
                    ok()
                }
            });
        let batches = run(&mut harness, &["a", "b"]);
        assert_eq!(batches.iter().filter(|batch| *batch == "a").count(), count);
        assert_eq!(
            harness.failure_records_sent(),
            [("RetryAttemptsExhausted".to_owned(), 3, "a".to_owned())]
        );
    }
}

#[test]
fn q8_bisects_to_the_poison_record_without_retries() {
    let settings = json!({"BisectBatchOnFunctionError": true, "MaximumRetryAttempts": 0});
    let mut harness = failing_whole(to_queue(settings), "c");
    assert_eq!(
        run(&mut harness, &["a", "b", "c", "d"]),
        ["abcd", "ab", "cd", "c", "d"]
    );
    assert_eq!(
        harness.failure_records_sent(),
        [("RetryAttemptsExhausted".to_owned(), 1, "c".to_owned())]
    );
}

#[test]
fn q9_remainder_is_retried_alone_or_with_newer_records() {
    for (top_up_retries, expected) in [
        (false, vec!["abc", "bc", "def", "g"]),
        (true, vec!["abc", "bcd", "efg"]),
    ] {
        let choices = Choices {
            top_up_retries,
            ..Choices::default_outcomes()
        };
        let mut first = true;
        let mut harness =
            Harness::with(DynamoDb, json!({"BatchSize": 3}), choices).function(move |invocation| {
                let first = std::mem::replace(&mut first, false);
                invocation.failing(if first { &["b"] } else { &[] })
            });
        assert_eq!(
            run(&mut harness, &["a", "b", "c", "d", "e", "f", "g"]),
            expected
        );
    }
}

#[test]
fn x2_distinguishes_invocation_errors_from_function_errors() {
    let mut outcomes = vec![
        ok(),
        InvocationOutcome::InvocationError("500".to_owned()),
        error(),
    ];
    let mut harness =
        Harness::new(DynamoDb, json!({})).function(move |_| outcomes.pop().unwrap_or_else(ok));
    assert_eq!(run(&mut harness, &["a"]), ["a", "a", "a"]);
    let kinds: Vec<_> = harness
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::FunctionError { .. } => "function",
            Finding::NotInvoked {
                throttled: false, ..
            } => "invocation",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["function", "invocation"]);
}
