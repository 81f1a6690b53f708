use super::*;

fn plan() -> Plan {
    Plan::new(1, true)
}

/// What a consumer that keeps every promise does: it commits the effect with DONE, and merges copies.
fn right(plan: &Plan) -> Log {
    let mut log = Log::default();
    for subject in &plan.subjects {
        let status = match subject.start {
            Start::Open if subject.is_closed => Status::Refused,
            Start::Open => Status::Done,
            Start::Settled(status) => status,
            Start::Reused | Start::Edited => Status::Init,
            Start::Removed => continue,
        };
        log.states.insert(subject.id.clone(), status);
    }
    for index in 0..plan.batches.len() {
        invoke(plan, &mut log, index);
    }
    log
}

fn invoke(plan: &Plan, log: &mut Log, index: usize) {
    let batch = &plan.batches[index];
    let mut settled: BTreeSet<String> = BTreeSet::new();
    let earlier = log.invocations.iter().flat_map(|one| &one.writes);
    settled.extend(earlier.map(|write| write.id.clone()));
    let mut first = Some(0);
    for attempt in 0..plan.attempts(batch) {
        let Some(from) = first else { return };
        let (mut writes, mut failed) = (Vec::new(), Vec::new());
        for record in &batch.records[from..] {
            match record.content {
                Content::Event { status, .. } if status != Status::Init => {}
                Content::Event { subject, .. } => match &plan.subjects[subject] {
                    one if one.start.is_wrong() => failed.push(record.number.clone()),
                    one if one.start == Start::Open && settled.insert(one.id.clone()) => {
                        writes.extend(settle(one, attempt + 10 * index));
                    }
                    _ => {}
                },
                Content::Unreadable => failed.push(record.number.clone()),
            }
        }
        // Only the lowest, as the helpers do.
        failed.sort_by(|a, b| compare_sequence_numbers(a, b));
        failed.truncate(1);
        let answer = Answer::Failures(failed);
        first = retry_from(&batch.records, from, [&answer]);
        log.invocations.push(Invocation {
            batch: index,
            attempt,
            first: from,
            answer,
            writes,
            has_payload: false,
        });
    }
}

fn settle(subject: &Subject, token: usize) -> Vec<Write> {
    let write = |change| Write {
        id: subject.id.clone(),
        change,
        token: Some(format!("{token}-{}", subject.id)),
        is_committed: true,
    };
    if subject.is_closed {
        return vec![write(Change::Settled(Status::Refused))];
    }
    vec![write(Change::Settled(Status::Done)), write(Change::Effect)]
}

fn broken(plan: &Plan, log: &Log) -> Vec<Promise> {
    let verdicts = judge(plan, log).into_iter();
    let broken = verdicts.filter(|(_, verdict)| matches!(verdict, Verdict::Broken(_)));
    broken.map(|(promise, _)| promise).collect()
}

/// The promises that are broken after a change of the right log.
fn broken_by(change: impl FnOnce(&Plan, &mut Log)) -> Vec<Promise> {
    let plan = plan();
    let mut log = right(&plan);
    change(&plan, &mut log);
    broken(&plan, &log)
}

fn find(plan: &Plan, play: &str) -> usize {
    let mut batches = plan.batches.iter();
    batches.position(|batch| batch.play == play).unwrap()
}

/// The first subject of this start whose event of INIT is delivered, and an invocation with it.
fn delivered(plan: &Plan, log: &Log, start: Start) -> (usize, usize) {
    let subjects = plan.subjects.iter().enumerate();
    let mut subjects = subjects.filter(|(_, subject)| subject.start == start);
    let found = subjects.find_map(|(subject, _)| {
        let invocation = log.invocations.iter().position(|invocation| {
            let records = &plan.batches[invocation.batch].records;
            records.iter().any(|one| one.content.is_init_of(subject))
        });
        Some((subject, invocation?))
    });
    found.unwrap()
}

fn last<'a>(plan: &Plan, log: &'a mut Log, play: &str) -> &'a mut Invocation {
    let batch = find(plan, play);
    let mut invocations = log.invocations.iter_mut();
    invocations.rfind(|one| one.batch == batch).unwrap()
}

fn first<'a>(plan: &Plan, log: &'a mut Log, play: &str) -> &'a mut Invocation {
    let batch = find(plan, play);
    let mut invocations = log.invocations.iter_mut();
    invocations.find(|one| one.batch == batch).unwrap()
}

#[test]
fn the_right_consumer_keeps_every_promise() {
    for seed in 0..50 {
        let plan = Plan::new(seed, true);
        let verdicts = judge(&plan, &right(&plan));
        assert!(
            verdicts.values().all(|one| *one == Verdict::Kept),
            "{verdicts:?}"
        );
        let plan = Plan::new(seed, false);
        assert_eq!(
            judge(&plan, &right(&plan))[&Promise::Refusal],
            Verdict::NotTried
        );
    }
}

#[test]
fn a_second_effect_is_found_even_of_the_same_key() {
    let second = |token: Option<String>| {
        broken_by(|_, log| {
            let effect = log.invocations[0].writes[1].clone();
            log.invocations[1].writes.push(Write { token, ..effect });
        })
    };
    assert_eq!(second(None), [Promise::OneEffect]);
    let failed = broken_by(|_, log| {
        let mut effect = log.invocations[0].writes[1].clone();
        (effect.is_committed, effect.token) = (false, None);
        log.invocations[1].writes.push(effect);
    });
    assert_eq!(failed, []);
    // The SDK repeats a call whose answer was lost with the same token.
    let repeated = broken_by(|_, log| {
        let writes = log.invocations[0].writes.clone();
        log.invocations[0].writes.extend(writes);
    });
    assert_eq!(repeated, []);
}

#[test]
fn an_effect_for_a_settled_notification_is_found() {
    let broken = broken_by(|plan, log| {
        let (subject, invocation) = delivered(plan, log, Start::Settled(Status::Done));
        let effect = settle(&plan.subjects[subject], 0).remove(1);
        log.invocations[invocation].writes.push(effect);
    });
    assert_eq!(broken, [Promise::OneEffect]);
}

#[test]
fn done_without_an_effect_and_a_lost_event_are_found() {
    let without_effect = broken_by(|_, log| {
        log.invocations[0].writes.remove(1);
    });
    assert_eq!(without_effect, [Promise::NothingLost]);
    for status in [Status::Init, Status::Refused] {
        let lost = broken_by(|plan, log| {
            log.states.insert(plan.subjects[0].id.clone(), status);
        });
        assert_eq!(lost, [Promise::NothingLost]);
    }
}

#[test]
fn a_token_of_two_invocations_and_two_winners_are_found() {
    let shared = broken_by(|plan, log| {
        let mut write = log.invocations[0].writes[0].clone();
        write.is_committed = false;
        last(plan, log, "lost answer").writes.push(write);
    });
    assert_eq!(shared, [Promise::OneWinner]);
    let second = broken_by(|_, log| {
        let mut write = log.invocations[0].writes[0].clone();
        write.token = None;
        log.invocations[1].writes.push(write);
    });
    assert_eq!(second, [Promise::OneWinner]);
}

#[test]
fn a_failed_event_of_a_settled_notification_is_found() {
    let play = "duplicates across batches";
    for is_whole in [false, true] {
        let broken = broken_by(|plan, log| {
            let number = plan.batches[find(plan, play)].records[1].number.clone();
            last(plan, log, play).answer = if is_whole {
                Answer::Failed("exit status: 1".to_owned())
            } else {
                Answer::Failures(vec![number])
            };
        });
        assert_eq!(broken, [Promise::SettledSucceeds], "{is_whole}");
    }
    // Under a fault, and before the notification is settled, an event may fail.
    let allowed = broken_by(|plan, log| {
        let number = plan.batches[find(plan, "lost answer")].records[0]
            .number
            .clone();
        first(plan, log, "lost answer").answer = Answer::Failures(vec![number.clone()]);
    });
    assert_eq!(allowed, []);
}

#[test]
fn an_event_of_another_status_must_be_ignored() {
    let play = "reordered events";
    let done = |record: &&Record| matches!(record.content, Content::Event { status, .. } if status != Status::Init);
    let failed = broken_by(|plan, log| {
        let mut records = plan.batches[find(plan, play)].records.iter();
        let number = records.find(done).unwrap().number.clone();
        last(plan, log, play).answer = Answer::Failures(vec![number]);
    });
    assert_eq!(failed, [Promise::OtherStatuses]);
    let effect = broken_by(|plan, log| {
        let start = Start::Settled(Status::Refused);
        let subject = plan.subjects.iter().find(|subject| subject.start == start);
        let effect = settle(subject.unwrap(), 0).remove(1);
        last(plan, log, play).writes.push(effect);
    });
    assert_eq!(effect, [Promise::OtherStatuses]);
}

#[test]
fn a_change_of_another_notification_is_found() {
    for start in [Start::Reused, Start::Removed, Start::Edited] {
        let effect = broken_by(|plan, log| {
            let (subject, invocation) = delivered(plan, log, start);
            let writes = settle(&plan.subjects[subject], 0);
            log.invocations[invocation].writes.extend(writes);
        });
        assert_eq!(effect, [Promise::OtherNotification], "{start:?}");
        let changed = broken_by(|plan, log| {
            let (subject, _) = delivered(plan, log, start);
            let id = plan.subjects[subject].id.clone();
            log.states.insert(id, Status::Done);
        });
        assert_eq!(changed, [Promise::OtherNotification], "{start:?}");
    }
    let skipped = broken_by(|plan, log| {
        last(plan, log, "other notifications").answer = Answer::Failures(Vec::new());
    });
    assert_eq!(skipped, [Promise::OtherNotification]);
}

#[test]
fn a_swallowed_and_a_skipped_record_are_found() {
    let answer = |numbers: &[&str]| {
        let numbers = numbers.iter().map(ToString::to_string).collect();
        broken_by(|plan, log| {
            first(plan, log, "unreadable records").answer = Answer::Failures(numbers);
        })
    };
    assert_eq!(answer(&[]), [Promise::Unreadable]);
    assert_eq!(answer(&["10"]), [Promise::LowestNumber]);
    assert_eq!(answer(&["10", "9"]), []);
    assert_eq!(answer(&["8"]), []);
}

#[test]
fn a_failed_record_must_not_stop_the_others() {
    let broken = broken_by(|plan, log| {
        let batch = &plan.batches[find(plan, "unreadable records")];
        let Content::Event { subject, .. } = batch.records[3].content else {
            panic!("{batch:?}");
        };
        let id = &plan.subjects[subject].id;
        log.states.insert(id.clone(), Status::Init);
        for invocation in &mut log.invocations {
            invocation.writes.retain(|write| write.id != *id);
        }
    });
    assert_eq!(broken, [Promise::Neighbours]);
}

#[test]
fn a_wrong_refusal_and_a_printed_payload_are_found() {
    let accepted = broken_by(|plan, log| {
        let closed = plan
            .subjects
            .iter()
            .find(|subject| subject.is_closed)
            .unwrap();
        log.states.insert(closed.id.clone(), Status::Done);
    });
    assert_eq!(accepted, [Promise::Refusal]);
    let effect = broken_by(|plan, log| {
        let closed = plan
            .subjects
            .iter()
            .find(|subject| subject.is_closed)
            .unwrap();
        let open = Subject {
            is_closed: false,
            ..closed.clone()
        };
        let effect = settle(&open, 0).remove(1);
        last(plan, log, "refusals").writes.push(effect);
    });
    assert_eq!(effect, [Promise::Refusal]);
    let printed = broken_by(|_, log| log.invocations[3].has_payload = true);
    assert_eq!(printed, [Promise::NoPayload]);
}

#[test]
fn a_play_that_was_left_out_breaks_nothing() {
    let broken = broken_by(|plan, log| {
        let play = find(plan, "crash after the first write");
        log.invocations
            .retain(|invocation| invocation.batch != play);
        for record in &plan.batches[play].records {
            let Content::Event { subject, .. } = record.content else {
                continue;
            };
            log.states
                .insert(plan.subjects[subject].id.clone(), Status::Init);
        }
    });
    assert_eq!(broken, []);
}
