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

/// The sentence, further counts if there are any, and the newest lines of the log.
fn lines(totals: &Totals, reloads: Option<u64>, is_paused: bool, log: &[String]) -> Vec<String> {
    let named = [
        (totals.waiting, "in the queue"),
        (totals.duplicates, "duplicates"),
        (totals.dead_letters, "dead letters"),
        (reloads.map(Count), "reloads"),
    ];
    let counts = named
        .into_iter()
        .filter_map(|(count, name)| count.map(|Count(count)| (count, name)))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{name}: {}", grouped(count)));
    let paused = is_paused.then(|| "all event sources are paused".to_owned());
    let more: Vec<String> = counts.chain(paused).collect();
    let more = (!more.is_empty()).then(|| more.join(", "));
    let newest = log
        .iter()
        .skip(log.len().saturating_sub(LOG_LINES))
        .cloned();
    let below = more.into_iter().chain(newest);
    [totals.sentence()]
        .into_iter()
        .chain(below.map(|line| format!("  {line}")))
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
        let more = "  duplicates: 2, dead letters: 1,234, reloads: 4, all event sources are paused";
        assert_eq!(lines(&totals, Some(4), true, &[]), [quiet, more]);
    }

    #[test]
    fn shows_the_newest_lines_of_the_log() {
        let log: Vec<String> = (0..9).map(|number| format!("line {number}")).collect();
        let lines = lines(&Totals::default(), None, false, &log);
        assert_eq!(lines[1..], ["  line 6", "  line 7", "  line 8"]);
    }
}
