//! The standard output of a process that has initialised its telemetry. Each test runs itself as that process.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use onewrite_runtime::telemetry::{self, Metrics};
use serde_json::Value;

/// Set in the child process: the file that it writes at its end.
const END: &str = "ONEWRITE_TEST_TELEMETRY_END";

/// Whether this is the child process. If so, it has done its work.
fn is_child() -> bool {
    let Some(end) = std::env::var_os(END) else {
        return false;
    };
    // The end of the input says that the other ends of the outputs are closed.
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    telemetry::init();
    tracing::info!(what = "said", "hello");
    tracing::debug!("not at this level");
    let mut metrics = Metrics::new("f");
    metrics.add("Done", 3);
    metrics.emit();
    let _ = std::panic::catch_unwind(|| panic!("DE00"));
    fs::write(end, "reached").unwrap();
    true
}

/// A process that runs this test only, and writes the file `end`.
fn child(test: &str, end: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", test])
        .env_remove("LOG_LEVEL")
        .env(END, end);
    command
}

fn end_file(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("onewrite-{test}-{}", std::process::id()))
}

#[test]
fn writes_logs_metrics_and_panics_as_json_without_panic_text() {
    if is_child() {
        return;
    }
    let test = "writes_logs_metrics_and_panics_as_json_without_panic_text";
    let end = end_file(test);
    let output = child(test, &end).stdin(Stdio::null()).output().unwrap();
    let _ = fs::remove_file(end);
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

#[test]
fn closed_outputs_do_not_stop_the_work() {
    if is_child() {
        return;
    }
    let test = "closed_outputs_do_not_stop_the_work";
    let end = end_file(test);
    let mut child = child(test, &end)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The test harness of the child writes its first line before the test begins.
    child
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut [0; 2])
        .unwrap();
    drop(child.stderr.take());
    drop(child.stdin.take());
    // The status is of the test harness, which does not survive a closed output.
    child.wait().unwrap();
    let reached = fs::read_to_string(&end).unwrap_or_default();
    let _ = fs::remove_file(end);
    assert_eq!(reached, "reached");
}
