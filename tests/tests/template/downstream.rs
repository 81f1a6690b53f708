//! The targets of `complete`: what depends on them, and which values a deployment accepts.

use std::collections::{BTreeMap, BTreeSet};

use onewrite_tests::template::{Template, scalar};
use serde_json::{Value, json};

use crate::cloudformation::{Evaluation, Parameters, references};
use crate::parameters::{assert_accepts, complete_starts};
use crate::translated::{QUEUE, choose, translate_with_defaults};
use crate::{FUNCTIONS, template};

const URL: &str = "https://example.com/notifications";

/// All variables of a function together (Lambda developer guide, "Lambda quotas").
const MAX_ENVIRONMENT_BYTES: usize = 4 * 1024;

/// The longest name of a table (DynamoDB developer guide, "Naming rules") and of a stack (CloudFormation API reference,
/// `CreateStack`).
const MAX_TABLE_NAME: usize = 255;
const MAX_STACK_NAME: usize = 128;

/// The longest name of a bucket (S3 user guide, "General purpose bucket naming rules").
const MAX_BUCKET_NAME: usize = 63;

/// The resources of the translated template.
pub(crate) fn resources<'a>(
    translated: &'a Value,
    chosen: &[(&str, &str)],
) -> BTreeMap<&'a str, Value> {
    Evaluation::new(translated, &choose(chosen)).resources()
}

/// The statements of a policy of the role of `complete`, if the role has the policy.
fn statements(resources: &BTreeMap<&str, Value>, policy: &str) -> Option<Vec<Value>> {
    let policies = resources["CompleteRole"]["Properties"]["Policies"].as_array();
    let named = policies.unwrap().iter();
    let mut named = named.filter(|one| one["PolicyName"] == policy);
    let statements = &named.next()?["PolicyDocument"]["Statement"];
    Some(statements.as_array().unwrap().clone())
}

#[test]
fn without_a_target_complete_is_not_invoked() {
    let translated = translate_with_defaults();
    let without = resources(translated, &[]);
    let names: BTreeSet<&str> = without.keys().copied().collect();
    for chosen in [("DownstreamArns", QUEUE), ("DownstreamUrl", URL)] {
        let with = resources(translated, &[chosen]);
        let more = with.keys().copied().filter(|name| !names.contains(name));
        assert_eq!(
            Vec::from_iter(more),
            ["CompleteEventSource", "PendingAlarm"],
            "{chosen:?}"
        );
    }
    // Nothing refers to a resource that does not exist.
    let every = translated["Resources"].as_object().unwrap();
    for (name, resource) in &without {
        let mut found = BTreeSet::new();
        references(resource, &mut found);
        let missing: Vec<_> = found
            .iter()
            .filter(|other| every.contains_key(*other) && !names.contains(other.as_str()))
            .collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

#[test]
fn alarm_and_dashboard_show_the_mapping_of_complete_if_it_exists() {
    let translated = translate_with_defaults();
    let cases: [(&[(&str, &str)], Value); 2] = [
        (&[], "none".into()),
        (
            &[("DownstreamArns", QUEUE)],
            json!({"Ref": "CompleteEventSource"}),
        ),
    ];
    for (chosen, expected) in cases {
        let resources = resources(translated, &[chosen, &[("Metrics", "all")]].concat());
        let metrics = &resources["GivenUpAlarm"]["Properties"]["Metrics"];
        let mut metrics = metrics.as_array().unwrap().iter();
        let complete = metrics.find(|metric| metric["Id"] == "complete");
        let dimension = &complete.unwrap()["MetricStat"]["Metric"]["Dimensions"][0];
        assert_eq!(dimension["Value"], expected);
        let body = &resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"];
        assert_eq!(body[1]["CompleteMapping"], expected);
    }
}

#[test]
fn complete_may_only_deliver_and_only_to_the_listed_arns() {
    const FUNCTION: &str = "arn:aws:lambda:eu-west-1:123456789012:function:pay:live";
    let translated = translate_with_defaults();
    assert_eq!(statements(&resources(translated, &[]), "downstream"), None);
    let with_url = resources(translated, &[("DownstreamUrl", URL)]);
    assert_eq!(statements(&with_url, "downstream"), None);

    let listed = format!("{QUEUE},{FUNCTION}");
    let with_arns = resources(translated, &[("DownstreamArns", &listed)]);
    let actions = [
        "sqs:SendMessage",
        "lambda:InvokeFunction",
        "states:StartExecution",
        "events:PutEvents",
        "sns:Publish",
        "secretsmanager:GetSecretValue",
        "ssm:GetParameter",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:ConditionCheckItem",
    ];
    let deliver = json!({
        "Sid": "Deliver", "Effect": "Allow", "Action": actions, "Resource": [QUEUE, FUNCTION],
    });
    // Even if the table of notifications is listed.
    let own_table = &statements(&with_arns, "complete").unwrap()[0]["Resource"];
    let only_settle = json!({
        "Sid": "OnlySettle", "Effect": "Deny", "Action": ["dynamodb:PutItem", "dynamodb:DeleteItem"],
        "Resource": own_table,
    });
    let granted = statements(&with_arns, "downstream").unwrap();
    assert_eq!(granted, [deliver, only_settle]);
    for name in ["IngestRole", "ForwardRole"] {
        assert!(!with_arns[name].to_string().contains(QUEUE), "{name}");
    }
}

#[test]
fn each_mapping_can_be_paused_alone() {
    let translated = translate_with_defaults();
    let template = template();
    let allowed = template.at("/Parameters/EventSourcesEnabled/AllowedValues");
    let allowed: Vec<String> = allowed
        .as_array()
        .unwrap()
        .iter()
        .filter_map(scalar)
        .collect();
    let mut lists = BTreeSet::new();
    for value in &allowed {
        let chosen = [
            ("EventSourcesEnabled", value.as_str()),
            ("DownstreamUrl", URL),
        ];
        let resources = resources(translated, &chosen);
        let running = FUNCTIONS.iter().filter(|name| {
            let mapping = &resources[format!("{name}EventSource").as_str()];
            mapping["Properties"]["Enabled"].as_bool().unwrap()
        });
        let running: Vec<String> = running.map(|name| name.to_lowercase()).collect();
        let list = running.join(",");
        match value.as_str() {
            "true" => assert_eq!(list, "ingest,forward,complete"),
            "false" => assert_eq!(list, ""),
            value => assert_eq!(list, value),
        }
        lists.insert(list);
    }
    // Every combination.
    assert_eq!(lists.len(), 1 << FUNCTIONS.len());
    assert_eq!(
        template.default("EventSourcesEnabled").unwrap(),
        "ingest,forward,complete"
    );
}

#[test]
fn a_range_of_concurrency_is_the_number_of_pollers() {
    let translated = translate_with_defaults();
    Evaluation::new(translated, &Parameters::new()).assert_calls_are_valid("Fn::Select");
    let ingest = |concurrency: &str| {
        let resources = resources(translated, &[("IngestConcurrency", concurrency)]);
        resources["IngestEventSource"]["Properties"].clone()
    };
    let provisioned = ingest("2-200");
    assert_eq!(
        provisioned["ProvisionedPollerConfig"],
        json!({"MinimumPollers": "2", "MaximumPollers": "200"})
    );
    // Lambda accepts only one of the two.
    assert!(provisioned["ScalingConfig"].is_null());
    let standard = ingest("50");
    assert!(standard["ProvisionedPollerConfig"].is_null());
    assert_eq!(standard["ScalingConfig"]["MaximumConcurrency"], "50");
}

#[test]
fn types_need_a_target() {
    let translated = translate_with_defaults();
    let violated = |chosen: &[(&str, &str)]| {
        let evaluation = Evaluation::new(translated, &choose(chosen));
        Vec::from_iter(evaluation.violated_rules())
    };
    let types = ("DownstreamTypes", "refunds=*");
    assert_eq!(violated(&[types]), ["TypesNeedADownstream"]);
    assert!(violated(&[types, ("DownstreamArns", QUEUE)]).is_empty());
    assert!(violated(&[types, ("DownstreamUrl", URL)]).is_empty());
}

#[test]
fn a_deployment_accepts_only_arns_that_complete_can_use() {
    let right = [
        "",
        QUEUE,
        "arn:aws:sqs:eu-west-1:123456789012:refunds.fifo",
        "arn:aws-us-gov:sns:us-gov-west-1:123456789012:refunds.fifo",
        "arn:aws:lambda:eu-west-1:123456789012:function:pay",
        "arn:aws:lambda:eu-west-1:123456789012:function:pay:live",
        "arn:aws:states:eu-west-1:123456789012:stateMachine:refund",
        "arn:aws:events:eu-west-1:123456789012:event-bus/default",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/key-AbCdEf",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/app/key",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/ledger",
        "arn:aws:sqs:eu-west-1:123456789012:a,arn:aws:dynamodb:eu-west-1:123456789012:table/b",
    ];
    // A wildcard would become part of the policy.
    let wrong = [
        "refunds",
        "*",
        "arn:aws:sqs:eu-west-1:123456789012:*",
        "arn:aws:sqs:*:123456789012:refunds",
        "arn:aws:sqs:eu-west-1:*:refunds",
        "arn:aws:sqs:eu-west-1:123456789012:refund?",
        "arn:aws:sqs:eu-west-1:123456789012:${aws:username}",
        "arn:aws:s3:::bucket",
        "arn:aws:iam::123456789012:role/admin",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/ledger/stream/2026",
        "arn:aws:lambda:eu-west-1:123456789012:layer:pay",
        "arn:aws:states:eu-west-1:123456789012:activity:refund",
        // Step Functions authorizes an alias by the ARN of its state machine.
        "arn:aws:states:eu-west-1:123456789012:stateMachine:refund:live",
        "arn:aws:sqs:eu-west-1:123456789012:a, arn:aws:sqs:eu-west-1:123456789012:b",
        "arn:aws:sqs:eu-west-1:123456789012:a,",
        ",arn:aws:sqs:eu-west-1:123456789012:a",
        "arn:aws:sqs:eu-west-1:123456789012:a,b",
    ];
    assert_accepts("DownstreamArns", &right, &wrong);
    for arns in right {
        let chosen = [("DownstreamArns", arns), ("DownstreamUrl", URL)];
        assert!(complete_starts(&chosen), "{arns}");
    }
}

#[test]
fn a_deployment_accepts_only_urls_that_complete_can_use() {
    let right = [
        "",
        URL,
        "https://example.com",
        "https://example.com:8443/a?b=c",
        "http://127.0.0.1:9000/hook",
        "http://localhost:9000",
        "http://[::1]:9000/",
    ];
    let wrong = [
        "example.com",
        "http://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "ftp://example.com",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://example.com/#part",
        "https://example.com/a b",
    ];
    assert_accepts("DownstreamUrl", &right, &wrong);
    for url in right {
        let chosen = [("DownstreamArns", QUEUE), ("DownstreamUrl", url)];
        assert!(complete_starts(&chosen), "{url}");
    }
}

#[test]
fn a_deployment_accepts_only_types_that_complete_can_match() {
    let right = [
        "",
        "refunds=refund.paid",
        "refunds=refund.*",
        "refunds=*",
        "url=a type with spaces",
        "a=b=c",
        "refunds=refund.*,refunds=chargeback,audit=*",
    ];
    let wrong = [
        "refunds",
        "=refund",
        "refunds=",
        "refunds=*.paid",
        "refunds=re*nd",
        "refunds=**",
        "refunds=a,",
        ",refunds=a",
        "my queue=a",
    ];
    assert_accepts("DownstreamTypes", &right, &wrong);
    let arns = ["refunds", "audit", "a"].map(|name| QUEUE.replace("refunds", name));
    let arns = arns.join(",");
    for (types, is_right) in right
        .map(|types| (types, true))
        .iter()
        .chain(&wrong.map(|types| (types, false)))
    {
        let chosen = [
            ("DownstreamArns", arns.as_str()),
            ("DownstreamUrl", URL),
            ("DownstreamTypes", types),
        ];
        assert_eq!(complete_starts(&chosen), *is_right, "{types}");
    }
}

#[test]
fn a_deployment_accepts_only_statuses_that_concern_the_notification() {
    let right = ["", "410", "400,499", "410,422"];
    let wrong = [
        "200", "302", "399", "500", "503", "41", "4100", "410,", ",410", "410, 422", "gone",
        // An expired token, a wrong path or an overloaded receiver must not refuse notifications.
        "401", "403", "404", "408", "425", "429", "410,403",
    ];
    assert_accepts("DownstreamRefusalStatuses", &right, &wrong);
    for statuses in right {
        let chosen = [
            ("DownstreamUrl", URL),
            ("DownstreamRefusalStatuses", statuses),
        ];
        assert!(complete_starts(&chosen), "{statuses}");
    }
}

#[test]
fn a_deployment_accepts_only_the_concurrency_and_pollers_that_lambda_accepts() {
    // Lambda API reference, `ScalingConfig` and `ProvisionedPollerConfig`.
    let right = [
        "2",
        "9",
        "10",
        "99",
        "100",
        "1000",
        "2-2",
        "2-200",
        "200-10000",
        "20-9999",
    ];
    let wrong = [
        "", "0", "1", "1001", "010", "-", "1-200", "0-200", "201-300", "2-1", "2-10001", "2-",
        "-2", "2,200", "2-200-",
    ];
    assert_accepts("IngestConcurrency", &right, &wrong);
}

/// The most bytes that the value of a variable can have.
fn longest(template: &Template, variable: &Value) -> usize {
    let name = match (variable["Ref"].as_str(), variable["Fn::Sub"].as_str()) {
        (Some("AWS::StackName"), _) => return MAX_STACK_NAME,
        (Some("FailureBucket"), _) => return MAX_BUCKET_NAME,
        (Some(name), _) => name,
        // ${PARAMETER}000
        (None, Some(text)) => text[2..].split('}').next().unwrap(),
        (None, None) => return MAX_TABLE_NAME,
    };
    let parameter = template.at(&format!("/Parameters/{name}"));
    let choices = parameter["AllowedValues"].as_array().into_iter().flatten();
    let known = choices.chain([&parameter["MaxValue"]]).filter_map(scalar);
    let known = known.map(|value| value.len() + "000".len()).max();
    let length = parameter["MaxLength"].as_u64();
    known.unwrap_or_else(|| usize::try_from(length.unwrap()).unwrap())
}

#[test]
fn the_longest_settings_fit_the_environment_of_complete() {
    let template = template();
    let variables = template.property("CompleteFunction", "Environment/Variables");
    let variables = variables.as_object().unwrap().iter();
    let bytes: usize = variables
        .map(|(name, value)| name.len() + longest(&template, value))
        .sum();
    assert!(bytes <= MAX_ENVIRONMENT_BYTES, "{bytes}");
}
