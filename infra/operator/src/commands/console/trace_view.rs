//! The report of `onewrite trace` as the page shows it. No I/O.

use onewrite_console::view::{Command, Count, Trace, TraceRecord, TraceStep};

use crate::{
    commands::trace::report::{Place, Step, TraceReport, dead_letter_text, failure_text},
    format::shell_quote,
};

/// Converts a report. `command` is the command line that runs this tool on the same stack.
pub(super) fn trace_view(report: &TraceReport, has_payload: bool, command: &str) -> Trace {
    let letters = report.dead_letters.iter();
    let letters = letters.map(|letter| format!("dead letter: {}", dead_letter_text(letter)));
    let failures = report.failures.iter();
    let failures = failures.map(|failure| format!("failure bucket: {}", failure_text(failure)));
    let records = report.records.iter().map(|record| TraceRecord {
        shard: record.shard.clone(),
        sequence_number: record.sequence_number.clone(),
        event_id: record.event_id.clone().unwrap_or_default(),
    });
    let errors = report.errors.iter().filter_map(|errors| {
        let newest = &errors.kinds.first()?.last;
        let (function, text, at) = (errors.function, newest.text(), newest.at);
        Some(format!("{function}: {text}, at {at}"))
    });
    Trace {
        id: report.id.clone(),
        place: format!("{:?}", report.place),
        settled_by: report.settled_by.clone(),
        steps: steps(&report.steps),
        summary: report.summary.clone(),
        records: records.collect(),
        copies: letters.chain(failures).collect(),
        errors: errors.collect(),
        commands: commands(report, command),
        has_payload,
        looked_at: report.looked_at.to_string(),
    }
}

fn steps(steps: &[Step]) -> Vec<TraceStep> {
    let mut before = None;
    let mut views = Vec::with_capacity(steps.len());
    for step in steps {
        let millis = step.at.as_millisecond();
        let gap = before.replace(millis).map(|before: i64| millis - before);
        views.push(TraceStep {
            at: step.at.to_string(),
            what: step.what.to_owned(),
            detail: step.detail.clone(),
            gap_millis: gap.map(|gap| Count(u64::try_from(gap).unwrap_or(0))),
        });
    }
    views
}

/// The commands to copy: what may be run again, and the trace itself.
fn commands(report: &TraceReport, command: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut add = |purpose: &str, line: String| {
        commands.push(Command {
            purpose: purpose.to_owned(),
            line,
        });
    };
    if let Some(line) = report.next_command(command) {
        add("Retry it, after the cause is fixed", line);
    }
    if matches!(report.place, Place::Stored | Place::Published) {
        let line = format!("{command} reconcile --pending-older-than 1h");
        add("Preview a redrive of all items stuck in INIT", line);
    }
    let id = shell_quote(&report.id);
    add("Show this in a terminal", format!("{command} trace {id}"));
    commands
}

#[cfg(test)]
mod tests;
