use onewrite::notification::Rejection;
use onewrite_stack::{
    dead_letter::{DeadLetter, DeadLetterReason},
    dead_letter_queue::redrive::LetterResult,
    error::StackError,
};

use super::*;
use crate::arguments::parse_id;

fn arguments(ids: &[&str], reasons: &[&str]) -> DlqArguments {
    DlqArguments {
        selection: Selection {
            ids: ids.iter().map(|id| parse_id(id).unwrap()).collect(),
            reasons: reasons.iter().map(ToString::to_string).collect(),
        },
        all: false,
        cancel: false,
        rate: None,
        inspect: DEFAULT_INSPECTED,
        confirmation: Confirmation::default(),
    }
}

fn letter(message: &str, id: Option<&str>, reason: DeadLetterReason) -> DeadLetter {
    DeadLetter {
        message_id: message.to_owned(),
        notification_id: id.map(str::to_owned),
        notification_type: None,
        sent_at: None,
        receives: 7,
        message_group_id: None,
        reason,
    }
}

fn letters() -> Vec<DeadLetter> {
    vec![
        letter("m-1", Some("a"), DeadLetterReason::NotStored),
        letter("m-2", Some("b"), DeadLetterReason::AlreadyStored),
        letter("m-3", Some("c"), DeadLetterReason::Conflict),
        letter(
            "m-4",
            None,
            DeadLetterReason::Rejected(Rejection::MissingId),
        ),
    ]
}

fn plan(arguments: &DlqArguments, letters: Vec<DeadLetter>, not_inspected: usize) -> Plan {
    let inspection = Inspection {
        inspected: letters.len(),
        letters,
        not_inspected,
    };
    Plan::new(&arguments.selection, inspection)
}

fn outcomes(plan: &Plan) -> Vec<(&str, bool)> {
    plan.letters
        .iter()
        .map(|one| {
            let is_moved = one.outcome == DlqResult::WouldBeMoved;
            (one.letter.message_id.as_str(), is_moved)
        })
        .collect()
}

#[test]
fn plans_what_stays_first_and_only_the_requested_reasons() {
    for (arguments, expected) in [
        (
            arguments(&[], &[]),
            vec![("m-3", false), ("m-4", false), ("m-1", true), ("m-2", true)],
        ),
        (arguments(&[], &["MissingId"]), vec![("m-4", true)]),
    ] {
        let plan = plan(&arguments, letters(), 0);
        assert_eq!(outcomes(&plan), expected, "{arguments:?}");
    }
}

#[test]
fn preview_ends_with_the_command_that_applies_it() {
    let arguments = arguments(&["it's"], &["NotStored"]);
    let planned = plan(&arguments, letters(), 0);
    assert_eq!(
        planned.lines() + &arguments.preview(&planned, "onewrite --stack x"),
        concat!(
            "would be moved  a, message m-1, valid, not stored, received x7\n",
            "3 left alone: they would become dead letters again. Use --id or --reason to move them.\n",
            "1 would be moved; nothing was changed.\n",
            "Next: onewrite --stack x redrive dlq --id 'it'\\''s' --reason NotStored --apply\n",
        )
    );
    let nothing = plan(&arguments, vec![], 0);
    assert_eq!(
        arguments.preview(&nothing, "onewrite"),
        "Nothing to move.\n"
    );
}

#[test]
fn preview_of_a_large_queue_says_what_it_left_out_and_how_to_move_all() {
    let all = arguments(&[], &[]);
    let text = all.preview(&plan(&all, letters(), 999_996), "onewrite");
    assert!(
        text.contains("About 999996 letters were not inspected"),
        "{text}"
    );
    assert!(text.contains("takes about 2h46m at 100 a second"), "{text}");
    assert!(
        text.contains("33m20s: onewrite redrive dlq --all --apply"),
        "{text}"
    );
    assert!(
        text.ends_with("Next: onewrite redrive dlq --apply\n"),
        "{text}"
    );
    let some = arguments(&[], &["Conflict"]);
    let planned = plan(&some, vec![], 999_996);
    let text = some.preview(&planned, "onewrite");
    assert!(!text.contains("--all"), "{text}");
    assert!(
        text.contains("0 would be moved"),
        "it found none yet: {text}"
    );
    assert!(planned.question().contains("about 999996 others"));
}

#[test]
fn summary_reports_moved_copied_and_remaining_letters() {
    let arguments = arguments(&[], &[]);
    let mut tally = Tally::default();
    let results = [
        LetterResult::Moved("m-9".to_owned()),
        LetterResult::Copied("m-8".to_owned()),
        LetterResult::LeftAlone,
        LetterResult::SentLater,
    ];
    for (letter, result) in letters().into_iter().zip(results) {
        tally.record(&LetterRedrive::done(letter, result), &[]);
    }
    let failed = EndReason::Failed(StackError::NoRegion);
    for (reason, not_judged) in [(failed, 5), (EndReason::NoMore, 5), (EndReason::NoMore, 0)] {
        let end = RedriveEnd {
            reason,
            not_judged: Some(not_judged),
            hidden_for: None,
        };
        let text = arguments.summary(&tally, &end, "onewrite");
        for part in [
            "2 moved; each has a new message id",
            "1 could not be deleted",
            "1 left alone: they would become",
            "1 left alone: they were sent after",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let is_complete = not_judged == 0;
        assert_eq!(
            text.contains("About 5 letters were not judged"),
            !is_complete
        );
    }
}
