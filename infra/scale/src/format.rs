//! Numbers for people.

/// Formats a number with about three significant digits.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    if size < 5e-4 {
        "0".to_owned()
    } else if size < 10.0 && (value - value.round()).abs() > 5e-3 {
        format!("{value:.2}")
    } else if size < 1e6 {
        format!("{value:.0}")
    } else if size < 1e9 {
        format!("{:.2}M", value / 1e6)
    } else {
        format!("{:.2}G", value / 1e9)
    }
}
