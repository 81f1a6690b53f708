//! What the parameter `Metrics` decides.

use std::collections::BTreeSet;

use onewrite_runtime::telemetry::NAMESPACE;
use onewrite_stack::metrics::COUNTS;
use serde_json::{Value, json};

use crate::alarms::metrics_watched_by;
use crate::cloudformation::{Evaluation, Parameters};
use crate::downstream::resources;
use crate::translated::{QUEUE, translate_with_defaults};
use crate::{FUNCTIONS, essential_metrics_of, metrics_of, template};

/// The condition that `Metrics` is `all`.
pub(crate) const ALL: &str = "EmitsAllMetrics";

#[test]
fn essential_metrics_are_those_of_alarms_and_status() {
    let template = template();
    let mut needed: BTreeSet<(String, String)> = COUNTS
        .iter()
        .map(|(_, function, metric)| ((*function).to_owned(), (*metric).to_owned()))
        .collect();
    for (_, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        for (namespace, metric, dimensions) in metrics_watched_by(alarm) {
            if namespace == NAMESPACE {
                let function = dimensions["Function"].as_str().unwrap();
                needed.insert((function.to_owned(), metric));
            }
        }
    }
    let essential: BTreeSet<(String, String)> = FUNCTIONS
        .iter()
        .flat_map(|name| {
            let function = name.to_lowercase();
            let all = metrics_of(&function);
            essential_metrics_of(&function).iter().map(move |metric| {
                assert!(all.contains(metric), "{metric}");
                (function.clone(), (*metric).to_owned())
            })
        })
        .collect();
    assert_eq!(essential, needed);
}

#[test]
fn no_alarm_depends_on_metrics_of_mappings_alone() {
    for (name, alarm) in template().resources("AWS::CloudWatch::Alarm") {
        let watched = metrics_watched_by(alarm);
        let always = watched
            .iter()
            .filter(|(_, _, dimensions)| !dimensions.contains_key("EventSourceMappingUUID"));
        assert!(always.count() > 0, "{name}");
    }
}

#[test]
fn all_metrics_bring_those_of_mappings_traces_and_the_dashboard() {
    let translated = translate_with_defaults();
    let of = |metrics: &str| {
        resources(
            translated,
            &[("DownstreamArns", QUEUE), ("Metrics", metrics)],
        )
    };
    let (essential, all) = (of("essential"), of("all"));
    let more: Vec<&str> = all
        .keys()
        .copied()
        .filter(|name| !essential.contains_key(name))
        .collect();
    assert_eq!(more, ["Dashboard"]);
    for name in FUNCTIONS {
        let mapping = format!("{name}EventSource");
        let metrics = |resources: &std::collections::BTreeMap<&str, Value>| {
            resources[mapping.as_str()]["Properties"]["MetricsConfig"].clone()
        };
        assert!(metrics(&essential).is_null(), "{name}");
        assert_eq!(metrics(&all), json!({"Metrics": ["EventCount"]}), "{name}");
        let function = format!("{name}Function");
        let mode = |resources: &std::collections::BTreeMap<&str, Value>| {
            resources[function.as_str()]["Properties"]["TracingConfig"]["Mode"].clone()
        };
        assert_eq!(
            (mode(&essential), mode(&all)),
            ("PassThrough".into(), "Active".into())
        );
    }
    let essential = Evaluation::new(translated, &Parameters::new());
    let outputs = &translated["Outputs"];
    assert_eq!(outputs["DashboardUrl"]["Condition"], ALL);
    assert!(!essential.resources().contains_key("Dashboard"));
}

#[test]
fn lambda_logs_no_line_for_a_successful_invocation() {
    let template = template();
    for name in FUNCTIONS {
        // Lambda reports start and end of an invocation at INFO, and a failed one at WARN (Lambda developer guide, "System log
        // level event mapping").
        let logging = template.property(&format!("{name}Function"), "LoggingConfig");
        assert_eq!(logging["SystemLogLevel"], "WARN", "{name}");
        // Metrics are lines without a level, which Lambda treats as INFO. The code itself selects what it logs.
        assert_eq!(logging["ApplicationLogLevel"], "TRACE", "{name}");
    }
}
