//! Receives, batching windows and concurrency of standard queues: S1 to S5 and X11.

use super::harness::*;
use crate::choices::Choices;
use crate::invocation::MAX_EVENT_BYTES;
use crate::sqs::Action;
use serde_json::json;

#[test]
fn s1_receive_is_limited_to_ten_messages_and_twenty_seconds() {
    let settings = json!({ "BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 300 });
    let mut harness = Harness::instant(standard(400 * SECOND), settings, |_| success());
    send_numbered(&mut harness, 100);
    harness.run(400 * SECOND);
    for receive in &harness.receives {
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
    assert!(harness.receives.len() > 20, "it goes on polling");
}

#[test]
fn s1_batching_window_uses_up_visibility_timeout() {
    let settings = json!({ "MaximumBatchingWindowInSeconds": 10 });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |event| {
        if event.receive_counts() == ["1"] {
            error()
        } else {
            success()
        }
    });
    harness.send(&["a"]);
    harness.run(100 * SECOND);
    // Invoked at the end of the window, visible again 30 s after the receive (not after the failure), then in a new
    // window.
    assert_eq!(harness.times(), [10 * SECOND, 40 * SECOND]);
}

#[test]
fn s2_a_batch_has_batch_size_messages_at_most() {
    let settings = json!({ "BatchSize": 15, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    let ids = send_numbered(&mut harness, 40);
    harness.run(20 * SECOND);
    assert!(harness.batch_sizes().iter().all(|size| *size <= 15));
    assert_eq!(harness.deleted_ids(), set(&ids));
}

#[test]
fn s2_without_a_window_a_single_message_is_invoked_at_once() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |_| success());
    harness.send(&["a"]);
    harness.run(SECOND);
    assert_eq!(harness.times(), [0]);
}

#[test]
fn s3_a_full_batch_is_invoked_before_its_window_ends() {
    let settings = json!({ "BatchSize": 20, "MaximumBatchingWindowInSeconds": 10, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut harness = Harness::instant(standard(60 * SECOND), settings, |_| success());
    send_numbered(&mut harness, 30);
    harness.run(30 * SECOND);
    assert_eq!(harness.batch_sizes(), [20, 10]);
    assert_eq!(harness.times(), [0, 10 * SECOND]);
}

#[test]
fn s3_end_of_window_sends_partial_batch() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut harness = Harness::instant(standard(60 * SECOND), settings, |_| success());
    harness.send(&["a"]);
    harness.run(3 * SECOND);
    harness.send(&["b"]);
    harness.pass(20 * SECOND);
    let sent: Vec<String> = harness.batches().concat();
    assert_eq!(sent, ["a", "b"]);
    assert!(harness.times()[0] == 5 * SECOND && *harness.times().last().unwrap() <= 8 * SECOND);
}

#[test]
fn s3_event_never_exceeds_six_megabytes_including_metadata() {
    let settings = json!({ "BatchSize": 20, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let mut harness = Harness::instant(standard(60 * SECOND), settings, |_| success());
    let bodies: Vec<String> = (0..13).map(megabyte).collect();
    let ids = harness.send(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    harness.run(20 * SECOND);
    assert!(
        harness.batch_sizes().iter().all(|size| *size <= 6),
        "{:?}",
        harness.batch_sizes()
    );
    assert!(
        harness.batch_sizes().contains(&6) && harness.times()[0] == 0,
        "a full event does not wait for its window"
    );
    assert_eq!(harness.deleted_ids(), set(&ids));
    for seen in &harness.seen {
        let payload = json!({ "Records": seen.event.records }).to_string();
        assert!(payload.len() <= MAX_EVENT_BYTES);
    }
}

#[test]
fn s4_extends_short_visibility_timeout_by_thirty_seconds() {
    // The function of the harness has a timeout of three seconds.
    let asked = |window: u64| {
        let settings = json!({ "MaximumBatchingWindowInSeconds": window });
        let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
        harness.enable();
        match harness.receives[0] {
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
fn s4_window_may_exceed_the_queue_visibility_timeout() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 60 });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    harness.send(&["a"]);
    harness.run(100 * SECOND);
    assert_eq!(harness.times(), [60 * SECOND]);
    assert!(harness.queue.is_empty());
}

#[test]
fn s5_concurrency_starts_at_five_and_grows_by_three_hundred_a_minute() {
    let settings = json!({ "BatchSize": 1 });
    let hour = 3_600 * SECOND;
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(hour), settings, choices, move |_, _| {
        (success(), hour)
    });
    send_numbered(&mut harness, 1_000);
    harness.run(0);
    assert_eq!(harness.concurrent(), 5);
    harness.pass(60 * SECOND);
    assert_eq!(harness.concurrent(), 305);
}

#[test]
fn s5_concurrency_ends_at_1250() {
    let settings = json!({ "BatchSize": 1 });
    let hour = 3_600 * SECOND;
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(2 * hour), settings, choices, move |_, _| {
        (success(), hour)
    });
    send_numbered(&mut harness, 1_300);
    harness.run(0);
    harness.pass(300 * SECOND);
    assert_eq!(harness.concurrent(), 1_250);
}

#[test]
fn s5_maximum_concurrency_limits_invocations_and_receives() {
    let settings = json!({ "BatchSize": 1, "ScalingConfig": { "MaximumConcurrency": 3 } });
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(60 * SECOND), settings, choices, |_, _| {
        (success(), 10 * SECOND)
    });
    send_numbered(&mut harness, 10);
    harness.run(5 * SECOND);
    assert_eq!(
        (harness.concurrent(), harness.queue.in_flight(harness.now)),
        (3, 3)
    );
    harness.pass(60 * SECOND);
    assert_eq!(harness.seen.len(), 10);
    assert!(
        harness
            .seen
            .iter()
            .all(|seen| seen.event.receive_counts() == ["1"]),
        "no message waited until it was visible"
    );
}

#[test]
fn s5_an_idle_mapping_keeps_two_receives_waiting() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |_| success());
    send_numbered(&mut harness, 100);
    harness.run(60 * SECOND);
    assert_eq!(harness.poller.in_flight().receives, 2);
}

#[test]
fn x11_a_new_window_opens_when_the_previous_invocation_completes() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 10, "ScalingConfig": {
        "MaximumConcurrency": 2,
    } });
    let choices = Choices::default_outcomes();
    let mut harness = Harness::new(standard(60 * SECOND), settings, choices, |_, _| {
        (success(), 2 * SECOND)
    });
    harness.send(&["a", "b"]);
    harness.run(15 * SECOND);
    assert_eq!(harness.times(), [10 * SECOND]);
    // The run ended at 12 s, so the window that opened then ends at 22 s, whenever the message arrives.
    harness.send(&["c"]);
    harness.pass(30 * SECOND);
    assert_eq!(harness.times(), [10 * SECOND, 22 * SECOND]);
}

#[test]
fn x11_a_window_that_ended_without_a_message_opens_with_the_next() {
    let settings = json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 5 });
    let mut harness = Harness::instant(standard(60 * SECOND), settings, |_| success());
    harness.run(47 * SECOND);
    harness.send(&["a"]);
    harness.pass(30 * SECOND);
    assert_eq!(harness.times(), [52 * SECOND]);
}
