//! What the tool writes, word by word: help, wrong usage, what needs no AWS, no region, no credentials.
//!
//! The cases lie in `cmd/`. After a change that is meant, write them anew and read the difference:
//! `TRYCMD=overwrite cargo test -p onewrite-operator --test cmd`. A new subcommand needs one line in `cmd/help.trycmd`,
//! `$ onewrite SUBCOMMAND --help` and an empty line after it; the same command writes the rest.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

#[test]
fn the_tool_says_what_its_cases_say() {
    let shown = std::env::var_os("ONEWRITE_STACK");
    assert_eq!(shown, None, "help shows the variable's value: unset it");
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

/// Runs the tool as somebody with nothing: no profile, no region, no credentials.
fn onewrite(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let nowhere = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-home");
    let output = Command::new(env!("CARGO_BIN_EXE_onewrite"))
        .args(arguments)
        .env_clear()
        .env("HOME", nowhere)
        // The metadata service of a machine in the cloud, or the wait for one that is not there.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn without_a_region_there_is_no_stack_to_look_for() {
    let (code, said, complaint) = onewrite(&["doctor"], &[]);
    assert_eq!((code, said.as_str()), (1, ""));
    assert_eq!(
        complaint,
        "error: no region is set\nhelp: name one by --region, AWS_REGION or the profile\n"
    );
}

#[test]
fn without_credentials_nobody_may_look() {
    for command in [
        ["doctor"].as_slice(),
        &["status"],
        &["trace", "rf_8841"],
        &["redrive", "failures"],
    ] {
        let arguments = [&["--region", "us-east-1"], command].concat();
        let (code, said, complaint) = onewrite(&arguments, &[]);
        assert_eq!((code, said.as_str()), (4, ""), "{command:?}");
        assert!(
            complaint.starts_with("error: no usable credentials: ")
                && complaint.contains("\nhelp: name a profile by --profile"),
            "{complaint}"
        );
    }
}

#[test]
fn a_cost_needs_neither() {
    let (code, said, complaint) = onewrite(&["cost", "--messages", "1", "--bytes", "1"], &[]);
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert!(said.starts_with("1 messages and 0 copies"), "{said}");
}

/// What `--print-prices` writes is what `--prices` reads, whole.
#[test]
fn a_table_of_prices_is_replaced() {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/prices.json");
    let cost = ["cost", "--messages", "1000000", "--bytes", "500"];
    let with = [&cost[..], &["--prices", file]].concat();
    let (_, printed, _) = onewrite(&["cost", "--print-prices"], &[]);
    std::fs::write(file, &printed).unwrap();
    let (_, built_in, _) = onewrite(&cost, &[]);
    assert_eq!(onewrite(&with, &[]), (0, built_in.clone(), String::new()));

    std::fs::write(file, printed.replace("\"usd\": 0.625", "\"usd\": 1.25")).unwrap();
    let (_, dearer, _) = onewrite(&with, &[]);
    assert!(built_in.contains("write units, INIT                    1000000.000         0.6250"));
    assert!(
        dearer.contains("write units, INIT                    1000000.000         1.2500"),
        "{dearer}"
    );
    std::fs::write(file, "{}").unwrap();
    let (code, said, complaint) = onewrite(&with, &[]);
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(complaint.contains("missing field `region`"), "{complaint}");
}

#[test]
fn there_is_no_colour_off_a_terminal_and_none_where_it_is_not_wanted() {
    let is_coloured = |arguments: &[&str], variables: &[(&str, &str)]| {
        let (_, said, complaint) = onewrite(arguments, variables);
        (said + &complaint).contains('\u{1b}')
    };
    for arguments in [["--help"].as_slice(), &["mend"]] {
        // It could be seen here.
        assert!(
            is_coloured(arguments, &[("CLICOLOR_FORCE", "1")]),
            "{arguments:?}"
        );
        assert!(!is_coloured(arguments, &[]), "{arguments:?}");
        let unwanted = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
        assert!(!is_coloured(arguments, &unwanted), "{arguments:?}");
    }
    // What is not clap's has none, whatever is asked for.
    let forced = [("CLICOLOR_FORCE", "1")];
    for arguments in [
        ["doctor"].as_slice(),
        &["cost", "--messages", "1", "--bytes", "1"],
    ] {
        assert!(!is_coloured(arguments, &forced), "{arguments:?}");
    }
}
