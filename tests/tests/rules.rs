//! Every rule number that the code cites is defined in `docs/event-source-rules.md`.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use onewrite_tests::template::repository;

const GUIDE: &str = "docs/event-source-rules.md";

/// The letter of each chapter. Also words such as "S3" or "D1" match; every such word is a rule too.
const CHAPTERS: &str = "SFDKXQ";

/// The directories whose code cites rules.
const CODE: [&str; 4] = ["infra/event-sources", "infra/local", "shared", "tests"];

/// The rule numbers in a text, each a separate word.
fn rules_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
    words.filter(|word| {
        word.strip_prefix(|letter| CHAPTERS.contains(letter))
            .is_some_and(|number| matches!(number.len(), 1 | 2) && number.parse::<u8>().is_ok())
    })
}

/// The numbers that the guide defines, in its order. A definition is a list item that begins with a bold number.
fn definitions(guide: &str) -> Vec<&str> {
    let items = guide.lines().filter_map(|line| line.strip_prefix("- **"));
    items.filter_map(|item| item.split("**").next()).collect()
}

/// Adds the rules that the comments of Rust files below a directory cite, each with the first file that cites it.
fn collect_citations(directory: &Path, citations: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                collect_citations(&path, citations);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let comments = text.lines().filter_map(|line| line.split_once("//"));
            for rule in comments.flat_map(|(_, comment)| rules_in(comment)) {
                let file = path.display().to_string();
                citations.entry(rule.to_owned()).or_insert(file);
            }
        }
    }
}

#[test]
fn every_cited_rule_is_defined() {
    let guide = std::fs::read_to_string(repository(GUIDE)).unwrap();
    let defined: BTreeSet<&str> = definitions(&guide).into_iter().collect();
    let mut citations = BTreeMap::new();
    for directory in CODE {
        collect_citations(&repository(directory), &mut citations);
    }
    let undefined: Vec<_> = citations
        .iter()
        .filter(|(rule, _)| !defined.contains(rule.as_str()))
        .collect();
    assert!(
        undefined.is_empty(),
        "{GUIDE} does not define {undefined:?}"
    );
    assert!(
        citations.len() > defined.len() / 2,
        "only {} rules are cited: are citations still found?",
        citations.len()
    );
}

#[test]
fn rules_are_numbered_without_gaps() {
    let guide = std::fs::read_to_string(repository(GUIDE)).unwrap();
    let mut numbers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for rule in definitions(&guide) {
        let (chapter, number) = rule.split_at(1);
        assert!(CHAPTERS.contains(chapter), "{rule}");
        numbers
            .entry(chapter)
            .or_default()
            .push(number.parse().unwrap());
    }
    assert_eq!(numbers.len(), CHAPTERS.len());
    for (chapter, numbers) in numbers {
        let expected: Vec<usize> = (1..=numbers.len()).collect();
        assert_eq!(numbers, expected, "chapter {chapter}");
    }
}

#[test]
fn every_rule_that_the_guide_refers_to_is_defined() {
    let guide = std::fs::read_to_string(repository(GUIDE)).unwrap();
    let defined: BTreeSet<&str> = definitions(&guide).into_iter().collect();
    let undefined: Vec<_> = rules_in(&guide)
        .filter(|rule| !defined.contains(rule))
        .collect();
    assert!(undefined.is_empty(), "{undefined:?}");
}
