//! Each fault, and what the double write makes of it.

use std::time::{Duration, Instant};

use onewrite::limits::MAX_ATTEMPTS;
use onewrite_console::lab::Fault;

use super::machine::Incident;
use super::*;
use crate::lab::switches::Design;
use crate::oracle::Meaning;
use crate::sample;

fn valid(id: &str) -> Sample {
    Sample {
        body: String::new(),
        meaning: Meaning::Valid {
            id: id.to_owned(),
            kind: "refund".to_owned(),
            content: "content".to_owned(),
            payload: String::new(),
        },
    }
}

/// Sends messages, with a fault for this many calls, and runs to the end.
fn run(messages: &[Sample], faults: &[(Fault, u32)]) -> Machine {
    let switches = Switches::default();
    for (fault, count) in faults {
        switches.set(*fault, *count);
    }
    let mut machine = Machine::new(Settings::default(), switches);
    machine.send(0, messages);
    machine.run_to_end();
    machine
}

/// Effects, repeated, lost and unfinished notifications.
fn counts(machine: &Machine) -> (u64, u64, u64, u64) {
    let ledger = machine.ledger();
    (
        ledger.effects.0,
        ledger.repeated.0,
        ledger.lost.0,
        ledger.pending.0,
    )
}

const ONCE: (u64, u64, u64, u64) = (1, 0, 0, 0);
const TWICE: (u64, u64, u64, u64) = (2, 1, 0, 0);
const LOST: (u64, u64, u64, u64) = (0, 0, 1, 0);

#[test]
fn one_fault_has_one_outcome() {
    for (fault, expected) in [
        (Fault::KillIngestBeforeWrite, ONCE),
        (Fault::KillIngestAfterWrite, LOST),
        (Fault::CutKinesis, TWICE),
        (Fault::FailEntries, ONCE),
        (Fault::KillCompleteAfterEffect, ONCE),
        (Fault::ThrottleTable, ONCE),
    ] {
        let machine = run(&[valid("a")], &[(fault, 1)]);
        assert_eq!(counts(&machine), expected, "{fault:?}");
    }
}

#[test]
fn a_fault_of_every_attempt_has_another_outcome_only_for_the_send() {
    let all = MAX_ATTEMPTS;
    let lost_response = run(&[valid("a")], &[(Fault::CutKinesis, all)]);
    assert_eq!(counts(&lost_response), (all.into(), 1, 0, 0));
    let failed = run(&[valid("a")], &[(Fault::FailEntries, all)]);
    assert_eq!(
        counts(&failed),
        LOST,
        "the item is in INIT, so the next receive acknowledges"
    );
    let throttled = run(&[valid("a")], &[(Fault::ThrottleTable, all)]);
    assert_eq!(
        counts(&throttled),
        ONCE,
        "there is no item, so the next receive starts again"
    );
}

#[test]
fn loses_nothing_and_repeats_more_if_it_sends_items_in_init_again() {
    for (fault, count, expected) in [
        (Fault::KillIngestBeforeWrite, 1, ONCE),
        (Fault::KillIngestAfterWrite, 1, ONCE),
        (Fault::CutKinesis, 1, TWICE),
        (Fault::FailEntries, MAX_ATTEMPTS, ONCE),
        (Fault::KillCompleteAfterEffect, 1, TWICE),
        (Fault::ThrottleTable, MAX_ATTEMPTS, ONCE),
    ] {
        let switches = Switches::default();
        switches.set(fault, count);
        let settings = Settings {
            resends: true,
            ..Settings::default()
        };
        let mut machine = Machine::new(settings, switches);
        machine.send(0, &[valid("a")]);
        machine.run_to_end();
        assert_eq!(counts(&machine), expected, "{fault:?}");
        assert_eq!(machine.stuck(), 0);
    }
}

#[test]
fn an_item_stays_in_init_after_a_kill_behind_the_send() {
    let killed = run(&[valid("a")], &[(Fault::KillCompleteAfterEffect, 1)]);
    assert_eq!(killed.stuck(), 1);
    assert_eq!(run(&[valid("a")], &[]).stuck(), 0);
}

#[test]
fn copies_that_arrive_together_are_each_sent() {
    let machine = run(&[0; 5].map(|_| valid("a")), &[]);
    assert_eq!(counts(&machine), (5, 1, 0, 0));
    let (id, effects, incidents) = machine.casualties().next().unwrap();
    assert_eq!((id.as_str(), effects), ("a", 5));
    assert!(incidents.contains(&Incident::Raced));
}

#[test]
fn a_copy_that_arrives_later_is_acknowledged() {
    let mut machine = Machine::new(Settings::default(), Switches::default());
    for now in [0, 1_000] {
        machine.send(now, &[valid("a")]);
        machine.advance(now + 500);
    }
    assert_eq!(machine.next_wakeup(), None);
    assert_eq!(counts(&machine), ONCE);
}

#[test]
fn copies_in_a_fifo_queue_wait_for_each_other() {
    let settings = Settings {
        is_fifo: true,
        ..Settings::default()
    };
    let mut machine = Machine::new(settings, Switches::default());
    machine.send(0, &[0; 5].map(|_| valid("a")));
    machine.run_to_end();
    assert_eq!(counts(&machine), ONCE);
}

#[test]
fn is_correct_without_faults_and_copies() {
    for seed in 0..200 {
        let settings = Settings {
            seed,
            is_fifo: seed % 2 == 1,
            ..Settings::default()
        };
        let mut machine = Machine::new(settings, Switches::default());
        let count = 1 + seed;
        let mut number = 0;
        while number < count {
            let wave: Vec<Sample> = (number..count.min(number + 1 + seed % 17))
                .map(|number| valid(&format!("n{number}")))
                .collect();
            machine.send(number * (seed % 5), &wave);
            machine.advance(number * (seed % 5));
            number += wave.len() as u64;
        }
        machine.run_to_end();
        assert_eq!(counts(&machine), (count, 0, 0, 0), "seed {seed}");
        assert_eq!(machine.stuck(), 0);
    }
}

#[test]
fn every_loss_and_repetition_has_a_reason_under_any_faults() {
    let mut shown = 0;
    for seed in 0..100 {
        let messages = sample::messages(90, seed);
        let switches = Switches::planned(seed);
        let mut machine = Machine::new(Settings::default(), switches.clone());
        machine.send(0, &messages);
        machine.run_to_end();
        let ledger = machine.ledger();
        let ids = 60;
        let (effects, repeated, lost, pending) = counts(&machine);
        assert_eq!(pending, 0, "six receives are enough, seed {seed}");
        assert!(effects >= ids - lost + repeated, "seed {seed}: {ledger:?}");
        let happened = switches.happened(Design::DoubleWrite);
        let kills = u64::from(happened[&Fault::KillIngestAfterWrite]);
        let unsent = machine.casualties();
        let unsent = unsent.filter(|(.., incidents)| incidents.contains(&Incident::SendFailed));
        assert!(
            lost <= kills + unsent.count() as u64,
            "seed {seed}: {ledger:?}"
        );
        shown += u32::from(lost > 0 && repeated > 0);
        let casualties: Vec<_> = machine.casualties().collect();
        assert_eq!(casualties.len() as u64, lost + repeated);
        for (id, _, incidents) in casualties {
            assert!(!incidents.is_empty(), "{id} has no reason, seed {seed}");
        }
        assert_eq!(
            machine.rejected(),
            10,
            "malformed messages are dead-lettered"
        );
    }
    assert!(
        shown > 80,
        "only {shown} plans show a loss and a repetition"
    );
}

#[test]
fn same_seed_and_faults_have_the_same_outcome() {
    let outcome = |seed| {
        let settings = Settings {
            seed,
            ..Settings::default()
        };
        let mut machine = Machine::new(settings, Switches::planned(3));
        machine.send(0, &sample::messages(300, 1));
        machine.run_to_end();
        let casualties = machine.casualties();
        let casualties: Vec<_> = casualties
            .map(|(id, effects, _)| (id.clone(), effects))
            .collect();
        casualties
    };
    assert_eq!(outcome(1), outcome(1));
    assert_ne!(outcome(1), outcome(2));
}

#[test]
fn acknowledges_other_content_like_a_copy() {
    let mut machine = run(&[valid("a")], &[]);
    let Meaning::Valid {
        id, kind, payload, ..
    } = valid("a").meaning
    else {
        panic!()
    };
    let content = "other".to_owned();
    let meaning = Meaning::Valid {
        id,
        kind,
        content,
        payload,
    };
    let body = String::new();
    machine.send(10_000, &[Sample { body, meaning }]);
    machine.run_to_end();
    assert_eq!(counts(&machine), ONCE);
    assert_eq!(machine.conflicts_dropped(), 1);
}

#[test]
fn a_message_that_always_fails_is_dead_lettered_after_six_receives() {
    let every = Settings::default().max_receives * MAX_ATTEMPTS;
    let machine = run(&[valid("a")], &[(Fault::ThrottleTable, every)]);
    assert_eq!(
        counts(&machine),
        (0, 0, 0, 1),
        "it is in the dead-letter queue, not lost"
    );
    let machine = run(&[valid("a")], &[(Fault::ThrottleTable, every - 1)]);
    assert_eq!(counts(&machine), ONCE);
}

#[test]
fn receives_nothing_while_it_is_paused() {
    let mut machine = Machine::new(Settings::default(), Switches::default());
    machine.pause(true);
    machine.send(0, &[valid("a")]);
    machine.advance(60_000);
    assert_eq!(counts(&machine), (0, 0, 0, 1));
    machine.pause(false);
    machine.run_to_end();
    assert_eq!(counts(&machine), ONCE);
}

#[test]
fn follows_a_change_of_the_receives_of_its_queue() {
    let switches = Switches::default();
    switches.set(Fault::ThrottleTable, MAX_ATTEMPTS);
    let mut machine = Machine::new(Settings::default(), switches);
    machine.configure(6_000, 1);
    machine.send(0, &[valid("a")]);
    machine.run_to_end();
    assert_eq!(counts(&machine), (0, 0, 0, 1), "it is a dead letter");
}

#[tokio::test]
async fn runs_on_its_own_beside_a_stack() {
    let switches = Switches::default();
    switches.set(Fault::KillIngestAfterWrite, 1);
    let settings = Settings {
        visibility: 20,
        ..Settings::default()
    };
    let double_write = DoubleWrite::start(settings, switches);
    double_write.send(&[valid("lost")]);
    let limit = Instant::now() + Duration::from_secs(10);
    while double_write.comparison().lost.0 == 0 {
        assert!(Instant::now() < limit);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    double_write.send(&[valid("once")]);
    while double_write.comparison().effects.0 == 0 {
        assert!(Instant::now() < limit);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(double_write.comparison().examples, ["lost"]);
}

#[test]
fn a_killed_process_loses_one_notification_of_its_batch() {
    let messages: Vec<Sample> = (0..50).map(|number| valid(&format!("n{number}"))).collect();
    for fault in [
        Fault::KillIngestBeforeWrite,
        Fault::KillIngestAfterWrite,
        Fault::KillCompleteAfterEffect,
    ] {
        let machine = run(&messages, &[(fault, 1)]);
        let lost = u64::from(fault == Fault::KillIngestAfterWrite);
        assert_eq!(counts(&machine), (50 - lost, 0, lost, 0), "{fault:?}");
    }
}
