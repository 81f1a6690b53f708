//! Names and formats on which users rely, compared with those of the last release: the changelog must name each difference.

use std::collections::{BTreeMap, BTreeSet};

use onewrite_tests::template::{Template, repository};
use serde_json::{Value, json};

use crate::{FUNCTIONS, metrics_of, template};

/// The interface of the last release.
const RELEASED: &str = "tests/tests/template/released.json";
const CHANGELOG: &str = "CHANGELOG.md";

/// Records the current interface as the one of the version in `Cargo.toml`. A release does this once.
const RECORD: &str = "ONEWRITE_RECORD_RELEASE";

/// What a name stands for, by kind and name.
type Interface = BTreeMap<String, BTreeMap<String, Value>>;

/// A parameter without its texts.
fn rules(parameter: &Value) -> Value {
    let mut rules = parameter.clone();
    let members = rules.as_object_mut().unwrap();
    members.retain(|name, _| !["Description", "ConstraintDescription"].contains(&name.as_str()));
    rules
}

/// The attributes of the item in the document, which another test compares with the code, with their types.
fn attributes() -> BTreeMap<String, Value> {
    let document = std::fs::read_to_string(repository("docs/messages-and-events.md")).unwrap();
    let (_, section) = document.split_once("\n## The item\n").unwrap();
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let each = rows.map(|row| {
        let (name, rest) = row.split_once("` | ").unwrap();
        (
            name.to_owned(),
            rest.split([',', ';', '|']).next().unwrap().trim().into(),
        )
    });
    each.collect()
}

/// The members of the event, from its schema.
fn members() -> BTreeMap<String, Value> {
    let schema = std::fs::read_to_string(repository("shared/contract/event.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let required = schema["required"].as_array().unwrap();
    let members = schema["properties"].as_object().unwrap().keys();
    let each = members.map(|name| {
        (
            name.clone(),
            required.contains(&Value::from(name.as_str())).into(),
        )
    });
    each.collect()
}

fn interface(template: &Template) -> Interface {
    let parameters = template
        .parameters()
        .map(|(name, rule)| (name.to_owned(), rules(rule)));
    let outputs = template.at("/Outputs").as_object().unwrap().iter();
    let outputs = outputs.map(|(name, output)| (name.clone(), output["Condition"].clone()));
    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for function in FUNCTIONS.map(str::to_lowercase) {
        for metric in metrics_of(&function) {
            metrics
                .entry(metric.to_owned())
                .or_default()
                .insert(function.clone());
        }
    }
    let metrics = metrics
        .into_iter()
        .map(|(name, functions)| (name, json!(functions)));
    [
        ("parameters", parameters.collect()),
        ("outputs", outputs.collect()),
        ("metrics", metrics.collect()),
        ("attributes of the item", attributes()),
        ("members of the event", members()),
    ]
    .map(|(kind, names)| (kind.to_owned(), names))
    .into()
}

/// The names that exist in one of them only, or stand for something else.
fn differences(one: &Interface, other: &Interface) -> BTreeSet<String> {
    let of = |from: &Interface, to: &Interface| -> BTreeSet<String> {
        let differs = |kind: &str, name: &str, value: &Value| {
            to.get(kind).and_then(|names| names.get(name)) != Some(value)
        };
        from.iter()
            .flat_map(|(kind, names)| names.iter().map(move |(name, value)| (kind, name, value)))
            .filter(|(kind, name, value)| differs(kind, name, value))
            .map(|(_, name, _)| name.clone())
            .collect()
    };
    &of(one, other) | &of(other, one)
}

/// The section of the changelog that is not released, if there is one.
fn unreleased(changelog: &str) -> &str {
    let mut sections = changelog.split("\n## [").skip(1);
    let is_unreleased = |section: &&str| section.lines().next().unwrap().contains("Unreleased");
    sections.find(is_unreleased).unwrap_or_default()
}

fn unnamed(differences: &BTreeSet<String>, section: &str) -> Vec<String> {
    let names: BTreeSet<&str> = section.split('`').skip(1).step_by(2).collect();
    // A value may stand next to a name, as in `Metrics=all`.
    let is_named = |name: &String| {
        names.iter().any(|text| {
            *text == name
                || text
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with('='))
        })
    };
    differences
        .iter()
        .filter(|name| !is_named(name))
        .cloned()
        .collect()
}

#[test]
fn the_changelog_names_every_difference_to_the_last_release() {
    let now = interface(&template());
    if std::env::var_os(RECORD).is_some() {
        let record = json!({"version": env!("CARGO_PKG_VERSION"), "interface": now});
        let text = serde_json::to_string_pretty(&record).unwrap();
        std::fs::write(repository(RELEASED), text + "\n").unwrap();
    }
    let record = std::fs::read_to_string(repository(RELEASED)).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let released: Interface = serde_json::from_value(record["interface"].clone()).unwrap();
    let changelog = std::fs::read_to_string(repository(CHANGELOG)).unwrap();
    let unnamed = unnamed(&differences(&released, &now), unreleased(&changelog));
    assert!(
        unnamed.is_empty(),
        "name these changes since {} in the unreleased section of {CHANGELOG}, in back quotes: {unnamed:?}",
        record["version"]
    );
}

#[test]
fn differences_are_additions_removals_and_changed_rules() {
    let template = |parameters: &str| {
        Template::parse(&format!("Parameters: {parameters}\nOutputs: {{}}")).unwrap()
    };
    let before = interface(&template(
        "{Same: {Default: 1, Description: before}, Changed: {Default: 1}, Removed: {Default: 1}}",
    ));
    let after = interface(&template(
        "{Same: {Default: 1, Description: after}, Changed: {Default: 2}, Added: {Default: 1}}",
    ));
    let found = differences(&before, &after);
    assert_eq!(
        found,
        ["Added", "Changed", "Removed"].map(str::to_owned).into()
    );
    for kind in ["metrics", "attributes of the item", "members of the event"] {
        assert!(before[kind].len() > 10, "{kind}");
    }

    let changelog = "# Changelog\n\n## [Unreleased]\n\n- `Added=2`, `Removed`, Changed.\n\n## [0.1.0] - 2026-12-01\n\n- `Changed`.\n";
    assert_eq!(unnamed(&found, unreleased(changelog)), ["Changed"]);
    assert_eq!(unreleased("# Changelog\n\n## [0.1.0] - 2026-12-01\n"), "");
}
