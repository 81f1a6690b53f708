use super::*;

fn valid(message_id: &str, id: &str, content: &str) -> Sent {
    let (id, kind) = (id.to_owned(), "refund".to_owned());
    let meaning = Meaning::Valid {
        id,
        kind,
        content: content.into(),
        payload: format!("{{\"say\":\"{content}\"}}"),
    };
    Sent {
        message_id: message_id.into(),
        meaning,
    }
}

fn malformed(message_id: &str) -> Sent {
    Sent {
        message_id: message_id.into(),
        meaning: Meaning::Malformed,
    }
}

/// Two notifications, a duplicate and a conflict of the first, and a malformed message.
fn sent() -> Vec<Sent> {
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

fn found() -> Found {
    Found {
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
    }
}

fn violations(found: &Found) -> Vec<Violation> {
    judge(&sent(), found).violations
}

/// The violations of a run in which one thing was changed.
fn broken(change: impl FnOnce(&mut Found)) -> Vec<Violation> {
    let mut found = found();
    change(&mut found);
    violations(&found)
}

#[test]
fn a_good_run_is_counted_and_breaks_nothing() {
    let report = judge(&sent(), &found());
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
        dead_lettered: 2,
    };
    assert_eq!(report.counts, counts);
    assert_eq!(report.shards["s1"], ["a"]);
    assert_eq!(report.shards["s2"], ["b"]);
}

#[test]
fn either_of_two_conflicting_messages_may_win() {
    let mut found = found();
    found.items[0] = item("a", "z");
    found.events[0] = event("s1", "a", "z", "INIT");
    found.events[1] = event("s1", "a", "z", "DONE");
    found.dead_letters = vec!["m1".into(), "m3".into(), "m5".into()];
    let sent = [sent(), vec![valid("m6", "b", "y")]].concat();
    assert_eq!(judge(&sent, &found).violations, []);
}

#[test]
fn repeated_events_are_counted_and_no_violation() {
    let mut found = found();
    found.events.push(event("s1", "a", "x", "INIT"));
    let report = judge(&sent(), &found);
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
fn a_message_that_is_nowhere_is_lost() {
    let lost = Violation::Lost {
        message_id: "m5".into(),
    };
    assert_eq!(
        broken(|found| found.dead_letters.retain(|id| id != "m5")),
        [lost]
    );
    let lost = Violation::Lost {
        message_id: "m4".into(),
    };
    assert_eq!(
        broken(|found| found.dead_letters.retain(|id| id != "m4")),
        [lost]
    );
    let no_item = broken(|found| {
        found.items.pop();
        found.events.truncate(2);
    });
    assert_eq!(
        no_item,
        [Violation::Lost {
            message_id: "m2".into()
        }]
    );
}

#[test]
fn a_stored_message_does_not_belong_in_the_dead_letter_queue() {
    let wrong = Violation::WronglyDeadLettered {
        message_id: "m2".into(),
    };
    assert_eq!(
        broken(|found| found.dead_letters.push("m2".into())),
        [wrong]
    );
}

#[test]
fn a_message_that_could_have_been_stored_does_not_belong_in_the_dead_letter_queue() {
    let wrong = Violation::WronglyDeadLettered {
        message_id: "m2".into(),
    };
    let without_item = broken(|found| {
        found.items.pop();
        found.events.truncate(2);
        found.dead_letters.push("m2".into());
    });
    assert_eq!(without_item, [wrong]);
}

#[test]
fn a_dead_letter_that_was_not_sent_is_unexpected() {
    let unexpected = |id: &str| Violation::UnexpectedDeadLetter {
        message_id: id.into(),
    };
    assert_eq!(
        broken(|found| found.dead_letters.push("m9".into())),
        [unexpected("m9")]
    );
    assert_eq!(
        broken(|found| found.dead_letters.push("m5".into())),
        [unexpected("m5")]
    );
}

#[test]
fn an_item_that_nobody_sent_is_invented() {
    let unexpected = broken(|found| {
        found.items.push(item("c", "x"));
        found.events.push(event("s1", "c", "x", "INIT"));
        found.events.push(event("s1", "c", "x", "DONE"));
    });
    assert_eq!(unexpected, [Violation::UnexpectedItem { id: "c".into() }]);
}

#[test]
fn a_payload_must_be_stored_byte_for_byte() {
    let changed = broken(|found| found.items[1].payload = "{\"say\": \"y\"}".into());
    assert!(
        changed.contains(&Violation::ItemChanged { id: "b".into() }),
        "{changed:?}"
    );
}

#[test]
fn an_item_must_become_done() {
    let not_done = broken(|found| {
        found.items[1] = Item {
            status: "INIT".into(),
            version: 1,
            ..item("b", "y")
        };
        found.events.truncate(3);
    });
    assert_eq!(not_done, [Violation::NotDone { id: "b".into() }]);
}

#[test]
fn every_change_of_a_stored_item_is_in_the_stream() {
    for (index, status) in [(2, "INIT"), (3, "DONE")] {
        let missing = broken(|found| {
            found.events.remove(index);
        });
        let expected = Violation::MissingEvent {
            id: "b".into(),
            status: status.into(),
        };
        assert!(missing.contains(&expected), "{missing:?}");
    }
}

#[test]
fn an_event_exists_only_for_a_stored_item() {
    let unexpected = broken(|found| found.events.push(event("s2", "c", "x", "INIT")));
    assert_eq!(
        unexpected,
        [Violation::UnexpectedEvent {
            id: "c".into(),
            status: "INIT".into()
        }]
    );
}

#[test]
fn a_record_that_is_no_event_is_named() {
    let unreadable = broken(|found| found.unreadable.push(("s1".into(), "7".into())));
    assert_eq!(
        unreadable,
        [Violation::UnreadableEvent {
            shard: "s1".into(),
            sequence_number: "7".into()
        }]
    );
}

#[test]
fn the_payload_of_an_event_is_the_stored_one_byte_for_byte() {
    let changed = broken(|found| found.events[0].payload = "{\"say\": \"x\"}".into());
    assert_eq!(
        changed,
        [Violation::EventChanged {
            id: "a".into(),
            status: "INIT".into()
        }]
    );
}

#[test]
fn the_partition_key_is_the_notification_id() {
    let wrong = broken(|found| found.events[0].partition_key = "b".into());
    assert_eq!(wrong, [Violation::WrongPartitionKey { id: "a".into() }]);
}

#[test]
fn one_change_has_one_event_id() {
    let two = broken(|found| {
        found.events.push(Event {
            event_id: "other".into(),
            ..event("s1", "a", "x", "INIT")
        })
    });
    assert_eq!(two, [Violation::EventIdNotUnique { id: "a".into() }]);
    let shared = broken(|found| found.events[1].event_id = "a:INIT".into());
    assert_eq!(shared, [Violation::EventIdNotUnique { id: "a".into() }]);
}

#[test]
fn init_comes_before_done() {
    assert_eq!(
        broken(|found| found.events.swap(0, 1)),
        [Violation::OutOfOrder { id: "a".into() }]
    );
}

#[test]
fn events_of_one_notification_are_in_one_shard() {
    assert_eq!(
        broken(|found| found.events[1].shard = "s2".into()),
        [Violation::SplitOverShards { id: "a".into() }]
    );
}

#[test]
fn a_message_still_in_the_queue_fails_the_run() {
    let waiting = broken(|found| {
        found.dead_letters.clear();
        found.waiting = 2;
    });
    assert_eq!(waiting, [Violation::StillWaiting { messages: 2 }]);
}

#[test]
fn copies_that_were_never_met_are_a_failure() {
    let no_duplicate = broken(|found| found.dead_letters.push("m3".into()));
    assert!(
        no_duplicate.contains(&Violation::NoDuplicateMet),
        "{no_duplicate:?}"
    );
}

#[test]
fn debug_output_holds_no_payload() {
    let text = format!("{:?} {:?}", sent(), judge(&sent(), &found()));
    assert!(!text.contains("say"), "{text}");
}
