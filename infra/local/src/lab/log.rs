//! The last lines about what happened. Never a payload.

use std::collections::VecDeque;

use jiff::Timestamp;
use onewrite_event_sources::Millis;

/// Lines that are kept.
const LINES: usize = 50;

/// Characters of a line that are kept. Ids have at most 256.
const CHARACTERS: usize = 400;

#[derive(Debug, Default)]
pub(super) struct Log {
    lines: VecDeque<Line>,
}

#[derive(Debug)]
struct Line {
    at: Millis,
    text: String,
    times: u32,
}

impl Log {
    /// Adds a line. One that repeats the last one is counted there.
    pub(super) fn add(&mut self, now: Millis, text: &str) {
        let text: String = text.chars().take(CHARACTERS).collect();
        match self.lines.back_mut().filter(|last| last.text == text) {
            Some(last) => (last.at, last.times) = (now, last.times + 1),
            None => self.lines.push_back(Line {
                at: now,
                text,
                times: 1,
            }),
        }
        let surplus = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..surplus);
    }

    /// The lines with their times in UTC, newest last.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.lines.iter().map(|line| {
            let times = match line.times {
                1 => String::new(),
                times => format!(" ({times} times)"),
            };
            format!("{} {}{times}", clock(line.at), line.text)
        });
        lines.collect()
    }
}

/// The time of day in UTC.
fn clock(at: Millis) -> String {
    let at = i64::try_from(at).map(Timestamp::from_millisecond);
    let Ok(Ok(at)) = at else {
        return String::new();
    };
    at.strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_and_counts_repetitions() {
        let mut log = Log::default();
        log.add(0, "first");
        for _ in 0..3 {
            log.add(61_000, "second");
        }
        assert_eq!(log.lines(), ["00:00:00 first", "00:01:01 second (3 times)"]);
        (0..200).for_each(|number| log.add(0, &format!("{number}{}", "x".repeat(1_000))));
        let lines = log.lines();
        assert_eq!(lines.len(), LINES);
        assert!(lines.iter().all(|line| line.len() < CHARACTERS + 20));
    }
}
