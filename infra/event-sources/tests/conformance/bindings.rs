//! Compares recorded values, which contain placeholders, with those of the model.

use std::collections::BTreeMap;

use serde_json::Value;

/// Placeholders that match any value, wherever they are (listed in the READMEs of the recordings). All others bind a
/// value.
const FREE: [&str; 7] = [
    "<partition>",
    "<approximate-first-receive-timestamp>",
    "<approximate-creation-datetime>",
    "<approximate-arrival-timestamp>",
    "sent-timestamp",
    "sender-id",
    "<region>",
];
const MILLISECONDS: &str = "<timestamp:2022-07-13T13:48:01.000Z>";
const SECONDS: &str = "<timestamp:2022-07-13T13:48:01Z>";

/// The values of the placeholders of one case. The first use binds a value, later uses must agree, and two
/// placeholders of one kind must have different values.
#[derive(Default)]
pub(crate) struct Bindings {
    values: BTreeMap<String, String>,
    placeholders: BTreeMap<(String, String), String>,
}

impl Bindings {
    /// Compares a whole document and returns the first difference.
    pub(crate) fn compare(
        &mut self,
        at: &str,
        expected: &Value,
        actual: &Value,
    ) -> Result<(), String> {
        match (expected, actual) {
            (Value::String(pattern), _)
                if FREE.contains(&pattern.as_str()) && !actual.is_null() =>
            {
                Ok(())
            }
            (Value::String(pattern), Value::String(text)) => self.compare_text(at, pattern, text),
            (Value::Object(expected), Value::Object(actual)) => {
                for key in expected.keys().chain(actual.keys()) {
                    let at = format!("{at}.{key}");
                    match (expected.get(key), actual.get(key)) {
                        (Some(expected), Some(actual)) => self.compare(&at, expected, actual)?,
                        (Some(_), None) => return Err(format!("{at} is missing")),
                        (None, _) => return Err(format!("{at} is not in the recording")),
                    }
                }
                Ok(())
            }
            (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
                let mut pairs = expected.iter().zip(actual).enumerate();
                pairs.try_for_each(|(n, (expected, actual))| {
                    self.compare(&format!("{at}[{n}]"), expected, actual)
                })
            }
            _ if expected == actual => Ok(()),
            _ => Err(format!("{at} is {actual}, recorded {expected}")),
        }
    }

    fn compare_text(&mut self, at: &str, pattern: &str, text: &str) -> Result<(), String> {
        let differs = || format!("{at} is {text:?}, recorded {pattern:?}");
        let (mut pattern_rest, mut text_rest) = (pattern, text);
        while let Some((literal, placeholder, after)) = next_placeholder(pattern_rest) {
            text_rest = text_rest.strip_prefix(literal).ok_or_else(differs)?;
            let end = match next_placeholder(after) {
                _ if after.is_empty() => text_rest.len(),
                Some(("", ..)) => return Err(format!("{at}: two placeholders side by side")),
                Some((literal, ..)) => text_rest.find(literal).ok_or_else(differs)?,
                None => text_rest
                    .len()
                    .checked_sub(after.len())
                    .ok_or_else(differs)?,
            };
            let (value, rest) = text_rest.split_at_checked(end).ok_or_else(differs)?;
            self.bind(at, placeholder, value)?;
            (pattern_rest, text_rest) = (after, rest);
        }
        if pattern_rest == text_rest {
            Ok(())
        } else {
            Err(differs())
        }
    }

    fn bind(&mut self, at: &str, placeholder: &str, value: &str) -> Result<(), String> {
        match placeholder {
            MILLISECONDS | SECONDS => {
                let sample = &placeholder["<timestamp:".len()..placeholder.len() - 1];
                let same_format =
                    same_format(sample, value) && value.parse::<jiff::Timestamp>().is_ok();
                return same_format
                    .then_some(())
                    .ok_or_else(|| format!("{at}: {value:?} is not like {sample}"));
            }
            free if FREE.contains(&free) => return Ok(()),
            _ if value.is_empty() => {
                return Err(format!("{at}: the value of {placeholder} is empty"));
            }
            _ => {}
        }
        let bound = self
            .values
            .entry(placeholder.to_owned())
            .or_insert_with(|| value.to_owned());
        if bound != value {
            return Err(format!(
                "{at}: {placeholder} was {bound:?} before, here it is {value:?}"
            ));
        }
        let kind = placeholder
            .rsplit_once(':')
            .map_or(placeholder, |(kind, _)| kind);
        let key = (kind.to_owned(), value.to_owned());
        let other = self
            .placeholders
            .entry(key)
            .or_insert_with(|| placeholder.to_owned());
        if other != placeholder {
            return Err(format!("{at}: {value:?} is both {other} and {placeholder}"));
        }
        Ok(())
    }
}

/// Splits a text into the part before the first placeholder, the placeholder, and the rest.
fn next_placeholder(pattern: &str) -> Option<(&str, &str, &str)> {
    let start = pattern.find('<')?;
    let end = start + pattern[start..].find('>')? + 1;
    Some((&pattern[..start], &pattern[start..end], &pattern[end..]))
}

fn same_format(sample: &str, value: &str) -> bool {
    let shape = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect()
    };
    shape(sample) == shape(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compare(bindings: &mut Bindings, expected: &Value, actual: &Value) -> bool {
        bindings.compare("", expected, actual).is_ok()
    }

    #[test]
    fn same_placeholder_means_same_value() {
        let mut bindings = Bindings::default();
        assert!(compare(
            &mut bindings,
            &json!({"a": "<uuid:1>", "b": "<uuid:2>"}),
            &json!({"a": "x", "b": "y"})
        ));
        assert!(compare(&mut bindings, &json!("<uuid:1>"), &json!("x")));
        assert!(!compare(&mut bindings, &json!("<uuid:1>"), &json!("z")));
        assert!(!compare(&mut bindings, &json!("<uuid:3>"), &json!("y")));
        assert!(compare(&mut bindings, &json!("<shard-id:1>"), &json!("x")));
    }

    #[test]
    fn compares_text_around_placeholders() {
        let mut bindings = Bindings::default();
        let arn = json!("arn:<partition>:sqs:<region>:111111111111:<resource:1>");
        assert!(compare(
            &mut bindings,
            &arn,
            &json!("arn:aws:sqs:eu-west-1:111111111111:q")
        ));
        assert!(!compare(
            &mut bindings,
            &arn,
            &json!("arn:aws:sqs:eu-west-1:111111111111:other")
        ));
        assert!(!compare(
            &mut bindings,
            &arn,
            &json!("arn:aws:sns:eu-west-1:111111111111:q")
        ));
        assert!(!compare(&mut bindings, &json!("a"), &json!("ab")));
    }

    #[test]
    fn compares_keys_and_types() {
        let mut bindings = Bindings::default();
        assert!(!compare(
            &mut bindings,
            &json!({"a": 1}),
            &json!({"a": 1, "b": null})
        ));
        assert!(!compare(&mut bindings, &json!({"a": null}), &json!({})));
        assert!(!compare(&mut bindings, &json!("1"), &json!(1)));
        assert!(!compare(&mut bindings, &json!([1]), &json!([1, 2])));
    }

    #[test]
    fn timestamps_are_compared_by_their_format() {
        let mut bindings = Bindings::default();
        assert!(compare(
            &mut bindings,
            &json!(MILLISECONDS),
            &json!("2026-01-01T00:00:00.123Z")
        ));
        assert!(!compare(
            &mut bindings,
            &json!(MILLISECONDS),
            &json!("2026-01-01T00:00:00Z")
        ));
        assert!(compare(
            &mut bindings,
            &json!(SECONDS),
            &json!("2026-01-01T00:00:00Z")
        ));
        assert!(!compare(
            &mut bindings,
            &json!(SECONDS),
            &json!("2026-13-01T00:00:00Z")
        ));
    }
}
