//! Checkpoints, and what is retried when a poller is lost.

use serde_json::json;

use super::harness::*;
use crate::choices::Choices;
use crate::mapping::StreamKind::DynamoDb;
use crate::stream::Finding;

#[test]
fn d8_lost_poller_resumes_at_the_checkpoint() {
    let settings = json!({"BatchSize": 2});
    let mut harness = Harness::new(DynamoDb, settings.clone());
    harness.run = 1_000;
    harness.put_all(&["a", "b", "c", "d"]);
    harness.enable();
    harness.pass(1_500);
    assert_eq!(harness.batches(), ["ab", "cd"]);
    // "cd" is in flight, so its result is unknown.
    harness.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    harness.enable();
    harness.pass(10_000);
    assert_eq!(harness.batches(), ["ab", "cd", "cd"]);
}

#[test]
fn d13_records_before_the_lowest_failure_are_not_retried() {
    let settings = json!({});
    let mut harness =
        Harness::new(DynamoDb, settings.clone()).function(|invocation| invocation.failing(&["c"]));
    harness.put_all(&["a", "b", "c", "d"]);
    harness.enable();
    harness.pass(1_000);
    harness.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    harness.enable();
    harness.pass(1_000);
    let batches = harness.batches();
    assert_eq!(batches[0], "abcd");
    assert!(
        batches.len() > 4 && batches[1..].iter().all(|batch| batch == "cd"),
        "{batches:?}"
    );
}

#[test]
fn q11_lost_poller_redelivers_the_work_of_other_lanes() {
    let settings = json!({"BatchSize": 1, "ParallelizationFactor": 8});
    let mut harness = Harness::new(DynamoDb, settings.clone()).function(|invocation| {
        if invocation.has("poison") {
            error()
        } else {
            ok()
        }
    });
    harness.put("before");
    harness.enable();
    harness.pass(1_000);
    harness.put("poison");
    let others: Vec<String> = (0..30).map(|n| format!("{n} ")).collect();
    others.iter().for_each(|label| drop(harness.put(label)));
    harness.pass(60_000);
    let of =
        |harness: &Harness, label: &str| harness.batches().iter().filter(|l| *l == label).count();
    let went: Vec<_> = others
        .iter()
        .filter(|label| of(&harness, label) == 1)
        .collect();
    assert!(went.len() > 15, "only the lane of the poison record stands");
    harness.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    harness.enable();
    harness.pass(60_000);
    assert_eq!(of(&harness, "before"), 1);
    assert!(went.iter().all(|label| of(&harness, label) == 2));
}

#[test]
fn q10_record_trimmed_during_retries_causes_no_failure_record() {
    let settings = to_queue(json!({}));
    let mut harness = Harness::new(DynamoDb, settings.clone()).function(|_| error());
    harness.put("a");
    harness.enable();
    harness.pass(1_000);
    harness.now += crate::shards::DYNAMODB_RETENTION;
    harness.stream.trim(harness.now);
    harness.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    let tried = harness.invocations.len();
    harness.enable();
    harness.pass(60_000);
    assert_eq!(
        (harness.invocations.len(), harness.failure_records.len()),
        (tried, 0)
    );
}

#[test]
fn d6_a_finished_shard_is_not_read_again_by_a_resumed_poller() {
    let mut harness = Harness::new(DynamoDb, json!({}));
    harness.put("a");
    harness
        .stream
        .split(harness.now, "shardId-000000000000")
        .unwrap();
    harness.enable();
    harness.pass(1_000);
    let finished = |finding: &&Finding| matches!(finding, Finding::ShardFinished { .. });
    assert_eq!(harness.findings.iter().filter(finished).count(), 1);
    harness.lose_poller(mapping(DynamoDb, json!({})), Choices::default_outcomes());
    harness.put("b");
    harness.enable();
    harness.pass(1_000);
    assert_eq!(harness.batches(), ["a", "b"]);
}
