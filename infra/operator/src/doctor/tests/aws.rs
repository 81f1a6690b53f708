//! Misconfigurations that only AWS shows, and the difference between a stack on AWS and a local one.

use super::*;
use crate::doctor::snapshot::OrphanedQueue;

/// Misconfigurations that a review of the template against AWS found.
#[test]
fn reports_functions_and_mappings_that_only_aws_shows() {
    use Severity::{Advice, Broken};
    assert_each_is_reported_alone(&[
        (
            |d| mapping(&mut d.ingest).qualifier = Some("live".to_owned()),
            (Broken, "qualifier", "ingest"),
        ),
        (
            |d| mapping(&mut d.complete).maximum_record_age_seconds = Some(82_800),
            (Advice, "short-record-age", "complete"),
        ),
        (
            |d| d.concurrency_quota = Ok(Some(10)),
            (Broken, "concurrency-quota", "ingest"),
        ),
        (
            |d| {
                mapping(&mut d.ingest).has_provisioned_pollers = true;
                mapping(&mut d.ingest).minimum_pollers = Some(1);
            },
            (Broken, "pollers", "ingest"),
        ),
        (
            |d| d.forward.function.as_mut().unwrap().architecture = Some("x86_64".to_owned()),
            (Broken, "architecture", "forward"),
        ),
        (
            |d| {
                d.complete.function.as_mut().unwrap().failure =
                    Some("LastUpdateStatus Failed (InvalidSubnet)".to_owned());
            },
            (Broken, "function-state", "complete"),
        ),
        (
            |d| {
                let name = "EventSource".to_owned();
                d.parameters.insert(name, "urn:shop".to_owned());
            },
            (Broken, "parameter", "forward"),
        ),
        (
            |d| {
                d.stream.as_mut().unwrap().retention_hours = 720;
                let variables = &mut d.complete.function.as_mut().unwrap().variables;
                variables.insert("DONE_RETENTION_DAYS".to_owned(), "30".to_owned());
            },
            (Broken, "done-retention", "complete"),
        ),
    ]);
}

/// Misconfigurations that a review of the template against AWS found.
#[test]
fn reports_resources_that_only_aws_shows() {
    use Severity::{Advice, Broken};
    assert_each_is_reported_alone(&[
        (
            |d| {
                d.orphaned_queues = Ok(vec![OrphanedQueue {
                    url: "https://sqs/onewrite-NotificationQueue-old".to_owned(),
                    messages: 3,
                }]);
            },
            (Broken, "orphaned-queue", "queue"),
        ),
        (
            |d| queue(d).kms_key = Some("arn:aws:kms:us-east-1:1:key/old".to_owned()),
            (Broken, "key", "queue"),
        ),
        (
            |d| d.stream.as_mut().unwrap().kms_key = Some("old".to_owned()),
            (Broken, "key", "stream"),
        ),
        (
            |d| table(d).is_strongly_consistent = true,
            (Broken, "global-table", "table"),
        ),
        (
            |d| d.bucket_lifecycle.as_mut().unwrap().expires_markers = false,
            (Advice, "bucket-lifecycle", "failure bucket"),
        ),
        (
            |d| d.bucket_lifecycle = Ok(Lifecycle::default()),
            (Advice, "bucket-lifecycle", "failure bucket"),
        ),
        (
            |d| {
                d.table = Err(ReadError::NotFound("DescribeTable".to_owned()));
            },
            (Broken, "missing", "table"),
        ),
    ]);
}

/// A deployment would create an empty table, and every id could be written again.
#[test]
fn does_not_recommend_a_deployment_for_a_missing_table() {
    let findings = examine_with(|stack| {
        let missing = |call: &str| ReadError::NotFound(call.to_owned());
        stack.table = Err(missing("DescribeTable"));
        stack.time_to_live = Err(missing("DescribeTimeToLive"));
        stack.has_point_in_time_recovery = Err(missing("DescribeContinuousBackups"));
    });
    let of_table = findings.iter().filter(|one| one.place.starts_with("table"));
    let repairs: Vec<&str> = of_table.map(|one| one.repair.as_str()).collect();
    assert_eq!(repairs.len(), 3, "{findings:?}");
    for repair in repairs {
        assert!(repair.starts_with("do not deploy"), "{repair}");
    }
}

#[test]
fn accepts_the_keys_that_the_parameters_name() {
    let with_keys = |parameter: &str, key: &str| {
        examine_with(|stack| {
            let arn = "arn:aws:kms:us-east-1:1:key/k-1".to_owned();
            stack.parameters.insert(parameter.to_owned(), arn);
            queue(stack).kms_key = Some(key.to_owned());
        })
    };
    for parameter in ["KmsKeyArn", "PreviousKmsKeyArn"] {
        for key in ["arn:aws:kms:us-east-1:1:key/k-1", "k-1", "alias/mine"] {
            assert_eq!(with_keys(parameter, key), [], "{parameter} {key}");
        }
    }
    assert_eq!(names(&with_keys("KmsKeyArn", "k-2")).len(), 1);
}

/// A fix must not deploy to AWS.
#[test]
fn knows_a_local_stack() {
    let findings = |is_local| {
        examine_with(|stack| {
            stack.is_local = is_local;
            let url = "http://127.0.0.1:9000";
            let parameter = ("DownstreamUrl".to_owned(), url.to_owned());
            stack.parameters.extend([parameter]);
            set_variable(&mut stack.complete, "DOWNSTREAM_URL", url);
            stack.stream.as_mut().unwrap().retention_hours = 168;
            mapping(&mut stack.complete).maximum_record_age_seconds = Some(601_200);
        })
    };
    assert!(findings(false)[0].repair.starts_with("sam deploy"));
    let local = findings(true);
    assert_eq!(
        names(&local),
        [(Severity::Advice, "stream-retention", "stream")]
    );
    assert_eq!(
        local[0].repair,
        "cargo local up --parameter StreamRetentionHours=336"
    );
}

/// CloudFormation compares a deployment with the deployment before, not with what runs.
#[test]
fn a_change_by_hand_is_not_undone_by_a_deployment() {
    let repair = |is_local| {
        let findings = examine_with(|stack| {
            stack.is_local = is_local;
            set_variable(&mut stack.ingest, "TABLE_NAME", "another");
        });
        findings[0].repair.clone()
    };
    // An invalid pointer that is not the parameter's was set by hand.
    let findings = examine_with(|stack| {
        let parameter = ("PayloadPointer".to_owned(), "/body".to_owned());
        stack.parameters.extend([parameter]);
        set_variable(&mut stack.ingest, "PAYLOAD_POINTER", "body");
    });
    assert_eq!(findings[0].repair, repair(false));
    let runbook = include_str!("../../../../../docs/operating.md");
    let section = "How do I undo a change that somebody made by hand?";
    assert!(runbook.contains(&format!("### {section}\n")));
    assert!(repair(false).ends_with(&format!(": docs/operating.md, \"{section}\"")));
    assert_eq!(repair(true), "start a new stack with `cargo local up`");
}
