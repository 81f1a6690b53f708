//! The permissions of the functions and of deployments.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{FUNCTIONS, get_att, reference, template};

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

/// The permissions that a role of the template grants.
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
    for policy in list(&properties["Policies"]) {
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

/// The permissions of each function. The end-to-end tests check that everything else is denied.
fn expected_permissions() -> BTreeMap<&'static str, Permissions> {
    const LOG: &[&str] = &["logs:CreateLogStream", "logs:PutLogEvents"];
    let bucket = get_att("FailureBucket.Arn");
    let objects = json!({"Fn::Sub": "${FailureBucket.Arn}/*"});
    BTreeMap::from([
        (
            "IngestRole",
            permissions(&[
                (&["dynamodb:PutItem"], get_att("NotificationTable.Arn")),
                (
                    &[
                        "sqs:ReceiveMessage",
                        "sqs:DeleteMessage",
                        "sqs:GetQueueAttributes",
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
                    get_att("NotificationTable.StreamArn"),
                ),
                (&["s3:PutObject"], objects.clone()),
                (&["s3:ListBucket"], bucket.clone()),
                (LOG, get_att("ForwardLogs.Arn")),
            ]),
        ),
        (
            "CompleteRole",
            permissions(&[
                (&["dynamodb:UpdateItem"], get_att("NotificationTable.Arn")),
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
        .filter(|(name, _)| *name != "DeploymentRole")
        .map(|(name, role)| (name, permissions_of(role)))
        .collect();
    assert_eq!(roles, expected_permissions());
}

#[test]
fn grants_further_actions_only_if_a_parameter_requires_them() {
    let template = template();
    let all_roles = json!(FUNCTIONS.map(|name| reference(&format!("{name}Role"))));
    let policies: BTreeMap<&str, (&str, &Value)> = template
        .resources("AWS::IAM::Policy")
        .map(|(name, policy)| {
            assert_eq!(policy["Properties"]["Roles"], all_roles, "{name}");
            let condition = policy["Condition"].as_str().unwrap();
            let statements = &policy["Properties"]["PolicyDocument"]["Statement"];
            (name, (condition, statements))
        })
        .collect();
    let conditions: BTreeMap<&str, &str> = policies
        .iter()
        .map(|(name, (condition, _))| (*name, *condition))
        .collect();
    assert_eq!(
        conditions,
        BTreeMap::from([
            ("KeyPolicy", "HasKey"),
            ("TracingPolicy", "IsTraced"),
            ("VpcPolicy", "IsInVpc"),
        ])
    );
    assert_eq!(
        policies["KeyPolicy"].1[0]["Resource"],
        reference("KmsKeyArn")
    );
    let traces = &policies["TracingPolicy"].1[0]["Action"];
    assert_eq!(
        *traces,
        json!(["xray:PutTraceSegments", "xray:PutTelemetryRecords"])
    );
    // Lambda may create network interfaces, but the code may not.
    let [allow, deny] = [0, 1].map(|index| &policies["VpcPolicy"].1[index]);
    assert_eq!(
        (&allow["Effect"], &deny["Effect"]),
        (&"Allow".into(), &"Deny".into())
    );
    assert_eq!(allow["Action"], deny["Action"]);
}

#[test]
fn deployments_may_shift_aliases_and_read_their_alarms() {
    let template = template();
    let rollback_alarms: BTreeSet<String> = FUNCTIONS
        .iter()
        .flat_map(|name| {
            let preference = template.property(&format!("{name}Function"), "DeploymentPreference");
            assert_eq!(preference["Role"], get_att("DeploymentRole.Arn"));
            assert_eq!(preference["Enabled"], reference("GradualDeployments"));
            let alarms = preference["Alarms"].as_array().unwrap().clone();
            alarms.into_iter().map(|alarm| {
                get_att(&format!("{}.Arn", alarm["Ref"].as_str().unwrap())).to_string()
            })
        })
        .collect();
    let role = template.at("/Resources/DeploymentRole");
    let permissions = permissions_of(role);
    let alarms = permissions
        .iter()
        .filter(|(action, _)| action == "cloudwatch:DescribeAlarms")
        .map(|(_, resource)| resource.clone());
    assert_eq!(alarms.collect::<BTreeSet<_>>(), rollback_alarms);
    let shifted: BTreeSet<&str> = permissions
        .iter()
        .filter(|(action, _)| action == "lambda:UpdateAlias")
        .map(|(_, resource)| resource.as_str())
        .collect();
    for name in FUNCTIONS {
        let alias = json!({"Fn::Sub": format!("${{{name}Function.Arn}}:live")}).to_string();
        assert!(shifted.contains(alias.as_str()), "{alias}");
    }
    assert_eq!(
        role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"],
        json!({"Service": "codedeploy.amazonaws.com"})
    );
    assert_eq!(template.default("GradualDeployments").unwrap(), "true");
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
