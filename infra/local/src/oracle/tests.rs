use super::*;

fn valid(message_id: &str, id: &str, content: &str) -> SentMessage {
    let (id, kind) = (id.to_owned(), "refund".to_owned());
    let meaning = Meaning::Valid {
        id,
        kind,
        content: content.into(),
        payload: format!("{{\"say\":\"{content}\"}}"),
    };
    SentMessage {
        message_id: message_id.into(),
        meaning,
    }
}

fn malformed(message_id: &str) -> SentMessage {
    SentMessage {
        message_id: message_id.into(),
        meaning: Meaning::Malformed,
    }
}

/// Two notifications, a duplicate and a conflict of the first, and a malformed message.
fn sent() -> Vec<SentMessage> {
    vec![
        valid("m1", "a", "x"),
        valid("m2", "b", "y"),
        valid("m3", "a", "x"),
        valid("m4", "a", "z"),
        malformed("m5"),
    ]
}

fn item(id: &str, content: &str) -> Item {
    let payload = format!("{{\"say\":\"{content}\"}}");
    Item {
        id: id.into(),
        status: "DONE".into(),
        version: 2,
        kind: "refund".into(),
        payload,
    }
}

fn event(shard: &str, id: &str, content: &str, status: &str) -> Event {
    Event {
        shard: shard.into(),
        partition_key: id.into(),
        event_id: format!("{id}:{status}"),
        id: id.into(),
        status: status.into(),
        payload: format!("{{\"say\":\"{content}\"}}"),
    }
}

fn final_state() -> FinalState {
    FinalState {
        items: vec![item("a", "x"), item("b", "y")],
        events: vec![
            event("s1", "a", "x", "INIT"),
            event("s1", "a", "x", "DONE"),
            event("s2", "b", "y", "INIT"),
            event("s2", "b", "y", "DONE"),
        ],
        unreadable: vec![],
        dead_letters: vec!["m4".into(), "m5".into()],
        waiting: 0,
        settlement: Settlement::Targets,
    }
}

fn ledger(booked: &[&str]) -> Settlement {
    Settlement::Ledger {
        booked: booked.iter().map(|id| (*id).to_owned()).collect(),
        calls: Some(9),
    }
}

/// Makes `b` REFUSED, with its event.
fn refuse(state: &mut FinalState) {
    state.items[1].status = "REFUSED".into();
    state.events[3] = event("s2", "b", "y", "REFUSED");
}

/// Leaves `b` in INIT.
fn leave_open(state: &mut FinalState) {
    state.items[1].status = "INIT".into();
    state.items[1].version = 1;
    state.events.truncate(3);
}

fn violations(state: &FinalState) -> Vec<Violation> {
    verify(&sent(), state).violations
}

/// The violations after one change to the valid final state.
fn violations_after(change: impl FnOnce(&mut FinalState)) -> Vec<Violation> {
    let mut state = final_state();
    change(&mut state);
    violations(&state)
}

#[test]
fn accepts_and_counts_a_valid_run() {
    let report = verify(&sent(), &final_state());
    assert_eq!(report.violations, []);
    let counts = Counts {
        sent: 5,
        created: 2,
        duplicates: 1,
        conflicts: 1,
        rejected: 1,
        forwarded: 4,
        repeated: 0,
        done: 2,
        refused: 0,
        booked: None,
        calls: None,
        dead_lettered: 2,
    };
    assert_eq!(report.counts, counts);
    assert_eq!(report.shards["s1"], ["a"]);
    assert_eq!(report.shards["s2"], ["b"]);
}

#[test]
fn accepts_either_of_two_conflicting_messages() {
    let mut state = final_state();
    state.items[0] = item("a", "z");
    state.events[0] = event("s1", "a", "z", "INIT");
    state.events[1] = event("s1", "a", "z", "DONE");
    state.dead_letters = vec!["m1".into(), "m3".into(), "m5".into()];
    let sent = [sent(), vec![valid("m6", "b", "y")]].concat();
    assert_eq!(verify(&sent, &state).violations, []);
}

#[test]
fn accepts_and_counts_repeated_events() {
    let mut state = final_state();
    state.events.push(event("s1", "a", "x", "INIT"));
    let report = verify(&sent(), &state);
    assert_eq!(
        (
            report.violations.len(),
            report.counts.repeated,
            report.counts.forwarded
        ),
        (0, 1, 4)
    );
}

#[test]
fn reports_lost_messages() {
    let lost = Violation::Lost {
        message_id: "m5".into(),
    };
    assert_eq!(
        violations_after(|state| state.dead_letters.retain(|id| id != "m5")),
        [lost]
    );
    let lost = Violation::Lost {
        message_id: "m4".into(),
    };
    assert_eq!(
        violations_after(|state| state.dead_letters.retain(|id| id != "m4")),
        [lost]
    );
    let no_item = violations_after(|state| {
        state.items.pop();
        state.events.truncate(2);
    });
    assert_eq!(
        no_item,
        [Violation::Lost {
            message_id: "m2".into()
        }]
    );
}

#[test]
fn reports_stored_messages_in_the_dead_letter_queue() {
    let wrong = Violation::WronglyDeadLettered {
        message_id: "m2".into(),
    };
    assert_eq!(
        violations_after(|state| state.dead_letters.push("m2".into())),
        [wrong]
    );
}

#[test]
fn reports_dead_letters_that_could_have_been_stored() {
    let wrong = Violation::WronglyDeadLettered {
        message_id: "m2".into(),
    };
    let without_item = violations_after(|state| {
        state.items.pop();
        state.events.truncate(2);
        state.dead_letters.push("m2".into());
    });
    assert_eq!(without_item, [wrong]);
}

#[test]
fn reports_dead_letters_that_were_not_sent() {
    let unexpected = |id: &str| Violation::UnexpectedDeadLetter {
        message_id: id.into(),
    };
    assert_eq!(
        violations_after(|state| state.dead_letters.push("m9".into())),
        [unexpected("m9")]
    );
    assert_eq!(
        violations_after(|state| state.dead_letters.push("m5".into())),
        [unexpected("m5")]
    );
}

#[test]
fn reports_items_that_were_not_sent() {
    let unexpected = violations_after(|state| {
        state.items.push(item("c", "x"));
        state.events.push(event("s1", "c", "x", "INIT"));
        state.events.push(event("s1", "c", "x", "DONE"));
    });
    assert_eq!(unexpected, [Violation::UnexpectedItem { id: "c".into() }]);
}

#[test]
fn reports_stored_payloads_that_differ_by_a_byte() {
    let changed = violations_after(|state| state.items[1].payload = "{\"say\": \"y\"}".into());
    assert!(
        changed.contains(&Violation::ItemChanged { id: "b".into() }),
        "{changed:?}"
    );
}

#[test]
fn reports_items_that_are_not_settled() {
    let not_settled = violations_after(leave_open);
    assert_eq!(not_settled, [Violation::NotSettled { id: "b".into() }]);
    for (status, version) in [("DONE", 1), ("REFUSED", 3), ("OTHER", 2)] {
        let changed = violations_after(|state| {
            state.items[1].status = status.into();
            state.items[1].version = version;
        });
        let expected = Violation::NotSettled { id: "b".into() };
        assert!(changed.contains(&expected), "{status} {version}");
    }
}

#[test]
fn accepts_and_counts_refused_items() {
    let mut state = final_state();
    refuse(&mut state);
    state.settlement = ledger(&["a"]);
    let Report {
        counts, violations, ..
    } = verify(&sent(), &state);
    assert_eq!(violations, []);
    assert_eq!((counts.done, counts.refused), (1, 1));
    assert_eq!((counts.booked, counts.calls), (Some(1), Some(9)));
}

#[test]
fn reports_a_final_event_that_contradicts_its_item() {
    let contradicted = violations_after(|state| {
        refuse(state);
        state.events.push(event("s2", "b", "y", "DONE"));
    });
    let (id, status) = ("b".to_owned(), "DONE".to_owned());
    assert_eq!(contradicted, [Violation::UnexpectedEvent { id, status }]);
    let missing = violations_after(|state| {
        refuse(state);
        state.events.truncate(3);
    });
    let (id, status) = ("b".to_owned(), "REFUSED".to_owned());
    assert_eq!(missing, [Violation::MissingEvent { id, status }]);
}

#[test]
fn items_may_stay_in_init_without_a_downstream() {
    let open = violations_after(|state| {
        leave_open(state);
        state.settlement = Settlement::Elsewhere;
    });
    assert_eq!(open, []);
    let half_done = violations_after(|state| {
        leave_open(state);
        state.items[1].version = 2;
        state.settlement = Settlement::Elsewhere;
    });
    assert_eq!(half_done, [Violation::NotSettled { id: "b".into() }]);
}

#[test]
fn reports_done_items_without_exactly_one_booking() {
    let booked = |ids: &[&str]| violations_after(|state| state.settlement = ledger(ids));
    assert_eq!(booked(&["a", "b"]), []);
    assert_eq!(booked(&["a"]), [Violation::NotBooked { id: "b".into() }]);
    let twice = Violation::BookedAgain { id: "b".into() };
    assert_eq!(booked(&["a", "b", "b"]), [twice]);
}

#[test]
fn reports_bookings_of_refused_and_unknown_notifications() {
    let unexpected = |id: &str| Violation::UnexpectedBooking { id: id.into() };
    let refused = violations_after(|state| {
        refuse(state);
        state.settlement = ledger(&["a", "b"]);
    });
    assert_eq!(refused, [unexpected("b")]);
    let unknown = violations_after(|state| state.settlement = ledger(&["a", "b", "c"]));
    assert_eq!(unknown, [unexpected("c")]);
}

#[test]
fn a_booking_may_precede_the_settlement() {
    let open = violations_after(|state| {
        leave_open(state);
        state.settlement = ledger(&["a", "b"]);
    });
    assert_eq!(open, [Violation::NotSettled { id: "b".into() }]);
}

#[test]
fn reports_missing_events_of_a_stored_item() {
    for (index, status) in [(2, "INIT"), (3, "DONE")] {
        let missing = violations_after(|state| {
            state.events.remove(index);
        });
        let expected = Violation::MissingEvent {
            id: "b".into(),
            status: status.into(),
        };
        assert!(missing.contains(&expected), "{missing:?}");
    }
}

#[test]
fn reports_events_without_a_stored_item() {
    let unexpected = violations_after(|state| state.events.push(event("s2", "c", "x", "INIT")));
    assert_eq!(
        unexpected,
        [Violation::UnexpectedEvent {
            id: "c".into(),
            status: "INIT".into()
        }]
    );
}

#[test]
fn reports_records_that_cannot_be_decoded() {
    let unreadable = violations_after(|state| state.unreadable.push(("s1".into(), "7".into())));
    assert_eq!(
        unreadable,
        [Violation::UnreadableEvent {
            shard: "s1".into(),
            sequence_number: "7".into()
        }]
    );
}

#[test]
fn reports_event_payloads_that_differ_by_a_byte() {
    let changed = violations_after(|state| state.events[0].payload = "{\"say\": \"x\"}".into());
    assert_eq!(
        changed,
        [Violation::EventChanged {
            id: "a".into(),
            status: "INIT".into()
        }]
    );
}

#[test]
fn reports_partition_keys_other_than_the_notification_id() {
    let wrong = violations_after(|state| state.events[0].partition_key = "b".into());
    assert_eq!(wrong, [Violation::WrongPartitionKey { id: "a".into() }]);
}

#[test]
fn reports_event_ids_that_do_not_identify_one_change() {
    let two = violations_after(|state| {
        state.events.push(Event {
            event_id: "other".into(),
            ..event("s1", "a", "x", "INIT")
        })
    });
    assert_eq!(two, [Violation::EventIdNotUnique { id: "a".into() }]);
    let shared = violations_after(|state| state.events[1].event_id = "a:INIT".into());
    assert_eq!(shared, [Violation::EventIdNotUnique { id: "a".into() }]);
}

#[test]
fn reports_done_before_init() {
    assert_eq!(
        violations_after(|state| state.events.swap(0, 1)),
        [Violation::OutOfOrder { id: "a".into() }]
    );
}

#[test]
fn reports_events_of_one_notification_in_two_shards() {
    assert_eq!(
        violations_after(|state| state.events[1].shard = "s2".into()),
        [Violation::SeveralShards { id: "a".into() }]
    );
}

#[test]
fn reports_messages_that_are_still_in_the_queue() {
    let waiting = violations_after(|state| {
        state.dead_letters.clear();
        state.waiting = 2;
    });
    assert_eq!(waiting, [Violation::QueueNotEmpty { messages: 2 }]);
}

#[test]
fn reports_runs_that_processed_no_duplicate() {
    let no_duplicate = violations_after(|state| state.dead_letters.push("m3".into()));
    assert!(
        no_duplicate.contains(&Violation::NoDuplicateProcessed),
        "{no_duplicate:?}"
    );
}

#[test]
fn debug_output_contains_no_payload() {
    let text = format!("{:?} {:?}", sent(), verify(&sent(), &final_state()));
    assert!(!text.contains("say"), "{text}");
}
