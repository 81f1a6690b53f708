//! `docs/envelopes.md` has the output of the tool for each of its sample messages.
//!
//! After an intended change, update the document and review the diff:
//! `TRYCMD=overwrite cargo test -p onewrite-operator --test envelopes`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// This is the only test of the binary that runs commands, because the working directory belongs to the process.
#[test]
fn document_has_the_output_for_each_envelope() {
    std::env::set_current_dir(REPOSITORY).unwrap();
    trycmd::TestCases::new().case("docs/envelopes.md");
}

#[test]
fn document_uses_each_sample_message() {
    let repository = Path::new(REPOSITORY);
    let document = std::fs::read_to_string(repository.join("docs/envelopes.md")).unwrap();
    let words = document.split_whitespace();
    let used: BTreeSet<String> = words
        .filter_map(|word| word.strip_prefix("docs/envelopes/"))
        .map(str::to_owned)
        .collect();
    let entries = std::fs::read_dir(repository.join("docs/envelopes")).unwrap();
    let samples: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(used, samples);
}
