//! The judgement, on stacks that are made up. `tests/pipeline/doctor.rs` has the same on a deployed one.

use std::collections::BTreeMap;

use super::{
    Finding, Promise, Severity,
    deployed::{Deployed, Function, Mapping, Queue, Reader, Stream, Table, Unread},
    exit_code, text,
};

const QUEUE: &str = "arn:aws:sqs:us-east-1:1:q";
const DEAD_LETTERS: &str = "arn:aws:sqs:us-east-1:1:d";
const ONLY_OVER_TLS: &str = r#"{"Version": "2012-10-17", "Statement": [{"Sid": "OnlyOverTls", "Effect": "Deny",
    "Principal": "*", "Action": "sqs:*", "Resource": "r", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}"#;

/// The template with its defaults.
fn sound() -> Deployed {
    let queue = |arn: &str| Queue {
        arn: arn.to_owned(),
        visibility_timeout_seconds: 180,
        retention_seconds: 1_209_600,
        is_encrypted: true,
        policy: Some(ONLY_OVER_TLS.to_owned()),
        ..Queue::default()
    };
    let mapping = |function: &str| Mapping {
        uuid: format!("mapping-of-{function}"),
        function: function.to_owned(),
        state: "Enabled".to_owned(),
        reports_batch_item_failures: true,
        ..Mapping::default()
    };
    let of_stream = |function: &str, attempts, pattern: &str| Mapping {
        batch_size: 100,
        starting_position: Some("TRIM_HORIZON".to_owned()),
        maximum_retry_attempts: attempts,
        maximum_record_age_seconds: Some(82_800),
        bisects: true,
        failure_destination: Some("arn:aws:s3:::b".to_owned()),
        filters: vec![pattern.to_owned()],
        ..mapping(function)
    };
    let reader = |timeout_seconds, variable: (&str, &str), mapping: Mapping| Reader {
        name: mapping.function.clone(),
        function: Ok(Function {
            timeout_seconds,
            variables: BTreeMap::from([(variable.0.to_owned(), variable.1.to_owned())]),
        }),
        mappings: Ok(vec![mapping]),
    };
    Deployed {
        parameters: BTreeMap::new(),
        queue_url: "https://sqs/q".to_owned(),
        dead_letter_queue_url: "https://sqs/d".to_owned(),
        table_name: "t".to_owned(),
        stream_name: "s".to_owned(),
        bucket_name: "b".to_owned(),
        queue: Ok(Queue {
            dead_letter_target: Some(DEAD_LETTERS.to_owned()),
            max_receives: Some(6),
            ..queue(QUEUE)
        }),
        dead_letter_queue: Ok(queue(DEAD_LETTERS)),
        table: Ok(Table {
            key: vec!["notification_id".to_owned()],
            stream_view: Some("NEW_AND_OLD_IMAGES".to_owned()),
            has_kms_key: true,
            is_protected: true,
            ..Table::default()
        }),
        time_to_live: Ok(Some("expires_at".to_owned())),
        is_recoverable: Ok(true),
        stream: Ok(Stream {
            retention_hours: 336,
            is_encrypted: true,
            distribution: Some("USER_PARTITION_KEY".to_owned()),
        }),
        bucket_encryption: Ok(Some("AES256".to_owned())),
        bucket_public: Ok(Vec::new()),
        bucket_policy: Ok(Some(ONLY_OVER_TLS.replace("sqs:*", "s3:*"))),
        ingest: reader(
            30,
            ("TABLE_NAME", "t"),
            Mapping {
                batch_size: 10,
                maximum_concurrency: Some(50),
                ..mapping("ingest")
            },
        ),
        forward: reader(
            60,
            ("STREAM_NAME", "s"),
            of_stream("forward", None, r#"{"eventName": ["INSERT", "MODIFY"]}"#),
        ),
        complete: reader(
            60,
            ("TABLE_NAME", "t"),
            of_stream(
                "complete",
                Some(100),
                r#"{"data": {"type": [{"suffix": ".init"}]}}"#,
            ),
        ),
        reserved_concurrency: Ok(None),
    }
}

/// What is said of a sound stack with one change.
fn with(change: impl FnOnce(&mut Deployed)) -> Vec<Finding> {
    let mut deployed = sound();
    change(&mut deployed);
    deployed.examine()
}

fn names(findings: &[Finding]) -> Vec<(Severity, &str, &str)> {
    findings
        .iter()
        .map(|finding| (finding.severity, finding.check, finding.place))
        .collect()
}

fn queue(deployed: &mut Deployed) -> &mut Queue {
    deployed.queue.as_mut().unwrap()
}

fn table(deployed: &mut Deployed) -> &mut Table {
    deployed.table.as_mut().unwrap()
}

fn mapping(reader: &mut Reader) -> &mut Mapping {
    &mut reader.mappings.as_mut().unwrap()[0]
}

#[test]
fn nothing_is_said_of_a_sound_stack() {
    assert_eq!(sound().examine(), []);
    assert_eq!(serde_json::to_string(&sound().examine()).unwrap(), "[]");
    assert_eq!(text(&[]), "0 broken, 0 could not be checked, 0 advice.\n");
}

#[test]
fn each_thing_that_breaks_a_promise_is_named_alone() {
    use Severity::{Advice, Broken};
    type Change = fn(&mut Deployed);
    let cases: [(Change, (Severity, &str, &str)); 31] = [
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
            |d| d.is_recoverable = Ok(false),
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
            |d| d.stream.as_mut().unwrap().retention_hours = 24,
            (Advice, "stream-retention", "stream"),
        ),
        (
            |d| d.bucket_encryption = Ok(None),
            (Broken, "encryption", "failure bucket"),
        ),
        (
            |d| d.bucket_public = Ok(vec!["BlockPublicPolicy"]),
            (Broken, "public-access", "failure bucket"),
        ),
        (
            |d| d.bucket_policy = Ok(None),
            (Broken, "tls", "failure bucket"),
        ),
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
            |d| mapping(&mut d.complete).maximum_retry_attempts = None,
            (Broken, "retry-attempts", "complete"),
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
    ];
    for (change, wanted) in cases {
        assert_eq!(names(&with(change)), [wanted]);
    }
}

/// Filters are judged by what they let pass, not by how they are written.
#[test]
fn a_filter_in_other_words_is_as_good() {
    let forward = |pattern: &str| {
        let pattern = pattern.to_owned();
        with(|deployed| mapping(&mut deployed.forward).filters = vec![pattern])
    };
    assert_eq!(
        forward(r#"{"eventName": [{"anything-but": ["REMOVE"]}]}"#),
        []
    );
    // A redrive leaves the status as it is.
    let by_status = r#"{"eventName": ["INSERT", "MODIFY"], "dynamodb": {"NewImage": {"redrives": {"N": [{"exists": false}]}}}}"#;
    let findings = forward(by_status);
    assert_eq!(
        names(&findings),
        [(Severity::Broken, "forward-filter", "forward")]
    );
    assert!(
        findings[0].found.ends_with(" leaves out a redrive"),
        "{findings:?}"
    );
}

#[test]
fn what_the_owner_has_asked_for_is_advice() {
    let with_parameter = |name: &str, change: fn(&mut Deployed)| {
        with(|deployed| {
            deployed
                .parameters
                .insert(name.to_owned(), "false".to_owned());
            change(deployed);
        })
    };
    let unprotected: fn(&mut Deployed) = |deployed| table(deployed).is_protected = false;
    let asked_for = with_parameter("TableDeletionProtection", unprotected);
    assert_eq!(
        names(&asked_for),
        [(Severity::Advice, "deletion-protection", "table")]
    );
    let other = with_parameter("RequireTls", unprotected);
    assert_eq!(other[0].severity, Severity::Broken);

    // A pause is of all three.
    let all: fn(&mut Deployed) = |deployed| {
        for reader in [
            &mut deployed.ingest,
            &mut deployed.forward,
            &mut deployed.complete,
        ] {
            mapping(reader).state = "Disabled".to_owned();
        }
    };
    let one: fn(&mut Deployed) =
        |deployed| mapping(&mut deployed.forward).state = "Disabled".to_owned();
    let severities =
        |findings: Vec<Finding>| Vec::from_iter(findings.iter().map(|finding| finding.severity));
    assert_eq!(
        severities(with_parameter("EventSourcesEnabled", all)),
        [Severity::Advice; 3]
    );
    assert_eq!(
        severities(with_parameter("EventSourcesEnabled", one)),
        [Severity::Broken]
    );
    assert_eq!(severities(with(all)), [Severity::Broken; 3]);
}

#[test]
fn a_policy_with_a_gap_does_not_keep_plain_text_out() {
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
        let findings = with(|deployed| queue(deployed).policy = Some(policy.clone()));
        assert_eq!(
            names(&findings),
            [(Severity::Broken, "tls", "queue")],
            "{policy}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_never_fine() {
    let failed = || Unread::Failed("DescribeTable: not allowed".to_owned());
    let findings = with(|deployed| {
        deployed.table = Err(failed());
        deployed.bucket_policy = Err(failed());
        deployed.complete.mappings = Err(failed());
        deployed.complete.function = Err(failed());
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

    let gone = with(|deployed| {
        deployed.dead_letter_queue = Err(Unread::Gone(
            "GetQueueAttributes: QueueDoesNotExist".to_owned(),
        ));
    });
    assert_eq!(
        names(&gone),
        [(Severity::Broken, "missing", "dead-letter queue")]
    );
}

#[test]
fn a_script_is_told_the_worst() {
    let unread: fn(&mut Deployed) =
        |deployed| deployed.is_recoverable = Err(Unread::Failed("no".to_owned()));
    let unprotected: fn(&mut Deployed) = |deployed| table(deployed).is_protected = false;
    let advice: fn(&mut Deployed) = |deployed| table(deployed).has_kms_key = false;
    let code = |changes: &[fn(&mut Deployed)]| {
        exit_code(&with(|deployed| {
            changes.iter().for_each(|change| change(deployed));
        }))
    };
    assert_eq!(code(&[]), 0);
    assert_eq!(code(&[advice]), 0);
    assert_eq!(code(&[advice, unread]), 1);
    assert_eq!(code(&[advice, unread, unprotected]), 6);
}

#[test]
fn the_table_s_stream_has_two_readers_at_most_and_one_where_it_is_replicated() {
    let reader = |count: usize| {
        let function = |n| Mapping {
            function: format!("other-{n}"),
            ..Mapping::default()
        };
        (0..count).map(function).collect::<Vec<_>>()
    };
    let of = |others: usize, is_global: bool| {
        let findings = with(|deployed| {
            deployed
                .forward
                .mappings
                .as_mut()
                .unwrap()
                .extend(reader(others));
            if is_global {
                table(deployed).replicas = vec!["eu-west-1".to_owned()];
                table(deployed).is_strongly_consistent = true;
            }
        });
        !findings.is_empty()
    };
    assert_eq!((of(1, false), of(2, false)), (false, true));
    assert_eq!((of(0, true), of(1, true)), (false, true));
}

#[test]
fn items_are_kept_for_longer_than_a_message_can_lie_in_both_queues() {
    let of = |days: &str| {
        with(|deployed| {
            let variables = &mut deployed.complete.function.as_mut().unwrap().variables;
            variables.insert("DONE_RETENTION_DAYS".to_owned(), days.to_owned());
        })
    };
    assert_eq!((of("0"), of("29")), (Vec::new(), Vec::new()));
    let short = of("28");
    assert_eq!(
        names(&short),
        [(Severity::Broken, "done-retention", "complete")]
    );
    assert_eq!(short[0].breaks, Promise::WrittenOnce);
    assert_eq!(
        short[0].repair,
        "sam deploy --parameter-overrides DoneRetentionDays=29"
    );
}

#[test]
fn the_worst_comes_first_with_its_repair() {
    let findings = with(|deployed| {
        mapping(&mut deployed.ingest).maximum_concurrency = None;
        mapping(&mut deployed.complete).reports_batch_item_failures = false;
    });
    assert_eq!(
        text(&findings[..1]),
        concat!(
            "BROKEN  partial-responses: complete\n",
            "    found   FunctionResponseTypes has no ReportBatchItemFailures\n",
            "    needed  ReportBatchItemFailures\n",
            "    breaks  Status: Lambda does not read which records have failed, and takes the whole batch for done\n",
            "    repair  aws lambda update-event-source-mapping --uuid mapping-of-complete --function-response-types ReportBatchItemFailures\n",
            "\n",
            "1 broken, 0 could not be checked, 0 advice.\n",
        )
    );
    assert_eq!(findings[1].check, "maximum-concurrency");
}
