//! What a process that has set up its telemetry writes to standard output: here a process of its own, this very test's.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use onewrite::telemetry::{self, Metrics};
use serde_json::Value;

#[test]
#[ignore = "the process that the other test watches"]
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
fn lines_metrics_and_panics_are_json_and_a_panic_keeps_its_words_to_itself() {
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
