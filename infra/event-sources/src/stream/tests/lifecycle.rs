//! Enabling, disabling, and other settings (X12, Q13).

use serde_json::json;

use super::bench::*;
use crate::choices::Choices;
use crate::mapping::State;
use crate::mapping::StreamKind::DynamoDb;
use crate::stream::Input;

#[test]
fn x12_nothing_is_read_before_the_mapping_is_enabled() {
    let mut bench = Bench::new(DynamoDb, json!({}));
    bench.put("a");
    bench.tell(Input::Wake);
    bench.pass(60_000);
    assert!(bench.reads.is_empty() && bench.lists.is_empty());
    assert_eq!(bench.poller.next_wakeup(), None);
}

#[test]
fn x12_a_stream_that_is_enabled_again_resumes_behind_its_last_record() {
    let mut bench = Bench::new(DynamoDb, json!({"StartingPosition": "LATEST"}));
    bench.enable();
    bench.pass(1_000);
    bench.put("a");
    bench.pass(1_000);
    bench.tell(Input::Disable);
    bench.pass(1_000);
    assert_eq!(bench.poller.state(), State::Disabled);
    let reads = bench.reads.len();
    bench.put("b");
    bench.pass(60_000);
    assert_eq!(bench.reads.len(), reads, "silence");
    bench.enable();
    bench.pass(1_000);
    assert_eq!(bench.batches(), ["a", "b"]);
}

#[test]
fn q13_the_result_of_a_run_under_way_is_honoured_or_by_choice_ignored() {
    for (ignore_in_flight_on_change, expected) in
        [(false, vec!["ab", "c"]), (true, vec!["ab", "ab", "c"])]
    {
        let choices = Choices {
            ignore_in_flight_on_change,
            ..Choices::default_outcomes()
        };
        let mut bench = Bench::with(DynamoDb, json!({"BatchSize": 2}), choices);
        bench.run = 5_000;
        bench.put_all(&["a", "b", "c"]);
        bench.enable();
        bench.pass(1_000);
        bench.tell(Input::Disable);
        let state = bench.poller.state();
        assert_eq!(state == State::Disabling, !ignore_in_flight_on_change);
        bench.pass(10_000);
        assert_eq!(bench.batches(), ["ab"], "nothing new is invoked");
        assert_eq!(bench.poller.state(), State::Disabled);
        assert!(bench.poller.is_idle());
        bench.enable();
        bench.pass(20_000);
        assert_eq!(bench.batches(), expected);
    }
}

#[test]
fn x12_a_mapping_can_be_enabled_again_while_it_is_disabling() {
    let mut bench = Bench::new(DynamoDb, json!({"BatchSize": 1}));
    bench.run = 5_000;
    bench.put_all(&["a", "b"]);
    bench.enable();
    bench.pass(1_000);
    bench.tell(Input::Disable);
    bench.enable();
    bench.pass(20_000);
    assert_eq!(
        (bench.batches(), bench.poller.state()),
        (vec!["a".to_owned(), "b".to_owned()], State::Enabled)
    );
}

#[test]
fn x12_changed_settings_hold_when_what_is_in_flight_has_ended() {
    let mut bench = Bench::new(DynamoDb, json!({"BatchSize": 2}));
    bench.run = 1_000;
    bench.put_all(&["a", "b", "c", "d", "e"]);
    bench.enable();
    bench.pass(500);
    let changed = mapping(
        DynamoDb,
        json!({"BatchSize": 10, "ParallelizationFactor": 1}),
    );
    bench.tell(Input::Reconfigure(changed));
    assert_eq!(bench.poller.state(), State::Updating);
    bench.pass(10_000);
    assert_eq!(bench.batches(), ["ab", "cde"]);
    assert_eq!(bench.poller.state(), State::Enabled);
}

#[test]
fn x12_a_disabled_mapping_stays_disabled_through_a_change() {
    let mut bench = Bench::new(DynamoDb, json!({}));
    bench.enable();
    bench.tell(Input::Disable);
    bench.pass(1_000);
    bench.tell(Input::Reconfigure(mapping(
        DynamoDb,
        json!({"BatchSize": 1}),
    )));
    bench.put_all(&["a", "b"]);
    bench.pass(10_000);
    assert_eq!(
        (bench.batches().len(), bench.poller.state()),
        (0, State::Disabled)
    );
    bench.enable();
    bench.pass(10_000);
    assert_eq!(bench.batches(), ["a", "b"]);
}

#[test]
fn q13_a_failure_that_is_honoured_after_a_disable_comes_again_after_the_enable() {
    let mut first = true;
    let mut bench = Bench::new(DynamoDb, json!({})).function(move |_| {
        if std::mem::replace(&mut first, false) {
            error()
        } else {
            ok()
        }
    });
    bench.run = 5_000;
    bench.put("a");
    bench.enable();
    bench.pass(1_000);
    bench.tell(Input::Disable);
    bench.pass(60_000);
    assert_eq!(bench.batches(), ["a"]);
    bench.enable();
    bench.pass(60_000);
    assert_eq!(bench.batches(), ["a", "a"]);
}
