//! The standard output of a process that has initialised its telemetry. The test runs itself as that process.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use onewrite_runtime::telemetry::{self, Metrics};
use serde_json::Value;

#[test]
#[ignore = "run as a child process by the other test"]
fn process() {
    telemetry::init();
    tracing::info!(what = "said", "hello");
    tracing::debug!("not at this level");
    let mut metrics = Metrics::new("f");
    metrics.add("Done", 3);
    metrics.emit();
    let _ = std::panic::catch_unwind(|| panic!("DE00"));
}

#[test]
fn writes_logs_metrics_and_panics_as_json_without_panic_text() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "process"])
        .env_remove("LOG_LEVEL")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let written = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(!written.concat().contains("DE00"), "{written:?}");
    let lines: Vec<Value> = written[0]
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let [said, metrics, panicked] = &lines[..] else {
        panic!("{written:?}")
    };
    assert_eq!(
        (&said["message"], &said["what"]),
        (&"hello".into(), &"said".into())
    );
    assert_eq!(
        (&metrics["Function"], &metrics["Done"]),
        (&"f".into(), &3.into())
    );
    assert!(metrics["_aws"]["Timestamp"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(panicked["level"], "ERROR");
    assert!(panicked["place"].as_str().unwrap().contains("telemetry.rs"));
}
