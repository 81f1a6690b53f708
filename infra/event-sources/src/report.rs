//! How a function's answer to a batch is read: partial batch responses (`ReportBatchItemFailures`).
//!
//! Pure text in, verdict out. What a poller does with the verdict (deletes, checkpoints, attempts) is not here.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

/// The key of the list in a partial batch response.
const FAILURES: &str = "batchItemFailures";
/// The key of each entry: a message id (SQS), or a sequence number (streams).
const IDENTIFIER: &str = "itemIdentifier";

/// What a function said about the items of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Every item succeeded (S6, S11, D11).
    AllSucceeded,
    /// The listed items failed, all others succeeded (S13); for a stream only the lowest matters (D13).
    Partial(Failures),
    /// No item succeeded, for the response breaks the contract (S12, D12).
    WholeBatchFailed(Malformed),
}

/// The failed items of a partial batch response: at least one, each of them in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    identifiers: BTreeSet<String>,
    duplicates: usize,
}

impl Failures {
    /// The failed identifiers, each once (Q1).
    #[must_use]
    pub fn identifiers(&self) -> &BTreeSet<String> {
        &self.identifiers
    }

    /// Whether this item is listed.
    #[must_use]
    pub fn contains(&self, identifier: &str) -> bool {
        self.identifiers.contains(identifier)
    }

    /// How many entries repeated an earlier one: harmless to a batch, yet a fault of the function worth reporting (Q1).
    #[must_use]
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// The lowest of them as a sequence number: a stream's new checkpoint (D13, K6).
    #[must_use]
    pub fn lowest_sequence_number(&self) -> &str {
        let lowest = self.identifiers.iter().min_by(|a, b| compare_sequence_numbers(a, b));
        lowest.map_or("", String::as_str)
    }
}

/// Why a response failed its whole batch. Never holds the response: it may quote a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The text is no JSON document.
    #[error("the response is not JSON")]
    NotJson,
    /// A non-empty array or text, a number or a boolean (Q3).
    #[error("the response is not a JSON object")]
    NotAnObject,
    /// `batchItemFailures` is there and is neither null nor a list.
    #[error("batchItemFailures is not a list")]
    FailuresNotAList,
    /// An entry is not an object, or does not have the key `itemIdentifier`.
    #[error("an entry of batchItemFailures has no itemIdentifier")]
    IdentifierMissing,
    /// An identifier is null or anything else that is not text.
    #[error("an itemIdentifier is not text")]
    IdentifierNotText,
    /// An identifier is the empty text.
    #[error("an itemIdentifier is empty")]
    IdentifierEmpty,
    /// An identifier names no item of this batch.
    #[error("an itemIdentifier is not in the batch")]
    IdentifierUnknown,
}

/// Reads the response of a function that ended without error.
///
/// `reports_failures` tells whether the mapping has `ReportBatchItemFailures`; without it the response is not read
/// at all (S6). `batch` holds the identifiers of the items that the function was given: message ids for SQS,
/// sequence numbers for streams.
#[must_use]
pub fn read<I: AsRef<str>>(response: &str, reports_failures: bool, batch: &[I]) -> Report {
    if !reports_failures {
        return Report::AllSucceeded;
    }
    match failures(response, batch) {
        Ok(None) => Report::AllSucceeded,
        Ok(Some(failures)) => Report::Partial(failures),
        Err(malformed) => Report::WholeBatchFailed(malformed),
    }
}

fn failures<I: AsRef<str>>(response: &str, batch: &[I]) -> Result<Option<Failures>, Malformed> {
    // A runtime that answers nothing sends an empty payload, which stands for null.
    if response.trim().is_empty() {
        return Ok(None);
    }
    let object = match serde_json::from_str(response).map_err(|_| Malformed::NotJson)? {
        Value::Null => return Ok(None),
        Value::Array(empty) if empty.is_empty() => return Ok(None),
        Value::String(empty) if empty.is_empty() => return Ok(None),
        Value::Object(object) => object,
        _ => return Err(Malformed::NotAnObject),
    };
    let entries = match object.get(FAILURES) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(Malformed::FailuresNotAList),
    };
    let batch: BTreeSet<&str> = batch.iter().map(AsRef::as_ref).collect();
    let mut identifiers = BTreeSet::new();
    for entry in entries {
        identifiers.insert(identifier(entry, &batch)?.to_owned());
    }
    let duplicates = entries.len() - identifiers.len();
    Ok((!identifiers.is_empty()).then_some(Failures { identifiers, duplicates }))
}

fn identifier<'a>(entry: &'a Value, batch: &BTreeSet<&str>) -> Result<&'a str, Malformed> {
    match entry.get(IDENTIFIER) {
        None => Err(Malformed::IdentifierMissing),
        Some(Value::String(text)) if text.is_empty() => Err(Malformed::IdentifierEmpty),
        Some(Value::String(text)) if batch.contains(text.as_str()) => Ok(text),
        Some(Value::String(_)) => Err(Malformed::IdentifierUnknown),
        Some(_) => Err(Malformed::IdentifierNotText),
    }
}

/// Orders sequence numbers as the integers they are: up to 129 digits, and not padded, so that text order is wrong
/// (K6).
#[must_use]
pub fn compare_sequence_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
