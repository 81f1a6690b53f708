//! Misconfigured targets, and a stack without any.

use onewrite_stack::scan::PendingItems;

use super::*;
use crate::doctor::snapshot::{DownstreamResource, ResourceSettings};

const TARGET: &str = "arn:aws:sqs:us-east-1:123456789012:refunds";
const FIFO_TARGET: &str = "arn:aws:sqs:us-east-1:123456789012:refunds.fifo";
const FIFO_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:refunds.fifo";
const MACHINE: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:refund";
const SECRET: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:key-AbCdEf";

const PARAMETER: &str = "arn:aws:ssm:us-east-1:123456789012:parameter/key";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/ledger";

fn resource(arn: &str) -> DownstreamResource {
    DownstreamResource {
        arn: arn.to_owned(),
        address: arn.parse().map_err(|_| "no target".to_owned()),
        settings: Ok(ResourceSettings::default()),
    }
}

fn missing(arn: &str) -> DownstreamResource {
    DownstreamResource {
        settings: Err(ReadError::NotFound(
            "GetQueueUrl: QueueDoesNotExist".to_owned(),
        )),
        ..resource(arn)
    }
}

/// Sets a parameter and its variable.
fn set(stack: &mut StackSnapshot, parameter: &str, variable: &str, value: &str) {
    let entry = (parameter.to_owned(), value.to_owned());
    stack.parameters.extend([entry]);
    set_variable(&mut stack.complete, variable, value);
}

fn set_types(stack: &mut StackSnapshot, types: &str) {
    set(stack, "DownstreamTypes", "DOWNSTREAM_TYPES", types);
}

fn set_url(stack: &mut StackSnapshot, url: &str) {
    set(stack, "DownstreamUrl", "DOWNSTREAM_URL", url);
}

#[test]
fn reports_each_misconfigured_target() {
    use Severity::{Broken, Unchecked};
    assert_each_is_reported_alone(&[
        (
            |d| d.downstream = vec![resource("arn:aws:s3:::bucket")],
            (Broken, "target-arn", "downstream"),
        ),
        (
            |d| d.downstream = vec![missing(TARGET)],
            (Broken, "target-missing", "downstream"),
        ),
        (
            |d| {
                d.downstream = vec![missing(SECRET)];
                set_url(d, "https://example.com/private");
            },
            (Broken, "secret-missing", "downstream"),
        ),
        (
            |d| d.downstream = vec![resource(FIFO_TOPIC)],
            (Broken, "target-fifo", "downstream"),
        ),
        (
            |d| {
                let mut target = resource(TARGET);
                target.settings.as_mut().unwrap().is_fifo = true;
                d.downstream = vec![target];
            },
            (Broken, "target-fifo", "downstream"),
        ),
        (
            |d| {
                let mut machine = resource(MACHINE);
                machine.settings.as_mut().unwrap().is_express = true;
                d.downstream = vec![machine];
            },
            (Broken, "express", "downstream"),
        ),
        (
            |d| {
                let mut target = resource(TARGET);
                target.settings = Err(ReadError::Failed("access denied".to_owned()));
                d.downstream = vec![target];
            },
            (Unchecked, "unread", "downstream"),
        ),
    ]);
}

#[test]
fn reports_a_queue_of_the_stack_as_its_own_target() {
    use Severity::Broken;
    assert_each_is_reported_alone(&[
        (
            |d| {
                queue(d).arn = TARGET.to_owned();
                d.downstream = vec![resource(TARGET)];
            },
            (Broken, "target-loop", "downstream"),
        ),
        (
            |d| {
                d.dead_letter_queue.as_mut().unwrap().arn = TARGET.to_owned();
                queue(d).dead_letter_target = Some(TARGET.to_owned());
                d.downstream = vec![resource(TARGET)];
            },
            (Broken, "target-loop", "downstream"),
        ),
    ]);
}

/// The function does not start with such a list.
#[test]
fn reports_lists_without_a_target_and_secrets_without_a_url() {
    use Severity::Broken;
    assert_each_is_reported_alone(&[
        (
            |d| d.downstream = vec![resource(TABLE), resource(SECRET)],
            (Broken, "no-target", "downstream"),
        ),
        (
            |d| d.downstream = vec![resource(TARGET), resource(SECRET)],
            (Broken, "secret-unused", "downstream"),
        ),
        (
            |d| {
                d.downstream = vec![resource(SECRET), resource(PARAMETER)];
                set_url(d, "https://example.com/private");
            },
            (Broken, "secret-unused", "downstream"),
        ),
    ]);
}

#[test]
fn reports_each_wrong_setting_of_the_downstream() {
    use Severity::{Advice, Broken};
    assert_each_is_reported_alone(&[
        (
            |d| set_types(d, "refunds=refund.*"),
            (Broken, "type-pattern", "downstream"),
        ),
        (
            |d| {
                d.downstream = vec![resource(SECRET)];
                set_url(d, "https://example.com/private");
                set_types(d, "key-AbCdEf=refund.*");
            },
            (Broken, "type-pattern", "downstream"),
        ),
        (
            |d| {
                d.downstream = vec![resource(TARGET)];
                set_types(d, "refunds=*.created");
            },
            (Broken, "type-pattern", "downstream"),
        ),
        (
            |d| set_url(d, "https://example.com/private"),
            (Advice, "signature", "downstream"),
        ),
        (
            |d| {
                let parameter = ("DownstreamMaxPerSecond".to_owned(), "5".to_owned());
                d.parameters.extend([parameter]);
                set_variable(&mut d.complete, "DOWNSTREAM_MAX_PER_SECOND", "500");
            },
            (Broken, "parameter", "downstream"),
        ),
        (
            |d| {
                let parameter = ("StreamParallelizationFactor".to_owned(), "4".to_owned());
                d.parameters.extend([parameter]);
                mapping(&mut d.complete).parallelization_factor = Some(1);
            },
            (Advice, "parallelization", "complete"),
        ),
        (
            |d| {
                let parameter = ("CompleteMaximumRetryAttempts".to_owned(), "50".to_owned());
                d.parameters.extend([parameter]);
            },
            (Advice, "retry-attempts", "complete"),
        ),
    ]);
}

#[test]
fn accepts_targets_that_are_right() {
    let findings = examine_with(|stack| {
        let fifo = |arn| DownstreamResource {
            settings: Ok(ResourceSettings {
                is_fifo: true,
                is_express: false,
            }),
            ..resource(arn)
        };
        stack.downstream = vec![
            resource(TARGET),
            fifo(FIFO_TARGET),
            fifo(FIFO_TOPIC),
            resource(MACHINE),
            resource(SECRET),
        ];
        set_url(stack, "https://example.com/private");
        set_types(stack, "refunds=refund.*,refunds=audit,url=*");
    });
    assert_eq!(findings, []);
}

#[test]
fn does_not_print_a_url() {
    let findings = examine_with(|stack| {
        set_url(stack, "https://example.com/private");
        set_variable(
            &mut stack.complete,
            "DOWNSTREAM_URL",
            "https://example.com/other",
        );
    });
    assert!(!findings.is_empty());
    let text = text(&findings);
    assert!(!text.contains("example.com"), "{text}");
}

fn without_downstream(stack: &mut StackSnapshot) {
    for name in ["DownstreamArns", "DownstreamUrl"] {
        stack.parameters.insert(name.to_owned(), String::new());
    }
    stack.pending = Ok(Some(PendingItems {
        count: 1_204,
        sampled: 1_300,
        of_items: None,
    }));
}

/// Without a target, the template creates no mapping of `complete`; nothing is broken or paused because of that.
#[test]
fn knows_a_stack_without_downstream() {
    let findings = examine_with(|stack| {
        without_downstream(stack);
        stack.complete.mappings = Ok(Vec::new());
    });
    assert_eq!(
        names(&findings),
        [(Severity::Advice, "no-downstream", "downstream")]
    );
    assert_eq!(
        findings[0].found,
        "no downstream configured: 1204 notifications in INIT"
    );
    let findings = examine_with(without_downstream);
    assert_eq!(
        names(&findings)[0],
        (Severity::Broken, "no-downstream", "downstream")
    );
    // With a downstream, the mapping is required.
    let findings = examine_with(|stack| stack.complete.mappings = Ok(Vec::new()));
    assert_eq!(
        names(&findings),
        [(Severity::Broken, "mapping", "complete")]
    );
}
