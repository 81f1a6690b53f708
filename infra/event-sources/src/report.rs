//! Parses the response of a function to a batch: partial batch responses (`ReportBatchItemFailures`).
//!
//! The pollers decide what follows from the result (deletes, checkpoints, attempts).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

/// The key of the array in a partial batch response.
const FAILURES: &str = "batchItemFailures";
/// The key in each entry: a message id (SQS) or a sequence number (streams).
const IDENTIFIER: &str = "itemIdentifier";

/// The result that a function reported for the items of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Every item succeeded (S6, S11, D11).
    AllSucceeded,
    /// The listed items failed and all others succeeded (S13). For a stream only the lowest one matters (D13).
    Partial(Failures),
    /// The response is malformed, so every item failed (S12, D12).
    WholeBatchFailed(MalformedResponse),
}

/// The failed items of a partial batch response: at least one, and all of them in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    identifiers: BTreeSet<String>,
    duplicates: usize,
}

impl Failures {
    /// Returns each failed identifier once (Q1).
    #[must_use]
    pub fn identifiers(&self) -> &BTreeSet<String> {
        &self.identifiers
    }

    /// Returns whether this item failed.
    #[must_use]
    pub fn contains(&self, identifier: &str) -> bool {
        self.identifiers.contains(identifier)
    }

    /// Returns how many entries repeat an earlier one. They do not affect the batch, but the function has a bug worth
    /// reporting (Q1).
    #[must_use]
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// Returns the lowest failed sequence number: the new checkpoint of a stream (D13, K6).
    #[must_use]
    pub fn lowest_sequence_number(&self) -> &str {
        let lowest = self
            .identifiers
            .iter()
            .min_by(|a, b| compare_sequence_numbers(a, b));
        lowest.map_or("", String::as_str)
    }
}

/// The reason why a response is malformed, so that its whole batch failed. It never contains the response, which may
/// quote a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedResponse {
    /// The response is not JSON.
    #[error("the response is not JSON")]
    NotJson,
    /// The response is a non-empty array or string, a number or a boolean (Q3).
    #[error("the response is not a JSON object")]
    NotAnObject,
    /// `batchItemFailures` is neither null nor an array.
    #[error("batchItemFailures is not an array")]
    FailuresNotAnArray,
    /// An entry is not an object or has no `itemIdentifier`.
    #[error("an entry of batchItemFailures has no itemIdentifier")]
    IdentifierMissing,
    /// An identifier is not a string.
    #[error("an itemIdentifier is not a string")]
    IdentifierNotString,
    /// An identifier is empty.
    #[error("an itemIdentifier is empty")]
    IdentifierEmpty,
    /// An identifier is not in the batch.
    #[error("an itemIdentifier is not in the batch")]
    IdentifierUnknown,
}

/// Parses the response of a function that ended without an error.
///
/// `reports_failures` is whether the mapping has `ReportBatchItemFailures`; without it the response is not parsed
/// (S6). `batch` contains the identifiers of the items in the event: message ids for SQS, sequence numbers for
/// streams.
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

fn failures<I: AsRef<str>>(
    response: &str,
    batch: &[I],
) -> Result<Option<Failures>, MalformedResponse> {
    // A runtime whose function returns nothing sends an empty payload, which means null.
    if response.trim().is_empty() {
        return Ok(None);
    }
    let object = match serde_json::from_str(response).map_err(|_| MalformedResponse::NotJson)? {
        Value::Null => return Ok(None),
        Value::Array(empty) if empty.is_empty() => return Ok(None),
        Value::String(empty) if empty.is_empty() => return Ok(None),
        Value::Object(object) => object,
        _ => return Err(MalformedResponse::NotAnObject),
    };
    let entries = match object.get(FAILURES) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(MalformedResponse::FailuresNotAnArray),
    };
    let batch: BTreeSet<&str> = batch.iter().map(AsRef::as_ref).collect();
    let mut identifiers = BTreeSet::new();
    for entry in entries {
        identifiers.insert(identifier(entry, &batch)?.to_owned());
    }
    let duplicates = entries.len() - identifiers.len();
    Ok((!identifiers.is_empty()).then_some(Failures {
        identifiers,
        duplicates,
    }))
}

fn identifier<'a>(entry: &'a Value, batch: &BTreeSet<&str>) -> Result<&'a str, MalformedResponse> {
    match entry.get(IDENTIFIER) {
        None => Err(MalformedResponse::IdentifierMissing),
        Some(Value::String(text)) if text.is_empty() => Err(MalformedResponse::IdentifierEmpty),
        Some(Value::String(text)) if batch.contains(text.as_str()) => Ok(text),
        Some(Value::String(_)) => Err(MalformedResponse::IdentifierUnknown),
        Some(_) => Err(MalformedResponse::IdentifierNotString),
    }
}

/// Compares sequence numbers as integers. They have up to 129 digits and no padding, so text order would be wrong
/// (K6).
#[must_use]
pub fn compare_sequence_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const BATCH: [&str; 3] = ["a", "b", "c"];

    fn report(response: &str) -> Report {
        read(response, true, &BATCH)
    }

    fn failing(entries: &str) -> Report {
        report(&format!(r#"{{"batchItemFailures": {entries}}}"#))
    }

    fn failures(report: Report) -> Failures {
        match report {
            Report::Partial(failures) => failures,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn s6_ignores_response_without_the_response_type() {
        for response in [
            "{",
            "5",
            r#"{"batchItemFailures": [{"itemIdentifier": "a"}]}"#,
        ] {
            assert_eq!(read(response, false, &BATCH), Report::AllSucceeded);
        }
    }

    #[test]
    fn s11_empty_responses_succeed() {
        for response in [
            "null",
            "{}",
            r#"{"other": 1}"#,
            r#"{"batchItemFailures": null}"#,
        ] {
            assert_eq!(report(response), Report::AllSucceeded, "{response}");
        }
        assert_eq!(failing("[]"), Report::AllSucceeded);
    }

    #[test]
    fn s12_malformed_responses_fail_the_whole_batch() {
        let malformed = Report::WholeBatchFailed;
        assert_eq!(report("{"), malformed(MalformedResponse::NotJson));
        assert_eq!(report("not json"), malformed(MalformedResponse::NotJson));
        assert_eq!(
            failing(r#"[{"itemIdentifier": ""}]"#),
            malformed(MalformedResponse::IdentifierEmpty)
        );
        assert_eq!(
            failing(r#"[{"itemIdentifier": null}]"#),
            malformed(MalformedResponse::IdentifierNotString)
        );
        assert_eq!(
            failing(r#"[{"foo": "notvalid"}]"#),
            malformed(MalformedResponse::IdentifierMissing)
        );
        assert_eq!(
            failing(r#"[{"itemidentifier": "a"}]"#),
            malformed(MalformedResponse::IdentifierMissing)
        );
        assert_eq!(
            failing(r#"[{"itemIdentifier": "d"}]"#),
            malformed(MalformedResponse::IdentifierUnknown)
        );
        assert_eq!(
            failing(r#"["a"]"#),
            malformed(MalformedResponse::IdentifierMissing)
        );
        assert_eq!(
            failing(r#""a""#),
            malformed(MalformedResponse::FailuresNotAnArray)
        );
    }

    #[test]
    fn s13_valid_response_fails_the_listed_items() {
        let failures = failures(failing(
            r#"[{"itemIdentifier": "c"}, {"itemIdentifier": "a"}]"#,
        ));
        assert!(failures.contains("a") && failures.contains("c") && !failures.contains("b"));
        assert_eq!(
            (failures.identifiers().len(), failures.duplicates()),
            (2, 0)
        );
    }

    #[test]
    fn d11_empty_responses_succeed_including_bare_ones() {
        for response in [
            "null",
            "{}",
            "[]",
            r#""""#,
            "",
            " \n",
            r#"{"batchItemFailures": []}"#,
        ] {
            assert_eq!(report(response), Report::AllSucceeded, "{response}");
        }
    }

    #[test]
    fn d12_invalid_identifier_fails_the_whole_batch() {
        let malformed = Report::WholeBatchFailed;
        for (entry, reason) in [
            (
                r#"{"itemIdentifier": 123}"#,
                MalformedResponse::IdentifierNotString,
            ),
            (
                r#"{"itemIdentifier": "123"}"#,
                MalformedResponse::IdentifierUnknown,
            ),
            (r#"{"foo": 123}"#, MalformedResponse::IdentifierMissing),
            (r#"{"foo": null}"#, MalformedResponse::IdentifierMissing),
        ] {
            assert_eq!(failing(&format!("[{entry}]")), malformed(reason), "{entry}");
        }
    }

    #[test]
    fn d13_lowest_failed_sequence_number_is_the_checkpoint() {
        let batch = ["8", "9", "10", "11"];
        let list = r#"{"batchItemFailures": [{"itemIdentifier": "11"}, {"itemIdentifier": "10"}, {"itemIdentifier": "9"}]}"#;
        assert_eq!(
            failures(read(list, true, &batch)).lowest_sequence_number(),
            "9"
        );
    }

    #[test]
    fn k6_sequence_numbers_are_big_integers_without_padding() {
        let long = "9".repeat(128);
        let longer = format!("1{}", "0".repeat(128));
        assert_eq!(longer.len(), 129);
        assert_eq!(compare_sequence_numbers(&long, &longer), Ordering::Less);
        assert_eq!(compare_sequence_numbers("9", "10"), Ordering::Less);
        assert_eq!(compare_sequence_numbers("0010", "10"), Ordering::Equal);
        assert_eq!(compare_sequence_numbers("0", "00"), Ordering::Equal);
    }

    #[test]
    fn k6_rejects_event_id_as_identifier() {
        let list = r#"{"batchItemFailures": [{"itemIdentifier": "shardId-000000000000:42"}]}"#;
        assert_eq!(
            read(list, true, &["42"]),
            Report::WholeBatchFailed(MalformedResponse::IdentifierUnknown)
        );
    }

    #[test]
    fn q1_duplicates_count_as_one_failure_and_are_reported() {
        let failures = failures(failing(
            r#"[{"itemIdentifier": "b"}, {"itemIdentifier": "b"}, {"itemIdentifier": "a"}, {"itemIdentifier": "b"}]"#,
        ));
        assert_eq!(
            (failures.identifiers().len(), failures.duplicates()),
            (2, 2)
        );
    }

    #[test]
    fn q2_one_invalid_entry_fails_the_whole_batch() {
        for invalid in [
            r#"{"itemIdentifier": "d"}"#,
            r#"{"itemIdentifier": ""}"#,
            r#"{"foo": "a"}"#,
            "null",
        ] {
            for list in [
                format!(r#"[{{"itemIdentifier": "a"}}, {invalid}]"#),
                format!(r#"[{invalid}, {{"itemIdentifier": "a"}}]"#),
            ] {
                assert!(
                    matches!(failing(&list), Report::WholeBatchFailed(_)),
                    "{list}"
                );
            }
        }
    }

    #[test]
    fn q3_non_object_response_fails_the_whole_batch() {
        for response in [
            r#"[{"itemIdentifier": "a"}]"#,
            r#""done""#,
            "0",
            "5",
            "true",
            "false",
        ] {
            assert_eq!(
                report(response),
                Report::WholeBatchFailed(MalformedResponse::NotAnObject),
                "{response}"
            );
        }
    }

    proptest! {
        #[test]
        fn k6_sequence_numbers_compare_as_integers(a in any::<u128>(), b in any::<u128>(), padding in 0_usize..5) {
            let padded = format!("{}{a}", "0".repeat(padding));
            prop_assert_eq!(compare_sequence_numbers(&padded, &b.to_string()), a.cmp(&b));
        }

        #[test]
        fn s13_exactly_the_listed_items_fail(listed in proptest::collection::vec(0_usize..20, 1..40)) {
            let batch: Vec<String> = (0..20).map(|n| format!("id-{n}")).collect();
            let entries: Vec<_> = listed.iter().map(|n| json!({"itemIdentifier": batch[*n]})).collect();
            let response = json!({"batchItemFailures": entries}).to_string();
            let failures = failures(read(&response, true, &batch));
            for (n, id) in batch.iter().enumerate() {
                prop_assert_eq!(failures.contains(id), listed.contains(&n));
            }
            prop_assert_eq!(failures.identifiers().len() + failures.duplicates(), listed.len());
        }

        #[test]
        fn q3_parser_never_panics(response in ".{0,200}") {
            let _ = read(&response, true, &BATCH);
        }
    }
}
