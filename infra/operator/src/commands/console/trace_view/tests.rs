use onewrite_stack::dead_letter::DeadLetterReason;
use serde_json::{Value, json};

use super::*;
use crate::commands::trace::{
    evidence::Evidence,
    report::Content,
    tests::{at, done, failure, init, letter, nothing, record, stored},
};

/// All that a trace can find, for each place.
fn evidences() -> Vec<Evidence> {
    let repeated = Evidence {
        item: stored(done()),
        records: vec![
            record("INIT", 214),
            record("INIT", 90_000),
            record("DONE", 400),
        ],
        dead_letters: vec![letter(DeadLetterReason::AlreadyStored)],
        ..nothing()
    };
    let failed = Evidence {
        item: stored(init()),
        records: vec![record("INIT", 214)],
        failures: vec![failure()],
        ..nothing()
    };
    let dead = Evidence {
        dead_letters: vec![letter(DeadLetterReason::NotStored)],
        uninspected_dead_letters: 7,
        ..nothing()
    };
    vec![nothing(), repeated, failed, dead]
}

/// The page and `onewrite trace --output json` show the same.
#[test]
fn shows_what_the_command_prints() {
    for evidence in evidences() {
        let report = TraceReport::new(&evidence);
        let json: Value = serde_json::to_value(&report).unwrap();
        let view = serde_json::to_value(trace_view(&report, false, "onewrite")).unwrap();
        for (of_command, of_page) in [
            ("id", "id"),
            ("place", "place"),
            ("settled_by", "settled_by"),
            ("says", "summary"),
            ("looked_at", "looked_at"),
        ] {
            assert_eq!(json[of_command], view[of_page], "{of_page}");
        }
        let steps = |document: &Value| -> Vec<Value> {
            let steps = document["steps"].as_array().unwrap().iter();
            let fields = |step: &Value| json!([step["at"], step["what"], step["detail"]]);
            steps.map(fields).collect()
        };
        assert_eq!(steps(&json), steps(&view));
        let records = |document: &Value| -> Vec<Value> {
            let records = document["records"].as_array().unwrap().iter();
            let fields =
                |one: &Value| json!([one["shard"], one["sequence_number"], one["event_id"]]);
            records.map(fields).collect()
        };
        assert_eq!(records(&json), records(&view));
        let copies = json["dead_letters"].as_array().unwrap().len()
            + json["failures"].as_array().unwrap().len();
        assert_eq!(view["copies"].as_array().unwrap().len(), copies);
    }
}

#[test]
fn suggests_the_command_that_the_text_ends_with() {
    for evidence in evidences() {
        let report = TraceReport::new(&evidence);
        let text = report.text("onewrite --stack x");
        let next = text.lines().find_map(|line| line.strip_prefix("Next: "));
        let view = trace_view(&report, false, "onewrite --stack x");
        let lines: Vec<&str> = view.commands.iter().map(|one| one.line.as_str()).collect();
        assert_eq!(lines.last(), Some(&"onewrite --stack x trace rf_8841"));
        match next {
            Some(next) => assert_eq!(lines[0], next),
            None => assert_eq!(lines.len(), 1, "{lines:?}"),
        }
    }
}

#[test]
fn has_the_time_between_steps_in_milliseconds() {
    let evidence = Evidence {
        item: stored(init()),
        records: vec![record("INIT", 214)],
        collected_at: at(100_000),
        ..nothing()
    };
    let view = trace_view(&TraceReport::new(&evidence), true, "onewrite");
    let gaps: Vec<_> = view.steps.iter().map(|step| step.gap_millis).collect();
    assert_eq!(gaps, [None, Some(Count(183))]);
    assert!(view.has_payload);
}

#[test]
fn holds_no_payload() {
    let evidence = Evidence {
        item: stored(init()),
        ..nothing()
    };
    let report = TraceReport::new(&evidence).with_content(&evidence);
    assert!(
        report
            .content
            .as_ref()
            .is_some_and(|content: &Content| content.payload == "1")
    );
    let view = serde_json::to_value(trace_view(&report, true, "onewrite")).unwrap();
    assert!(view.get("payload").is_none() && view.get("enrichment").is_none());
}
