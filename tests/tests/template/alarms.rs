//! The alarms, and their sections of the runbook.

use std::collections::{BTreeMap, BTreeSet};

use onewrite_tests::alarms::{PENDING_COUNT, PENDING_PERCENT};
use onewrite_tests::template::repository;
use serde_json::{Value, json};

use crate::{RUNBOOK, metrics_of, reference, template};

/// The metrics that an alarm watches: namespace, name, and dimensions.
pub(crate) fn metrics_watched_by(alarm: &Value) -> Vec<(String, String, BTreeMap<String, Value>)> {
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

/// The anchors of the sections about alarms.
fn runbook_sections() -> BTreeSet<String> {
    let runbook = std::fs::read_to_string(repository(RUNBOOK)).unwrap();
    let (_, alarms) = runbook.split_once("\n## Alarms\n").unwrap();
    let anchor = |heading: &str| heading.to_lowercase().replace(' ', "-");
    alarms
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("### ").map(anchor))
        .collect()
}

#[test]
fn alarms_watch_emitted_metrics_and_link_to_their_runbook_section() {
    let template = template();
    let sections = runbook_sections();
    let mut alarms = BTreeSet::new();
    for (resource, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let name = resource.strip_suffix("Alarm").unwrap();
        let properties = &alarm["Properties"];
        let full = json!({"Fn::Sub": format!("${{AWS::StackName}}-{name}")});
        assert_eq!(properties["AlarmName"], full);
        for (namespace, metric, dimensions) in metrics_watched_by(alarm) {
            if namespace == onewrite_runtime::telemetry::NAMESPACE {
                let function = dimensions["Function"].as_str().unwrap();
                assert!(
                    metrics_of(function).contains(metric.as_str()),
                    "{name}: {metric}"
                );
                assert_eq!(dimensions["Stack"], reference("AWS::StackName"), "{name}");
                assert_eq!(dimensions.len(), 2, "{name}");
            } else {
                assert!(namespace.starts_with("AWS/"), "{name}: {namespace}");
            }
        }
        // Missing data is not an alarm, and the topic is notified when an alarm ends.
        assert_eq!(properties["TreatMissingData"], "notBreaching", "{name}");
        assert_eq!(
            properties["OKActions"], properties["AlarmActions"],
            "{name}"
        );
        let description = properties["AlarmDescription"].as_str().unwrap();
        let link = format!("{RUNBOOK}#");
        let (_, section) = description.split_once(&link).unwrap();
        assert!(
            sections.contains(section),
            "{RUNBOOK} has no section {section}"
        );
        assert!(
            alarms.insert(section.to_owned()),
            "two alarms link to {section}"
        );
    }
    let unlinked: Vec<_> = sections
        .iter()
        .filter(|section| !alarms.contains(*section))
        .collect();
    assert!(unlinked.is_empty(), "no alarm links to {unlinked:?}");
}

#[test]
fn an_alarm_with_filled_metrics_does_not_need_the_latest_minute() {
    // The latest minute is always the value of FILL, because metrics are late (CloudWatch user guide, "Using metric math").
    let template = template();
    let mut alarms = 0;
    for (name, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        let metrics = properties["Metrics"].as_array().into_iter().flatten();
        let is_per_minute = metrics
            .filter_map(|metric| metric["MetricStat"]["Period"].as_u64())
            .any(|period| period < 300);
        if is_per_minute {
            let number = |name: &str| properties[name].as_u64();
            let (breaching, evaluated) = (number("DatapointsToAlarm"), number("EvaluationPeriods"));
            assert!(
                breaching.is_some_and(|breaching| Some(breaching) < evaluated),
                "{name}"
            );
            alarms += 1;
        }
    }
    assert_eq!(alarms, 1);
}

#[test]
fn one_parameter_limits_the_delay_of_every_step() {
    let template = template();
    let threshold = |alarm: &str| template.property(alarm, "Threshold").clone();
    assert_eq!(
        threshold("OldestMessageAlarm"),
        reference("DelayAlarmSeconds")
    );
    // The metric has milliseconds.
    let milliseconds = json!({"Fn::Sub": "${DelayAlarmSeconds}000"});
    assert_eq!(threshold("ForwardIteratorAgeAlarm"), milliseconds);
    assert_eq!(threshold("CompleteIteratorAgeAlarm"), milliseconds);
}

#[test]
fn a_single_failing_message_triggers_the_alarm_of_ingest() {
    // The message fails once in each visibility timeout, 180 s by default, so most minutes have no failure.
    let template = template();
    let period = template
        .property("IngestFailedAlarm", "Period")
        .as_u64()
        .unwrap();
    let defaults = ["IngestTimeoutSeconds", "BatchingWindowSeconds"]
        .map(|name| template.default(name).unwrap());
    let visibility = template.at(&format!(
        "/Mappings/Visibility/{}/{}",
        defaults[0], defaults[1]
    ));
    assert!(period > visibility.as_u64().unwrap());
    assert_eq!(
        *template.property("IngestFailedAlarm", "EvaluationPeriods"),
        1
    );
}

#[test]
fn pending_tolerates_a_number_and_a_share_and_does_not_count_refused_ones() {
    let template = template();
    let pending = "FILL(created, 0) - FILL(done, 0) - FILL(refused, 0)";
    let tolerant = format!("0.{} * {pending}", 100 - PENDING_PERCENT);
    assert_eq!(
        *template.property("PendingAlarm", "Threshold"),
        PENDING_COUNT
    );
    let description = template.property("PendingAlarm", "AlarmDescription");
    let stated = format!("more than {PENDING_COUNT} and {PENDING_PERCENT} % of");
    assert!(description.as_str().unwrap().contains(&stated));
    let metrics = template.property("PendingAlarm", "Metrics");
    let listed = metrics.as_array().unwrap().iter();
    let expressions: Vec<&str> = listed
        .filter_map(|metric| metric["Expression"].as_str())
        .collect();
    assert_eq!(expressions, [tolerant]);
    let dashboard = template.property("Dashboard", "DashboardBody/Fn::Sub/0");
    assert!(dashboard.as_str().unwrap().contains(pending));
}
