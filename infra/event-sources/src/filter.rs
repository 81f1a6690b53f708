//! Filter criteria: compiled once, then matched against event records (X4 to X10, S19, D24, D25, K9).
//!
//! Records are matched as JSON text, for plain numbers compare by spelling (X6). What becomes of a record that does
//! not match is the poller's business.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::value::RawValue;

use crate::mapping::{Refusal, limits};

mod json;
mod pattern;

use json::{Json, Members};
pub use pattern::InvalidPattern;
use pattern::{Data, Pattern, Record};

/// The kind of record a pattern is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A pattern's `body` fits the body as JSON or as plain text, whichever the pattern is (S19); its other keys fit
    /// the record's own fields.
    Sqs,
    /// A pattern fits the whole record; attribute values keep their type descriptors (D24, D25).
    DynamoDb,
    /// A pattern fits the record's `kinesis` object, its `data` as base64-decoded JSON (K9).
    Kinesis,
}

/// The filters of a mapping: a record passes if any of them matches it, or if there are none (X4).
#[derive(Debug, Clone)]
pub struct FilterCriteria {
    source: Source,
    patterns: Vec<Pattern>,
}

impl FilterCriteria {
    /// Parses the patterns of a mapping.
    ///
    /// # Errors
    /// [`Refusal::TooManyFilters`], [`Refusal::PatternTooLong`] or [`Refusal::FilterPattern`].
    pub fn compile<P: AsRef<str>>(source: Source, patterns: &[P]) -> Result<Self, Refusal> {
        if patterns.len() > limits::FILTERS {
            return Err(Refusal::TooManyFilters);
        }
        if patterns
            .iter()
            .any(|pattern| pattern.as_ref().chars().count() > limits::PATTERN_CHARACTERS)
        {
            return Err(Refusal::PatternTooLong);
        }
        let patterns = patterns
            .iter()
            .map(|pattern| Pattern::parse(pattern.as_ref()))
            .collect::<Result<_, _>>();
        patterns
            .map(|patterns| Self { source, patterns })
            .map_err(Refusal::FilterPattern)
    }

    /// Whether there are no filters, so that everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a record passes.
    ///
    /// `record` is the JSON text of one element of an event's `Records`, as the function would get it. A text that
    /// is no JSON object fits no filter.
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
        let Some(Json::Object(members)) = members.get("kinesis").and_then(|raw| Json::of(raw))
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
    match Json::of(members.get(key)?)? {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

/// The text as JSON, if it is an object or a list.
fn container(text: &str) -> Option<&RawValue> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    Json::of(raw)?.is_container().then_some(raw)
}

#[cfg(test)]
mod tests;
