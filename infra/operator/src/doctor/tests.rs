//! The checks on synthetic stacks. `tests/pipeline/doctor.rs` in `tests/` runs them on a deployed stack.

mod aws;
mod deferral;
mod downstream;

use std::collections::BTreeMap;

use super::{
    checks::examine,
    finding::{Finding, Guarantee, Severity},
    report::{exit_code, text},
    snapshot::{
        Consumer, Function, Lifecycle, Mapping, Queue, ReadError, StackSnapshot, Stream, Table,
    },
};

const QUEUE: &str = "arn:aws:sqs:us-east-1:1:q";
const DEAD_LETTERS: &str = "arn:aws:sqs:us-east-1:1:d";
const ONLY_OVER_TLS: &str = r#"{"Version": "2012-10-17", "Statement": [{"Sid": "OnlyOverTls", "Effect": "Deny",
    "Principal": "*", "Action": "sqs:*", "Resource": "r", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}"#;

fn valid_queue(arn: &str) -> Queue {
    Queue {
        url: "https://sqs/q".to_owned(),
        arn: arn.to_owned(),
        visibility_timeout_seconds: 180,
        retention_seconds: 1_209_600,
        is_encrypted: true,
        policy: Some(ONLY_OVER_TLS.to_owned()),
        ..Queue::default()
    }
}

fn valid_mapping(function: &str) -> Mapping {
    Mapping {
        uuid: format!("mapping-of-{function}"),
        function: function.to_owned(),
        state: "Enabled".to_owned(),
        reports_batch_item_failures: true,
        ..Mapping::default()
    }
}

fn valid_stream_mapping(function: &str, attempts: Option<i64>, pattern: &str) -> Mapping {
    Mapping {
        batch_size: 100,
        starting_position: Some("TRIM_HORIZON".to_owned()),
        maximum_retry_attempts: attempts,
        maximum_record_age_seconds: Some(82_800),
        bisects: true,
        failure_destination: Some("arn:aws:s3:::b".to_owned()),
        filters: vec![pattern.to_owned()],
        ..valid_mapping(function)
    }
}

fn valid_consumer(timeout_seconds: i64, variable: (&str, &str), mapping: Mapping) -> Consumer {
    Consumer {
        name: mapping.function.clone(),
        function: Ok(Function {
            timeout_seconds,
            architecture: Some("arm64".to_owned()),
            failure: None,
            variables: BTreeMap::from([(variable.0.to_owned(), variable.1.to_owned())]),
        }),
        mappings: Ok(vec![mapping]),
    }
}

fn valid_ingest() -> Consumer {
    let mut ingest = valid_consumer(
        30,
        ("TABLE_NAME", "t"),
        Mapping {
            batch_size: 10,
            maximum_concurrency: Some(50),
            ..valid_mapping("ingest")
        },
    );
    // The host depends on the endpoint.
    set_variable(&mut ingest, "QUEUE_URL", "https://other/sqs/q");
    set_variable(&mut ingest, "OUTAGE_SECONDS", "10800");
    ingest
}

fn set_variable(consumer: &mut Consumer, name: &str, value: &str) {
    let variables = &mut consumer.function.as_mut().unwrap().variables;
    variables.insert(name.to_owned(), value.to_owned());
}

fn valid_forward() -> Consumer {
    valid_consumer(
        60,
        ("STREAM_NAME", "s"),
        valid_stream_mapping("forward", None, r#"{"eventName": ["INSERT", "MODIFY"]}"#),
    )
}

fn valid_complete() -> Consumer {
    valid_consumer(
        60,
        ("TABLE_NAME", "t"),
        Mapping {
            maximum_record_age_seconds: Some(604_800),
            ..valid_stream_mapping(
                "complete",
                None,
                r#"{"data": {"type": [{"suffix": ".init"}]}}"#,
            )
        },
    )
}

/// The template with its defaults.
fn valid_stack() -> StackSnapshot {
    StackSnapshot {
        parameters: BTreeMap::from([("Architecture".to_owned(), "arm64".to_owned())]),
        is_local: false,
        table_name: "t".to_owned(),
        stream_name: "s".to_owned(),
        bucket_name: "b".to_owned(),
        queue: Ok(Queue {
            dead_letter_target: Some(DEAD_LETTERS.to_owned()),
            max_receives: Some(6),
            ..valid_queue(QUEUE)
        }),
        dead_letter_queue: Ok(valid_queue(DEAD_LETTERS)),
        orphaned_queues: Ok(Vec::new()),
        table: Ok(Table {
            key: vec!["notification_id".to_owned()],
            stream_view: Some("NEW_AND_OLD_IMAGES".to_owned()),
            has_kms_key: true,
            is_protected: true,
            ..Table::default()
        }),
        time_to_live: Ok(Some("expires_at".to_owned())),
        has_point_in_time_recovery: Ok(true),
        stream: Ok(Stream {
            retention_hours: 336,
            is_encrypted: true,
            kms_key: Some("alias/aws/kinesis".to_owned()),
            distribution: Some("USER_PARTITION_KEY".to_owned()),
        }),
        bucket_encryption: Ok(Some("AES256".to_owned())),
        disabled_access_blocks: Ok(Vec::new()),
        bucket_policy: Ok(Some(ONLY_OVER_TLS.replace("sqs:*", "s3:*"))),
        bucket_lifecycle: Ok(Lifecycle {
            expires_versions: true,
            expires_markers: true,
        }),
        ingest: valid_ingest(),
        forward: valid_forward(),
        complete: valid_complete(),
        downstream: Vec::new(),
        pending: Ok(None),
        reserved_concurrency: Ok(None),
        concurrency_quota: Ok(Some(1_000)),
    }
}

/// The findings of a valid stack after a change.
fn examine_with(change: impl FnOnce(&mut StackSnapshot)) -> Vec<Finding> {
    let mut stack = valid_stack();
    change(&mut stack);
    examine(&stack)
}

fn names(findings: &[Finding]) -> Vec<(Severity, &str, &str)> {
    findings
        .iter()
        .map(|finding| (finding.severity, finding.check, finding.place))
        .collect()
}

fn queue(stack: &mut StackSnapshot) -> &mut Queue {
    stack.queue.as_mut().unwrap()
}

fn table(stack: &mut StackSnapshot) -> &mut Table {
    stack.table.as_mut().unwrap()
}

fn mapping(consumer: &mut Consumer) -> &mut Mapping {
    &mut consumer.mappings.as_mut().unwrap()[0]
}

#[test]
fn reports_nothing_for_a_valid_stack() {
    assert_eq!(examine(&valid_stack()), []);
    assert_eq!(
        serde_json::to_string(&examine(&valid_stack())).unwrap(),
        "[]"
    );
    assert_eq!(text(&[]), "0 broken, 0 could not be checked, 0 advice.\n");
}

/// A misconfiguration, and the severity, check and place of its finding.
type Case = (
    fn(&mut StackSnapshot),
    (Severity, &'static str, &'static str),
);

#[track_caller]
fn assert_each_is_reported_alone(cases: &[Case]) {
    for (change, expected) in cases {
        assert_eq!(names(&examine_with(change)), [*expected]);
    }
}

#[test]
fn reports_each_misconfiguration_of_the_queues() {
    use Severity::Broken;
    assert_each_is_reported_alone(&[
        (
            |d| queue(d).visibility_timeout_seconds = 179,
            (Broken, "visibility-timeout", "queue"),
        ),
        (
            |d| mapping(&mut d.ingest).batching_window_seconds = 1,
            (Broken, "visibility-timeout", "queue"),
        ),
        (
            |d| queue(d).max_receives = Some(5),
            (Broken, "max-receives", "queue"),
        ),
        (
            |d| queue(d).max_receives = None,
            (Broken, "max-receives", "queue"),
        ),
        (
            |d| queue(d).dead_letter_target = None,
            (Broken, "dead-letter-queue", "queue"),
        ),
        (
            |d| queue(d).is_fifo = true,
            (Broken, "fifo-batch-size", "ingest"),
        ),
        (|d| queue(d).policy = None, (Broken, "tls", "queue")),
        (
            |d| d.dead_letter_queue.as_mut().unwrap().retention_seconds = 86_400 * 13,
            (Broken, "dead-letter-retention", "dead-letter queue"),
        ),
    ]);
}

#[test]
fn reports_each_misconfiguration_of_table_stream_and_bucket() {
    use Severity::{Advice, Broken};
    assert_each_is_reported_alone(&[
        (
            |d| table(d).key.push("type".to_owned()),
            (Broken, "table-key", "table"),
        ),
        (
            |d| table(d).stream_view = Some("NEW_IMAGE".to_owned()),
            (Broken, "table-stream", "table"),
        ),
        (
            |d| table(d).is_protected = false,
            (Broken, "deletion-protection", "table"),
        ),
        (
            |d| table(d).replicas = vec!["eu-west-1".to_owned()],
            (Broken, "global-table", "table"),
        ),
        (
            |d| table(d).has_kms_key = false,
            (Advice, "encryption", "table"),
        ),
        (
            |d| d.time_to_live = Ok(Some("created_at".to_owned())),
            (Broken, "time-to-live", "table"),
        ),
        (
            |d| d.has_point_in_time_recovery = Ok(false),
            (Broken, "point-in-time-recovery", "table"),
        ),
        (
            |d| d.stream.as_mut().unwrap().distribution = Some("AUTO".to_owned()),
            (Broken, "record-distribution", "stream"),
        ),
        (
            |d| d.stream.as_mut().unwrap().is_encrypted = false,
            (Broken, "encryption", "stream"),
        ),
        (
            |d| {
                d.stream.as_mut().unwrap().retention_hours = 24;
                mapping(&mut d.complete).maximum_record_age_seconds = Some(82_800);
            },
            (Advice, "stream-retention", "stream"),
        ),
        (
            |d| d.bucket_encryption = Ok(None),
            (Broken, "encryption", "failure bucket"),
        ),
        (
            |d| d.disabled_access_blocks = Ok(vec!["BlockPublicPolicy"]),
            (Broken, "public-access", "failure bucket"),
        ),
        (
            |d| d.bucket_policy = Ok(None),
            (Broken, "tls", "failure bucket"),
        ),
    ]);
}

#[test]
fn reports_each_misconfiguration_of_the_functions() {
    use Severity::{Advice, Broken};
    assert_each_is_reported_alone(&[
        (
            |d| d.reserved_concurrency = Ok(Some(49)),
            (Broken, "reserved-concurrency", "ingest"),
        ),
        (
            |d| mapping(&mut d.ingest).maximum_concurrency = None,
            (Advice, "maximum-concurrency", "ingest"),
        ),
        (
            |d| mapping(&mut d.ingest).state = "Disabled".to_owned(),
            (Broken, "paused", "ingest"),
        ),
        (
            |d| mapping(&mut d.forward).starting_position = Some("LATEST".to_owned()),
            (Broken, "starting-position", "forward"),
        ),
        (
            |d| mapping(&mut d.forward).maximum_record_age_seconds = None,
            (Broken, "record-age", "forward"),
        ),
        (
            |d| mapping(&mut d.complete).maximum_record_age_seconds = Some(336 * 3_600),
            (Broken, "record-age", "complete"),
        ),
        (
            |d| mapping(&mut d.complete).maximum_retry_attempts = Some(100),
            (Advice, "retry-attempts", "complete"),
        ),
        (
            |d| {
                mapping(&mut d.complete).failure_destination =
                    Some("arn:aws:sqs:us-east-1:1:b".to_owned())
            },
            (Broken, "failure-destination", "complete"),
        ),
        (
            |d| {
                mapping(&mut d.complete).filters =
                    vec![r#"{"data": {"status": ["DONE"]}}"#.to_owned()]
            },
            (Broken, "complete-filter", "complete"),
        ),
        (
            |d| d.forward.mappings = Ok(Vec::new()),
            (Broken, "mapping", "forward"),
        ),
    ]);
}

/// Filters are judged by their effect, not by their wording.
#[test]
fn accepts_an_equivalent_filter() {
    let forward = |pattern: &str| {
        let pattern = pattern.to_owned();
        examine_with(|stack| mapping(&mut stack.forward).filters = vec![pattern])
    };
    assert_eq!(
        forward(r#"{"eventName": [{"anything-but": ["REMOVE"]}]}"#),
        []
    );
    // A redrive does not change the status.
    let by_status = r#"{"eventName": ["INSERT", "MODIFY"], "dynamodb": {"NewImage": {"redrives": {"N": [{"exists": false}]}}}}"#;
    let findings = forward(by_status);
    assert_eq!(
        names(&findings),
        [(Severity::Broken, "forward-filter", "forward")]
    );
    assert!(
        findings[0].found.ends_with(" drops a redrive"),
        "{findings:?}"
    );
}

#[test]
fn reports_safeguards_disabled_by_parameter_as_advice() {
    let with_parameter = |name: &str, change: fn(&mut StackSnapshot)| {
        examine_with(|stack| {
            stack.parameters.insert(name.to_owned(), "false".to_owned());
            change(stack);
        })
    };
    // The parameter pauses all three functions.
    let all: fn(&mut StackSnapshot) = |stack| {
        for consumer in [&mut stack.ingest, &mut stack.forward, &mut stack.complete] {
            mapping(consumer).state = "Disabled".to_owned();
        }
    };
    let one: fn(&mut StackSnapshot) =
        |stack| mapping(&mut stack.forward).state = "Disabled".to_owned();
    let severities =
        |findings: Vec<Finding>| Vec::from_iter(findings.iter().map(|finding| finding.severity));
    assert_eq!(
        severities(with_parameter("EventSourcesEnabled", all)),
        [Severity::Advice; 3]
    );
    assert_eq!(
        severities(with_parameter("EventSourcesEnabled", one)),
        [Severity::Advice]
    );
    assert_eq!(severities(examine_with(all)), [Severity::Broken; 3]);
    assert_eq!(severities(examine_with(one)), [Severity::Broken]);

    // The list pauses one function, and only that one.
    let paused = |parameter: &str, consumer: fn(&mut StackSnapshot) -> &mut Consumer| {
        examine_with(|stack| {
            let parameter = ("EventSourcesEnabled".to_owned(), parameter.to_owned());
            stack.parameters.extend([parameter]);
            mapping(consumer(stack)).state = "Disabled".to_owned();
        })
    };
    let found = paused("ingest,forward", |stack| &mut stack.complete);
    assert_eq!(names(&found), [(Severity::Advice, "paused", "complete")]);
    assert_eq!(
        found[0].repair,
        "sam deploy --parameter-overrides EventSourcesEnabled=ingest,forward,complete"
    );
    let found = paused("ingest,forward", |stack| &mut stack.forward);
    assert_eq!(names(&found), [(Severity::Broken, "paused", "forward")]);
}

#[test]
fn reports_policies_that_allow_some_requests_without_tls() {
    for (from, to) in [
        ("Deny", "Allow"),
        (
            r#""Principal": "*""#,
            r#""Principal": {"AWS": "arn:aws:iam::1:role/r"}"#,
        ),
        ("sqs:*", "sqs:SendMessage"),
        (r#""false""#, r#""true""#),
        (
            r#""Bool""#,
            r#""StringEquals": {"aws:SourceIp": "10.0.0.1"}, "Bool""#,
        ),
    ] {
        let policy = ONLY_OVER_TLS.replace(from, to);
        assert_ne!(policy, ONLY_OVER_TLS);
        let findings = examine_with(|stack| queue(stack).policy = Some(policy.clone()));
        assert_eq!(
            names(&findings),
            [(Severity::Broken, "tls", "queue")],
            "{policy}"
        );
    }
}

#[test]
fn reports_parts_that_cannot_be_read() {
    let failed = || ReadError::Failed("DescribeTable: not allowed".to_owned());
    let findings = examine_with(|stack| {
        stack.table = Err(failed());
        stack.bucket_policy = Err(failed());
        stack.complete.mappings = Err(failed());
        stack.complete.function = Err(failed());
    });
    use Severity::Unchecked;
    assert_eq!(
        names(&findings),
        [
            (Unchecked, "unread", "table"),
            (Unchecked, "unread", "complete"),
            (Unchecked, "unread", "complete's mapping"),
            (Unchecked, "unread", "failure bucket's policy"),
        ]
    );
    assert!(text(&findings).ends_with("\n0 broken, 4 could not be checked, 0 advice.\n"));

    let missing = examine_with(|stack| {
        stack.dead_letter_queue = Err(ReadError::NotFound(
            "GetQueueAttributes: QueueDoesNotExist".to_owned(),
        ));
    });
    assert_eq!(
        names(&missing),
        [(Severity::Broken, "missing", "dead-letter queue")]
    );
}

#[test]
fn exit_code_is_that_of_the_most_severe_finding() {
    let unreadable: fn(&mut StackSnapshot) =
        |stack| stack.has_point_in_time_recovery = Err(ReadError::Failed("no".to_owned()));
    let unprotected: fn(&mut StackSnapshot) = |stack| table(stack).is_protected = false;
    let advice: fn(&mut StackSnapshot) = |stack| table(stack).has_kms_key = false;
    let code = |changes: &[fn(&mut StackSnapshot)]| {
        exit_code(&examine_with(|stack| {
            changes.iter().for_each(|change| change(stack));
        }))
    };
    assert_eq!(code(&[]), 0);
    assert_eq!(code(&[advice]), 0);
    assert_eq!(code(&[advice, unreadable]), 1);
    assert_eq!(code(&[advice, unreadable, unprotected]), 6);
}

#[test]
fn allows_two_table_stream_readers_or_one_with_replicas() {
    let mappings = |count: usize| {
        let mapping = |n| Mapping {
            function: format!("other-{n}"),
            ..Mapping::default()
        };
        (0..count).map(mapping).collect::<Vec<_>>()
    };
    let is_reported = |others: usize, is_global: bool| {
        let findings = examine_with(|stack| {
            stack
                .forward
                .mappings
                .as_mut()
                .unwrap()
                .extend(mappings(others));
            if is_global {
                table(stack).replicas = vec!["eu-west-1".to_owned()];
            }
        });
        let mut checks = findings.iter().map(|finding| finding.check);
        checks.any(|check| check == "table-stream-readers")
    };
    assert_eq!(
        (is_reported(1, false), is_reported(2, false)),
        (false, true)
    );
    assert_eq!((is_reported(0, true), is_reported(1, true)), (false, true));
}

#[test]
fn done_retention_must_exceed_the_retention_of_both_queues() {
    let examine_with_days = |days: &str| {
        examine_with(|stack| {
            let variables = &mut stack.complete.function.as_mut().unwrap().variables;
            variables.insert("DONE_RETENTION_DAYS".to_owned(), days.to_owned());
        })
    };
    assert_eq!(
        (examine_with_days("0"), examine_with_days("29")),
        (Vec::new(), Vec::new())
    );
    let short = examine_with_days("28");
    assert_eq!(
        names(&short),
        [(Severity::Broken, "done-retention", "complete")]
    );
    assert_eq!(short[0].breaks, Guarantee::WrittenOnce);
    assert_eq!(
        short[0].repair,
        "sam deploy --parameter-overrides DoneRetentionDays=29"
    );
}

#[test]
fn prints_the_most_severe_finding_first_with_its_fix() {
    let findings = examine_with(|stack| {
        mapping(&mut stack.ingest).maximum_concurrency = None;
        mapping(&mut stack.complete).reports_batch_item_failures = false;
    });
    assert_eq!(
        text(&findings[..1]),
        concat!(
            "BROKEN  partial-responses: complete\n",
            "    found   FunctionResponseTypes lacks ReportBatchItemFailures\n",
            "    needed  ReportBatchItemFailures\n",
            "    breaks  Status: Lambda ignores the reported batch item failures and treats the whole batch as successful\n",
            "    fix     aws lambda update-event-source-mapping --uuid mapping-of-complete --function-response-types ReportBatchItemFailures\n",
            "\n",
            "1 broken, 0 could not be checked, 0 advice.\n",
        )
    );
    assert_eq!(findings[1].check, "maximum-concurrency");
}
