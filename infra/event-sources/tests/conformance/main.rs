//! Replays every case that was recorded on AWS against the state machines, in virtual time, and compares the results
//! field by field.
//!
//! The recordings are third-party data and not part of this repository. Set `ONEWRITE_RECORDED_AWS` to their folder;
//! the default is `../shared/recorded-aws` beside the workspace. Without them the suite prints a message and passes,
//! unless `ONEWRITE_REQUIRE_RECORDED_AWS=1` is set.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bindings;
mod case;
mod log;
mod sqs_replay;
mod stream_replay;
mod verdict;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use case::{Case, Source};
use log::{MAPPING_UUID, REGION};
use onewrite_event_sources::mapping::{InvalidMapping, Mapping};
use serde_json::{Map, Value, json};

/// Cases that cannot be reproduced, with the reason.
const CANNOT_HOLD: [(&str, &str); 0] = [];

#[test]
fn every_recorded_case_is_reproduced() {
    let file = recordings().join("cases.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        let demanded =
            std::env::var("ONEWRITE_REQUIRE_RECORDED_AWS").is_ok_and(|value| value == "1");
        assert!(
            !demanded,
            "the recorded cases are demanded, but {} cannot be read",
            file.display()
        );
        say(&format!(
            "conformance: SKIPPED, for there are no recorded cases at {}",
            file.display()
        ));
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty(), "{} holds no case", file.display());

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
    std::env::var_os("ONEWRITE_RECORDED_AWS").map_or_else(beside, PathBuf::from)
}

fn play(case: &Value) -> Result<(), String> {
    let case: Case =
        serde_json::from_value(case.clone()).map_err(|e| format!("not understood: {e}"))?;
    let mapping = Mapping::from_json(&request(&case).to_string());
    let log = match (mapping, &case.expect.error) {
        (Err(error), Some(expected)) => return compare_rejection(&error, expected),
        (Ok(_), Some(_)) => return Err("the mapping was accepted".to_owned()),
        (Err(error), None) => return Err(format!("the mapping was rejected: {error}")),
        (Ok(Mapping::Sqs(mapping)), None) => sqs_replay::replay(&case, mapping)?,
        (Ok(Mapping::Stream(mapping)), None) => stream_replay::replay(&case, mapping)?,
    };
    verdict::compare(&case, &log)
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

fn compare_rejection(error: &InvalidMapping, expected: &Value) -> Result<(), String> {
    let actual = json!({
        "Code": error.code(),
        "Message": error.to_string(),
        "Type": "User",
        "HTTPStatusCode": error.http_status(),
    });
    if actual == *expected {
        Ok(())
    } else {
        Err(format!("rejected with {actual}, recorded {expected}"))
    }
}
