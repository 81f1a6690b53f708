//! Snapshots of the tool's output without AWS access: help, wrong usage, missing region and missing credentials.
//!
//! The snapshots are in `cmd/`. After an intended change, update them and review the diff:
//! `TRYCMD=overwrite cargo test -p onewrite-operator --test cmd`. For a new subcommand, add the line
//! `$ onewrite SUBCOMMAND --help` and an empty line to `cmd/help.trycmd`; the same command adds the output.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output};

#[test]
fn output_matches_the_snapshots() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

/// Runs the tool without a profile, a region or credentials.
fn onewrite(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let empty_home = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-home");
    let output = Command::new(env!("CARGO_BIN_EXE_onewrite"))
        .args(arguments)
        .env_clear()
        // Outside of this workspace, where the tool would find the stack that `cargo local up` runs.
        .current_dir("/")
        .env("HOME", empty_home)
        // Otherwise the tool uses the metadata service of an EC2 instance, or waits for one that does not exist.
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
fn fails_without_a_region() {
    let (code, stdout, stderr) = onewrite(&["doctor"], &[]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(
        stderr,
        "error: no region is set\nhelp: set --region, AWS_REGION or the region of the profile\n"
    );
}

#[test]
fn fails_without_credentials() {
    for command in [
        ["doctor"].as_slice(),
        &["status"],
        &["trace", "rf_8841"],
        &["redrive", "failures"],
        &["redrive", "dlq", "--all"],
        &["pause"],
        &["console"],
    ] {
        let arguments = [&["--region", "us-east-1"], command].concat();
        let (code, stdout, stderr) = onewrite(&arguments, &[]);
        assert_eq!((code, stdout.as_str()), (4, ""), "{command:?}");
        assert!(
            stderr.starts_with("error: no usable credentials: ")
                && stderr.contains("\nhelp: name a profile with --profile"),
            "{stderr}"
        );
    }
}

/// A request for a host outside of this machine goes through the proxy, and the error names the failed connection.
#[test]
fn connects_through_the_proxy_of_the_environment() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let requests = std::thread::spawn(move || {
        let (connection, _) = proxy.accept().unwrap();
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line).unwrap();
        line
    });
    let variables = [
        ("HTTPS_PROXY", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let (code, _, stderr) = onewrite(&["--region", "us-east-1", "status"], &variables);
    assert_eq!(
        requests.join().unwrap().trim_end(),
        "CONNECT cloudformation.us-east-1.amazonaws.com:443 HTTP/1.1"
    );
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.starts_with("error: DescribeStacks: no connection: "),
        "{stderr}"
    );
}

#[test]
fn a_refused_connection_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let endpoint = format!("http://{closed}");
    let variables = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let arguments = [
        "--region",
        "us-east-1",
        "--endpoint-url",
        &endpoint,
        "status",
    ];
    let (code, _, stderr) = onewrite(&arguments, &variables);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("no connection: Connection refused") && stderr.contains("cargo local up"),
        "{stderr}"
    );
}

/// It kills processes and changes functions, so it must never reach AWS.
#[test]
fn conform_refuses_aws() {
    let variables = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
    for endpoint in [None, Some("https://dynamodb.us-east-1.amazonaws.com")] {
        let endpoint = endpoint.map(|url| ["--endpoint-url", url]);
        let endpoint = endpoint.iter().flatten().copied();
        let mut arguments = vec!["--region", "us-east-1", "conform", "--command", "true"];
        arguments.extend(endpoint);
        let (code, stdout, stderr) = onewrite(&arguments, &variables);
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains("on a local stack only"), "{stderr}");
    }
}

#[test]
fn suggests_digits_for_a_number_in_another_spelling() {
    let arguments = ["cost", "--messages", "1e6", "--bytes", "1"];
    let (code, _, stderr) = onewrite(&arguments, &[]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("write it with digits only: 1000000"),
        "{stderr}"
    );
}

#[test]
fn cost_needs_neither_region_nor_credentials() {
    let (code, stdout, stderr) = onewrite(&["cost", "--messages", "1", "--bytes", "1"], &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("1 messages and 0 copies"), "{stdout}");
}

/// `--prices` reads the format that `--print-prices` writes.
#[test]
fn prices_from_a_file_replace_the_built_in_ones() {
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
    let (code, stdout, stderr) = onewrite(&with, &[]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("missing field `region`"), "{stderr}");
}

#[test]
fn colours_nothing_off_a_terminal_or_with_no_color() {
    let is_coloured = |arguments: &[&str], variables: &[(&str, &str)]| {
        let (_, stdout, stderr) = onewrite(arguments, variables);
        (stdout + &stderr).contains('\u{1b}')
    };
    for arguments in [["--help"].as_slice(), &["repair"]] {
        // This shows that the test detects colour.
        assert!(
            is_coloured(arguments, &[("CLICOLOR_FORCE", "1")]),
            "{arguments:?}"
        );
        assert!(!is_coloured(arguments, &[]), "{arguments:?}");
        let unwanted = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
        assert!(!is_coloured(arguments, &unwanted), "{arguments:?}");
    }
    // Only clap uses colour.
    let forced = [("CLICOLOR_FORCE", "1")];
    for arguments in [
        ["doctor"].as_slice(),
        &["cost", "--messages", "1", "--bytes", "1"],
    ] {
        assert!(!is_coloured(arguments, &forced), "{arguments:?}");
    }
}
