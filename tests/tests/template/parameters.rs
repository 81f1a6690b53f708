//! The parameters, and the settings that the functions get from them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use onewrite_complete::config::{Config, TargetsConfig};
use onewrite_local::parameters::LOCAL_PARAMETERS;
use onewrite_runtime::config::{ConfigError, Environment};
use onewrite_tests::template::{Template, repository, scalar};
use serde_json::Value;

use crate::cloudformation::Evaluation;
use crate::translated::{QUEUE, choose, sam};
use crate::{FUNCTIONS, template};

/// Lambda sets this variable itself (Lambda developer guide, "Defined runtime environment variables").
const SET_BY_LAMBDA: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// The environment of a function, with the template's defaults except for the chosen parameters.
fn environment(
    template: &Template,
    function: &str,
    chosen: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let evaluation = Evaluation::new(template.at(""), chosen);
    let variables = template.property(function, "Environment/Variables");
    let evaluated = evaluation.value(variables).unwrap();
    let resolve = |value: &Value| match value {
        Value::Object(call) => match call["Ref"].as_str().unwrap() {
            // The reference of a queue is its URL.
            "NotificationQueue" => {
                "https://sqs.eu-west-1.amazonaws.com/123456789012/queue".to_owned()
            }
            name => format!("name-of-{name}"),
        },
        value => scalar(value).unwrap(),
    };
    let variables = evaluated.as_object().unwrap();
    variables
        .iter()
        .map(|(name, value)| (name.clone(), resolve(value)))
        .collect()
}

/// The variables of a function.
type Variables<'a> = Environment<&'a dyn Fn(&str) -> Option<String>>;

/// Reads the settings of a function. Returns the names that it looked up, and its result.
fn read_settings<C>(
    settings: &BTreeMap<String, String>,
    config: impl FnOnce(&Variables<'_>) -> Result<C, ConfigError>,
) -> (BTreeSet<String>, Result<C, ConfigError>) {
    let names = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        names.borrow_mut().insert(name.to_owned());
        settings.get(name).cloned()
    };
    let lookup: &dyn Fn(&str) -> Option<String> = &lookup;
    let config = config(&Environment::new(lookup));
    (names.into_inner(), config)
}

/// Asserts that template and code use the same names and the same defaults, and that the code accepts each bound and each
/// choice that the template allows. `needed` are the parameters that have no default for the function.
fn assert_settings_match<C: PartialEq + std::fmt::Debug>(
    function: &str,
    needed: &[(&str, &str)],
    resources: &[&str],
    config: impl Fn(&Variables<'_>) -> Result<C, ConfigError>,
) {
    let (template, needed) = (template(), choose(needed));
    let defaults = environment(&template, function, &needed);
    let (mut names, deployed) = read_settings(&defaults, &config);
    // Logging and metrics read these two themselves.
    names.extend(["LOG_LEVEL".to_owned(), "STACK_NAME".to_owned()]);
    names.remove(SET_BY_LAMBDA);
    let provided: BTreeSet<String> = defaults.keys().cloned().collect();
    assert_eq!(names, provided, "{function}");

    // Only the template knows what is needed, its resources, and the budget, which is the function's timeout.
    let of_the_template = resources.iter().chain(&["INVOCATION_BUDGET_MS"]);
    let minimal = of_the_template
        .map(|name| ((*name).to_owned(), defaults[*name].clone()))
        .collect();
    assert_eq!(deployed, read_settings(&minimal, &config).1, "{function}");

    for (name, parameter) in template.parameters() {
        let bounds = [&parameter["MinValue"], &parameter["MaxValue"]];
        let choices = parameter["AllowedValues"].as_array().into_iter().flatten();
        for value in bounds.into_iter().chain(choices).filter_map(scalar) {
            let mut chosen = needed.clone();
            chosen.insert(name.to_owned(), value.clone());
            let (_, read) = read_settings(&environment(&template, function, &chosen), &config);
            assert!(read.is_ok(), "{function} rejects {name}={value}: {read:?}");
        }
    }
}

#[test]
fn ingest_gets_exactly_the_settings_it_reads() {
    let references = ["TABLE_NAME", "QUEUE_URL"];
    assert_settings_match("IngestFunction", &[], &references, |environment| {
        onewrite_ingest::config::Config::read(environment)
    });
}

#[test]
fn forward_gets_exactly_the_settings_it_reads() {
    assert_settings_match("ForwardFunction", &[], &["STREAM_NAME"], |environment| {
        onewrite_forward::config::Config::read(environment)
    });
}

#[test]
fn complete_gets_exactly_the_settings_it_reads() {
    let (needed, variables) = (
        [("DownstreamArns", QUEUE)],
        ["TABLE_NAME", "DOWNSTREAM_ARNS", "FAILURE_BUCKET"],
    );
    assert_settings_match("CompleteFunction", &needed, &variables, read_complete);
}

/// Reads all settings of `complete` with the targets of this repository.
fn read_complete(environment: &Variables<'_>) -> Result<(Config, TargetsConfig), ConfigError> {
    Ok((
        Config::read(environment)?,
        TargetsConfig::read(environment)?,
    ))
}

/// Whether `complete` starts with these parameters.
pub(crate) fn complete_starts(chosen: &[(&str, &str)]) -> bool {
    let settings = environment(&template(), "CompleteFunction", &choose(chosen));
    read_settings(&settings, read_complete).1.is_ok()
}

#[test]
fn each_function_gets_its_own_timeout_as_budget() {
    let template = template();
    for name in FUNCTIONS {
        let function = format!("{name}Function");
        let timeout = template.property(&function, "Timeout")["Ref"]
            .as_str()
            .unwrap();
        let seconds = template.default(timeout).unwrap().parse().unwrap();
        let budget = &environment(&template, &function, &BTreeMap::new())["INVOCATION_BUDGET_MS"];
        assert_eq!(
            Duration::from_millis(budget.parse().unwrap()),
            Duration::from_secs(seconds),
            "{name}"
        );
    }
}

#[test]
fn local_parameters_exist_in_the_template() {
    let template = template();
    for (name, value) in LOCAL_PARAMETERS {
        let allowed = template.at(&format!("/Parameters/{name}"));
        assert!(allowed.is_object(), "{name}");
        if let Some(choices) = allowed["AllowedValues"].as_array() {
            assert!(
                choices
                    .iter()
                    .filter_map(scalar)
                    .any(|choice| choice == value),
                "{name}={value}"
            );
        }
    }
}

#[test]
fn every_parameter_has_a_default_a_description_and_a_group() {
    let template = template();
    let groups = template.at("/Metadata/AWS::CloudFormation::Interface/ParameterGroups");
    let grouped: BTreeSet<&str> = groups
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["Parameters"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    for (name, parameter) in template.parameters() {
        assert!(
            template.default(name).is_some() && parameter["Description"].is_string(),
            "{name}"
        );
    }
    assert_eq!(
        grouped,
        template.parameters().map(|(name, _)| name).collect()
    );
}

/// The rows of the parameters in the document: name and meaning.
fn documented_parameters() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(repository("docs/settings.md")).unwrap();
    let (_, rest) = text.split_once("\n## Template parameters\n").unwrap();
    let tables = rest.split("\n## ").next().unwrap();
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter_map(|row| {
        let (name, rest) = row.split_once("` | ")?;
        Some((name.to_owned(), rest.to_owned()))
    });
    rows.collect()
}

#[test]
fn documents_every_value_that_a_parameter_allows() {
    let (template, documented) = (template(), documented_parameters());
    for (name, parameter) in template.parameters() {
        let row = &documented[name];
        let named: BTreeSet<&str> = row
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .collect();
        let allowed = parameter["AllowedValues"].as_array().into_iter().flatten();
        for value in allowed.filter_map(scalar) {
            // A value can be a list.
            let is_named = value.split(',').all(|part| named.contains(part));
            assert!(is_named, "{name}: {value}");
        }
    }
}

#[test]
fn a_guided_deployment_asks_for_at_most_40_parameters() {
    assert!(template().parameters().count() <= 40);
}

/// CloudFormation compares the whole value with the pattern, like `re.fullmatch`. Returns whether each text matches.
pub(crate) fn matches(pattern: &str, texts: &[&str]) -> Vec<bool> {
    let program = "import re, sys; print(*(int(re.fullmatch(sys.argv[1], t) is not None) for t in sys.argv[2:]))";
    let output = Command::new(sam().program("python"))
        .args(["-c", program, pattern])
        .args(texts)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(|word| word == "1").collect()
}

#[test]
fn a_deployment_accepts_the_pointers_that_ingest_accepts() {
    const TEXTS: [&str; 15] = [
        "/",
        "/a",
        "/a/b~1c~0",
        "/a b",
        "/a,/b",
        "/a,/b,/c,/d",
        "a",
        " /a",
        "/a~",
        "/a~2",
        "/a,",
        ",/a",
        "/a,b",
        "/a, /b",
        "/a,/b,/c,/d,/e",
    ];
    let template = template();
    for (name, may_be_empty) in [
        ("MessagePointer", true),
        ("NotificationIdPointer", false),
        ("NotificationTypePointer", false),
        ("PayloadPointer", true),
    ] {
        let pattern = template.at(&format!("/Parameters/{name}/AllowedPattern"));
        let pattern = pattern.as_str().unwrap();
        assert_eq!(matches(pattern, &[""]), [may_be_empty], "{name}");
        for (text, is_allowed) in TEXTS.iter().zip(matches(pattern, &TEXTS)) {
            let chosen = [(name.to_owned(), (*text).to_owned())].into();
            let settings = environment(&template, "IngestFunction", &chosen);
            let (_, read) = read_settings(&settings, |environment| {
                onewrite_ingest::config::Config::read(environment)
            });
            assert_eq!(read.is_ok(), is_allowed, "{name}={text}: {read:?}");
        }
    }
}

/// Asserts which values of a parameter a deployment accepts.
pub(crate) fn assert_accepts(parameter: &str, right: &[&str], wrong: &[&str]) {
    let template = template();
    let pattern = template.at(&format!("/Parameters/{parameter}/AllowedPattern"));
    let pattern = pattern.as_str().unwrap();
    for (texts, is_right) in [(right, true), (wrong, false)] {
        for (text, accepted) in texts.iter().zip(matches(pattern, texts)) {
            assert_eq!(accepted, is_right, "{parameter}={text}");
        }
    }
}

#[test]
fn a_deployment_accepts_only_arns_of_the_right_service() {
    let keys = ["KmsKeyArn", "PreviousKmsKeyArn"];
    for key in keys {
        let right = [
            "",
            "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab",
        ];
        let wrong = [
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "alias/orders",
            "arn:aws:kms:eu-west-1:123456789012:alias/orders",
            "arn:aws:sns:eu-west-1:123456789012:orders",
        ];
        assert_accepts(key, &right, &wrong);
    }
    assert_accepts(
        "PermissionsBoundaryArn",
        &[
            "",
            "arn:aws:iam::123456789012:policy/team/boundary",
            "arn:aws:iam::aws:policy/PowerUserAccess",
        ],
        &["boundary", "arn:aws:iam::123456789012:role/boundary"],
    );
    assert_accepts(
        "AlarmTopicArn",
        &["", "arn:aws:sns:eu-west-1:123456789012:on-call_1"],
        &[
            "on-call",
            // CloudWatch publishes to standard topics only.
            "arn:aws:sns:eu-west-1:123456789012:on-call.fifo",
            "arn:aws:sqs:eu-west-1:123456789012:on-call",
        ],
    );
}
