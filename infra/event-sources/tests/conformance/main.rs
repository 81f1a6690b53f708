//! Replays every case that was recorded on AWS against the state machines, in virtual time, and compares the results
//! field by field.
//!
//! The recordings are third-party data and not part of this repository. Set `ONEWRITE_RECORDED_AWS` to their folder;
//! the default is `../shared/recorded-aws` beside the workspace. If neither exists, the suite prints a message and passes,
//! unless `ONEWRITE_REQUIRE_RECORDED_AWS=1` is set. A folder that lacks a file fails the suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bindings;
mod case;
/// Shared with the unit tests, which use more of it.
#[allow(dead_code)]
#[path = "../../src/sqs/tests/harness.rs"]
mod harness;
mod log;
mod mappings;
mod sqs_replay;
mod stream_replay;
mod verdict;

use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use case::{Case, Source};
use log::{MAPPING_UUID, REGION};
use onewrite_event_sources::mapping::Mapping;
use serde_json::{Map, Value, json};

const FOLDER: &str = "ONEWRITE_RECORDED_AWS";

/// Cases that cannot be reproduced, with the reason.
const CANNOT_HOLD: [(&str, &str); 0] = [];

/// The seconds from the first record to the first poll, where the recording leaves them open. A start can take minutes
/// (D4).
const START_DELAYS: RangeInclusive<u32> = 0..=120;

#[test]
fn every_recorded_case_is_reproduced() {
    let Some(mut cases) = recorded("cases.json") else {
        return;
    };
    cases.extend(recorded("kinesis/kinesis-cases.json").unwrap());

    let mut reproduced = 0;
    let mut failures = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap_or("a case without a name");
        let excuse = CANNOT_HOLD.iter().find(|(excused, _)| *excused == name);
        match (play(case), excuse) {
            (Ok(()), None) => reproduced += 1,
            (Ok(()), Some(_)) => failures.push(format!("{name}: holds, so it needs no excuse")),
            (Err(_), Some((_, reason))) => {
                say(&format!("conformance: {name} cannot hold: {reason}"))
            }
            (Err(difference), None) => failures.push(format!("{name}: {difference}")),
        }
    }
    say(&format!(
        "conformance: {reproduced} of {} cases reproduced",
        cases.len()
    ));
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn recorded_mapping_requests_get_the_recorded_answers() {
    let requests = recorded("kinesis/mapping-requests.json").unwrap_or_default();
    check_all(&requests, "name", mappings::check_request);
}

#[test]
fn recorded_mapping_descriptions_are_read_completely() {
    let descriptions = recorded("kinesis/mapping-responses.json").unwrap_or_default();
    check_all(&descriptions, "provenance", mappings::check_description);
}

fn check_all(entries: &[Value], name: &str, check: fn(&Value) -> Result<(), String>) {
    let failures: Vec<String> = entries
        .iter()
        .filter_map(|entry| {
            let difference = check(entry).err()?;
            Some(format!("{}: {difference}", entry[name]))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Reads the entries of one file of the recordings. Returns `None` if there are no recordings and nobody asked for
/// them.
fn recorded(file: &str) -> Option<Vec<Value>> {
    let folder = recordings();
    let required = std::env::var("ONEWRITE_REQUIRE_RECORDED_AWS").is_ok_and(|value| value == "1");
    if !required && std::env::var_os(FOLDER).is_none() && !folder.exists() {
        say(&format!(
            "conformance: SKIPPED, because there are no recordings at {}",
            folder.display()
        ));
        return None;
    }
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("the recordings have no readable {}: {e}", path.display()));
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!entries.is_empty(), "{} is empty", path.display());
    Some(entries)
}

/// Prints to the terminal, because the test harness only shows the output of failed tests.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn recordings() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3);
    let beside = || {
        workspace
            .unwrap_or(Path::new(".."))
            .join("shared/recorded-aws")
    };
    std::env::var_os(FOLDER).map_or_else(beside, PathBuf::from)
}

fn play(case: &Value) -> Result<(), String> {
    let mut case: Case =
        serde_json::from_value(case.clone()).map_err(|e| format!("not understood: {e}"))?;
    if !case.start_delay_is_open() {
        return play_once(&case);
    }
    let mut last = Ok(());
    for delay in START_DELAYS {
        case.set_waits(f64::from(delay));
        last = play_once(&case);
        if last.is_ok() {
            return last;
        }
    }
    last.map_err(|difference| format!("no start delay reproduces it, the last: {difference}"))
}

fn play_once(case: &Case) -> Result<(), String> {
    let mapping = Mapping::from_json(&request(case).to_string());
    let log = match (mapping, &case.expect.error) {
        (Err(error), Some(expected)) => return mappings::compare_rejection(&error, expected),
        (Ok(_), Some(_)) => return Err("the mapping was accepted".to_owned()),
        (Err(error), None) => return Err(format!("the mapping was rejected: {error}")),
        (Ok(Mapping::Sqs(mapping)), None) => sqs_replay::replay(case, mapping)?,
        (Ok(Mapping::Stream(mapping)), None) => stream_replay::replay(case, mapping)?,
    };
    verdict::compare(case, &log)
}

/// Builds the request that creates the mapping of a case.
fn request(case: &Case) -> Value {
    let arn = |service: &str, resource: &str| {
        format!("arn:aws:{service}:{REGION}:111111111111:{resource}")
    };
    let mut request: Map<String, Value> = case.mapping.clone();
    let source = match case.source {
        Source::Sqs => arn("sqs", "queue"),
        Source::SqsFifo => arn("sqs", "queue.fifo"),
        Source::Dynamodb => arn("dynamodb", "table/orders/stream/2026-01-01T00:00:00.000"),
        Source::Kinesis => arn("kinesis", "stream/orders"),
    };
    let destination = request.remove("OnFailureDestination").unwrap_or_default();
    let destination = match destination.as_str() {
        Some("s3") => Some("arn:aws:s3:::failures".to_owned()),
        Some(service) => Some(arn(service, "failures")),
        None => None,
    };
    if let Some(destination) = destination {
        request.insert(
            "DestinationConfig".to_owned(),
            json!({"OnFailure": {"Destination": destination}}),
        );
    }
    request.insert("EventSourceArn".to_owned(), source.into());
    request.insert(
        "FunctionArn".to_owned(),
        arn("lambda", "function:handler").into(),
    );
    request.insert("UUID".to_owned(), MAPPING_UUID.into());
    request.into()
}
