//! The parts of the page.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use onewrite_console::lab::Fault;
use onewrite_console::sentence::grouped;

use super::comparison::{Casualty, Comparison, Outcome, Run};
use super::escape::escape;
use crate::lab::double_write::machine::Incident;
use crate::oracle::Report;

/// Notifications that the page names, lost ones and repeated ones.
const EXAMPLES: usize = 10;

/// A row with a name, and a number for each design. `is_bad` says whether a number is a failure.
fn row(name: &str, values: [u64; 3], is_bad: impl Fn(u64) -> bool) -> String {
    let cells = values.map(|value| {
        let class = if is_bad(value) { " bad" } else { "" };
        format!("<td class=\"number{class}\">{}</td>", grouped(value))
    });
    format!("<tr><th scope=\"row\">{name}</th>{}</tr>\n", cells.concat())
}

pub(super) fn comparison(comparison: &Comparison) -> String {
    let Comparison {
        ids,
        onewrite,
        double_write,
        resending,
        ..
    } = comparison;
    let of = |value: fn(&Outcome) -> u64| [onewrite, double_write, resending].map(value);
    let is_any = |count| count > 0;
    let pending = of(|one| one.ledger.pending.0);
    let rows = [
        row("Notifications sent", [*ids; 3], |_| false),
        row("Effects", of(|one| one.ledger.effects.0), |count| {
            count != *ids
        }),
        row(
            "Notifications with more than one effect",
            of(|one| one.ledger.repeated.0),
            is_any,
        ),
        row(
            "Lost: no effect, and no message left",
            of(|one| one.ledger.lost.0),
            is_any,
        ),
    ];
    let mut rows = rows.concat();
    if pending.iter().any(|count| *count > 0) {
        rows += &row(
            "In the dead-letter queue without an effect",
            pending,
            |_| false,
        );
    }
    rows += &row(
        "Conflicts that somebody learns of",
        of(|one| one.conflicts),
        |_| false,
    );
    rows += &row("Conflicts that vanish", of(|one| one.dropped), is_any);
    rows += &row(
        "Malformed messages in the dead-letter queue",
        of(|one| one.rejected),
        |_| false,
    );
    format!(
        r#"<section>
<h2>The result</h2>
<div class="scroll"><table>
<thead><tr><td></td><th scope="col" class="number">onewrite</th><th scope="col" class="number">Double write</th><th scope="col" class="number">Double write,<br>sends INIT again</th></tr></thead>
<tbody>
{rows}</tbody>
</table></div>
<p>onewrite ran for real: its functions, an emulator of the AWS services, and a target with a ledger. The double writes are models of
the design that most services start with: read the item, write INIT, send, write DONE. If the item exists, the first one takes the
message for handled. The second one sends again unless the item is DONE.</p>
</section>
"#
    )
}

pub(super) fn casualties(comparison: &Comparison) -> String {
    let (lost, repeated): (Vec<&Casualty>, Vec<&Casualty>) = comparison
        .casualties
        .iter()
        .partition(|one| one.effects == 0);
    let mut rows = String::new();
    for one in lost
        .iter()
        .take(EXAMPLES)
        .chain(repeated.iter().take(EXAMPLES))
    {
        let effects = match one.effects {
            0 => "lost".to_owned(),
            count => format!("{count} effects"),
        };
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\"><code>{}</code></th><td class=\"bad\">{effects}</td><td>{}</td><td>{}</td></tr>",
            escape(&one.id),
            reason(one),
            match one.onewrite {
                1 => "1 effect".to_owned(),
                count => format!("{count} effects"),
            },
        );
    }
    if rows.is_empty() {
        return "<section>\n<h2>What the double write got wrong</h2>\n<p>Nothing in this run.</p>\n</section>\n".to_owned();
    }
    let more = |all: usize| all.saturating_sub(EXAMPLES);
    let more = match more(lost.len()) + more(repeated.len()) {
        0 => String::new(),
        more => format!("<p>And {} more.</p>\n", grouped(more as u64)),
    };
    format!(
        r#"<section>
<h2>What the double write got wrong</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">Notification</th><th scope="col">Double write</th><th scope="col">Why</th><th scope="col">onewrite</th></tr></thead>
<tbody>
{rows}</tbody>
</table></div>
{more}</section>
"#
    )
}

/// Why a notification is lost or repeated.
pub(super) fn reason(casualty: &Casualty) -> String {
    let happened = |incident| casualty.incidents.contains(&incident);
    let mut reasons = BTreeSet::new();
    if casualty.effects == 0 {
        for (incident, text) in [
            (
                Incident::Fault(Fault::KillIngestAfterWrite),
                "The process was killed after it wrote INIT and before it sent.",
            ),
            (
                Incident::SendFailed,
                "All attempts to send failed after INIT was written.",
            ),
        ] {
            if happened(incident) {
                reasons.insert(text);
            }
        }
        let reasons: Vec<&str> = reasons.into_iter().collect();
        let then = "The next receive found the item and acknowledged.";
        return format!("{} {then}", reasons.join(" "));
    }
    for (incident, text) in [
        (
            Incident::Fault(Fault::CutKinesis),
            "The response to the send was lost, so the client sent it again.",
        ),
        (
            Incident::Raced,
            "Messages with this id were handled at the same time. Each read that there was no item, and each was sent.",
        ),
    ] {
        if happened(incident) {
            reasons.insert(text);
        }
    }
    reasons.into_iter().collect::<Vec<_>>().join(" ")
}

/// A fault, and what both designs do after it.
fn describe(fault: Fault) -> (&'static str, &'static str, &'static str) {
    match fault {
        Fault::KillIngestBeforeWrite => (
            "Process killed before it writes the item",
            "The queue delivers again, and the item is written.",
            "The same.",
        ),
        Fault::KillIngestAfterWrite => (
            "Process killed after it wrote the item",
            "The table's stream has the item, so it is sent. The next receive is a duplicate.",
            "The item exists and was never sent. The next receive acknowledges: lost.",
        ),
        Fault::CutKinesis => (
            "Connection cut after the send",
            "The event is sent again with the same id, which the target books once.",
            "The message is sent again with another id: two effects.",
        ),
        Fault::FailEntries => (
            "Send reported as failed",
            "The failed events are sent again with the same ids, also if they were stored.",
            "The client sends again. If all attempts fail: lost.",
        ),
        Fault::KillCompleteAfterEffect => (
            "Process killed after the effect, before DONE",
            "The target is called again with the same key, and books it once.",
            "The item stays in INIT for ever. The next receive acknowledges.",
        ),
        Fault::ThrottleTable => (
            "Write throttled by the table",
            "The write is tried again.",
            "The same.",
        ),
    }
}

pub(super) fn faults(comparison: &Comparison) -> String {
    let mut rows = String::new();
    for fault in Fault::ALL {
        let (name, onewrite, double_write) = describe(fault);
        let times = |outcome: &Outcome| outcome.faults.get(&fault).copied().unwrap_or(0);
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{name}</th><td class=\"number\">{}</td><td>{onewrite}</td><td class=\"number\">{}</td><td>{double_write}</td></tr>",
            times(&comparison.onewrite),
            times(&comparison.double_write),
        );
    }
    format!(
        r#"<section>
<h2>The faults, and what each design does after them</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">Fault</th><th scope="col" class="number">Times</th><th scope="col">onewrite</th><th scope="col" class="number">Times</th><th scope="col">Double write</th></tr></thead>
<tbody>
{rows}</tbody>
</table></div>
<p>Both designs had the same number of each fault coming, at the same calls. A number is smaller if a design made fewer such calls:
<code>forward</code> sends many events with one call.</p>
</section>
"#
    )
}

pub(super) fn counts(report: &Report) -> String {
    let counts = &report.counts;
    let mut named = vec![
        ("Messages sent", counts.sent),
        ("Notifications stored", counts.created),
        ("Duplicates acknowledged", counts.duplicates),
        ("Conflicts dead-lettered", counts.conflicts),
        ("Malformed messages dead-lettered", counts.rejected),
        ("Events in the stream", counts.forwarded),
        ("Copies of events in the stream", counts.repeated),
        ("Notifications in DONE", counts.done),
        ("Notifications in REFUSED", counts.refused),
    ];
    named.extend(counts.booked.map(|booked| ("Booked by the target", booked)));
    let calls = counts.calls.and_then(|calls| usize::try_from(calls).ok());
    named.extend(calls.map(|calls| ("Calls of the target", calls)));
    let rows = named.into_iter().map(|(name, count)| {
        let count = grouped(count as u64);
        format!("<tr><th scope=\"row\">{name}</th><td class=\"number\">{count}</td></tr>\n")
    });
    let rows: String = rows.collect();
    format!(
        "<section>\n<h2>The run of onewrite</h2>\n<div class=\"scroll\"><table>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

/// What a reader who doubts the comparison needs to know.
pub(super) fn fairness(comparison: &Comparison) -> String {
    let stuck = match comparison.stuck {
        0 => String::new(),
        1 => " In this run, one item of the first double write stays in INIT for ever.".to_owned(),
        count => {
            format!(" In this run, {count} items of the first double write stay in INIT for ever.")
        }
    };
    format!(
        r#"<section>
<h2>Is this fair?</h2>
<ul>
<li>The double write has the same queue, with the same visibility timeout and six receives, as many concurrent batches, partial batch
responses, and a client that tries each call as often. It has no bug that was put in to lose.</li>
<li>It handles a batch one message after another, so a killed process loses one notification at most. Where a fault leaves two outcomes
open, the model takes the better one: reads are never throttled, and a send that failed was not booked.</li>
<li>Its receiver books every message. It cannot recognise a copy, because each send gets a new id from the service, as with SQS, SNS
and Kinesis. The target of onewrite gets the notification id as the key of each call, and books a key once.</li>
<li>A double write that sends again whenever its item is in INIT loses nothing, and repeats more: the third column. If its receiver
checked the notification id, no copy would have an effect. Both together, and something that finds stuck items, is what onewrite is.{stuck}</li>
<li>All of them deliver at least once. onewrite makes copies harmless; it does not prevent them. A target that is not idempotent by
the notification id has an effect for each copy.</li>
</ul>
</section>
"#
    )
}

pub(super) fn run(run: &Run) -> String {
    let mut rows = format!(
        "<tr><th scope=\"row\">Time</th><td>{}</td></tr>\n<tr><th scope=\"row\">Seed</th><td>{}</td></tr>\n",
        escape(&run.at),
        run.seed
    );
    for (name, version) in &run.versions {
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escape(name),
            escape(version)
        );
    }
    let command = escape(&run.command);
    format!(
        r#"<section>
<h2>Repeat it</h2>
<pre><code>{command}</code></pre>
<p>The seed decides the messages and the planned faults. Processes run at their own speed, so which message meets a fault can differ.</p>
<div class="scroll"><table>
<tbody>
{rows}</tbody>
</table></div>
</section>
"#
    )
}
