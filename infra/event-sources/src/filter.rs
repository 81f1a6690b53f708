//! Filter criteria: compiled once, then matched against event records (X4 to X10, S19, D24, D25, K9).
//!
//! Records are matched as JSON text, because plain numbers may be compared by their spelling (X6, Q21). The poller
//! decides what happens to a record that does not match.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::value::RawValue;

use crate::choices::Choices;

mod error;
mod json;
mod pattern;

pub use error::{InvalidFilterCriteria, InvalidPattern, MAX_FILTERS, MAX_PATTERN_CHARACTERS};
use json::{Json, Members};
use pattern::{Data, Pattern, Record};

/// The kind of record that a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A pattern's `body` matches the body as JSON or as plain text, depending on the pattern (S19). Its other keys
    /// match the record's own fields.
    Sqs,
    /// A pattern matches the whole record. Attribute values keep their type descriptors (D24, D25).
    DynamoDb,
    /// A pattern matches the record's `kinesis` object, with `data` as base64-decoded JSON (K9).
    Kinesis,
}

/// The filters of a mapping. A record passes if any filter matches it, or if there are no filters (X4).
#[derive(Debug, Clone)]
pub struct FilterCriteria {
    source: Source,
    patterns: Vec<Pattern>,
}

impl FilterCriteria {
    /// Parses the patterns of a mapping.
    ///
    /// # Errors
    /// [`InvalidFilterCriteria`] if there are too many patterns, or one is too long or invalid.
    pub fn compile<P: AsRef<str>>(
        source: Source,
        patterns: &[P],
    ) -> Result<Self, InvalidFilterCriteria> {
        if patterns.len() > MAX_FILTERS {
            return Err(InvalidFilterCriteria::TooManyFilters);
        }
        if patterns
            .iter()
            .any(|pattern| pattern.as_ref().chars().count() > MAX_PATTERN_CHARACTERS)
        {
            return Err(InvalidFilterCriteria::PatternTooLong);
        }
        let patterns = patterns
            .iter()
            .map(|pattern| Pattern::parse(pattern.as_ref()))
            .collect::<Result<_, _>>();
        patterns
            .map(|patterns| Self { source, patterns })
            .map_err(InvalidFilterCriteria::Pattern)
    }

    /// Applies the answer to Q21.
    pub(crate) fn apply(&mut self, choices: &Choices) {
        if choices.numbers_by_value {
            self.patterns
                .iter_mut()
                .for_each(Pattern::compare_numbers_by_value);
        }
    }

    /// Returns whether there are no filters, so that every record passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Returns whether a record passes.
    ///
    /// `record` is the JSON text of one element of the event's `Records`, as the function would receive it. No filter
    /// matches a text that is not a JSON object.
    #[must_use]
    pub fn matches(&self, record: &str) -> bool {
        if self.is_empty() {
            return true;
        }
        let Some(Json::Object(members)) = Json::parse(record) else {
            return false;
        };
        match self.source {
            Source::Sqs => self.matches_sqs(members),
            Source::DynamoDb => self.any(&Record {
                members,
                data: None,
            }),
            Source::Kinesis => self.matches_kinesis(&members),
        }
    }

    fn matches_sqs(&self, members: Members<'_>) -> bool {
        let body = text(&members, "body").unwrap_or_default();
        let data = container(&body).map_or(Data::Plain(&body), Data::Json);
        self.any(&Record {
            members,
            data: Some(("body", data)),
        })
    }

    fn matches_kinesis(&self, members: &Members<'_>) -> bool {
        let Some(Json::Object(members)) =
            members.get("kinesis").and_then(|raw| Json::from_raw(raw))
        else {
            return false;
        };
        let bytes = text(&members, "data").and_then(|data| BASE64_STANDARD.decode(data).ok());
        let data = bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default();
        let data = container(&data).map_or(Data::Unreadable, Data::Json);
        self.any(&Record {
            members,
            data: Some(("data", data)),
        })
    }

    fn any(&self, record: &Record<'_>) -> bool {
        self.patterns
            .iter()
            .any(|pattern| pattern.matches_record(record))
    }
}

fn text(members: &Members<'_>, key: &str) -> Option<String> {
    match Json::from_raw(members.get(key)?)? {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

/// Parses the text as JSON, if it is an object or an array.
fn container(text: &str) -> Option<&RawValue> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    Json::from_raw(raw)?.is_container().then_some(raw)
}

#[cfg(test)]
mod tests;
