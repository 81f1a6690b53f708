//! Checks that the binary rejects an invalid setting with one clear line.
#![allow(clippy::unwrap_used)]

use std::process::Command;

fn start(settings: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_complete"))
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
            vec![("TABLE_NAME", "t"), ("DOWNSTREAM_MAX_CONCURRENCY", "none")],
            "DOWNSTREAM_MAX_CONCURRENCY",
        ),
        (
            vec![("TABLE_NAME", "t"), ("DONE_RETENTION_DAYS", "-1")],
            "DONE_RETENTION_DAYS",
        ),
        (vec![("TABLE_NAME", "t")], "DOWNSTREAM_ARNS"),
        (
            vec![
                ("TABLE_NAME", "t"),
                ("DOWNSTREAM_URL", "http://example.com/"),
            ],
            "DOWNSTREAM_URL",
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
