//! The permissions of the functions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{FUNCTIONS, get_att, reference, table_stream_arn, template};

/// Pairs of an action and a resource.
type Permissions = BTreeSet<(String, String)>;

fn permissions(statements: &[(&[&str], Value)]) -> Permissions {
    let each = statements.iter().flat_map(|(actions, resource)| {
        actions
            .iter()
            .map(|action| ((*action).to_owned(), resource.to_string()))
    });
    each.collect()
}

/// The policies that every role has.
const SHARED_POLICIES: [&str; 2] = ["traces", "interfaces"];

/// The permissions that a role of the template grants for its own function only.
fn permissions_of(role: &Value) -> Permissions {
    let properties = role["Properties"].as_object().unwrap();
    let names: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "AssumeRolePolicyDocument",
            "PermissionsBoundary",
            "Policies"
        ]
        .into(),
        "another property could grant permissions"
    );
    let list = |value: &Value| {
        value
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![value.clone()])
    };
    let mut permissions = Permissions::new();
    let policies = properties["Policies"].as_array().unwrap();
    let own = policies.iter().filter(|policy| {
        let name = policy["PolicyName"].as_str();
        name.is_some_and(|name| !SHARED_POLICIES.contains(&name))
    });
    for policy in own {
        for statement in list(&policy["PolicyDocument"]["Statement"]) {
            assert_eq!(statement["Effect"], "Allow");
            assert!(statement.get("NotAction").is_none() && statement.get("NotResource").is_none());
            for action in list(&statement["Action"]) {
                for resource in list(&statement["Resource"]) {
                    permissions.insert((action.as_str().unwrap().to_owned(), resource.to_string()));
                }
            }
        }
    }
    permissions
}

fn table_arn() -> Value {
    let existing = json!({"Fn::Select": [0, {"Fn::Split": ["/stream/", reference("ExistingTableStreamArn")]}]});
    json!({"Fn::If": ["CreatesTable", get_att("NotificationTable.Arn"), existing]})
}

/// The permissions of each function. The end-to-end tests check that everything else is denied.
fn expected_permissions() -> BTreeMap<&'static str, Permissions> {
    const LOG: &[&str] = &["logs:CreateLogStream", "logs:PutLogEvents"];
    let bucket = get_att("FailureBucket.Arn");
    let objects = json!({"Fn::Sub": "${FailureBucket.Arn}/*"});
    BTreeMap::from([
        (
            "IngestRole",
            permissions(&[
                (&["dynamodb:PutItem"], table_arn()),
                (
                    &[
                        "sqs:ReceiveMessage",
                        "sqs:DeleteMessage",
                        "sqs:GetQueueAttributes",
                        "sqs:ChangeMessageVisibility",
                    ],
                    get_att("NotificationQueue.Arn"),
                ),
                (LOG, get_att("IngestLogs.Arn")),
            ]),
        ),
        (
            "ForwardRole",
            permissions(&[
                (&["kinesis:PutRecords"], get_att("NotificationStream.Arn")),
                (
                    &[
                        "dynamodb:DescribeStream",
                        "dynamodb:GetRecords",
                        "dynamodb:GetShardIterator",
                        "dynamodb:ListStreams",
                    ],
                    table_stream_arn(),
                ),
                (&["s3:PutObject"], objects.clone()),
                (&["s3:ListBucket"], bucket.clone()),
                (LOG, get_att("ForwardLogs.Arn")),
            ]),
        ),
        (
            "CompleteRole",
            permissions(&[
                (
                    &["dynamodb:UpdateItem", "dynamodb:BatchGetItem"],
                    table_arn(),
                ),
                (
                    &[
                        "kinesis:DescribeStream",
                        "kinesis:DescribeStreamSummary",
                        "kinesis:GetRecords",
                        "kinesis:GetShardIterator",
                        "kinesis:ListShards",
                    ],
                    get_att("NotificationStream.Arn"),
                ),
                (&["s3:PutObject"], objects),
                (&["s3:ListBucket"], bucket),
                (LOG, get_att("CompleteLogs.Arn")),
            ]),
        ),
    ])
}

#[test]
fn grants_each_function_only_the_actions_it_uses() {
    let template = template();
    let roles: BTreeMap<&str, Permissions> = template
        .resources("AWS::IAM::Role")
        .map(|(name, role)| (name, permissions_of(role)))
        .collect();
    assert_eq!(roles, expected_permissions());
}

#[test]
fn all_roles_share_the_permissions_for_traces_interfaces_and_keys() {
    let template = template();
    assert_eq!(template.resources("AWS::IAM::Policy").count(), 0);
    let shared = FUNCTIONS.map(|name| {
        let policies = template.property(&format!("{name}Role"), "Policies");
        let policies = policies.as_array().unwrap();
        // complete has another one, for its targets.
        assert_eq!(policies.len(), if name == "Complete" { 6 } else { 5 });
        policies[1..5].to_vec()
    });
    assert_eq!(shared[0], shared[1]);
    assert_eq!(shared[0], shared[2]);
    let [traces, interfaces, key, previous_key] = &shared[0][..] else {
        panic!("{shared:?}");
    };
    assert_eq!(
        traces["PolicyDocument"]["Statement"][0]["Action"],
        json!(["xray:PutTraceSegments", "xray:PutTelemetryRecords"])
    );
    // Lambda may create network interfaces, but the code may not.
    let [allow, deny] = [0, 1].map(|index| &interfaces["PolicyDocument"]["Statement"][index]);
    assert_eq!(
        (&allow["Effect"], &deny["Effect"]),
        (&"Allow".into(), &"Deny".into())
    );
    assert_eq!(allow["Action"], deny["Action"]);
    for (policy, condition, key) in [
        (key, "HasKey", "KmsKeyArn"),
        (previous_key, "HasPreviousKey", "PreviousKmsKeyArn"),
    ] {
        assert_eq!(policy["Fn::If"][0], condition);
        assert_eq!(policy["Fn::If"][2], reference("AWS::NoValue"));
        let statement = &policy["Fn::If"][1]["PolicyDocument"]["Statement"][0];
        assert_eq!(statement["Resource"], reference(key));
        assert!(statement["Condition"]["StringEquals"]["kms:ViaService"].is_array());
    }
    // Nothing is encrypted with the previous key any more.
    assert_eq!(
        previous_key["Fn::If"][1]["PolicyDocument"]["Statement"][0]["Action"],
        json!(["kms:Decrypt", "kms:DescribeKey"])
    );
}

#[test]
fn update_of_an_older_stack_deletes_no_policy_of_a_role() {
    // CloudFormation deletes the separate policies of older templates by name, after it has updated the roles.
    let deleted = ["key", "tracing", "vpc"];
    let template = template();
    for name in FUNCTIONS {
        let policies = template.property(&format!("{name}Role"), "Policies");
        for policy in policies.as_array().unwrap() {
            let optional = &policy["Fn::If"][1]["PolicyName"];
            let name = policy["PolicyName"].as_str().or(optional.as_str());
            assert!(!deleted.contains(&name.unwrap()), "{policy}");
        }
    }
}

#[test]
fn each_function_has_its_own_role_and_log_group() {
    let template = template();
    let functions: BTreeSet<&str> = template
        .resources("AWS::Serverless::Function")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        functions,
        ["CompleteFunction", "ForwardFunction", "IngestFunction"].into()
    );
    for name in FUNCTIONS {
        let function = format!("{name}Function");
        assert_eq!(
            *template.property(&function, "Role"),
            get_att(&format!("{name}Role.Arn"))
        );
        assert_eq!(
            *template.property(&function, "LoggingConfig/LogGroup"),
            reference(&format!("{name}Logs"))
        );
        assert_eq!(
            *template.property(&format!("{name}Logs"), "RetentionInDays"),
            reference("LogRetentionDays")
        );
        // With either of these, SAM would generate permissions that the template does not show.
        assert!(template.property(&function, "Policies").is_null());
        assert!(template.property(&function, "Events").is_null());
    }
    for name in FUNCTIONS {
        let role = template.at(&format!("/Resources/{name}Role"));
        let statement = &role["Properties"]["AssumeRolePolicyDocument"]["Statement"];
        let lambda = json!([{
            "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole",
        }]);
        assert_eq!(*statement, lambda, "{name}");
    }
}
