//! The guarantees that the demo checks from outside, and which of them a run broke.

use std::fmt::Write as _;

use super::escape::escape;
use crate::oracle::{Report, Violation};

/// Violations that the page names, for each guarantee.
const SHOWN: usize = 5;

/// What a violation breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Guarantee {
    AcknowledgedMeansStored,
    WrittenOnce,
    NothingInvented,
    CheckpointIsHonest,
    Order,
    Status,
    Effect,
    /// Not a guarantee, but the run would prove nothing without it.
    Complete,
}

impl Guarantee {
    const ALL: [Self; 8] = [
        Self::AcknowledgedMeansStored,
        Self::WrittenOnce,
        Self::NothingInvented,
        Self::CheckpointIsHonest,
        Self::Order,
        Self::Status,
        Self::Effect,
        Self::Complete,
    ];

    /// The name in docs/guarantees.md, and what was compared.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::AcknowledgedMeansStored => (
                "Acknowledged means stored",
                "Every message that left the queue is stored, or is in the dead-letter queue for a reason.",
            ),
            Self::WrittenOnce => (
                "Written once",
                "The table has one item for each notification, as it was sent first.",
            ),
            Self::NothingInvented => (
                "Nothing invented",
                "Each event belongs to a stored item, and has its payload byte for byte.",
            ),
            Self::CheckpointIsHonest => (
                "Checkpoint is honest",
                "The stream has an event for each change of each item.",
            ),
            Self::Order => (
                "Order per notification",
                "The events of a notification are in one shard, in the order of its changes.",
            ),
            Self::Status => (
                "Status",
                "Every notification has reached its final status, with one transition.",
            ),
            Self::Effect => (
                "Effect",
                "The target has booked each notification in DONE once, and nothing else.",
            ),
            Self::Complete => (
                "The run is complete",
                "The queue is empty, and copies were handled as duplicates.",
            ),
        }
    }

    fn of(violation: &Violation) -> Self {
        match violation {
            Violation::Lost { .. }
            | Violation::WronglyDeadLettered { .. }
            | Violation::UnexpectedDeadLetter { .. } => Self::AcknowledgedMeansStored,
            Violation::UnexpectedItem { .. } | Violation::ItemChanged { .. } => Self::WrittenOnce,
            Violation::UnreadableEvent { .. }
            | Violation::UnexpectedEvent { .. }
            | Violation::EventChanged { .. }
            | Violation::WrongPartitionKey { .. }
            | Violation::EventIdNotUnique { .. } => Self::NothingInvented,
            Violation::MissingEvent { .. } => Self::CheckpointIsHonest,
            Violation::OutOfOrder { .. } | Violation::SeveralShards { .. } => Self::Order,
            Violation::NotSettled { .. } => Self::Status,
            Violation::NotBooked { .. }
            | Violation::BookedAgain { .. }
            | Violation::UnexpectedBooking { .. } => Self::Effect,
            Violation::QueueNotEmpty { .. } | Violation::NoDuplicateProcessed => Self::Complete,
        }
    }
}

/// Each guarantee with its result.
pub(super) fn section(report: &Report) -> String {
    let broken = report.violations.len();
    let result = if broken == 0 {
        "Every guarantee was kept.".to_owned()
    } else {
        format!("BROKEN: {broken} findings.")
    };
    let mut rows = String::new();
    for guarantee in Guarantee::ALL {
        let (name, meaning) = guarantee.describe();
        let violations = report.violations.iter();
        let broken = violations.filter(|violation| Guarantee::of(violation) == guarantee);
        let broken: Vec<String> = broken
            .map(|violation| escape(&violation.to_string()))
            .collect();
        let cell = match broken.len() {
            0 => r#"<td class="good">kept</td>"#.to_owned(),
            count => {
                let shown = broken[..count.min(SHOWN)].join("<br>");
                format!(r#"<td class="bad">broken {count} times<br>{shown}</td>"#)
            }
        };
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{name}</th><td>{meaning}</td>{cell}</tr>"
        );
    }
    format!(
        r#"<section>
<h2>What onewrite guarantees, checked from outside</h2>
<p>{result} The check compares what was sent with the table, the stream, the dead-letter queue and the ledger of the target.</p>
<div class="scroll"><table>
<thead><tr><th scope="col">Guarantee</th><th scope="col">Checked</th><th scope="col">Result</th></tr></thead>
<tbody>
{rows}</tbody>
</table></div>
</section>
"#
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::oracle::Counts;

    fn rendered(violations: Vec<Violation>) -> String {
        section(&Report {
            counts: Counts::default(),
            shards: BTreeMap::new(),
            violations,
        })
    }

    #[test]
    fn says_which_guarantee_is_broken_and_how() {
        let lost = |number: usize| Violation::Lost {
            message_id: format!("<m{number}>"),
        };
        let text = rendered((0..7).map(lost).collect());
        assert!(text.contains("BROKEN: 7 findings."), "{text}");
        assert!(
            text.contains("broken 7 times<br>lost: message &lt;m0&gt; is"),
            "{text}"
        );
        assert_eq!(text.matches("lost: message").count(), SHOWN);
        assert_eq!(text.matches(">kept<").count(), Guarantee::ALL.len() - 1);
    }

    #[test]
    fn says_that_every_guarantee_was_kept() {
        let text = rendered(Vec::new());
        assert!(text.contains("Every guarantee was kept."), "{text}");
        assert_eq!(text.matches(">kept<").count(), Guarantee::ALL.len());
    }
}
