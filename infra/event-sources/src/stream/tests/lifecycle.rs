//! Enabling, disabling and changing a mapping (X12, Q13).

use serde_json::json;

use super::harness::*;
use crate::choices::Choices;
use crate::mapping::State;
use crate::mapping::StreamKind::DynamoDb;
use crate::stream::Input;

#[test]
fn x12_nothing_is_read_before_the_mapping_is_enabled() {
    let mut harness = Harness::new(DynamoDb, json!({}));
    harness.put("a");
    harness.input(Input::Wake);
    harness.pass(60_000);
    assert!(harness.reads.is_empty() && harness.lists.is_empty());
    assert_eq!(harness.poller.next_wakeup(), None);
}

#[test]
fn x12_reenabled_stream_resumes_at_its_checkpoint() {
    let mut harness = Harness::new(DynamoDb, json!({"StartingPosition": "LATEST"}));
    harness.enable();
    harness.pass(1_000);
    harness.put("a");
    harness.pass(1_000);
    harness.input(Input::Disable);
    harness.pass(1_000);
    assert_eq!(harness.poller.state(), State::Disabled);
    let reads = harness.reads.len();
    harness.put("b");
    harness.pass(60_000);
    assert_eq!(harness.reads.len(), reads, "silence");
    harness.enable();
    harness.pass(1_000);
    assert_eq!(harness.batches(), ["a", "b"]);
}

#[test]
fn q13_result_in_flight_counts_or_is_ignored() {
    for (ignore_in_flight_on_change, expected) in
        [(false, vec!["ab", "c"]), (true, vec!["ab", "ab", "c"])]
    {
        let choices = Choices {
            ignore_in_flight_on_change,
            ..Choices::default_outcomes()
        };
        let mut harness = Harness::with(DynamoDb, json!({"BatchSize": 2}), choices);
        harness.run = 5_000;
        harness.put_all(&["a", "b", "c"]);
        harness.enable();
        harness.pass(1_000);
        harness.input(Input::Disable);
        let state = harness.poller.state();
        assert_eq!(state == State::Disabling, !ignore_in_flight_on_change);
        harness.pass(10_000);
        assert_eq!(harness.batches(), ["ab"], "nothing new is invoked");
        assert_eq!(harness.poller.state(), State::Disabled);
        assert!(harness.poller.is_idle());
        harness.enable();
        harness.pass(20_000);
        assert_eq!(harness.batches(), expected);
    }
}

#[test]
fn x12_a_mapping_can_be_enabled_again_while_it_is_disabling() {
    let mut harness = Harness::new(DynamoDb, json!({"BatchSize": 1}));
    harness.run = 5_000;
    harness.put_all(&["a", "b"]);
    harness.enable();
    harness.pass(1_000);
    harness.input(Input::Disable);
    harness.enable();
    harness.pass(20_000);
    assert_eq!(
        (harness.batches(), harness.poller.state()),
        (vec!["a".to_owned(), "b".to_owned()], State::Enabled)
    );
}

#[test]
fn x12_changed_settings_apply_after_draining() {
    let mut harness = Harness::new(DynamoDb, json!({"BatchSize": 2}));
    harness.run = 1_000;
    harness.put_all(&["a", "b", "c", "d", "e"]);
    harness.enable();
    harness.pass(500);
    let changed = mapping(
        DynamoDb,
        json!({"BatchSize": 10, "ParallelizationFactor": 1}),
    );
    harness.input(Input::Reconfigure(changed));
    assert_eq!(harness.poller.state(), State::Updating);
    harness.pass(10_000);
    assert_eq!(harness.batches(), ["ab", "cde"]);
    assert_eq!(harness.poller.state(), State::Enabled);
}

#[test]
fn x12_a_disabled_mapping_stays_disabled_through_a_change() {
    let mut harness = Harness::new(DynamoDb, json!({}));
    harness.enable();
    harness.input(Input::Disable);
    harness.pass(1_000);
    harness.input(Input::Reconfigure(mapping(
        DynamoDb,
        json!({"BatchSize": 1}),
    )));
    harness.put_all(&["a", "b"]);
    harness.pass(10_000);
    assert_eq!(
        (harness.batches().len(), harness.poller.state()),
        (0, State::Disabled)
    );
    harness.enable();
    harness.pass(10_000);
    assert_eq!(harness.batches(), ["a", "b"]);
}

#[test]
fn q13_failure_after_disable_is_retried_after_enable() {
    let mut first = true;
    let mut harness = Harness::new(DynamoDb, json!({})).function(move |_| {
        if std::mem::replace(&mut first, false) {
            error()
        } else {
            ok()
        }
    });
    harness.run = 5_000;
    harness.put("a");
    harness.enable();
    harness.pass(1_000);
    harness.input(Input::Disable);
    harness.pass(60_000);
    assert_eq!(harness.batches(), ["a"]);
    harness.enable();
    harness.pass(60_000);
    assert_eq!(harness.batches(), ["a", "a"]);
}
