//! The page of a run, for hostile ids and for every outcome.

use std::collections::BTreeMap;

use onewrite_console::lab::Fault;

use super::*;
use crate::lab::double_write::Settings;
use crate::lab::double_write::machine::Machine;
use crate::lab::switches::Switches;
use crate::ledger_receiver::LedgerReceiver;
use crate::oracle::{Counts, Meaning, Violation};
use crate::sample::{self, Sample};

const HOSTILE: &str = "</code><img src=https://example.com/x onerror='alert(\"1\")'>&amp;";

fn valid(id: &str) -> Sample {
    let payload = r#"{"secret":"canary"}"#.to_owned();
    Sample {
        body: format!("a body with canary {payload}"),
        meaning: Meaning::Valid {
            id: id.to_owned(),
            kind: "refund".to_owned(),
            content: "canary content".to_owned(),
            payload,
        },
    }
}

fn report(messages: &[Sample]) -> Report {
    Report {
        counts: Counts {
            sent: messages.len(),
            conflicts: 7,
            calls: Some(1_234),
            ..Counts::default()
        },
        shards: BTreeMap::new(),
        violations: Vec::new(),
    }
}

fn run() -> Run {
    Run {
        at: "2026-01-02 03:04:05 UTC".to_owned(),
        command: "cargo local demo --html FILE".to_owned(),
        seed: 18_446_744_073_709_551_615,
        versions: vec![("onewrite".to_owned(), "0.1.0 <beta>".to_owned())],
    }
}

/// Compares the double write with a target that booked nothing.
async fn compare(messages: &[Sample], faults: &[(Fault, u32)]) -> Comparison {
    let switches = Switches::default();
    for (fault, count) in faults {
        switches.set(*fault, *count);
    }
    let mut machine = Machine::new(Settings::default(), switches.clone());
    machine.send(0, messages);
    machine.run_to_end();
    let receiver = LedgerReceiver::start().await.unwrap();
    let effects = receiver.effects();
    Comparison::new(messages, &report(messages), &effects, &machine, &machine)
}

#[tokio::test]
async fn text_from_messages_stays_text_and_payloads_stay_out() {
    let messages = [valid(HOSTILE)];
    let comparison = compare(&messages, &[(Fault::KillIngestAfterWrite, 1)]).await;
    let page = html(&run(), &report(&messages), &comparison);
    assert!(
        page.contains("&lt;/code&gt;&lt;img src=https://example.com/x"),
        "{page}"
    );
    assert!(page.contains("0.1.0 &lt;beta&gt;"));
    for forbidden in ["<img", "<script", "canary", "onerror='"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[tokio::test]
async fn the_page_makes_no_request_and_runs_no_script() {
    let messages = sample::messages(60, 1);
    let comparison = compare(&messages, &[(Fault::CutKinesis, 2)]).await;
    let page = html(&run(), &report(&messages), &comparison);
    for forbidden in [
        "<script", "<link", "<iframe", "src=", "href=", "url(", "@import", "http:", "https:", "//",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[tokio::test]
async fn names_seed_versions_and_exact_numbers() {
    let messages = [valid("a")];
    let comparison = compare(&messages, &[]).await;
    let page = html(&run(), &report(&messages), &comparison);
    for part in [
        "18446744073709551615",
        "2026-01-02 03:04:05 UTC",
        "1,234",
        "cargo local demo --html FILE",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("Nothing in this run."));
}

#[tokio::test]
async fn says_why_a_notification_was_lost_or_repeated() {
    for (messages, faults, expected) in [
        (
            vec![valid("a")],
            (Fault::KillIngestAfterWrite, 1),
            "killed after it wrote INIT",
        ),
        (
            vec![valid("a")],
            (Fault::FailEntries, 3),
            "All attempts to send failed",
        ),
        (
            vec![valid("a")],
            (Fault::CutKinesis, 1),
            "The response to the send was lost",
        ),
        (
            vec![valid("a"), valid("a")],
            (Fault::FailEntries, 0),
            "handled at the same time",
        ),
    ] {
        let comparison = compare(&messages, &[faults]).await;
        assert_eq!(comparison.casualties.len(), 1);
        let section = sections::casualties(&comparison);
        assert!(section.contains(expected), "{section}");
    }
}

#[tokio::test]
async fn every_casualty_has_a_reason() {
    for seed in 0..50 {
        let messages = sample::messages(90, seed);
        let switches = Switches::planned(seed);
        let mut machine = Machine::new(Settings::default(), switches.clone());
        machine.send(0, &messages);
        machine.run_to_end();
        let receiver = LedgerReceiver::start().await.unwrap();
        let effects = receiver.effects();
        let comparison =
            Comparison::new(&messages, &report(&messages), &effects, &machine, &machine);
        for one in &comparison.casualties {
            let reason = sections::reason(one);
            assert!(reason.len() > 60, "seed {seed}: {one:?}: {reason}");
        }
    }
}

#[tokio::test]
async fn onewrite_is_judged_by_its_own_ledger() {
    let messages = [valid("a"), valid("b")];
    let comparison = compare(&messages, &[]).await;
    assert_eq!(
        comparison.sentence(),
        "onewrite: 0 effects, 0 repeated, 2 lost. Double write: 2 effects, 0 repeated, 0 lost."
    );
    let section = sections::comparison(&comparison);
    assert!(
        section.contains("<td class=\"number bad\">2</td>"),
        "{section}"
    );
}

#[tokio::test]
async fn says_what_was_broken() {
    let messages = [valid("a")];
    let comparison = compare(&messages, &[]).await;
    let mut report = report(&messages);
    report.violations = vec![Violation::NotBooked {
        id: HOSTILE.to_owned(),
    }];
    let page = html(&run(), &report, &comparison);
    assert!(page.contains("BROKEN: 1 findings."));
    assert!(!page.contains("<img"));
}
