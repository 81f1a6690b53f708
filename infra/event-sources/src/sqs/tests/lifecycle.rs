//! X12, Q13, Q14: enabling, disabling and changing a mapping, and calls that fail.

use serde_json::json;

use super::harness::*;
use crate::choices::Choices;
use crate::mapping::State;
use crate::sqs::{Action, CallId, Finding, Input, InvocationId, ReleaseCause};

fn ignoring() -> Choices {
    Choices {
        ignore_in_flight_on_change: true,
        ..Choices::default_outcomes()
    }
}

/// A harness whose function takes five seconds.
fn slow(choices: Choices) -> Harness {
    Harness::new(standard(30 * SECOND), json!({}), choices, |_, _| {
        (success(), 5 * SECOND)
    })
}

#[test]
fn x12_nothing_is_polled_before_the_mapping_is_enabled() {
    let mut harness = slow(Choices::default_outcomes());
    harness.send(&["a"]);
    harness.pass(60 * SECOND);
    assert!(harness.receives.is_empty());
    assert_eq!(harness.poller.state(), State::Creating);
    harness.enable();
    assert_eq!(harness.poller.state(), State::Enabled);
    harness.pass(10 * SECOND);
    assert!(harness.queue.is_empty());
}

#[test]
fn x12_disabled_mapping_completes_received_messages_then_stops() {
    let mut harness = slow(Choices::default_outcomes());
    harness.send(&["a"]);
    harness.run(SECOND);
    harness.input(Input::Disable);
    assert_eq!(harness.poller.state(), State::Disabling);
    harness.pass(60 * SECOND);
    assert_eq!(harness.poller.state(), State::Disabled);
    assert!(
        harness.queue.is_empty(),
        "the run that was under way was honoured"
    );
    harness.send(&["b"]);
    harness.pass(60 * SECOND);
    assert_eq!(
        (harness.seen.len(), harness.poller.in_flight().receives),
        (1, 0)
    );
    harness.enable();
    harness.pass(10 * SECOND);
    assert_eq!(harness.batches(), [["a"], ["b"]]);
}

#[test]
fn x12_receive_in_flight_at_disable_is_still_invoked() {
    let mut harness = slow(Choices::default_outcomes());
    harness.run(SECOND);
    harness.input(Input::Disable);
    harness.send(&["a"]);
    harness.pass(60 * SECOND);
    assert_eq!(
        (harness.batches(), harness.poller.state()),
        (vec![vec!["a".to_owned()]], State::Disabled)
    );
}

#[test]
fn x12_a_mapping_can_be_enabled_again_while_it_is_disabling() {
    let mut harness = slow(Choices::default_outcomes());
    harness.send(&["a"]);
    harness.run(SECOND);
    harness.input(Input::Disable);
    harness.enable();
    harness.send(&["b"]);
    harness.pass(30 * SECOND);
    assert_eq!(
        (harness.poller.state(), harness.batches().concat()),
        (State::Enabled, vec!["a".to_owned(), "b".to_owned()])
    );
}

#[test]
fn x12_changed_settings_apply_to_the_next_batch() {
    let mut harness = slow(Choices::default_outcomes());
    harness.send(&["a", "b", "c"]);
    harness.run(SECOND);
    harness.input(Input::Reconfigure(mapping(
        false,
        json!({ "BatchSize": 1 }),
    )));
    harness.send(&["d", "e"]);
    // The waiting receives were started with the old settings.
    harness.pass(60 * SECOND);
    harness.send(&["f", "g"]);
    harness.pass(60 * SECOND);
    assert_eq!(harness.batch_sizes()[0], 3);
    assert_eq!(harness.batch_sizes()[1..], [1, 1, 1, 1]);
    assert!(harness.queue.is_empty());
}

#[test]
fn x12_a_disabled_mapping_stays_disabled_through_a_change() {
    let mut harness = slow(Choices::default_outcomes());
    harness.run(SECOND);
    harness.input(Input::Disable);
    harness.pass(60 * SECOND);
    harness.input(Input::Reconfigure(mapping(
        false,
        json!({ "BatchSize": 1 }),
    )));
    harness.send(&["a"]);
    harness.pass(60 * SECOND);
    assert_eq!(
        (harness.poller.state(), harness.seen.len()),
        (State::Disabled, 0)
    );
}

#[test]
fn x12_response_is_parsed_with_the_settings_of_its_batch() {
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(30 * SECOND), reporting(), choices, |_, event| {
        (failures(&event.message_ids()), 5 * SECOND)
    });
    harness.send(&["a"]);
    harness.run(SECOND);
    harness.input(Input::Reconfigure(mapping(false, json!({}))));
    harness.pass(10 * SECOND);
    assert!(harness.deleted.is_empty() && harness.queue.len() == 1);
}

#[test]
fn q13_ignores_result_in_flight_and_redelivers_if_chosen() {
    for change in [
        Input::Disable,
        Input::Reconfigure(mapping(false, json!({}))),
    ] {
        let mut harness = slow(ignoring());
        harness.send(&["a"]);
        harness.run(SECOND);
        harness.input(change);
        harness.pass(10 * SECOND);
        assert!(
            harness.deleted.is_empty(),
            "the successful result is ignored"
        );
        assert_eq!(
            harness.found(|finding| matches!(
                finding,
                Finding::Released {
                    cause: ReleaseCause::MappingChanged,
                    ..
                }
            )),
            1
        );
        harness.enable();
        harness.pass(60 * SECOND);
        assert_eq!(
            (harness.batches(), harness.times()),
            (vec![vec!["a".to_owned()]; 2], vec![0, 30 * SECOND])
        );
        assert!(harness.queue.is_empty());
    }
}

#[test]
fn q14_failed_deletes_redeliver_messages_if_chosen() {
    let choices = Choices {
        delete_fails_one_in: 2,
        ..Choices::default_outcomes()
    };
    let mut harness = Harness::new(standard(30 * SECOND), json!({}), choices, |_, _| {
        (success(), 0)
    });
    let bodies: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let ids = harness.send(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    harness.run(SECOND);
    let left = harness.queue.len();
    assert!(0 < left && left < 40, "{left} of 40");
    assert!(harness.found(|finding| matches!(finding, Finding::DeleteFailed { .. })) > 0);
    harness.pass(3_600 * SECOND);
    assert!(harness.queue.is_empty());
    assert_eq!(harness.deleted_ids(), set(&ids));
    assert!(harness.batches().concat().len() > 40);
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
    let mut harness = slow(Choices::default_outcomes());
    harness.enable();
    let before = harness.poller.in_flight();
    harness.input(Input::Received {
        call: CallId(999),
        messages: Vec::new(),
    });
    harness.input(Input::ReceiveFailed { call: CallId(999) });
    harness.input(Input::Invoked {
        invocation: InvocationId(999),
        outcome: success(),
    });
    harness.input(Input::Deleted { call: CallId(999) });
    assert_eq!(harness.poller.in_flight(), before);
    assert!(harness.findings.is_empty());
}

#[test]
fn debug_output_contains_no_body() {
    let mut harness = Harness::instant(standard(30 * SECOND), reporting(), |event| {
        failures(&event.message_ids())
    });
    harness.send(&["canary"]);
    let handled = harness.queue.receive(START, 1);
    assert!(!format!("{handled:?}").contains("canary"));
    let poller = &mut harness.poller;
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
