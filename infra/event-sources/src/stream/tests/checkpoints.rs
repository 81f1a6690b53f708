//! How far a shard is done with, and what comes again when a poller is lost.

use serde_json::json;

use super::bench::*;
use crate::choices::Choices;
use crate::mapping::StreamKind::DynamoDb;
use crate::stream::Finding;

#[test]
fn d8_a_lost_poller_resumes_behind_what_is_done_with() {
    let settings = json!({"BatchSize": 2});
    let mut bench = Bench::new(DynamoDb, settings.clone());
    bench.run = 1_000;
    bench.put_all(&["a", "b", "c", "d"]);
    bench.enable();
    bench.pass(1_500);
    assert_eq!(bench.batches(), ["ab", "cd"]);
    // "cd" is in flight: nobody knows what became of it.
    bench.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    bench.enable();
    bench.pass(10_000);
    assert_eq!(bench.batches(), ["ab", "cd", "cd"]);
}

#[test]
fn d13_what_came_before_the_lowest_failure_never_comes_again() {
    let settings = json!({});
    let mut bench =
        Bench::new(DynamoDb, settings.clone()).function(|invocation| invocation.failing(&["c"]));
    bench.put_all(&["a", "b", "c", "d"]);
    bench.enable();
    bench.pass(1_000);
    bench.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    bench.enable();
    bench.pass(1_000);
    let batches = bench.batches();
    assert_eq!(batches[0], "abcd");
    assert!(
        batches.len() > 4 && batches[1..].iter().all(|batch| batch == "cd"),
        "{batches:?}"
    );
}

#[test]
fn q11_other_lanes_go_on_and_a_lost_poller_delivers_what_they_did_again() {
    let settings = json!({"BatchSize": 1, "ParallelizationFactor": 8});
    let mut bench = Bench::new(DynamoDb, settings.clone()).function(|invocation| {
        if invocation.has("poison") {
            error()
        } else {
            ok()
        }
    });
    bench.put("before");
    bench.enable();
    bench.pass(1_000);
    bench.put("poison");
    let others: Vec<String> = (0..30).map(|n| format!("{n} ")).collect();
    others.iter().for_each(|label| drop(bench.put(label)));
    bench.pass(60_000);
    let of = |bench: &Bench, label: &str| bench.batches().iter().filter(|l| *l == label).count();
    let went: Vec<_> = others
        .iter()
        .filter(|label| of(&bench, label) == 1)
        .collect();
    assert!(went.len() > 15, "only the lane of the poison record stands");
    bench.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    bench.enable();
    bench.pass(60_000);
    assert_eq!(of(&bench, "before"), 1);
    assert!(went.iter().all(|label| of(&bench, label) == 2));
}

#[test]
fn q10_a_record_that_is_trimmed_while_it_is_tried_leaves_no_notice() {
    let settings = to_queue(json!({}));
    let mut bench = Bench::new(DynamoDb, settings.clone()).function(|_| error());
    bench.put("a");
    bench.enable();
    bench.pass(1_000);
    bench.now += crate::shards::DYNAMODB_RETENTION;
    bench.stream.trim(bench.now);
    bench.lose_poller(mapping(DynamoDb, settings), Choices::default_outcomes());
    let tried = bench.invocations.len();
    bench.enable();
    bench.pass(60_000);
    assert_eq!((bench.invocations.len(), bench.notices.len()), (tried, 0));
}

#[test]
fn d6_a_finished_shard_is_not_read_again_by_a_resumed_poller() {
    let mut bench = Bench::new(DynamoDb, json!({}));
    bench.put("a");
    bench
        .stream
        .split(bench.now, "shardId-000000000000")
        .unwrap();
    bench.enable();
    bench.pass(1_000);
    let finished = |finding: &&Finding| matches!(finding, Finding::ShardFinished { .. });
    assert_eq!(bench.findings.iter().filter(finished).count(), 1);
    bench.lose_poller(mapping(DynamoDb, json!({})), Choices::default_outcomes());
    bench.put("b");
    bench.enable();
    bench.pass(1_000);
    assert_eq!(bench.batches(), ["a", "b"]);
}
