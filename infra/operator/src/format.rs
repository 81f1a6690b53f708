//! Texts that several commands print.

/// Formats a duration by its two greatest units; below a minute, as seconds with milliseconds.
#[must_use]
pub fn duration(millis: i64) -> String {
    let millis = millis.max(0);
    let seconds = millis / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}.{:03}s", millis % 1_000),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Quotes an argument for a shell. An id may contain any printable character.
#[must_use]
pub fn shell_quote(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_durations_with_two_units() {
        for (millis, text) in [
            (-5, "0.000s"),
            (59_999, "59.999s"),
            (60_000, "1m00s"),
            (3_599_999, "59m59s"),
            (3_600_000, "1h00m"),
            (86_399_999, "23h59m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }
}
