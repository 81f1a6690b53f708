//! What `template.yaml` says, held to the code and to what the guarantees need: each test is a promise of the template.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onewrite::config::{ConfigError, Environment};
use onewrite::item::attribute;
use onewrite::limits::MAX_RECEIVES;
use onewrite_event_sources::filter::{FilterCriteria, Source};
use onewrite_local::stack::LOCAL_PARAMETERS;
use onewrite_tests::template::{Template, repository, scalar};
use serde_json::{Value, json};

const FUNCTIONS: [&str; 3] = ["Ingest", "Forward", "Complete"];

/// DynamoDB keeps a change, and Kinesis at least keeps a record, this long (developer guides of both).
const STREAM_RETENTION_SECONDS: u64 = 24 * 60 * 60;

fn template() -> Template {
    onewrite_tests::template::template().unwrap()
}

fn reference(name: &str) -> Value {
    json!({ "Ref": name })
}

fn attribute_of(name: &str) -> Value {
    json!({ "Fn::GetAtt": name })
}

// ---- the queue

#[test]
fn a_message_is_received_six_times_and_then_in_the_dead_letter_queue() {
    let expected = json!({"deadLetterTargetArn": attribute_of("DeadLetterQueue.Arn"), "maxReceiveCount": MAX_RECEIVES});
    assert_eq!(
        *template().property("NotificationQueue", "RedrivePolicy"),
        expected
    );
}

#[test]
fn the_visibility_timeout_is_six_times_the_functions_and_the_batching_window() {
    let template = template();
    let expected = json!({"Fn::FindInMap": [
        "Visibility", reference("IngestTimeoutSeconds"), reference("IngestBatchingWindowSeconds"),
    ]});
    assert_eq!(
        *template.property("NotificationQueue", "VisibilityTimeout"),
        expected
    );
    assert_eq!(
        *template.property("IngestFunction", "Timeout"),
        reference("IngestTimeoutSeconds")
    );
    let choices = |parameter: &str| -> Vec<u64> {
        let values = template.at(&format!("/Parameters/{parameter}/AllowedValues"));
        values
            .as_array()
            .unwrap()
            .iter()
            .map(|value| value.as_u64().unwrap())
            .collect()
    };
    let windows = choices("IngestBatchingWindowSeconds");
    for timeout in choices("IngestTimeoutSeconds") {
        for window in &windows {
            let seconds = template.at(&format!("/Mappings/Visibility/{timeout}/{window}"));
            assert_eq!(
                *seconds,
                json!(6 * timeout + window),
                "timeout {timeout}, window {window}"
            );
        }
    }
}

#[test]
fn a_dead_letter_is_kept_as_long_as_sqs_can() {
    // On a standard queue its age counts from the first send, so anything less could lose it on arrival.
    for queue in ["NotificationQueue", "DeadLetterQueue"] {
        assert_eq!(
            *template().property(queue, "MessageRetentionPeriod"),
            json!(14 * 24 * 60 * 60),
            "{queue}"
        );
    }
}

#[test]
fn both_queues_are_of_one_kind() {
    let fifo = json!({"Fn::If": ["IsFifo", true, reference("AWS::NoValue")]});
    for queue in ["NotificationQueue", "DeadLetterQueue"] {
        assert_eq!(*template().property(queue, "FifoQueue"), fifo, "{queue}");
    }
}

#[test]
fn a_poison_message_wears_out_no_receives_of_its_group() {
    let one = json!({"Fn::If": ["IsFifo", 1, reference("IngestBatchSize")]});
    assert_eq!(*template().property("IngestEventSource", "BatchSize"), one);
}

// ---- who may do what

type Grants = BTreeSet<(String, String)>;

fn grants(statements: &[(&[&str], Value)]) -> Grants {
    let each = statements.iter().flat_map(|(actions, resource)| {
        actions
            .iter()
            .map(|action| ((*action).to_owned(), resource.to_string()))
    });
    each.collect()
}

/// What a role of the template allows: an entry for each action on each resource.
fn granted(role: &Value) -> Grants {
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
        "a grant could stand elsewhere"
    );
    let list = |value: &Value| {
        value
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![value.clone()])
    };
    let mut granted = Grants::new();
    for policy in list(&properties["Policies"]) {
        for statement in list(&policy["PolicyDocument"]["Statement"]) {
            assert_eq!(statement["Effect"], "Allow");
            assert!(statement.get("NotAction").is_none() && statement.get("NotResource").is_none());
            for action in list(&statement["Action"]) {
                for resource in list(&statement["Resource"]) {
                    granted.insert((action.as_str().unwrap().to_owned(), resource.to_string()));
                }
            }
        }
    }
    granted
}

#[test]
fn each_function_may_do_what_it_does_and_nothing_else() {
    const LOG: &[&str] = &["logs:CreateLogStream", "logs:PutLogEvents"];
    let bucket = attribute_of("FailureBucket.Arn");
    let objects = json!({"Fn::Sub": "${FailureBucket.Arn}/*"});
    let expected = BTreeMap::from([
        (
            "IngestRole",
            grants(&[
                (&["dynamodb:PutItem"], attribute_of("NotificationTable.Arn")),
                (
                    &[
                        "sqs:ReceiveMessage",
                        "sqs:DeleteMessage",
                        "sqs:GetQueueAttributes",
                    ],
                    attribute_of("NotificationQueue.Arn"),
                ),
                (LOG, attribute_of("IngestLogs.Arn")),
            ]),
        ),
        (
            "ForwardRole",
            grants(&[
                (
                    &["kinesis:PutRecords"],
                    attribute_of("NotificationStream.Arn"),
                ),
                (
                    &[
                        "dynamodb:DescribeStream",
                        "dynamodb:GetRecords",
                        "dynamodb:GetShardIterator",
                        "dynamodb:ListStreams",
                    ],
                    attribute_of("NotificationTable.StreamArn"),
                ),
                (&["s3:PutObject"], objects.clone()),
                (&["s3:ListBucket"], bucket.clone()),
                (LOG, attribute_of("ForwardLogs.Arn")),
            ]),
        ),
        (
            "CompleteRole",
            grants(&[
                (
                    &["dynamodb:UpdateItem"],
                    attribute_of("NotificationTable.Arn"),
                ),
                (
                    &[
                        "kinesis:DescribeStream",
                        "kinesis:DescribeStreamSummary",
                        "kinesis:GetRecords",
                        "kinesis:GetShardIterator",
                        "kinesis:ListShards",
                    ],
                    attribute_of("NotificationStream.Arn"),
                ),
                (&["s3:PutObject"], objects),
                (&["s3:ListBucket"], bucket),
                (LOG, attribute_of("CompleteLogs.Arn")),
            ]),
        ),
    ]);
    let template = template();
    let roles: BTreeMap<&str, Grants> = template
        .resources("AWS::IAM::Role")
        .filter(|(name, _)| *name != "DeploymentRole")
        .map(|(name, role)| (name, granted(role)))
        .collect();
    assert_eq!(roles, expected);
}

#[test]
fn more_is_granted_only_where_a_parameter_asks_for_it() {
    let template = template();
    let all_roles = json!(FUNCTIONS.map(|name| reference(&format!("{name}Role"))));
    let policies: BTreeMap<&str, (&str, &Value)> = template
        .resources("AWS::IAM::Policy")
        .map(|(name, policy)| {
            let roles = match name {
                "BatchedInsertsPolicy" => json!([reference("IngestRole")]),
                _ => all_roles.clone(),
            };
            assert_eq!(policy["Properties"]["Roles"], roles, "{name}");
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
            ("BatchedInsertsPolicy", "BatchesInserts"),
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
    // Where it inserts, nothing lets it change an item that is there.
    let [allow, deny] = [0, 1].map(|place| &policies["BatchedInsertsPolicy"].1[place]);
    let table = attribute_of("NotificationTable.Arn");
    assert_eq!(
        (&allow["Effect"], &allow["Action"], &allow["Resource"]),
        (
            &"Allow".into(),
            &json!(["dynamodb:PartiQLInsert", "dynamodb:GetItem"]),
            &table
        )
    );
    assert_eq!(
        (&deny["Effect"], &deny["Action"], &deny["Resource"]),
        (&"Deny".into(), &"dynamodb:PutItem".into(), &table)
    );
    // Lambda is let make interfaces; the code is not.
    let [allow, deny] = [0, 1].map(|place| &policies["VpcPolicy"].1[place]);
    assert_eq!(
        (&allow["Effect"], &deny["Effect"]),
        (&"Allow".into(), &"Deny".into())
    );
    assert_eq!(allow["Action"], deny["Action"]);
}

#[test]
fn a_deployment_may_shift_the_aliases_and_read_the_alarms_that_stop_it() {
    let template = template();
    let stopping: BTreeSet<String> = FUNCTIONS
        .iter()
        .flat_map(|name| {
            let preference = template.property(&format!("{name}Function"), "DeploymentPreference");
            assert_eq!(preference["Role"], attribute_of("DeploymentRole.Arn"));
            assert_eq!(preference["Enabled"], reference("GradualDeployments"));
            let alarms = preference["Alarms"].as_array().unwrap().clone();
            alarms.into_iter().map(|alarm| {
                attribute_of(&format!("{}.Arn", alarm["Ref"].as_str().unwrap())).to_string()
            })
        })
        .collect();
    let role = template.at("/Resources/DeploymentRole");
    let granted = granted(role);
    let alarms = granted
        .iter()
        .filter(|(action, _)| action == "cloudwatch:DescribeAlarms")
        .map(|(_, resource)| resource.clone());
    assert_eq!(alarms.collect::<BTreeSet<_>>(), stopping);
    let shifted: BTreeSet<&str> = granted
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

/// The statements of a policy, each with the condition of the template that it depends on, by `Sid`.
fn statements(template: &Template, policy: &str) -> BTreeMap<String, (String, Value)> {
    let listed = template.property(policy, "PolicyDocument/Statement");
    listed
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| {
            let [condition, statement, nothing] = &choice["Fn::If"].as_array().unwrap()[..] else {
                panic!("{choice}");
            };
            assert_eq!(*nothing, reference("AWS::NoValue"));
            let sid = statement["Sid"].as_str().unwrap().to_owned();
            let condition = condition.as_str().unwrap().to_owned();
            (sid, (condition, statement.clone()))
        })
        .collect()
}

#[test]
fn who_may_send_and_who_may_read_dead_letters_is_for_parameters_to_say() {
    let list = |parameter: &str| json!({"Fn::Split": [",", reference(parameter)]});
    let template = template();
    let queue = statements(&template, "QueuePolicy");
    let conditions: BTreeMap<&str, (&str, &str)> = queue
        .iter()
        .map(|(sid, (condition, statement))| {
            let effect = statement["Effect"].as_str().unwrap();
            (sid.as_str(), (condition.as_str(), effect))
        })
        .collect();
    assert_eq!(
        conditions,
        BTreeMap::from([
            ("OnlyOverTls", ("IsTlsRequired", "Deny")),
            ("SendersMaySend", ("HasSenderPrincipals", "Allow")),
            (
                "ServicesMaySendForTheirSources",
                ("HasSenderSources", "Allow")
            ),
            ("NobodyElseMaySend", ("HasSenders", "Deny")),
        ])
    );
    assert_eq!(
        queue["ServicesMaySendForTheirSources"].1["Condition"],
        json!({"ArnEquals": {"aws:SourceArn": list("SenderSourceArns")}})
    );
    let refused = &queue["NobodyElseMaySend"].1;
    assert_eq!(refused["Action"], "sqs:SendMessage");
    let exempt = refused["Condition"]["ArnNotEquals"].as_object().unwrap();
    let keys: BTreeSet<&str> = exempt.keys().map(String::as_str).collect();
    assert_eq!(keys, ["aws:PrincipalArn", "aws:SourceArn"].into());

    let dead = statements(&template, "DeadLetterQueuePolicy");
    assert_eq!(dead.len(), 2);
    let (condition, only) = &dead["OnlyOperators"];
    assert_eq!(
        (condition.as_str(), &only["Effect"]),
        ("HasOperators", &"Deny".into())
    );
    assert_eq!(
        only["Condition"],
        json!({"ArnNotEquals": {"aws:PrincipalArn": list("OperatorPrincipalArns")}})
    );
    for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"] {
        let actions = only["Action"].as_array().unwrap();
        assert!(actions.contains(&action.into()), "{action}");
    }
    assert_eq!(dead["OnlyOverTls"].0, "IsTlsRequired");
}

#[test]
fn each_function_has_a_role_and_a_log_of_its_own() {
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
            attribute_of(&format!("{name}Role.Arn"))
        );
        assert_eq!(
            *template.property(&function, "LoggingConfig/LogGroup"),
            reference(&format!("{name}Logs"))
        );
        assert_eq!(
            *template.property(&format!("{name}Logs"), "RetentionInDays"),
            reference("LogRetentionDays")
        );
        // With either of these SAM would make grants that stand nowhere in the template.
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

// ---- the event source mappings

#[test]
fn every_mapping_reports_failures_one_by_one_and_can_be_switched_off() {
    let template = template();
    let mappings: BTreeMap<&str, (&Value, &Value)> = template
        .resources("AWS::Lambda::EventSourceMapping")
        .map(|(name, mapping)| {
            let properties = &mapping["Properties"];
            assert_eq!(
                properties["FunctionResponseTypes"],
                json!(["ReportBatchItemFailures"]),
                "{name}"
            );
            assert_eq!(
                properties["Enabled"],
                reference("EventSourcesEnabled"),
                "{name}"
            );
            (
                name,
                (&properties["EventSourceArn"], &properties["FunctionName"]),
            )
        })
        .collect();
    let (queue, table, stream) = (
        attribute_of("NotificationQueue.Arn"),
        attribute_of("NotificationTable.StreamArn"),
        attribute_of("NotificationStream.Arn"),
    );
    let [ingest, forward, complete] =
        FUNCTIONS.map(|name| reference(&format!("{name}Function.Alias")));
    let expected = BTreeMap::from([
        ("IngestEventSource", (&queue, &ingest)),
        ("ForwardEventSource", (&table, &forward)),
        ("CompleteEventSource", (&stream, &complete)),
    ]);
    assert_eq!(mappings, expected);
}

#[test]
fn nothing_of_a_stream_is_lost_before_it_is_in_the_failure_bucket() {
    let template = template();
    for mapping in ["ForwardEventSource", "CompleteEventSource"] {
        let property = |name: &str| template.property(mapping, name);
        assert_eq!(*property("StartingPosition"), "TRIM_HORIZON", "{mapping}");
        assert_eq!(*property("BisectBatchOnFunctionError"), true, "{mapping}");
        let age = property("MaximumRecordAgeInSeconds").as_u64().unwrap();
        assert!(
            (60..STREAM_RETENTION_SECONDS).contains(&age),
            "{mapping}: {age}"
        );
        let destination = json!({"OnFailure": {"Destination": attribute_of("FailureBucket.Arn")}});
        assert_eq!(*property("DestinationConfig"), destination, "{mapping}");
    }
    // What Kinesis refuses is retried for as long as the stream keeps it; only what cannot be completed is bounded.
    assert_eq!(
        *template.property("ForwardEventSource", "MaximumRetryAttempts"),
        -1
    );
    assert_eq!(
        *template.property("CompleteEventSource", "MaximumRetryAttempts"),
        reference("CompleteMaximumRetryAttempts")
    );
    let shortest = template
        .at("/Parameters/StreamRetentionHours/MinValue")
        .as_u64()
        .unwrap();
    assert!(shortest * 60 * 60 >= STREAM_RETENTION_SECONDS);
}

#[test]
fn parallelism_is_per_item_and_bounded() {
    let template = template();
    for name in ["Forward", "Complete"] {
        let parameter = format!("{name}ParallelizationFactor");
        let mapping = format!("{name}EventSource");
        assert_eq!(
            *template.property(&mapping, "ParallelizationFactor"),
            reference(&parameter)
        );
        assert_eq!(
            *template.at(&format!("/Parameters/{parameter}/MaxValue")),
            10
        );
    }
    // Provisioned pollers bound it in their own way; Lambda takes one of the two.
    let bound = json!({"Fn::If": ["HasPollers", reference("AWS::NoValue"), {
        "MaximumConcurrency": reference("IngestMaximumConcurrency"),
    }]});
    assert_eq!(
        *template.property("IngestEventSource", "ScalingConfig"),
        bound
    );
    // Reserved concurrency would throttle, and each throttled receive counts towards the dead-letter queue.
    assert!(
        template
            .property("IngestFunction", "ReservedConcurrentExecutions")
            .is_null()
    );
}

fn filter(template: &Template, mapping: &str, source: Source) -> FilterCriteria {
    let filters = template
        .property(mapping, "FilterCriteria/Filters")
        .as_array()
        .unwrap();
    let patterns: Vec<&str> = filters
        .iter()
        .map(|filter| filter["Pattern"].as_str().unwrap())
        .collect();
    FilterCriteria::compile(source, &patterns).unwrap()
}

fn sample(name: &str) -> Value {
    let text = std::fs::read(repository("infra/events").join(name)).unwrap();
    let event: Value = serde_json::from_slice(&text).unwrap();
    event["Records"][0].clone()
}

#[test]
fn forward_is_given_what_may_become_an_event_and_no_removal() {
    let filter = filter(&template(), "ForwardEventSource", Source::DynamoDb);
    assert!(filter.matches(&sample("forward.json").to_string()));
    assert!(filter.matches(&sample("forward-modify.json").to_string()));
    let mut removal = sample("forward-modify.json");
    removal["eventName"] = "REMOVE".into();
    assert!(!filter.matches(&removal.to_string()));
}

#[test]
fn complete_is_given_init_events_alone() {
    let filter = filter(&template(), "CompleteEventSource", Source::Kinesis);
    let init = sample("complete.json");
    assert!(filter.matches(&init.to_string()));
    let mut done = init;
    // {"type":"refund.done"}
    done["kinesis"]["data"] = "eyJ0eXBlIjoicmVmdW5kLmRvbmUifQ==".into();
    assert!(!filter.matches(&done.to_string()));
}

// ---- what is kept

#[test]
fn what_holds_notifications_outlives_its_stack() {
    let template = template();
    let kinds = [
        "AWS::SQS::Queue",
        "AWS::DynamoDB::Table",
        "AWS::Kinesis::Stream",
        "AWS::S3::Bucket",
    ];
    let kept = kinds.map(|kind| {
        template
            .resources(kind)
            .inspect(|(name, resource)| {
                assert_eq!(resource["DeletionPolicy"], "Retain", "{name}");
                assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
            })
            .count()
    });
    assert_eq!(kept, [2, 1, 1, 1]);
}

#[test]
fn the_table_is_the_one_that_the_code_writes_to() {
    let template = template();
    let property = |name: &str| template.property("NotificationTable", name);
    assert_eq!(
        *property("KeySchema"),
        json!([{"AttributeName": attribute::NOTIFICATION_ID, "KeyType": "HASH"}])
    );
    assert_eq!(
        *property("AttributeDefinitions"),
        json!([{"AttributeName": attribute::NOTIFICATION_ID, "AttributeType": "S"}])
    );
    assert_eq!(
        *property("TimeToLiveSpecification"),
        json!({"AttributeName": attribute::EXPIRES_AT, "Enabled": true})
    );
    assert_eq!(
        *property("StreamSpecification"),
        json!({"StreamViewType": "NEW_AND_OLD_IMAGES"})
    );
    assert_eq!(*property("BillingMode"), "PAY_PER_REQUEST");
    assert_eq!(
        *property("PointInTimeRecoverySpecification"),
        json!({"PointInTimeRecoveryEnabled": true})
    );
    assert_eq!(
        *property("DeletionProtectionEnabled"),
        reference("TableDeletionProtection")
    );
    assert_eq!(template.default("TableDeletionProtection").unwrap(), "true");
}

#[test]
fn everything_that_holds_a_payload_is_encrypted() {
    let template = template();
    let key = reference("KmsKeyArn");
    let with_key_or =
        |with_key: Value, without: Value| json!({"Fn::If": ["HasKey", with_key, without]});
    assert_eq!(
        *template.property("NotificationTable", "SSESpecification"),
        with_key_or(
            json!({"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": key}),
            json!({"SSEEnabled": true})
        )
    );
    let nothing = reference("AWS::NoValue");
    for queue in ["NotificationQueue", "DeadLetterQueue"] {
        let managed = with_key_or(nothing.clone(), true.into());
        assert_eq!(*template.property(queue, "SqsManagedSseEnabled"), managed);
        let own = with_key_or(key.clone(), nothing.clone());
        assert_eq!(*template.property(queue, "KmsMasterKeyId"), own);
    }
    assert_eq!(
        *template.property("NotificationStream", "StreamEncryption"),
        json!({"EncryptionType": "KMS", "KeyId": with_key_or(key.clone(), "alias/aws/kinesis".into())})
    );
    let bucket = template.property(
        "FailureBucket",
        "BucketEncryption/ServerSideEncryptionConfiguration/0",
    );
    assert_eq!(
        bucket["ServerSideEncryptionByDefault"],
        with_key_or(
            json!({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}),
            json!({"SSEAlgorithm": "AES256"})
        )
    );
    for name in FUNCTIONS {
        let logs = template.property(&format!("{name}Logs"), "KmsKeyId");
        assert_eq!(*logs, with_key_or(key.clone(), nothing.clone()));
    }
    for setting in [
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    ] {
        let path = format!("PublicAccessBlockConfiguration/{setting}");
        assert_eq!(
            *template.property("FailureBucket", &path),
            true,
            "{setting}"
        );
    }
    assert_eq!(template.default("RequireTls").unwrap(), "true");
}

// ---- settings

/// What a function's environment is by the template's defaults, and for any other choice of parameters.
fn environment(
    template: &Template,
    function: &str,
    chosen: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let parameter = |name: &str| chosen.get(name).cloned().or_else(|| template.default(name));
    let variables = template
        .property(function, "Environment/Variables")
        .as_object()
        .unwrap();
    let resolve = |value: &Value| match value {
        Value::Object(call) => {
            let (kind, argument) = call.iter().next().unwrap();
            let argument = argument.as_str().unwrap();
            if kind == "Fn::Sub" {
                let (name, rest) = argument
                    .strip_prefix("${")
                    .unwrap()
                    .split_once('}')
                    .unwrap();
                format!("{}{rest}", parameter(name).unwrap())
            } else {
                assert_eq!(kind, "Ref");
                parameter(argument).unwrap_or_else(|| format!("name-of-{argument}"))
            }
        }
        value => scalar(value).unwrap(),
    };
    variables
        .iter()
        .map(|(name, value)| (name.clone(), resolve(value)))
        .collect()
}

/// A function's reading of its settings: the names it asked for, and what it made of them.
fn read<C>(
    settings: &BTreeMap<String, String>,
    config: impl FnOnce(&Environment<&dyn Fn(&str) -> Option<String>>) -> Result<C, ConfigError>,
) -> (BTreeSet<String>, Result<C, ConfigError>) {
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        settings.get(name).cloned()
    };
    let lookup: &dyn Fn(&str) -> Option<String> = &lookup;
    let config = config(&Environment::new(lookup));
    (asked.into_inner(), config)
}

/// What is the same for every function: the names agree, the template's defaults are the code's, and the code accepts
/// each bound and each choice that the template allows.
fn settings_agree<C: PartialEq + std::fmt::Debug>(
    function: &str,
    required: &str,
    config: impl Fn(&Environment<&dyn Fn(&str) -> Option<String>>) -> Result<C, ConfigError>,
) {
    let template = template();
    let by_default = environment(&template, function, &BTreeMap::new());
    let (mut asked, deployed) = read(&by_default, &config);
    // Read where logging begins, before everything else, and where metrics are written.
    asked.extend(["LOG_LEVEL".to_owned(), "STACK_NAME".to_owned()]);
    let given: BTreeSet<String> = by_default.keys().cloned().collect();
    assert_eq!(asked, given, "{function}");

    // The budget is the function's timeout, which is the template's to say.
    let alone = [required, "INVOCATION_BUDGET_MS"];
    let bare = alone
        .map(|name| (name.to_owned(), by_default[name].clone()))
        .into();
    assert_eq!(deployed, read(&bare, &config).1, "{function}");

    for (name, parameter) in template.parameters() {
        let bounds = [&parameter["MinValue"], &parameter["MaxValue"]];
        let choices = parameter["AllowedValues"].as_array().into_iter().flatten();
        for value in bounds.into_iter().chain(choices).filter_map(scalar) {
            let chosen = [(name.to_owned(), value.clone())].into();
            let (_, read) = read(&environment(&template, function, &chosen), &config);
            assert!(read.is_ok(), "{function} refuses {name}={value}: {read:?}");
        }
    }
}

#[test]
fn the_settings_of_ingest_are_those_it_reads() {
    settings_agree("IngestFunction", "TABLE_NAME", |environment| {
        onewrite_ingest::config::Config::read(environment)
    });
}

#[test]
fn the_settings_of_forward_are_those_it_reads() {
    settings_agree("ForwardFunction", "STREAM_NAME", |environment| {
        onewrite_forward::config::Config::read(environment)
    });
}

#[test]
fn the_settings_of_complete_are_those_it_reads() {
    settings_agree("CompleteFunction", "TABLE_NAME", |environment| {
        onewrite_complete::config::Config::read(environment)
    });
}

#[test]
fn each_function_is_told_its_own_timeout() {
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
fn the_parameters_of_this_machine_are_the_template_s() {
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

// ---- building and finding it

#[test]
fn each_function_is_built_from_the_binary_of_its_crate() {
    let template = template();
    for name in FUNCTIONS {
        let binary = name.to_lowercase();
        let metadata =
            json!({"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": binary}});
        assert_eq!(
            *template.at(&format!("/Resources/{name}Function/Metadata")),
            metadata
        );
        let home = template
            .property(&format!("{name}Function"), "CodeUri")
            .as_str()
            .unwrap();
        assert_eq!(home, format!("functions/{binary}"));
        let manifest = std::fs::read_to_string(repository(home).join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains(&format!("[[bin]]\nname = \"{binary}\"")),
            "{home}"
        );
    }
    assert_eq!(*template.at("/Globals/Function/Runtime"), "provided.al2023");
    assert_eq!(
        *template.at("/Globals/Function/Architectures"),
        json!([reference("Architecture")])
    );
    assert_eq!(template.default("Architecture").unwrap(), "arm64");
}

#[test]
fn a_panic_fails_its_message_alone_in_the_release_build_too() {
    let manifest = std::fs::read_to_string(repository("Cargo.toml")).unwrap();
    let (_, profile) = manifest.split_once("[profile.release]").unwrap();
    let profile = profile.split("\n[").next().unwrap();
    // cargo-lambda sets whatever of these is missing, and panic to "abort".
    for line in [
        "panic = \"unwind\"",
        "lto = ",
        "codegen-units = ",
        "strip = ",
    ] {
        assert!(profile.lines().any(|l| l.starts_with(line)), "{line}");
    }
}

#[test]
fn the_outputs_tell_where_everything_is() {
    let template = template();
    let outputs = template.at("/Outputs").as_object().unwrap();
    let values: BTreeMap<&str, &Value> = outputs
        .iter()
        .map(|(name, output)| (name.as_str(), &output["Value"]))
        .collect();
    let arn = attribute_of("NotificationQueue.Arn");
    let named = [
        ("NotificationQueueUrl", "NotificationQueue"),
        ("DeadLetterQueueUrl", "DeadLetterQueue"),
        ("NotificationTableName", "NotificationTable"),
        ("NotificationStreamName", "NotificationStream"),
        ("FailureBucketName", "FailureBucket"),
        ("IngestFunctionName", "IngestFunction"),
        ("ForwardFunctionName", "ForwardFunction"),
        ("CompleteFunctionName", "CompleteFunction"),
    ]
    .map(|(output, resource)| (output, reference(resource)));
    let mut expected: BTreeMap<&str, &Value> = named
        .iter()
        .map(|(output, value)| (*output, value))
        .collect();
    expected.insert("NotificationQueueArn", &arn);
    let dashboard = &outputs["DashboardUrl"]["Value"];
    expected.insert("DashboardUrl", dashboard);
    assert_eq!(values, expected);
}

// ---- what operators see

/// The metrics that each function writes, by the name it writes as `Function`.
fn written(function: &str) -> BTreeSet<&'static str> {
    match function {
        "ingest" => onewrite_ingest::handler::METRICS.into(),
        "forward" => onewrite_forward::handler::METRICS.into(),
        "complete" => onewrite_complete::handler::METRICS.into(),
        other => panic!("no function is called {other}"),
    }
}

/// Every metric that an alarm watches, with its dimensions by name.
fn watched(alarm: &Value) -> Vec<(String, String, BTreeMap<String, Value>)> {
    let properties = &alarm["Properties"];
    let metrics: Vec<&Value> = match properties["Metrics"].as_array() {
        None => vec![properties],
        Some(metrics) => metrics
            .iter()
            .filter_map(|metric| metric.pointer("/MetricStat/Metric"))
            .collect(),
    };
    let dimensions = |metric: &Value| {
        let listed = metric["Dimensions"].as_array().unwrap().iter();
        listed
            .map(|dimension| {
                let name = dimension["Name"].as_str().unwrap().to_owned();
                (name, dimension["Value"].clone())
            })
            .collect()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    metrics
        .into_iter()
        .map(|metric| {
            let (namespace, name) = (text(&metric["Namespace"]), text(&metric["MetricName"]));
            (namespace, name, dimensions(metric))
        })
        .collect()
}

#[test]
fn an_alarm_watches_what_is_written_and_says_where_to_read_on() {
    let template = template();
    let runbook = std::fs::read_to_string(repository("infra/RUNBOOK.md")).unwrap();
    let anchor = |heading: &str| heading.to_lowercase().replace(' ', "-");
    let sections: BTreeSet<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## ").map(anchor))
        .collect();
    let mut alarms = BTreeSet::new();
    for (resource, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let name = resource.strip_suffix("Alarm").unwrap();
        let properties = &alarm["Properties"];
        let full = json!({"Fn::Sub": format!("${{AWS::StackName}}-{name}")});
        assert_eq!(properties["AlarmName"], full);
        for (namespace, metric, dimensions) in watched(alarm) {
            if namespace == onewrite::telemetry::NAMESPACE {
                let function = dimensions["Function"].as_str().unwrap();
                assert!(
                    written(function).contains(metric.as_str()),
                    "{name}: {metric}"
                );
                assert_eq!(dimensions["Stack"], reference("AWS::StackName"), "{name}");
                assert_eq!(dimensions.len(), 2, "{name}");
            } else {
                assert!(namespace.starts_with("AWS/"), "{name}: {namespace}");
            }
        }
        // Silence is no alarm, and an alarm that ends says so.
        assert_eq!(properties["TreatMissingData"], "notBreaching", "{name}");
        assert_eq!(
            properties["OKActions"], properties["AlarmActions"],
            "{name}"
        );
        let description = properties["AlarmDescription"]["Fn::Sub"].as_str().unwrap();
        let (_, section) = description.split_once("${RunbookUrl}#").unwrap();
        assert!(
            sections.contains(section),
            "the runbook has no section {section}"
        );
        assert!(
            alarms.insert(section.to_owned()),
            "{section} is there twice"
        );
    }
    let left: Vec<_> = sections
        .iter()
        .filter(|section| !alarms.contains(*section))
        .collect();
    assert!(left.is_empty(), "no alarm leads to {left:?}");
}

#[test]
fn the_dashboard_shows_what_is_written_and_every_alarm() {
    let template = template();
    let body = template
        .property("Dashboard", "DashboardBody/Fn::Sub")
        .as_str()
        .unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let metrics = widgets
        .iter()
        .filter_map(|widget| widget.pointer("/properties/metrics")?.as_array())
        .flatten();
    for metric in metrics {
        let (namespace, name, rest) = match &metric.as_array().unwrap()[..] {
            // Of metrics that stand beside it.
            [computed] => {
                assert!(computed["expression"].is_string(), "{metric}");
                continue;
            }
            [namespace, name, rest @ ..] => (namespace, name, rest),
            [] => panic!("a widget has an empty metric"),
        };
        if *namespace == onewrite::telemetry::NAMESPACE {
            let [stack, stack_name, function, function_name, _options] = rest else {
                panic!("{metric}");
            };
            assert_eq!((stack, function), (&"Stack".into(), &"Function".into()));
            assert_eq!(*stack_name, "${AWS::StackName}");
            let (function, name) = (function_name.as_str().unwrap(), name.as_str().unwrap());
            assert!(written(function).contains(name), "{function}: {name}");
            let of_function = shown.entry(function.to_owned()).or_default();
            of_function.insert(name.to_owned());
        }
    }
    // What is not drawn is how hard forward had to try, call by call, and copies within a batch.
    let not_drawn = ["PutRecordsCalls", "FailedCalls", "FailedEntries", "Copies"];
    for (function, shown) in shown {
        let all = written(&function);
        let missing: Vec<_> = all
            .iter()
            .filter(|name| !shown.contains(**name) && !not_drawn.contains(name))
            .collect();
        assert!(missing.is_empty(), "{function}: {missing:?}");
    }
    let alarms: BTreeSet<String> = widgets
        .iter()
        .filter_map(|widget| widget.pointer("/properties/alarms")?.as_array())
        .flatten()
        .map(|alarm| alarm.as_str().unwrap().to_owned())
        .collect();
    let expected = template
        .resources("AWS::CloudWatch::Alarm")
        .map(|(name, _)| format!("${{{name}.Arn}}"));
    assert_eq!(alarms, expected.collect());
    // No two widgets stand in one place, and none leaves the page, which is 24 wide.
    let mut taken = BTreeSet::new();
    for widget in widgets {
        let side = |name: &str| widget[name].as_u64().unwrap();
        assert!(side("x") + side("width") <= 24);
        for x in side("x")..side("x") + side("width") {
            for y in side("y")..side("y") + side("height") {
                assert!(taken.insert((x, y)), "{widget}");
            }
        }
    }
}
