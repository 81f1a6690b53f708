//! What the README says, held to the code and the template, so that no figure or name stands in two places unwatched.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use clap::Parser as _;
use onewrite::event::NotificationEvent;
use onewrite::item::{Enrichment, NotificationItem, expiry};
use onewrite::limits::{
    MAX_ID_CHARS, MAX_ITEM_BYTES, MAX_JSON_DEPTH, MAX_RECEIVES, MAX_TRANSACT_WRITES, MAX_TYPE_CHARS,
};
use onewrite::notification::{InvalidName, MessagePointers, Notification, Rejection, TraceParent};
use onewrite_local::cli::Cli;
use onewrite_tests::template::{repository, scalar, template};
use serde_json::Value;

/// The README with its lines joined, so that a sentence is found wherever it is broken.
fn prose() -> String {
    text().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text() -> String {
    std::fs::read_to_string(repository("README.md")).unwrap()
}

/// The texts in back quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What stands between two texts, each of which must be there.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start:?}"));
    rest.split_once(end)
        .unwrap_or_else(|| panic!("no {end:?} after {start:?}"))
        .0
}

/// The cells of each row of the first table under a heading, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = text();
    let (_, section) = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no {heading:?}"));
    let rows = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.skip(2).map(cells).collect()
}

/// The commands of the README's shell examples; a broken line is one command.
fn commands() -> Vec<String> {
    let text = text().replace("\\\n", " ");
    let blocks = text.split("```").skip(1).step_by(2);
    let shell = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    let command = |line: &str| line.split(" #").next().unwrap().trim().to_owned();
    shell.flat_map(str::lines).map(command).collect()
}

/// A code block of JSON that has this member.
fn example(member: &str) -> String {
    let text = text();
    let blocks = text
        .split("```json\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap());
    let found = blocks.filter(|block| {
        serde_json::from_str::<Value>(block)
            .unwrap()
            .get(member)
            .is_some()
    });
    found.map(str::to_owned).next().unwrap()
}

fn example_notification() -> Notification {
    MessagePointers::default()
        .parse(example("notification_id").as_bytes())
        .unwrap()
}

#[test]
fn every_rejection_is_named() {
    let name = InvalidName::Empty;
    let all = [
        Rejection::MissingBody,
        Rejection::InvalidUtf8 { position: 0 },
        Rejection::InvalidJson { line: 1, column: 1 },
        Rejection::NotAnObject,
        Rejection::TooDeep,
        Rejection::DuplicateKey,
        Rejection::MissingId,
        Rejection::IdNotAString,
        Rejection::InvalidId(name),
        Rejection::TypeNotAString,
        Rejection::InvalidType(name),
        Rejection::MissingPayload,
        Rejection::ItemTooLarge { bytes: 1 },
    ];
    // A new rejection does not compile here until it is in the list above.
    for rejection in all {
        match rejection {
            Rejection::MissingBody
            | Rejection::InvalidUtf8 { .. }
            | Rejection::InvalidJson { .. }
            | Rejection::NotAnObject
            | Rejection::TooDeep
            | Rejection::DuplicateKey
            | Rejection::MissingId
            | Rejection::IdNotAString
            | Rejection::InvalidId(_)
            | Rejection::TypeNotAString
            | Rejection::InvalidType(_)
            | Rejection::MissingPayload
            | Rejection::ItemTooLarge { .. } => {}
        }
    }
    let names: Vec<&str> = all.iter().map(Rejection::name).collect();
    let prose = prose();
    assert_eq!(
        quoted(between(&prose, "(`Rejected<Name>`):", "A message's trace")),
        names
    );
}

#[test]
fn every_limit_is_the_code_s() {
    let prose = prose();
    let times = match MAX_RECEIVES {
        6 => "six",
        other => panic!("{other} in words?"),
    };
    let template = template().unwrap();
    let age = template
        .property("ForwardEventSource", "MaximumRecordAgeInSeconds")
        .as_u64()
        .unwrap();
    assert_eq!(age % 3600, 0);
    for said in [
        format!("a string of 1 to {MAX_ID_CHARS} printable ASCII characters without space"),
        format!("1 to {MAX_TYPE_CHARS} such characters"),
        format!("`TooDeep` (more than {MAX_JSON_DEPTH} levels)"),
        format!("`ItemTooLarge` ({} KB in DynamoDB)", MAX_ITEM_BYTES / 1024),
        format!("{MAX_RECEIVES} receives"),
        format!("is received {times} times"),
        format!("up to {} DynamoDB writes", MAX_TRANSACT_WRITES - 1),
        format!("could not publish for {} hours", age / 3600),
    ] {
        assert!(prose.contains(&said), "{said}");
    }
}

#[test]
fn every_attribute_of_the_item_is_named_and_no_other() {
    let mut enrichment = Enrichment::default();
    enrichment.insert("a", 1);
    let trace = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut item = NotificationItem::new(
        example_notification(),
        &enrichment,
        "m".to_owned(),
        trace,
        now,
    )
    .unwrap();
    item.expires_at = Some(expiry(now, 1));
    let attributes = item.to_item();
    let attributes: BTreeSet<String> = attributes.keys().cloned().collect();
    let rows = table("## The item");
    let named: Vec<&str> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    assert_eq!(
        named
            .iter()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>(),
        attributes
    );
    assert_eq!(named.len(), attributes.len());
}

#[test]
fn the_message_of_the_example_becomes_the_event_of_the_example() {
    let created = "2026-11-23T10:00:00.123Z".parse().unwrap();
    let item = NotificationItem::new(
        example_notification(),
        &Enrichment::default(),
        "m".to_owned(),
        None,
        created,
    );
    let event = NotificationEvent::of_item(&item.unwrap());
    let example = example("specversion");
    assert_eq!(NotificationEvent::parse(example.as_bytes()).unwrap(), event);
    let document: Value = serde_json::from_str(&event.to_json()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&example).unwrap(), document);
}

#[test]
fn the_pointers_and_their_defaults_are_the_code_s() {
    let rows = table("## The message");
    let said: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (quoted(&row[0])[0], quoted(&row[1])[0]))
        .collect();
    let expected = [
        ("NOTIFICATION_ID_POINTER", MessagePointers::DEFAULT_ID),
        ("NOTIFICATION_TYPE_POINTER", MessagePointers::DEFAULT_TYPE),
        ("PAYLOAD_POINTER", MessagePointers::DEFAULT_PAYLOAD),
    ];
    assert_eq!(said, expected);
    let template = template().unwrap();
    let variables = template.property("IngestFunction", "Environment/Variables");
    for (name, default) in expected {
        let parameter = variables[name]["Ref"].as_str().unwrap();
        assert_eq!(template.default(parameter).unwrap(), default);
    }
}

#[test]
fn every_parameter_is_in_the_table_of_settings_with_its_default() {
    let template = template().unwrap();
    let expected: BTreeSet<(String, String)> = template
        .parameters()
        .map(|(name, parameter)| (name.to_owned(), scalar(&parameter["Default"]).unwrap()))
        .collect();
    let rows = table("## Settings");
    assert_eq!(rows.len(), expected.len());
    let said = rows
        .iter()
        // The default "none" is the empty text.
        .map(|row| {
            (
                quoted(&row[0])[0],
                quoted(&row[1]).first().copied().unwrap_or_default(),
            )
        })
        .map(|(name, default)| (name.to_owned(), default.to_owned()));
    assert_eq!(said.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_commands_of_the_local_tool_are_understood() {
    let commands = commands();
    let local: Vec<&str> = commands
        .iter()
        .filter_map(|command| command.strip_prefix("cargo local "))
        .collect();
    for command in ["demo", "up", "send", "check"] {
        assert!(
            local
                .iter()
                .any(|line| line.split(' ').next() == Some(command)),
            "{command}"
        );
    }
    let options = [
        "demo --watch",
        "demo --fifo",
        "up --shards 2",
        "up --port 4566",
    ];
    for line in local.into_iter().chain(options) {
        let parsed = Cli::try_parse_from(["cargo local"].into_iter().chain(line.split(' ')));
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
    }
}

#[test]
fn every_output_and_file_that_is_named_is_there() {
    let template = template().unwrap();
    let outputs = template.at("/Outputs").as_object().unwrap();
    let text = text();
    let mut seen = 0;
    for asked in text
        .split("$(stack ")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
    {
        let own = ["endpoint", "region", "access_key_id", "secret_access_key"];
        assert!(
            own.contains(&asked) || outputs.contains_key(asked),
            "{asked}"
        );
        seen += 1;
    }
    assert!(seen > 0);
    let rooms = [
        "functions/",
        "shared/",
        "infra/",
        "tests/",
        ".ci/",
        "template.yaml",
        "LICENSE",
    ];
    let words = text.split(|c: char| c.is_whitespace() || "`(),".contains(c));
    let files: BTreeSet<&str> = words
        .filter(|word| rooms.iter().any(|room| word.starts_with(room)))
        .collect();
    assert!(files.len() >= rooms.len(), "{files:?}");
    for file in files {
        assert!(repository(file.trim_end_matches('.')).exists(), "{file}");
    }
}

#[test]
fn every_sample_event_is_named_by_the_function_it_is_for() {
    let text = text();
    for entry in std::fs::read_dir(repository("infra/events")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(text.contains(&name), "{name}");
    }
    for invoke in commands()
        .iter()
        .filter(|command| command.starts_with("cargo lambda invoke"))
    {
        let words: Vec<&str> = invoke.split_whitespace().collect();
        let file = words
            .iter()
            .position(|word| *word == "--data-file")
            .unwrap();
        let function = words[file - 1];
        assert!(
            words[file + 1].starts_with(&format!("infra/events/{function}")),
            "{invoke}"
        );
    }
}
