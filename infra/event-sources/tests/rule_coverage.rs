//! Checks that every rule and every open question has a test with its number, or is exempt for a stated reason.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The sections of the rules, each with its last number: SQS, FIFO queues, DynamoDB Streams, Kinesis, common rules,
/// and the questions that the AWS documentation leaves open.
const RULES: [(char, u32); 6] = [
    ('s', 21),
    ('f', 13),
    ('d', 29),
    ('k', 10),
    ('x', 13),
    ('q', 21),
];

/// Rules without a test, with the reason.
const EXEMPT: [(&str, &str); 1] = [(
    "d28",
    "the limit on readers per shard concerns all readers of a stream; one mapping is one reader",
)];

#[test]
fn every_rule_has_a_test_or_an_exemption() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut tested = BTreeSet::new();
    collect(&sources, &mut tested);
    let rules: BTreeSet<String> = RULES
        .iter()
        .flat_map(|(section, last)| (1..=*last).map(move |n| format!("{section}{n}")))
        .collect();
    let exempt: BTreeSet<String> = EXEMPT.iter().map(|(rule, _)| (*rule).to_owned()).collect();

    let forgotten: Vec<&String> = rules
        .iter()
        .filter(|rule| !tested.contains(*rule) && !exempt.contains(*rule))
        .collect();
    assert!(
        forgotten.is_empty(),
        "rules without a test or an exemption: {forgotten:?}"
    );
    let needless: Vec<&String> = exempt.intersection(&tested).collect();
    assert!(needless.is_empty(), "exempt although tested: {needless:?}");
    let unknown: Vec<&String> = tested
        .union(&exempt)
        .filter(|rule| !rules.contains(*rule))
        .collect();
    assert!(
        unknown.is_empty(),
        "tests or exemptions of rules that do not exist: {unknown:?}"
    );
}

/// Collects the rule numbers of test functions, such as `s11` of `fn s11_empty_responses_succeed()`.
fn collect(folder: &Path, tested: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, tested);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let tests = lines
                .windows(2)
                .filter(|pair| pair[0] == "#[test]")
                .filter_map(|pair| rule(pair[1]));
            tested.extend(tests);
        }
    }
}

fn rule(line: &str) -> Option<String> {
    let (number, _) = line.strip_prefix("fn ")?.split_once('_')?;
    let is_rule = number.len() > 1
        && number.starts_with(|c: char| c.is_ascii_lowercase())
        && number[1..].chars().all(|c| c.is_ascii_digit());
    is_rule.then(|| number.to_owned())
}
