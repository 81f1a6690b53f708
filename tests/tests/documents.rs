//! The documents compared with the code, the template and the files of the repository.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Parser as _;
use onewrite::deferral::{JITTER_PERCENT, OUTAGE, WAITS};
use onewrite::event::NotificationEvent;
use onewrite::item::attribute::ERASED_AT;
use onewrite::item::{Enrichment, NotificationItem, PayloadCompression, expiry};
use onewrite::limits::{
    ITEM_GROWTH_BYTES, MAX_ID_CHARS, MAX_ID_POINTERS, MAX_ITEM_BYTES, MAX_JSON_DEPTH,
    MAX_KEY_BYTES, MAX_NUMBER_CHARS, MAX_RECEIVES, MAX_RECORD_BYTES, MAX_TRANSACT_WRITES,
    MAX_TYPE_CHARS,
};
use onewrite::notification::{MessagePointers, Notification, Rejection, Status, TraceParent};
use onewrite_local::cli::Cli;
use onewrite_tests::template::{repository, scalar, template};
use serde_json::Value;

const FORMATS: &str = "docs/messages-and-events.md";
const GUARANTEES: &str = "docs/guarantees.md";
const SETTINGS: &str = "docs/settings.md";
const CONSUMERS: &str = "docs/consumers.md";

/// The directories that have documents, besides the root of the repository.
const DIRECTORIES: [&str; 3] = ["", "docs", ".github"];

/// Every document of the repository, relative to its root.
fn documents() -> Vec<String> {
    let mut documents = Vec::new();
    for directory in DIRECTORIES {
        for entry in std::fs::read_dir(repository(directory)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                documents.push(Path::new(directory).join(name).display().to_string());
            }
        }
    }
    assert!(documents.len() > 12, "{documents:?}");
    documents.sort();
    documents
}

fn text(document: &str) -> String {
    std::fs::read_to_string(repository(document)).unwrap()
}

/// A document in one line, so that a sentence is found wherever its lines break.
fn prose(document: &str) -> String {
    text(document)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The texts in back quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The cells of each row of the tables in a section, without their heads. A section ends at the next heading of its level
/// or of a higher one.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = text(document);
    let (_, section) = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{document} has no {heading:?}"));
    let level = heading.split(' ').next().unwrap();
    let ends = |line: &&str| {
        let hashes = line.split(' ').next().unwrap();
        let is_heading = !hashes.is_empty() && hashes.bytes().all(|byte| byte == b'#');
        is_heading && hashes.len() <= level.len()
    };
    let mut rows = Vec::new();
    let mut is_body = false;
    for line in section.lines().take_while(|line| !ends(line)) {
        if !line.starts_with('|') {
            is_body = false;
        } else if line.starts_with("| ---") {
            is_body = true;
        } else if is_body {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
        }
    }
    assert!(
        !rows.is_empty(),
        "{document} has no table below {heading:?}"
    );
    rows
}

/// The commands of a document's shell examples. A broken line is one command.
fn commands(document: &str) -> Vec<String> {
    let text = text(document).replace("\\\n", " ");
    let blocks = text.split("```").skip(1).step_by(2);
    let shell = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    let command = |line: &str| line.split(" #").next().unwrap().trim().to_owned();
    shell.flat_map(str::lines).map(command).collect()
}

fn all_commands() -> Vec<String> {
    documents()
        .iter()
        .flat_map(|document| commands(document))
        .collect()
}

/// The JSON example of the formats that has this member.
fn example(member: &str) -> String {
    let text = text(FORMATS);
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
        .parse(&example("notification_id"))
        .unwrap()
}

#[test]
fn names_every_rejection() {
    let names: Vec<&str> = Rejection::EXAMPLES.iter().map(Rejection::name).collect();
    let rows = table(FORMATS, "### Rejected messages");
    let documented: Vec<&str> = rows.iter().map(|row| quoted(&row[0])[0]).collect();
    assert_eq!(documented, names);
}

#[test]
fn states_the_limits_of_the_code() {
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
    let (item, writes) = (MAX_ITEM_BYTES / 1024, MAX_TRANSACT_WRITES - 1);
    let with_separator = |number: usize| format!("{},{:03}", number / 1_000, number % 1_000);
    let (number, key) = (MAX_NUMBER_CHARS, MAX_KEY_BYTES);
    let (number, key) = (with_separator(number), with_separator(key));
    for (document, statement) in [
        (
            FORMATS,
            format!("a string of 1 to {MAX_ID_CHARS} printable ASCII characters"),
        ),
        (FORMATS, format!("at most {MAX_ID_CHARS} characters")),
        (FORMATS, format!("Up to {MAX_ID_POINTERS} pointers")),
        (FORMATS, format!("1 to {MAX_TYPE_CHARS} such characters")),
        (
            FORMATS,
            format!("A number has more than {number} characters"),
        ),
        (FORMATS, format!("A key has more than {key} bytes")),
        (FORMATS, format!("more than {MAX_JSON_DEPTH} levels")),
        (FORMATS, format!("exceed {item} KB, the limit of DynamoDB")),
        (
            FORMATS,
            format!("at most {} MiB (`Max", MAX_RECORD_BYTES >> 20),
        ),
        (GUARANTEES, format!("item size | {item} KB, compressed")),
        (
            GUARANTEES,
            format!("{ITEM_GROWTH_BYTES} bytes are reserved"),
        ),
        (GUARANTEES, format!("{MAX_RECEIVES} receives")),
        (GUARANTEES, format!("is received {times} times")),
        (GUARANTEES, format!("up to {writes} DynamoDB writes")),
        (CONSUMERS, format!("up to {writes} DynamoDB writes")),
        (
            GUARANTEES,
            format!("could not publish for {} hours", age / 3600),
        ),
    ] {
        let is_stated = prose(document).contains(&statement);
        assert!(is_stated, "{document}: {statement}");
    }
}

#[test]
fn states_the_waits_that_outlast_an_outage() {
    let waits = WAITS.map(|wait| match wait.as_secs() {
        seconds if seconds < 60 => format!("{seconds} s"),
        seconds if seconds < 3_600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    });
    let [earlier @ .., last] = &waits;
    let hours = OUTAGE.as_secs() / 3_600;
    for statement in [
        format!("receives are {} and {last}", earlier.join(", ")),
        format!("up to {JITTER_PERCENT} % of jitter"),
        format!("an outage of {hours} hours"),
        format!("| {hours} hours | a longer outage"),
    ] {
        assert!(prose(GUARANTEES).contains(&statement), "{statement}");
    }
    let template = template().unwrap();
    let variables = template.property("IngestFunction", "Environment/Variables");
    assert_eq!(variables["OUTAGE_SECONDS"], OUTAGE.as_secs().to_string());
}

#[test]
fn names_exactly_the_attributes_of_the_item() {
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
        PayloadCompression::Auto,
    )
    .unwrap();
    item.status = Status::Refused;
    item.redrives = 1;
    item.expires_at = Some(expiry(now, 1));
    item.refusal = "account_closed".parse().ok();
    item.settled_by = "complete".parse().ok();
    let attributes = item.to_item();
    let mut attributes: BTreeSet<String> = attributes.keys().cloned().collect();
    // The operator's tool adds it.
    attributes.insert(ERASED_AT.to_owned());
    let rows = table(FORMATS, "## The item");
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
fn example_message_becomes_the_example_event() {
    let created = "2026-11-23T10:00:00.123Z".parse().unwrap();
    let item = NotificationItem::new(
        example_notification(),
        &Enrichment::default(),
        "m".to_owned(),
        None,
        created,
        PayloadCompression::Auto,
    );
    let event = NotificationEvent::from_item(&item.unwrap());
    let example = example("specversion");
    assert_eq!(NotificationEvent::parse(example.as_bytes()).unwrap(), event);
    let document: Value = serde_json::from_str(&event.to_json()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&example).unwrap(), document);
}

#[test]
fn names_the_pointers_with_the_defaults_of_the_code() {
    let rows = table(FORMATS, "## The message");
    let documented: Vec<(&str, &str)> = rows
        .iter()
        .filter(|row| row.len() == 3)
        // The default "none" is the empty text.
        .map(|row| {
            (
                quoted(&row[0])[0],
                quoted(&row[1]).first().copied().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("MESSAGE_POINTER", MessagePointers::DEFAULT_MESSAGE),
        ("NOTIFICATION_ID_POINTER", MessagePointers::DEFAULT_ID),
        ("NOTIFICATION_TYPE_POINTER", MessagePointers::DEFAULT_TYPE),
        ("PAYLOAD_POINTER", MessagePointers::DEFAULT_PAYLOAD),
    ];
    assert_eq!(documented, expected);
    let template = template().unwrap();
    let variables = template.property("IngestFunction", "Environment/Variables");
    for (name, default) in expected {
        let parameter = variables[name]["Ref"].as_str().unwrap();
        assert_eq!(template.default(parameter).unwrap(), default);
    }
}

#[test]
fn lists_every_parameter_with_its_default() {
    let template = template().unwrap();
    let expected: BTreeSet<(String, String)> = template
        .parameters()
        .map(|(name, parameter)| (name.to_owned(), scalar(&parameter["Default"]).unwrap()))
        .collect();
    let rows = table(SETTINGS, "## Template parameters");
    assert_eq!(rows.len(), expected.len());
    let documented = rows.iter().map(|row| {
        // The default "none" is the empty text.
        let default = quoted(&row[1]).first().copied().unwrap_or_default();
        (quoted(&row[0])[0].to_owned(), default.to_owned())
    });
    assert_eq!(documented.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn lists_every_variable_of_each_function() {
    let template = template().unwrap();
    let functions = [
        ("ingest", "IngestFunction"),
        ("forward", "ForwardFunction"),
        ("complete", "CompleteFunction"),
    ];
    let mut expected = BTreeSet::new();
    for (name, resource) in functions {
        let variables = template.property(resource, "Environment/Variables");
        let variables = variables.as_object().unwrap().keys();
        expected.extend(variables.map(|variable| (name.to_owned(), variable.clone())));
    }
    let mut documented = BTreeSet::new();
    for row in table(SETTINGS, "## Function variables") {
        let variable = quoted(&row[0])[0];
        let names = quoted(&row[1]).into_iter();
        documented.extend(names.map(|name| (name.to_owned(), variable.to_owned())));
    }
    assert_eq!(documented, expected);
}

#[test]
fn the_local_tool_accepts_every_documented_command() {
    let commands = all_commands();
    let local: Vec<&str> = commands
        .iter()
        .filter_map(|command| command.strip_prefix("cargo local "))
        .collect();
    for command in ["demo", "up", "send", "check", "build"] {
        let has_name = |line: &&str| line.split(' ').next() == Some(command);
        assert!(local.iter().any(has_name), "{command}");
    }
    let rows = table("docs/running-locally.md", "## Commands");
    let options = rows.iter().flat_map(|row| quoted(&row[0]));
    let options: Vec<String> = options
        .flat_map(|option| ["demo", "up"].map(|command| format!("{command} {option}")))
        .map(|line| line.replace(" N", " 2"))
        .collect();
    assert!(options.len() > 8, "{options:?}");
    let lines = local.into_iter().chain(options.iter().map(String::as_str));
    for line in lines {
        let parsed = Cli::try_parse_from(["cargo local"].into_iter().chain(line.split(' ')));
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
    }
}

#[test]
fn every_named_output_exists() {
    let template = template().unwrap();
    let outputs = template.at("/Outputs").as_object().unwrap();
    let own = ["endpoint", "region", "access_key_id", "secret_access_key"];
    let mut found = 0;
    for document in documents() {
        let text = text(&document);
        let uses = text.split("$(stack ").skip(1);
        for name in uses.map(|rest| rest.split(')').next().unwrap()) {
            let is_known = own.contains(&name) || outputs.contains_key(name);
            assert!(is_known, "{document}: {name}");
            found += 1;
        }
    }
    assert!(found > 0);
}

#[test]
fn every_named_file_exists() {
    let directories = [
        "functions/",
        "shared/",
        "infra/",
        "tests/",
        "docs/",
        ".ci/",
        ".cargo/",
        "template.yaml",
        "samconfig.toml",
        "LICENSE",
    ];
    // The changelog names files that are gone.
    for document in documents().iter().filter(|name| *name != "CHANGELOG.md") {
        let text = text(document);
        let words = text.split(|c: char| c.is_whitespace() || "`(),[]|;:".contains(c));
        // A release has a file LICENSES.
        let is_path = |word: &&str| !word.contains('*') && *word != "LICENSES";
        for word in words.filter(is_path) {
            let file = word.trim_end_matches('.').split('#').next().unwrap();
            if directories.iter().any(|start| file.starts_with(start)) {
                let parent = Path::new(document).parent().unwrap();
                let exists =
                    repository(file).exists() || repository("").join(parent).join(file).exists();
                assert!(exists, "{document}: {file}");
            }
        }
    }
}

#[test]
fn readme_maps_the_whole_repository() {
    let text = text("README.md");
    assert!(text.lines().count() <= 200, "the README is too long");
    for directory in ["functions", "shared", "infra", "tests"] {
        for entry in std::fs::read_dir(repository(directory)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.join("Cargo.toml").exists() && !["workspace-hack", "fuzz"].contains(&name) {
                let line = format!("\n{directory}/{name}/ ");
                assert!(text.contains(&line), "{directory}/{name}");
            }
        }
    }
    for document in documents().iter().filter(|name| *name != "README.md") {
        assert!(text.contains(&format!("]({document})")), "{document}");
    }
}

#[test]
fn names_each_sample_event_with_its_function() {
    let documents = documents();
    let texts: Vec<String> = documents.iter().map(|name| text(name)).collect();
    for entry in std::fs::read_dir(repository("infra/events")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(texts.iter().any(|text| text.contains(&name)), "{name}");
    }
    let commands = all_commands();
    let invokes = commands
        .iter()
        .filter(|command| command.starts_with("cargo lambda invoke"));
    let mut found = 0;
    for invoke in invokes {
        let words: Vec<&str> = invoke.split_whitespace().collect();
        let file = words
            .iter()
            .position(|word| *word == "--data-file")
            .unwrap();
        let start = format!("infra/events/{}", words[file - 1]);
        assert!(words[file + 1].starts_with(&start), "{invoke}");
        found += 1;
    }
    assert!(found >= 3, "{found}");
}

/// The text without code blocks and code spans, in which brackets are no links.
fn without_code(text: &str) -> String {
    let mut is_code = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            // Each second part is a code span. A link may have one as its text, so its brackets stay.
            kept.extend(line.split('`').step_by(2).flat_map(|part| [part, " "]));
            kept.push('\n');
        }
    }
    kept
}

/// The anchors that GitHub gives the headings of a document: lower case, without punctuation, `-` for each space, and a
/// number after a repeated heading.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    let mut is_code = false;
    for line in text(document).lines() {
        is_code ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        if is_code || title == line || !title.starts_with(' ') {
            continue;
        }
        let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
        let slug: String = title.trim().chars().filter(is_kept).collect();
        let slug = slug.to_lowercase().replace(' ', "-");
        let count = counts.entry(slug.clone()).or_default();
        anchors.insert(match *count {
            0 => slug,
            number => format!("{slug}-{number}"),
        });
        *count += 1;
    }
    anchors
}

#[test]
fn every_relative_link_and_anchor_resolves() {
    let mut found = 0;
    let mut broken = Vec::new();
    for document in documents() {
        let text = without_code(&text(&document));
        let targets = text.split("](").skip(1);
        for target in targets.map(|rest| rest.split(')').next().unwrap()) {
            if target.starts_with("https://") {
                continue;
            }
            found += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked = if path.is_empty() {
                PathBuf::from(&document)
            } else {
                Path::new(&document).parent().unwrap().join(path)
            };
            let linked = linked.to_str().unwrap();
            let resolves = repository(linked).exists()
                && (anchor.is_empty() || anchors(linked).contains(anchor));
            if !resolves {
                broken.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(found > 50, "only {found} links: are links still found?");
}
