//! What the tool writes, word by word: help, wrong usage, no region, no credentials, and what needs no AWS at all.
//!
//! Each case lies in `cmd/`. After a change that is meant, write them anew and read the difference:
//! `TRYCMD=overwrite cargo test -p onewrite-operator --test cmd`. A new subcommand has its help added to `cmd/help.trycmd`:
//! the line `$ onewrite SUBCOMMAND --help`, the rest is written by the same command.

#[test]
fn the_tool_says_what_its_cases_say() {
    // Nothing of whoever runs the test: no profile, no region, no stack, no terminal.
    let nowhere = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-home");
    let cases = trycmd::TestCases::new();
    cases
        .env("HOME", nowhere)
        .env("AWS_CONFIG_FILE", nowhere)
        .env("AWS_SHARED_CREDENTIALS_FILE", nowhere)
        // The metadata service of a machine in the cloud, or the wait for one that is not there.
        .env("AWS_EC2_METADATA_DISABLED", "true");
    cases.case("tests/cmd/*.trycmd");
}
