//! The screen of `cargo local up` while the pipeline runs: counts, and the last failures with their reason.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use onewrite_console::sentence::grouped;
use onewrite_console::view::{Count, Totals};
use tokio::sync::watch;

use crate::lab::LocalLab;
use crate::progress::Progress;

const INTERVAL: Duration = Duration::from_secs(1);

/// Lines of the log that are shown.
const LOG_LINES: usize = 3;

/// Shows the numbers of a lab until the future is dropped. `reloads` counts those of `--watch`.
pub(super) async fn show(
    lab: Arc<LocalLab>,
    reloads: Option<watch::Receiver<u64>>,
    progress: Progress,
) -> Infallible {
    let mut live = progress.live();
    loop {
        let reloads = reloads.as_ref().map(|reloads| *reloads.borrow());
        live.show(lines(&lab.totals(), reloads, lab.is_paused(), &lab.log()));
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The first line has all that changes, because without a terminal it is the only one.
fn lines(totals: &Totals, reloads: Option<u64>, is_paused: bool, log: &[String]) -> Vec<String> {
    let mut first = vec![totals.sentence()];
    let named = [
        (totals.duplicates, "duplicates"),
        (totals.waiting, "in the queue"),
        (totals.dead_letters, "dead letters"),
        (reloads.map(Count), "reloads"),
    ];
    let counts = named
        .into_iter()
        .filter_map(|(count, name)| count.map(|Count(count)| (count, name)))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{name}: {}", grouped(count)));
    let counts: Vec<String> = counts.collect();
    if !counts.is_empty() {
        first.push(counts.join(", "));
    }
    if is_paused {
        first.push("all event sources are paused".to_owned());
    }
    let newest = log.iter().skip(log.len().saturating_sub(LOG_LINES));
    [first.join("; ")]
        .into_iter()
        .chain(newest.map(|line| format!("  {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only_what_there_is() {
        let count = |count| Some(Count(count));
        let mut totals = Totals {
            sent: count(3),
            created: count(1),
            done: count(1),
            duplicates: count(0),
            waiting: count(0),
            dead_letters: count(0),
            ..Totals::default()
        };
        let quiet = "3 messages sent, 1 notification";
        assert_eq!(lines(&totals, Some(0), false, &[]), [quiet]);
        (totals.dead_letters, totals.duplicates) = (count(1_234), count(2));
        assert_eq!(
            lines(&totals, Some(4), true, &[]),
            [format!(
                "{quiet}; duplicates: 2, dead letters: 1,234, reloads: 4; all event sources are paused"
            )]
        );
    }

    #[test]
    fn shows_the_newest_lines_of_the_log() {
        let log: Vec<String> = (0..9).map(|number| format!("line {number}")).collect();
        let lines = lines(&Totals::default(), None, false, &log);
        assert_eq!(lines[1..], ["  line 6", "  line 7", "  line 8"]);
    }
}
