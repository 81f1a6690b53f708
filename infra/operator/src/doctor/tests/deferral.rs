//! Misconfigured deferral of messages in an outage.

use super::*;

#[test]
fn reports_settings_by_which_ingest_cannot_outlast_an_outage() {
    use Severity::Broken;
    assert_each_is_reported_alone(&[
        (
            |d| set_variable(&mut d.ingest, "QUEUE_URL", "https://sqs/d"),
            (Broken, "queue-url", "ingest"),
        ),
        (
            |d| set_variable(&mut d.ingest, "QUEUE_URL", ""),
            (Broken, "queue-url", "ingest"),
        ),
        (
            |d| set_variable(&mut d.ingest, "OUTAGE_SECONDS", "36001"),
            (Broken, "outage-seconds", "ingest"),
        ),
        (
            |d| set_variable(&mut d.ingest, "OUTAGE_SECONDS", "3h"),
            (Broken, "outage-seconds", "ingest"),
        ),
        (
            // The waits of ten hours take 15 hours with jitter.
            |d| {
                set_variable(&mut d.ingest, "OUTAGE_SECONDS", "36000");
                queue(d).retention_seconds = 12 * 3_600;
            },
            (Broken, "outage-seconds", "ingest"),
        ),
    ]);
}

/// SQS would delete the messages before their last receive, so they would not even become dead letters.
#[test]
fn states_how_long_the_receives_take_and_how_to_keep_messages_longer() {
    let findings = examine_with(|stack| {
        set_variable(&mut stack.ingest, "OUTAGE_SECONDS", "36000");
        queue(stack).retention_seconds = 12 * 3_600;
    });
    let [finding] = &findings[..] else {
        panic!("{findings:?}")
    };
    assert!(
        finding
            .found
            .ends_with("and MessageRetentionPeriod is 43200"),
        "{finding:?}"
    );
    assert!(
        finding.repair.ends_with("MessageRetentionPeriod=1209600"),
        "{finding:?}"
    );
}

#[test]
fn accepts_the_default_outage_if_the_variable_is_not_set() {
    let findings = examine_with(|stack| {
        let variables = &mut stack.ingest.function.as_mut().unwrap().variables;
        variables.remove("OUTAGE_SECONDS");
    });
    assert_eq!(findings, []);
}
