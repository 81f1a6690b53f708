//! Numbers for people.

/// Formats a number with about three significant digits.
#[must_use]
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        value if value >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_three_significant_digits() {
        let formatted = [8.0, 1.0 / 60.0, 0.002, 123.4, 1.3, 20.0].map(short);
        assert_eq!(formatted, ["8", "0.0167", "0.002", "123", "1.3", "20"]);
    }
}
