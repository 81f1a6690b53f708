//! X12, Q13, Q14: enabling, disabling and changing a mapping, and calls that fail.

use serde_json::json;

use super::bench::*;
use crate::choices::Choices;
use crate::mapping::State;
use crate::sqs::{Action, CallId, Finding, Input, InvocationId, LetGo};

fn ignoring() -> Choices {
    Choices {
        ignore_in_flight_on_change: true,
        ..Choices::default_outcomes()
    }
}

/// A bench whose function takes five seconds.
fn slow(choices: Choices) -> Bench {
    Bench::new(standard(30 * SECOND), json!({}), choices, |_, _| {
        (success(), 5 * SECOND)
    })
}

#[test]
fn x12_nothing_is_polled_before_the_mapping_is_enabled() {
    let mut bench = slow(Choices::default_outcomes());
    bench.send(&["a"]);
    bench.pass(60 * SECOND);
    assert!(bench.receives.is_empty());
    assert_eq!(bench.poller.state(), State::Creating);
    bench.enable();
    assert_eq!(bench.poller.state(), State::Enabled);
    bench.pass(10 * SECOND);
    assert!(bench.queue.is_empty());
}

#[test]
fn x12_a_disabled_mapping_ends_what_it_has_received_then_stands_still() {
    let mut bench = slow(Choices::default_outcomes());
    bench.send(&["a"]);
    bench.run(SECOND);
    bench.input(Input::Disable);
    assert_eq!(bench.poller.state(), State::Disabling);
    bench.pass(60 * SECOND);
    assert_eq!(bench.poller.state(), State::Disabled);
    assert!(
        bench.queue.is_empty(),
        "the run that was under way was honoured"
    );
    bench.send(&["b"]);
    bench.pass(60 * SECOND);
    assert_eq!(
        (bench.seen.len(), bench.poller.in_flight().receives),
        (1, 0)
    );
    bench.enable();
    bench.pass(10 * SECOND);
    assert_eq!(bench.batches(), [["a"], ["b"]]);
}

#[test]
fn x12_messages_of_a_receive_that_outlives_the_disable_are_still_invoked() {
    let mut bench = slow(Choices::default_outcomes());
    bench.run(SECOND);
    bench.input(Input::Disable);
    bench.send(&["a"]);
    bench.pass(60 * SECOND);
    assert_eq!(
        (bench.batches(), bench.poller.state()),
        (vec![vec!["a".to_owned()]], State::Disabled)
    );
}

#[test]
fn x12_a_mapping_can_be_enabled_again_while_it_is_disabling() {
    let mut bench = slow(Choices::default_outcomes());
    bench.send(&["a"]);
    bench.run(SECOND);
    bench.input(Input::Disable);
    bench.enable();
    bench.send(&["b"]);
    bench.pass(30 * SECOND);
    assert_eq!(
        (bench.poller.state(), bench.batches().concat()),
        (State::Enabled, vec!["a".to_owned(), "b".to_owned()])
    );
}

#[test]
fn x12_changed_settings_hold_from_the_next_batch_on() {
    let mut bench = slow(Choices::default_outcomes());
    bench.send(&["a", "b", "c"]);
    bench.run(SECOND);
    bench.input(Input::Reconfigure(mapping(
        false,
        json!({ "BatchSize": 1 }),
    )));
    bench.send(&["d", "e"]);
    // The receives that were waiting were asked for under the old settings.
    bench.pass(60 * SECOND);
    bench.send(&["f", "g"]);
    bench.pass(60 * SECOND);
    assert_eq!(bench.batch_sizes()[0], 3);
    assert_eq!(bench.batch_sizes()[1..], [1, 1, 1, 1]);
    assert!(bench.queue.is_empty());
}

#[test]
fn x12_a_disabled_mapping_stays_disabled_through_a_change() {
    let mut bench = slow(Choices::default_outcomes());
    bench.run(SECOND);
    bench.input(Input::Disable);
    bench.pass(60 * SECOND);
    bench.input(Input::Reconfigure(mapping(
        false,
        json!({ "BatchSize": 1 }),
    )));
    bench.send(&["a"]);
    bench.pass(60 * SECOND);
    assert_eq!(
        (bench.poller.state(), bench.seen.len()),
        (State::Disabled, 0)
    );
}

#[test]
fn x12_an_answer_is_read_by_the_settings_its_batch_was_made_under() {
    let choices = Choices::default_outcomes();
    let mut bench = Bench::new(standard(30 * SECOND), reporting(), choices, |_, event| {
        (failures(&event.message_ids()), 5 * SECOND)
    });
    bench.send(&["a"]);
    bench.run(SECOND);
    bench.input(Input::Reconfigure(mapping(false, json!({}))));
    bench.pass(10 * SECOND);
    assert!(bench.deleted.is_empty() && bench.queue.len() == 1);
}

#[test]
fn q13_by_choice_the_result_of_a_run_under_way_is_ignored_and_its_messages_come_again() {
    for change in [
        Input::Disable,
        Input::Reconfigure(mapping(false, json!({}))),
    ] {
        let mut bench = slow(ignoring());
        bench.send(&["a"]);
        bench.run(SECOND);
        bench.input(change);
        bench.pass(10 * SECOND);
        assert!(
            bench.deleted.is_empty(),
            "the run ended well, and nobody took notice"
        );
        assert_eq!(
            bench.found(|finding| matches!(
                finding,
                Finding::LetGo {
                    cause: LetGo::MappingChanged,
                    ..
                }
            )),
            1
        );
        bench.enable();
        bench.pass(60 * SECOND);
        assert_eq!(
            (bench.batches(), bench.times()),
            (vec![vec!["a".to_owned()]; 2], vec![0, 30 * SECOND])
        );
        assert!(bench.queue.is_empty());
    }
}

#[test]
fn q14_by_choice_deletes_fail_after_a_success_and_the_messages_come_again() {
    let choices = Choices {
        delete_fails_one_in: 2,
        ..Choices::default_outcomes()
    };
    let mut bench = Bench::new(standard(30 * SECOND), json!({}), choices, |_, _| {
        (success(), 0)
    });
    let bodies: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let ids = bench.send(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    bench.run(SECOND);
    let left = bench.queue.len();
    assert!(0 < left && left < 40, "{left} of 40");
    assert!(bench.found(|finding| matches!(finding, Finding::DeleteFailed { .. })) > 0);
    bench.pass(3_600 * SECOND);
    assert!(bench.queue.is_empty());
    assert_eq!(bench.deleted_ids(), set(&ids));
    assert!(bench.batches().concat().len() > 40);
}

#[test]
fn a_failed_receive_pauses_polling_longer_each_time() {
    let mut poller = slow(Choices::default_outcomes()).poller;
    let mut now = START;
    let mut calls = receives(&poller.handle(now, Input::Enable));
    let mut pauses = Vec::new();
    for _ in 0..4 {
        for call in calls {
            assert!(receives(&poller.handle(now, Input::ReceiveFailed { call })).is_empty());
        }
        let next = poller.next_wakeup().unwrap();
        pauses.push(next - now);
        now = next;
        calls = receives(&poller.handle(now, Input::Wake));
        assert_eq!(calls.len(), 2);
    }
    assert_eq!(
        pauses,
        [100, 200, 400, 800],
        "two that fail side by side count once"
    );
}

fn receives(actions: &[Action]) -> Vec<CallId> {
    let call = |action: &Action| match action {
        Action::Receive { call, .. } => Some(*call),
        _ => None,
    };
    actions.iter().filter_map(call).collect()
}

#[test]
fn answers_to_unknown_calls_have_no_effect() {
    let mut bench = slow(Choices::default_outcomes());
    bench.enable();
    let before = bench.poller.in_flight();
    bench.input(Input::Received {
        call: CallId(999),
        messages: Vec::new(),
    });
    bench.input(Input::ReceiveFailed { call: CallId(999) });
    bench.input(Input::Invoked {
        invocation: InvocationId(999),
        outcome: success(),
    });
    bench.input(Input::Deleted { call: CallId(999) });
    assert_eq!(bench.poller.in_flight(), before);
    assert!(bench.findings.is_empty());
}

#[test]
fn nothing_that_is_logged_holds_a_body() {
    let mut bench = Bench::instant(standard(30 * SECOND), reporting(), |event| {
        failures(&event.message_ids())
    });
    bench.send(&["canary"]);
    let handled = bench.queue.receive(START, 1);
    assert!(!format!("{handled:?}").contains("canary"));
    let poller = &mut bench.poller;
    let call = receives(&poller.handle(START, Input::Enable))[0];
    let actions = poller.handle(
        START,
        Input::Received {
            call,
            messages: handled,
        },
    );
    assert!(matches!(&actions[0], Action::Invoke { payload, .. } if payload.contains("canary")));
    assert!(!format!("{actions:?}").contains("canary"));
}
