//! The template as SAM's own translator, in the version of the pinned SAM CLI, gives it to CloudFormation.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use onewrite_local::progress::Progress;
use onewrite_local::python::{self, Environment, Interpreter};
use onewrite_local::workspace::Workspace;
use onewrite_tests::template::{Template, repository, scalar};
use serde_json::Value;

use crate::cloudformation::{Evaluation, Parameters, prerequisites};
use crate::{FUNCTIONS, template};

/// A table that was restored from a backup.
const RESTORED: &str =
    "arn:aws:dynamodb:eu-west-1:123456789012:table/restored/stream/2026-01-01T00:00:00.000";

/// A target.
pub(crate) const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:refunds";

/// The parameters that each function gets.
const PARAMETERS: [(&str, &[&str]); 3] = [
    (
        "IngestFunction",
        &[
            "Architecture",
            "ExistingTableStreamArn",
            "FunctionMemoryMegabytes",
            "IngestTimeoutSeconds",
            "LogLevel",
            "MessagePointer",
            "Metrics",
            "NotificationIdPointer",
            "NotificationTypePointer",
            "PayloadCompression",
            "PayloadPointer",
            "SecurityGroupIds",
            "SubnetIds",
        ],
    ),
    (
        "ForwardFunction",
        &[
            "Architecture",
            "EventSource",
            "FunctionMemoryMegabytes",
            "LogLevel",
            "Metrics",
            "SecurityGroupIds",
            "StreamFunctionTimeoutSeconds",
            "SubnetIds",
        ],
    ),
    (
        "CompleteFunction",
        &[
            "Architecture",
            "DoneRetentionDays",
            "DownstreamArns",
            "DownstreamMaxConcurrency",
            "DownstreamMaxPerSecond",
            "DownstreamRefusalStatuses",
            "DownstreamTypes",
            "DownstreamUrl",
            "ExistingTableStreamArn",
            "FunctionMemoryMegabytes",
            "LogLevel",
            "Metrics",
            "SecurityGroupIds",
            "StreamFunctionTimeoutSeconds",
            "SubnetIds",
        ],
    ),
];

/// The SAM CLI's environment. It is installed once.
pub(crate) fn sam() -> Environment {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let install = async {
        let interpreter = Interpreter::find().await?;
        python::environment(
            &Workspace::here(),
            &interpreter,
            python::SAM,
            Progress::Silent,
        )
        .await
    };
    runtime.block_on(install).unwrap()
}

/// Translates the template once for each choice of parameters.
pub(crate) fn translate(choices: &[Parameters]) -> Vec<Value> {
    let mut translation = Command::new(sam().program("python"))
        .arg(repository("tests/tests/template/python/translate.py"))
        .arg(repository("template.yaml"))
        .env("SAM_CLI_TELEMETRY", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = translation.stdin.take().unwrap();
    input
        .write_all(&serde_json::to_vec(choices).unwrap())
        .unwrap();
    drop(input);
    let output = translation.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The template as it is translated without a choice of parameters. Ten tests need it, and a translation takes seconds of CPU.
pub(crate) fn translate_with_defaults() -> &'static Value {
    static TRANSLATED: LazyLock<Value> =
        LazyLock::new(|| translate(&[Parameters::new()]).remove(0));
    &TRANSLATED
}

pub(crate) fn choose(values: &[(&str, &str)]) -> Parameters {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    values.iter().map(owned).collect()
}

/// Another value than `now` that the parameter allows.
fn other_value(template: &Template, name: &str, now: &str) -> String {
    if name == "ExistingTableStreamArn" {
        return RESTORED.to_owned();
    }
    let parameter = template.at(&format!("/Parameters/{name}"));
    let allowed = parameter["AllowedValues"].as_array().into_iter().flatten();
    let bounds = [&parameter["MaxValue"], &parameter["MinValue"]];
    let known = allowed.chain(bounds).filter_map(scalar);
    let other = known.into_iter().find(|value| value != now);
    other.unwrap_or_else(|| match parameter["Type"].as_str() {
        Some("Number") => "7".to_owned(),
        _ => "/other".to_owned(),
    })
}

/// The evaluated properties of the functions that the mappings invoke, by function.
fn invoked(translated: &Value, parameters: &Parameters) -> BTreeMap<String, Value> {
    let resources = Evaluation::new(translated, parameters).resources();
    let mappings = resources
        .values()
        .filter(|resource| resource["Type"] == "AWS::Lambda::EventSourceMapping");
    mappings
        .map(|mapping| {
            let name = mapping["Properties"]["FunctionName"]["Ref"]
                .as_str()
                .unwrap();
            let function = &resources[name];
            assert_eq!(function["Type"], "AWS::Lambda::Function", "{name}");
            (name.to_owned(), function["Properties"].clone())
        })
        .collect()
}

#[test]
fn a_changed_parameter_changes_what_the_mappings_invoke() {
    let template = template();
    let base = choose(&[
        ("SubnetIds", "subnet-1"),
        ("SecurityGroupIds", "sg-1"),
        ("DownstreamArns", QUEUE),
    ]);
    let mut choices = vec![base.clone()];
    let names: Vec<&str> = template.parameters().map(|(name, _)| name).collect();
    for name in &names {
        let now = base.get(*name).cloned().or_else(|| template.default(name));
        let mut changed = base.clone();
        changed.insert(
            (*name).to_owned(),
            other_value(&template, name, &now.unwrap()),
        );
        choices.push(changed);
    }
    let translated = translate(&choices);
    let before = invoked(&translated[0], &base);
    let mut reached: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        let after = invoked(&translated[index + 1], &choices[index + 1]);
        for (function, _) in PARAMETERS {
            if before[function] != after[function] {
                reached.entry(function).or_default().push(*name);
            }
        }
    }
    let expected = PARAMETERS.map(|(function, parameters)| (function, parameters.to_vec()));
    assert_eq!(reached, expected.into());
    let kinds = translated.iter().flat_map(|template| {
        let resources = template["Resources"].as_object().unwrap().values();
        resources.map(|resource| resource["Type"].as_str().unwrap())
    });
    let unwanted: BTreeSet<&str> = kinds
        .filter(|kind| kind.ends_with("::Version") || kind.ends_with("::Alias"))
        .chain(
            names
                .iter()
                .copied()
                .filter(|name| name.contains("Deployment")),
        )
        .collect();
    assert!(unwanted.is_empty(), "{unwanted:?}");
}

/// The actions that a role allows.
fn allowed_actions(role: &Value) -> BTreeSet<String> {
    let policies = role["Properties"]["Policies"].as_array().unwrap().iter();
    let statements = policies.flat_map(|policy| {
        let statements = &policy["PolicyDocument"]["Statement"];
        statements.as_array().unwrap()
    });
    statements
        .filter(|statement| statement["Effect"] == "Allow")
        .flat_map(|statement| match &statement["Action"] {
            Value::Array(actions) => actions.iter().filter_map(scalar).collect(),
            one => vec![scalar(one).unwrap()],
        })
        .collect()
}

#[test]
fn functions_wait_for_every_permission_of_their_role() {
    let chosen = choose(&[
        ("KmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/new"),
        (
            "PreviousKmsKeyArn",
            "arn:aws:kms:eu-west-1:123456789012:key/old",
        ),
        ("SubnetIds", "subnet-1"),
        ("SecurityGroupIds", "sg-1"),
    ]);
    let translated = translate(&[Parameters::new(), chosen.clone()]);
    for (translated, chosen) in translated.iter().zip([Parameters::new(), chosen]) {
        let resources = Evaluation::new(translated, &chosen).resources();
        for name in FUNCTIONS {
            let role = format!("{name}Role");
            let waited_for = prerequisites(&resources, &format!("{name}Function"));
            assert!(waited_for.contains(&role), "{waited_for:?}");
            for (policy, resource) in &resources {
                let is_policy = resource["Type"].as_str().unwrap().starts_with("AWS::IAM::")
                    && resource["Type"] != "AWS::IAM::Role";
                let is_attached = prerequisites(&resources, policy).contains(&role);
                assert!(
                    !(is_policy && is_attached) || waited_for.contains(*policy),
                    "{name}Function does not wait for {policy}"
                );
            }
            // Lambda checks these when it creates or changes a function.
            let mut checked = vec!["xray:PutTraceSegments", "ec2:CreateNetworkInterface"];
            if chosen.contains_key("KmsKeyArn") {
                checked.push("kms:Decrypt");
            }
            let allowed = allowed_actions(&resources[role.as_str()]);
            for action in checked {
                assert!(allowed.contains(action), "{role}: {action}");
            }
        }
    }
}

#[test]
fn no_parameter_takes_a_permission_away_before_its_last_use() {
    let (old, new) = ("arn:aws:kms:::key/old", "arn:aws:kms:::key/new");
    let in_vpc = [("SubnetIds", "subnet-1"), ("SecurityGroupIds", "sg-1")];
    let steps = [
        // A function leaves the VPC; afterwards, Lambda removes its network interfaces with the role.
        (choose(&in_vpc), choose(&[])),
        // Messages and records that were encrypted with the old key are still decrypted.
        (
            choose(&[("KmsKeyArn", old)]),
            choose(&[("PreviousKmsKeyArn", old)]),
        ),
        (
            choose(&[("KmsKeyArn", old)]),
            choose(&[("KmsKeyArn", new), ("PreviousKmsKeyArn", old)]),
        ),
    ];
    let needed = [
        "ec2:DescribeNetworkInterfaces",
        "ec2:DeleteNetworkInterface",
        "kms:Decrypt",
    ];
    for (before, after) in steps {
        let translated = translate(&[before.clone(), after.clone()]);
        let before = Evaluation::new(&translated[0], &before).resources();
        let after = Evaluation::new(&translated[1], &after).resources();
        for name in FUNCTIONS {
            let [before, after] =
                [&before, &after].map(|resources| &resources[format!("{name}Role").as_str()]);
            let kept = allowed_actions(after);
            for action in allowed_actions(before) {
                let is_needed = needed.contains(&action.as_str());
                assert!(!is_needed || kept.contains(&action), "{name}: {action}");
            }
            assert!(!before.to_string().contains(old) || after.to_string().contains(old));
        }
    }
}

#[test]
fn an_existing_table_replaces_the_table_of_the_stack() {
    let chosen = choose(&[("ExistingTableStreamArn", RESTORED)]);
    let translated = translate(std::slice::from_ref(&chosen));
    // CloudFormation may evaluate a branch of Fn::If that is not taken.
    Evaluation::new(&translated[0], &Parameters::new()).assert_calls_are_valid("Fn::Select");
    let resources = Evaluation::new(&translated[0], &chosen).resources();
    assert!(!resources.contains_key("NotificationTable"));
    for name in resources.keys() {
        let referenced = prerequisites(&resources, name);
        assert!(!referenced.contains("NotificationTable"), "{name}");
    }
    for name in ["Ingest", "Complete"] {
        let function = &resources[format!("{name}Function").as_str()]["Properties"];
        assert_eq!(
            function["Environment"]["Variables"]["TABLE_NAME"],
            "restored"
        );
        let role = resources[format!("{name}Role").as_str()].to_string();
        let table = "\"arn:aws:dynamodb:eu-west-1:123456789012:table/restored\"";
        assert!(role.contains(table), "{role}");
    }
    let forward = &resources["ForwardEventSource"]["Properties"];
    assert_eq!(forward["EventSourceArn"], RESTORED);
    let role = resources["ForwardRole"].to_string();
    assert!(role.contains(&format!("\"{RESTORED}\"")), "{role}");
    let outputs = Evaluation::new(&translated[0], &chosen);
    let table = &translated[0]["Outputs"]["NotificationTableName"]["Value"];
    assert_eq!(outputs.value(table).unwrap(), "restored");
}

/// Parameters, and the rule that rejects them.
type RuleCase<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);

#[test]
fn rules_reject_combinations_that_a_service_would_reject_later() {
    let translated = translate_with_defaults();
    let cases: &[RuleCase<'_>] = &[
        (&[], None),
        (
            &[("IngestBatchSize", "11")],
            Some("LargeBatchesNeedAWindow"),
        ),
        (
            &[("IngestBatchSize", "11"), ("BatchingWindowSeconds", "1")],
            None,
        ),
        (&[("IngestBatchSize", "11"), ("QueueType", "fifo")], None),
        (
            &[("SubnetIds", "subnet-1")],
            Some("SubnetsNeedSecurityGroups"),
        ),
        (
            &[("SubnetIds", "subnet-1"), ("SecurityGroupIds", "sg-1")],
            None,
        ),
        (&[("DoneRetentionDays", "1")], Some("ItemsOutliveMessages")),
        (&[("DoneRetentionDays", "28")], Some("ItemsOutliveMessages")),
        (
            &[("DoneRetentionDays", "29"), ("StreamRetentionHours", "336")],
            None,
        ),
        (
            &[
                ("DoneRetentionDays", "365"),
                ("StreamRetentionHours", "8760"),
            ],
            Some("ItemsOutliveStreamRecords"),
        ),
        (
            &[
                ("DoneRetentionDays", "400"),
                ("StreamRetentionHours", "8760"),
            ],
            None,
        ),
        (&[("StreamRetentionHours", "8760")], None),
    ];
    for (chosen, rule) in cases {
        let violated = Evaluation::new(translated, &choose(chosen)).violated_rules();
        assert_eq!(violated, rule.iter().copied().collect(), "{chosen:?}");
    }
}
