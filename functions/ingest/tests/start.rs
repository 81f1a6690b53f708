//! Checks that the binary rejects an invalid setting with one clear line.
#![allow(clippy::unwrap_used)]

use std::process::Command;

fn start(settings: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ingest"))
        .env_clear()
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let lines = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(lines).unwrap())
}

#[test]
fn names_an_invalid_setting_in_one_line() {
    for (settings, name) in [
        (vec![], "TABLE_NAME"),
        (
            vec![("TABLE_NAME", "t"), ("MAX_IN_FLIGHT", "none")],
            "MAX_IN_FLIGHT",
        ),
        (
            vec![("TABLE_NAME", "t"), ("PAYLOAD_POINTER", "payload")],
            "PAYLOAD_POINTER",
        ),
    ] {
        let (succeeded, lines) = start(&settings);
        assert!(!succeeded, "{lines}");
        assert_eq!(lines.trim_end().lines().count(), 1, "{lines}");
        assert!(
            lines.contains(&format!("environment variable {name} is ")),
            "{lines}"
        );
    }
}
