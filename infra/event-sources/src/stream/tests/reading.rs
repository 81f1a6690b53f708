//! What is read, when, and what becomes a batch.

use serde_json::json;

use super::bench::*;
use crate::choices::Choices;
use crate::mapping::StreamKind::{DynamoDb, Kinesis};
use crate::shards::{Stream, StreamSettings};
use crate::sqs::MAX_EVENT_BYTES;
use crate::stream::{Finding, Position, StreamPoller};

const SHARD: &str = "shardId-000000000000";

#[test]
fn d1_a_shard_is_read_four_times_a_second_and_has_one_batch_in_flight() {
    let mut bench = Bench::new(DynamoDb, json!({"BatchSize": 1}));
    bench.run = 5_000;
    bench.enable();
    bench.put_all(&["a", "b"]);
    bench.pass(900);
    let times: Vec<_> = bench.reads.iter().map(|read| read.0 - START).collect();
    assert_eq!(times, [0], "no more is wanted than the next batch");
    assert_eq!(bench.reads[0].3, 1_000);
    bench.pass(20_000);
    assert_eq!(bench.batches(), ["a", "b"]);
    assert_eq!(bench.most_at_once, 1);
    let times: Vec<_> = bench.reads.iter().map(|read| read.0).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 250));
    assert!(times.windows(2).any(|pair| pair[1] - pair[0] == 250));
}

#[test]
fn d1_a_batch_has_one_shards_records() {
    let stream = Stream::new(StreamSettings::documented(DynamoDb), 4, 0);
    let mapping = mapping(DynamoDb, json!({"MaximumBatchingWindowInSeconds": 1}));
    let mut bench = Bench::over(
        stream,
        StreamPoller::new(mapping, Choices::default_outcomes()),
    );
    let mut shard_of = std::collections::BTreeMap::new();
    for n in 0..40 {
        let label = format!("{n} ");
        let (shard, _) = bench.put(&label);
        shard_of.insert(label, shard);
    }
    bench.enable();
    bench.pass(5_000);
    assert_eq!(bench.invocations.len(), 4);
    for invocation in &bench.invocations {
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
    let mut bench = Bench::new(DynamoDb, json!({}));
    let settings = StreamSettings {
        empty_one_in: 2,
        ..StreamSettings::documented(DynamoDb)
    };
    bench.stream = Stream::new(settings, 1, 3);
    bench.put_all(&["a", "b"]);
    bench.enable();
    bench.pass(10_000);
    assert_eq!(bench.batches(), ["ab"]);
}

#[test]
fn d2_a_batch_has_batch_size_records_at_most() {
    let mut bench = Bench::new(DynamoDb, json!({"BatchSize": 2}));
    bench.put_all(&["a", "b", "c", "d", "e"]);
    bench.enable();
    bench.pass(5_000);
    assert_eq!(bench.batches(), ["ab", "cd", "e"]);
}

#[test]
fn d3_without_a_window_whatever_was_read_is_invoked_at_once() {
    let mut bench = Bench::new(DynamoDb, json!({}));
    bench.put("a");
    bench.enable();
    bench.pass(0);
    assert_eq!(
        (bench.batches(), bench.times()),
        (vec!["a".to_owned()], vec![0])
    );
}

#[test]
fn d3_a_window_ends_with_its_time_or_a_full_batch() {
    let settings = json!({"BatchSize": 3, "MaximumBatchingWindowInSeconds": 2});
    let mut bench = Bench::new(DynamoDb, settings);
    bench.enable();
    bench.put_all(&["a", "b"]);
    bench.pass(2_250);
    assert_eq!(
        (bench.batches(), bench.times()),
        (vec!["ab".to_owned()], vec![2_000])
    );
    bench.put_all(&["c", "d", "e"]);
    bench.pass(250);
    assert_eq!(bench.batches(), ["ab", "cde"]);
}

#[test]
fn d3_an_event_never_exceeds_six_megabytes() {
    let mut bench = Bench::new(Kinesis, json!({"MaximumBatchingWindowInSeconds": 60}));
    for label in ["a", "b", "c", "d"] {
        bench.put_padded(label, label, 2 * 1024 * 1024);
    }
    bench.enable();
    bench.pass(3_000);
    assert_eq!(bench.batches(), ["ab"], "full before its window ends");
    bench.pass(120_000);
    assert_eq!(bench.batches(), ["ab", "cd"]);
    assert!(
        bench
            .invocations
            .iter()
            .all(|invocation| invocation.bytes <= MAX_EVENT_BYTES)
    );
    bench.put_padded("e", "e", MAX_EVENT_BYTES);
    bench.pass(120_000);
    assert_eq!(
        bench.batches().last().unwrap(),
        "e",
        "one record always goes"
    );
}

#[test]
fn d4_latest_sees_what_comes_after_the_start_and_trim_horizon_everything() {
    for (position, expected) in [("LATEST", "bc"), ("TRIM_HORIZON", "abc")] {
        let mut bench = Bench::new(DynamoDb, json!({"StartingPosition": position}));
        bench.put("a");
        bench.enable();
        bench.pass(100);
        bench.put("b");
        // Nothing was read so far: the iterator is kept, or what came meanwhile would be passed over.
        bench.pass(1_000);
        bench.put("c");
        bench.pass(1_000);
        assert_eq!(bench.batches().concat(), expected, "{position}");
    }
}

#[test]
fn d5_records_arrive_once_and_in_order() {
    let mut bench = Bench::new(DynamoDb, json!({"BatchSize": 7}));
    bench.enable();
    let labels: Vec<String> = (0..100).map(|n| format!("{n} ")).collect();
    for label in &labels {
        bench.put(label);
        bench.pass(13);
    }
    bench.pass(5_000);
    assert_eq!(bench.batches().concat(), labels.concat());
}

#[test]
fn d6_a_parent_is_finished_before_its_children_are_read() {
    let mut bench = Bench::new(DynamoDb, json!({"MaximumRetryAttempts": -1}));
    let mut failures = 3;
    bench = bench.function(move |invocation| {
        failures -= i32::from(invocation.has("parent "));
        if invocation.has("parent ") && failures >= 0 {
            error()
        } else {
            ok()
        }
    });
    bench.put("parent ");
    bench.stream.split(bench.now, SHARD).unwrap();
    for n in 0..10 {
        bench.put(&format!("{n} "));
    }
    bench.enable();
    bench.pass(60_000);
    let shards: Vec<&str> = bench.invocations.iter().map(|i| i.shard.as_str()).collect();
    assert_eq!(shards[..4], [SHARD; 4], "three failures and a success");
    assert!(shards[4..].iter().all(|shard| *shard != SHARD) && shards.len() == 6);
    let finished = Finding::ShardFinished {
        shard: SHARD.to_owned(),
    };
    assert_eq!(bench.findings.iter().filter(|f| **f == finished).count(), 1);
}

#[test]
fn k4_children_of_a_merge_wait_for_both_parents() {
    let stream = Stream::new(StreamSettings::documented(Kinesis), 2, 0);
    let mapping = mapping(Kinesis, json!({}));
    let choices = Choices::default_outcomes();
    let mut bench = Bench::over(stream, StreamPoller::new(mapping, choices));
    let mut parents = std::collections::BTreeSet::new();
    for n in 0..10 {
        parents.insert(bench.put(&format!("p{n} ")).0);
    }
    assert_eq!(parents.len(), 2);
    let mut parents = parents.into_iter();
    let (low, high) = (parents.next().unwrap(), parents.next().unwrap());
    let slow = high.clone();
    let mut failures = 5;
    bench = bench.function(move |invocation| {
        failures -= i32::from(invocation.shard == slow);
        if invocation.shard == slow && failures >= 0 {
            error()
        } else {
            ok()
        }
    });
    let child = bench.stream.merge(bench.now, &low, &high).unwrap();
    bench.put("child ");
    bench.enable();
    bench.pass(60_000);
    assert_eq!(bench.invocations.last().unwrap().shard, child);
    assert_eq!(
        bench
            .invocations
            .iter()
            .filter(|i| i.shard == child)
            .count(),
        1
    );
    assert_eq!(bench.invocations.len(), 1 + 6 + 1);
}

#[test]
fn d6_a_parent_that_the_stream_has_forgotten_holds_nobody() {
    let mut bench = Bench::new(DynamoDb, json!({}));
    bench.stream.split(bench.now, SHARD).unwrap();
    bench.now += crate::shards::DYNAMODB_RETENTION + 1;
    bench.stream.trim(bench.now);
    bench.put("a");
    bench.enable();
    bench.pass(1_000);
    assert_eq!(bench.batches(), ["a"]);
}

#[test]
fn d7_lanes_run_side_by_side_and_keep_the_order_of_each_key() {
    let settings = json!({"BatchSize": 1, "ParallelizationFactor": 4});
    let mut bench = Bench::new(DynamoDb, settings);
    bench.run = 1_000;
    for n in 0..3 {
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            bench.put_keyed(key, &format!("{key}{n}"));
        }
    }
    bench.enable();
    bench.pass(60_000);
    assert_eq!(bench.invocations.len(), 24);
    assert!(
        (2..=4).contains(&bench.most_at_once),
        "{}",
        bench.most_at_once
    );
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let of_key: Vec<_> = bench
            .batches()
            .into_iter()
            .filter(|l| l.starts_with(key))
            .collect();
        assert_eq!(of_key, [0, 1, 2].map(|n| format!("{key}{n}")));
    }
}

#[test]
fn k7_lanes_go_by_partition_key() {
    let mut bench = Bench::new(
        Kinesis,
        json!({"BatchSize": 1, "ParallelizationFactor": 10}),
    );
    bench.run = 500;
    for n in 0..5 {
        bench.put_keyed("same", &n.to_string());
    }
    bench.enable();
    bench.pass(60_000);
    assert_eq!(
        (bench.batches().concat().as_str(), bench.most_at_once),
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
        let mut bench = Bench::with(DynamoDb, settings, choices);
        bench.put_all(&["a", "b", "c", "d", "e", "f"]);
        bench.enable();
        bench.pass(5_000);
        bench.batches()
    };
    assert_eq!(lanes(1), lanes(1));
    assert!((2..20).any(|seed| lanes(seed) != lanes(1)));
}

#[test]
fn d19_a_poison_record_holds_its_shard_as_long_as_the_stream_keeps_it() {
    let mut bench = Bench::new(DynamoDb, json!({"BatchSize": 1})).function(|invocation| {
        if invocation.has("poison") {
            error()
        } else {
            ok()
        }
    });
    bench.put_all(&["poison", "next"]);
    bench.enable();
    bench.pass(23 * 3_600_000);
    assert!(bench.invocations.len() > 8_000);
    assert!(
        bench
            .invocations
            .iter()
            .all(|invocation| invocation.has("poison"))
    );
}

#[test]
fn d20_reading_resumes_behind_the_checkpoint_after_its_iterator_expired() {
    let mut bench = Bench::new(DynamoDb, json!({}));
    bench.put("a");
    bench.enable();
    bench.pass(1_000);
    let (_, position) = (bench.reads.len(), bench.reads.last().unwrap().2.clone());
    assert!(matches!(position, Position::After(_)));
    bench.run = 20 * 60_000;
    bench.put("b");
    bench.pass(1_000);
    bench.put("c");
    bench.pass(60 * 60_000);
    assert_eq!(bench.batches(), ["a", "b", "c"]);
}

#[test]
fn d20_reading_goes_on_from_the_oldest_record_where_the_checkpoint_is_trimmed() {
    let mut bench = Bench::new(DynamoDb, json!({}));
    bench.put("a");
    bench.enable();
    bench.pass(1_000);
    bench.tell(crate::stream::Input::Disable);
    bench.put("lost");
    bench.pass(crate::shards::DYNAMODB_RETENTION + 1_000);
    bench.stream.trim(bench.now);
    bench.put("b");
    bench.enable();
    bench.pass(1_000);
    assert_eq!(bench.batches(), ["a", "b"]);
    assert!(bench.findings.contains(&Finding::Trimmed {
        shard: SHARD.to_owned()
    }));
}

#[test]
fn d24_what_the_filters_drop_is_passed_for_good_and_x10_does_not_count_towards_a_batch() {
    let pattern = r#"{"label":[{"anything-but":["x"]}]}"#;
    let settings = json!({
        "BatchSize": 2, "MaximumBatchingWindowInSeconds": 5,
        "FilterCriteria": {"Filters": [{"Pattern": pattern}]},
    });
    let mut bench = Bench::new(DynamoDb, settings.clone());
    bench.put_all(&["x", "a", "x", "x", "b", "x"]);
    bench.enable();
    bench.pass(1_000);
    assert_eq!(bench.batches(), ["ab"], "full without its window");
    let dropped = Finding::Filtered {
        shard: SHARD.to_owned(),
        count: 4,
    };
    assert!(bench.findings.contains(&dropped));
    // Lost and found again: nothing of it comes back.
    bench.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    bench.enable();
    bench.pass(10_000);
    assert_eq!(bench.batches(), ["ab"]);
    assert!(matches!(bench.reads.last().unwrap().2, Position::After(_)));
}

#[test]
fn x10_no_match_no_invocation() {
    let pattern = r#"{"label":["wanted"]}"#;
    let settings = json!({"FilterCriteria": {"Filters": [{"Pattern": pattern}]}});
    let mut bench = Bench::new(DynamoDb, settings);
    bench.put_all(&["a", "b"]);
    bench.enable();
    bench.pass(60_000);
    assert!(bench.invocations.is_empty() && bench.poller.is_idle());
}

#[test]
fn k1_a_shard_of_kinesis_is_read_once_a_second() {
    let mut bench = Bench::new(Kinesis, json!({}));
    bench.enable();
    bench.pass(3_500);
    let times: Vec<_> = bench.reads.iter().map(|read| read.0 - START).collect();
    assert_eq!(times, [0, 1_000, 2_000, 3_000]);
    assert_eq!(bench.reads[0].3, 10_000);
}

#[test]
fn k2_a_timestamp_is_where_reading_starts() {
    let at = (START + 500) as f64 / 1_000.0;
    let settings = json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": at});
    let mut bench = Bench::new(Kinesis, settings);
    bench.put("before");
    bench.now += 500;
    bench.put("after");
    bench.enable();
    bench.pass(2_000);
    assert_eq!(bench.batches(), ["after"]);
}

#[test]
fn x11_a_new_window_opens_when_the_previous_invocation_completes() {
    let settings = json!({"MaximumBatchingWindowInSeconds": 3});
    let mut bench = Bench::new(DynamoDb, settings);
    bench.run = 1_000;
    bench.enable();
    bench.put("a");
    bench.pass(4_500);
    // Invoked at 3,000, completed at 4,000: the window that then opened ends at 7,000.
    bench.put("b");
    bench.pass(20_000);
    assert_eq!(bench.times(), [3_000, 7_000]);
}

#[test]
fn x11_a_window_that_ended_without_a_record_opens_with_the_next() {
    let settings = json!({"MaximumBatchingWindowInSeconds": 3});
    let mut bench = Bench::new(DynamoDb, settings);
    bench.enable();
    bench.put("a");
    bench.pass(20_000);
    bench.put("b");
    bench.pass(20_000);
    // It was read a moment after it was put.
    assert_eq!(bench.times(), [3_000, 23_250]);
}

#[test]
fn q17_shards_that_are_found_later_are_read_from_their_start() {
    let mut bench = Bench::new(Kinesis, json!({"StartingPosition": "LATEST"}));
    bench.put("old");
    bench.enable();
    bench.pass(2_500);
    bench.stream.split(bench.now, SHARD).unwrap();
    bench.put("a");
    bench.put("b");
    bench.pass(20_000);
    let mut labels: Vec<char> = bench.batches().concat().chars().collect();
    labels.sort_unstable();
    assert_eq!(labels, ['a', 'b']);
}

#[test]
fn a_failed_listing_or_read_is_tried_again_later_and_loses_nothing() {
    let mut bench = Bench::new(DynamoDb, json!({}));
    bench.failing_lists = 3;
    bench.failing_reads = 3;
    bench.put_all(&["a", "b"]);
    bench.enable();
    bench.pass(5_000);
    assert_eq!(bench.batches(), ["ab"]);
    let gaps: Vec<_> = bench
        .lists
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    assert_eq!(gaps, [100, 200, 400], "back-off (Q6)");
    let failed = |finding: &&Finding| matches!(finding, Finding::ReadFailed { .. });
    assert_eq!(bench.findings.iter().filter(failed).count(), 3);
}
