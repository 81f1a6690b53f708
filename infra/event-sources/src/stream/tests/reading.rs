//! Reading and batching.

use serde_json::json;

use super::harness::*;
use crate::choices::Choices;
use crate::invocation::MAX_EVENT_BYTES;
use crate::mapping::StreamKind::{DynamoDb, Kinesis};
use crate::shards::{Stream, StreamSettings};
use crate::stream::{Finding, Position, StreamPoller};

const SHARD: &str = "shardId-000000000000";

#[test]
fn d1_reads_shard_four_times_a_second_with_one_batch_in_flight() {
    let mut harness = Harness::new(DynamoDb, json!({"BatchSize": 1}));
    harness.run = 5_000;
    harness.enable();
    harness.put_all(&["a", "b"]);
    harness.pass(900);
    let times: Vec<_> = harness.reads.iter().map(|read| read.0 - START).collect();
    assert_eq!(times, [0], "no more is wanted than the next batch");
    assert_eq!(harness.reads[0].3, 1_000);
    harness.pass(20_000);
    assert_eq!(harness.batches(), ["a", "b"]);
    assert_eq!(harness.most_at_once, 1);
    let times: Vec<_> = harness.reads.iter().map(|read| read.0).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 250));
    assert!(times.windows(2).any(|pair| pair[1] - pair[0] == 250));
}

#[test]
fn d1_a_batch_has_one_shards_records() {
    let stream = Stream::new(StreamSettings::new(DynamoDb), 4, 0);
    let mapping = mapping(DynamoDb, json!({"MaximumBatchingWindowInSeconds": 1}));
    let mut harness = Harness::over(
        stream,
        StreamPoller::new(mapping, Choices::default_outcomes()),
    );
    let mut shard_of = std::collections::BTreeMap::new();
    for n in 0..40 {
        let label = format!("{n} ");
        let (shard, _) = harness.put(&label);
        shard_of.insert(label, shard);
    }
    harness.enable();
    harness.pass(5_000);
    assert_eq!(harness.invocations.len(), 4);
    for invocation in &harness.invocations {
        assert!(
            invocation
                .labels
                .iter()
                .all(|label| shard_of[label] == invocation.shard)
        );
    }
}

#[test]
fn d1_a_read_that_returns_nothing_is_not_the_end() {
    let mut harness = Harness::new(DynamoDb, json!({}));
    let settings = StreamSettings {
        empty_one_in: 2,
        ..StreamSettings::new(DynamoDb)
    };
    harness.stream = Stream::new(settings, 1, 3);
    harness.put_all(&["a", "b"]);
    harness.enable();
    harness.pass(10_000);
    assert_eq!(harness.batches(), ["ab"]);
}

#[test]
fn d2_a_batch_has_batch_size_records_at_most() {
    let mut harness = Harness::new(DynamoDb, json!({"BatchSize": 2}));
    harness.put_all(&["a", "b", "c", "d", "e"]);
    harness.enable();
    harness.pass(5_000);
    assert_eq!(harness.batches(), ["ab", "cd", "e"]);
}

#[test]
fn d3_invokes_at_once_without_a_window() {
    let mut harness = Harness::new(DynamoDb, json!({}));
    harness.put("a");
    harness.enable();
    harness.pass(0);
    assert_eq!(
        (harness.batches(), harness.times()),
        (vec!["a".to_owned()], vec![0])
    );
}

#[test]
fn d3_a_window_ends_with_its_time_or_a_full_batch() {
    let settings = json!({"BatchSize": 3, "MaximumBatchingWindowInSeconds": 2});
    let mut harness = Harness::new(DynamoDb, settings);
    harness.enable();
    harness.put_all(&["a", "b"]);
    harness.pass(2_250);
    assert_eq!(
        (harness.batches(), harness.times()),
        (vec!["ab".to_owned()], vec![2_000])
    );
    harness.put_all(&["c", "d", "e"]);
    harness.pass(250);
    assert_eq!(harness.batches(), ["ab", "cde"]);
}

#[test]
fn d3_an_event_never_exceeds_six_megabytes() {
    let mut harness = Harness::new(Kinesis, json!({"MaximumBatchingWindowInSeconds": 60}));
    for label in ["a", "b", "c", "d"] {
        harness.put_padded(label, label, 2 * 1024 * 1024);
    }
    harness.enable();
    harness.pass(3_000);
    assert_eq!(harness.batches(), ["ab"], "full before its window ends");
    harness.pass(120_000);
    assert_eq!(harness.batches(), ["ab", "cd"]);
    assert!(
        harness
            .invocations
            .iter()
            .all(|invocation| invocation.bytes <= MAX_EVENT_BYTES)
    );
    harness.put_padded("e", "e", MAX_EVENT_BYTES);
    harness.pass(120_000);
    assert_eq!(
        harness.batches().last().unwrap(),
        "e",
        "one record always goes"
    );
}

#[test]
fn d4_latest_reads_new_records_and_trim_horizon_all() {
    for (position, expected) in [("LATEST", "bc"), ("TRIM_HORIZON", "abc")] {
        let mut harness = Harness::new(DynamoDb, json!({"StartingPosition": position}));
        harness.put("a");
        harness.enable();
        harness.pass(100);
        harness.put("b");
        // Nothing was read yet. Without keeping the iterator, the records in between would be skipped.
        harness.pass(1_000);
        harness.put("c");
        harness.pass(1_000);
        assert_eq!(harness.batches().concat(), expected, "{position}");
    }
}

#[test]
fn d5_records_arrive_once_and_in_order() {
    let mut harness = Harness::new(DynamoDb, json!({"BatchSize": 7}));
    harness.enable();
    let labels: Vec<String> = (0..100).map(|n| format!("{n} ")).collect();
    for label in &labels {
        harness.put(label);
        harness.pass(13);
    }
    harness.pass(5_000);
    assert_eq!(harness.batches().concat(), labels.concat());
}

#[test]
fn d6_a_parent_is_finished_before_its_children_are_read() {
    let mut harness = Harness::new(DynamoDb, json!({"MaximumRetryAttempts": -1}));
    let mut failures = 3;
    harness = harness.function(move |invocation| {
        failures -= i32::from(invocation.has("parent "));
        if invocation.has("parent ") && failures >= 0 {
            error()
        } else {
            ok()
        }
    });
    harness.put("parent ");
    harness.stream.split(harness.now, SHARD).unwrap();
    for n in 0..10 {
        harness.put(&format!("{n} "));
    }
    harness.enable();
    harness.pass(60_000);
    let shards: Vec<&str> = harness
        .invocations
        .iter()
        .map(|i| i.shard.as_str())
        .collect();
    assert_eq!(shards[..4], [SHARD; 4], "three failures and a success");
    assert!(shards[4..].iter().all(|shard| *shard != SHARD) && shards.len() == 6);
    let finished = Finding::ShardFinished {
        shard: SHARD.to_owned(),
    };
    assert_eq!(
        harness.findings.iter().filter(|f| **f == finished).count(),
        1
    );
}

#[test]
fn k4_children_of_a_merge_wait_for_both_parents() {
    let stream = Stream::new(StreamSettings::new(Kinesis), 2, 0);
    let mapping = mapping(Kinesis, json!({}));
    let choices = Choices::default_outcomes();
    let mut harness = Harness::over(stream, StreamPoller::new(mapping, choices));
    let mut parents = std::collections::BTreeSet::new();
    for n in 0..10 {
        parents.insert(harness.put(&format!("p{n} ")).0);
    }
    assert_eq!(parents.len(), 2);
    let mut parents = parents.into_iter();
    let (low, high) = (parents.next().unwrap(), parents.next().unwrap());
    let slow = high.clone();
    let mut failures = 5;
    harness = harness.function(move |invocation| {
        failures -= i32::from(invocation.shard == slow);
        if invocation.shard == slow && failures >= 0 {
            error()
        } else {
            ok()
        }
    });
    let child = harness.stream.merge(harness.now, &low, &high).unwrap();
    harness.put("child ");
    harness.enable();
    harness.pass(60_000);
    assert_eq!(harness.invocations.last().unwrap().shard, child);
    assert_eq!(
        harness
            .invocations
            .iter()
            .filter(|i| i.shard == child)
            .count(),
        1
    );
    assert_eq!(harness.invocations.len(), 1 + 6 + 1);
}

#[test]
fn d6_removed_parent_does_not_block_its_children() {
    let mut harness = Harness::new(DynamoDb, json!({}));
    harness.stream.split(harness.now, SHARD).unwrap();
    harness.now += crate::shards::DYNAMODB_RETENTION + 1;
    harness.stream.trim(harness.now);
    harness.put("a");
    harness.enable();
    harness.pass(1_000);
    assert_eq!(harness.batches(), ["a"]);
}

#[test]
fn d7_lanes_run_concurrently_and_keep_key_order() {
    let settings = json!({"BatchSize": 1, "ParallelizationFactor": 4});
    let mut harness = Harness::new(DynamoDb, settings);
    harness.run = 1_000;
    for n in 0..3 {
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            harness.put_keyed(key, &format!("{key}{n}"));
        }
    }
    harness.enable();
    harness.pass(60_000);
    assert_eq!(harness.invocations.len(), 24);
    assert!(
        (2..=4).contains(&harness.most_at_once),
        "{}",
        harness.most_at_once
    );
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let of_key: Vec<_> = harness
            .batches()
            .into_iter()
            .filter(|l| l.starts_with(key))
            .collect();
        assert_eq!(of_key, [0, 1, 2].map(|n| format!("{key}{n}")));
    }
}

#[test]
fn k7_lanes_go_by_partition_key() {
    let mut harness = Harness::new(
        Kinesis,
        json!({"BatchSize": 1, "ParallelizationFactor": 10}),
    );
    harness.run = 500;
    for n in 0..5 {
        harness.put_keyed("same", &n.to_string());
    }
    harness.enable();
    harness.pass(60_000);
    assert_eq!(
        (harness.batches().concat().as_str(), harness.most_at_once),
        ("01234", 1)
    );
}

#[test]
fn q18_the_lane_of_a_key_changes_with_the_seed_alone() {
    let lanes = |seed| {
        let choices = Choices {
            seed,
            ..Choices::default_outcomes()
        };
        let settings = json!({"ParallelizationFactor": 2, "MaximumBatchingWindowInSeconds": 1});
        let mut harness = Harness::with(DynamoDb, settings, choices);
        harness.put_all(&["a", "b", "c", "d", "e", "f"]);
        harness.enable();
        harness.pass(5_000);
        harness.batches()
    };
    assert_eq!(lanes(1), lanes(1));
    assert!((2..20).any(|seed| lanes(seed) != lanes(1)));
}

#[test]
fn d19_poison_record_blocks_its_shard_until_trimmed() {
    let mut harness = Harness::new(DynamoDb, json!({"BatchSize": 1})).function(|invocation| {
        if invocation.has("poison") {
            error()
        } else {
            ok()
        }
    });
    harness.put_all(&["poison", "next"]);
    harness.enable();
    harness.pass(23 * 3_600_000);
    assert!(harness.invocations.len() > 8_000);
    assert!(
        harness
            .invocations
            .iter()
            .all(|invocation| invocation.has("poison"))
    );
}

#[test]
fn d20_resumes_at_checkpoint_after_iterator_expired() {
    let mut harness = Harness::new(DynamoDb, json!({}));
    harness.put("a");
    harness.enable();
    harness.pass(1_000);
    let (_, position) = (harness.reads.len(), harness.reads.last().unwrap().2.clone());
    assert!(matches!(position, Position::After(_)));
    harness.run = 20 * 60_000;
    harness.put("b");
    harness.pass(1_000);
    harness.put("c");
    harness.pass(60 * 60_000);
    assert_eq!(harness.batches(), ["a", "b", "c"]);
}

#[test]
fn d20_resumes_at_oldest_record_if_checkpoint_is_trimmed() {
    let mut harness = Harness::new(DynamoDb, json!({}));
    harness.put("a");
    harness.enable();
    harness.pass(1_000);
    harness.input(crate::stream::Input::Disable);
    harness.put("lost");
    harness.pass(crate::shards::DYNAMODB_RETENTION + 1_000);
    harness.stream.trim(harness.now);
    harness.put("b");
    harness.enable();
    harness.pass(1_000);
    assert_eq!(harness.batches(), ["a", "b"]);
    assert!(harness.findings.contains(&Finding::Trimmed {
        shard: SHARD.to_owned()
    }));
}

#[test]
fn d24_x10_filtered_records_are_skipped_and_not_counted() {
    let pattern = r#"{"label":[{"anything-but":["x"]}]}"#;
    let settings = json!({
        "BatchSize": 2, "MaximumBatchingWindowInSeconds": 5,
        "FilterCriteria": {"Filters": [{"Pattern": pattern}]},
    });
    let mut harness = Harness::new(DynamoDb, settings.clone());
    harness.put_all(&["x", "a", "x", "x", "b", "x"]);
    harness.enable();
    harness.pass(1_000);
    assert_eq!(harness.batches(), ["ab"], "full without its window");
    let dropped = Finding::Filtered {
        shard: SHARD.to_owned(),
        count: 4,
    };
    assert!(harness.findings.contains(&dropped));
    // Nothing is read again after the poller was lost.
    harness.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    harness.enable();
    harness.pass(10_000);
    assert_eq!(harness.batches(), ["ab"]);
    assert!(matches!(
        harness.reads.last().unwrap().2,
        Position::After(_)
    ));
}

#[test]
fn x10_no_match_no_invocation() {
    let pattern = r#"{"label":["wanted"]}"#;
    let settings = json!({"FilterCriteria": {"Filters": [{"Pattern": pattern}]}});
    let mut harness = Harness::new(DynamoDb, settings);
    harness.put_all(&["a", "b"]);
    harness.enable();
    harness.pass(60_000);
    assert!(harness.invocations.is_empty() && harness.poller.is_idle());
}

#[test]
fn k1_a_shard_of_kinesis_is_read_once_a_second() {
    let mut harness = Harness::new(Kinesis, json!({}));
    harness.enable();
    harness.pass(3_500);
    let times: Vec<_> = harness.reads.iter().map(|read| read.0 - START).collect();
    assert_eq!(times, [0, 1_000, 2_000, 3_000]);
    assert_eq!(harness.reads[0].3, 10_000);
}

#[test]
fn k2_starts_reading_at_the_timestamp() {
    let at = (START + 500) as f64 / 1_000.0;
    let settings = json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": at});
    let mut harness = Harness::new(Kinesis, settings);
    harness.put("before");
    harness.now += 500;
    harness.put("after");
    harness.enable();
    harness.pass(2_000);
    assert_eq!(harness.batches(), ["after"]);
}

#[test]
fn x11_a_new_window_opens_when_the_previous_invocation_completes() {
    let settings = json!({"MaximumBatchingWindowInSeconds": 3});
    let mut harness = Harness::new(DynamoDb, settings);
    harness.run = 1_000;
    harness.enable();
    harness.put("a");
    harness.pass(4_500);
    // Invoked at 3,000 and completed at 4,000, so the window that opened then ends at 7,000.
    harness.put("b");
    harness.pass(20_000);
    assert_eq!(harness.times(), [3_000, 7_000]);
}

#[test]
fn x11_a_window_that_ended_without_a_record_opens_with_the_next() {
    let settings = json!({"MaximumBatchingWindowInSeconds": 3});
    let mut harness = Harness::new(DynamoDb, settings);
    harness.enable();
    harness.put("a");
    harness.pass(20_000);
    harness.put("b");
    harness.pass(20_000);
    // It was read shortly after it was put.
    assert_eq!(harness.times(), [3_000, 23_250]);
}

#[test]
fn q17_reads_new_shards_from_their_start() {
    let mut harness = Harness::new(Kinesis, json!({"StartingPosition": "LATEST"}));
    harness.put("old");
    harness.enable();
    harness.pass(2_500);
    harness.stream.split(harness.now, SHARD).unwrap();
    harness.put("a");
    harness.put("b");
    harness.pass(20_000);
    let mut labels: Vec<char> = harness.batches().concat().chars().collect();
    labels.sort_unstable();
    assert_eq!(labels, ['a', 'b']);
}

#[test]
fn retries_failed_listing_and_read_without_loss() {
    let mut harness = Harness::new(DynamoDb, json!({}));
    harness.failing_lists = 3;
    harness.failing_reads = 3;
    harness.put_all(&["a", "b"]);
    harness.enable();
    harness.pass(5_000);
    assert_eq!(harness.batches(), ["ab"]);
    let gaps: Vec<_> = harness
        .lists
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    assert_eq!(gaps, [100, 200, 400], "back-off (Q6)");
    let failed = |finding: &&Finding| matches!(finding, Finding::ReadFailed { .. });
    assert_eq!(harness.findings.iter().filter(failed).count(), 3);
}

#[test]
fn q21_poller_compares_numbers_by_spelling_or_by_value() {
    for (numbers_by_value, delivered) in [(false, 1), (true, 2)] {
        let choices = Choices {
            numbers_by_value,
            ..Choices::default_outcomes()
        };
        let settings = json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"n": [300]}"#}]}});
        let mut harness = Harness::with(DynamoDb, settings, choices);
        for n in ["300", "300.0", "301"] {
            harness.stream.put(START, n, |_, number| {
                format!(r#"{{"label": "{n}", "number": "{number}", "n": {n}}}"#)
            });
        }
        harness.enable();
        harness.pass(5_000);
        let labels = harness.invocations.iter().flat_map(|seen| &seen.labels);
        assert_eq!(labels.count(), delivered);
    }
}
