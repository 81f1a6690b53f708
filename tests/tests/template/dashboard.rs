//! The dashboard.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{metrics_of, template};

/// Not on the dashboard: details of single PutRecords calls, changes delivered again, and copies within a batch.
const NOT_SHOWN: [&str; 5] = [
    "PutRecordsCalls",
    "FailedCalls",
    "FailedEntries",
    "AlreadyForwarded",
    "Copies",
];

/// The metrics of this project in the widgets, by function.
fn shown_metrics(widgets: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let metrics = widgets
        .iter()
        .filter_map(|widget| widget.pointer("/properties/metrics")?.as_array())
        .flatten();
    for metric in metrics {
        let (namespace, name, rest) = match &metric.as_array().unwrap()[..] {
            [expression] => {
                assert!(expression["expression"].is_string(), "{metric}");
                continue;
            }
            [namespace, name, rest @ ..] => (namespace, name, rest),
            [] => panic!("a widget has an empty metric"),
        };
        if *namespace != onewrite_runtime::telemetry::NAMESPACE {
            continue;
        }
        let [stack, stack_name, function, function_name, _options] = rest else {
            panic!("{metric}");
        };
        assert_eq!((stack, function), (&"Stack".into(), &"Function".into()));
        assert_eq!(*stack_name, "${AWS::StackName}");
        let (function, name) = (function_name.as_str().unwrap(), name.as_str().unwrap());
        assert!(metrics_of(function).contains(name), "{function}: {name}");
        let of_function = shown.entry(function.to_owned()).or_default();
        of_function.insert(name.to_owned());
    }
    shown
}

/// Asserts that widgets do not overlap and fit the page, which is 24 columns wide.
fn assert_widgets_fit(widgets: &[Value]) {
    let mut cells = BTreeSet::new();
    for widget in widgets {
        let side = |name: &str| widget[name].as_u64().unwrap();
        assert!(side("x") + side("width") <= 24, "{widget}");
        for x in side("x")..side("x") + side("width") {
            for y in side("y")..side("y") + side("height") {
                assert!(cells.insert((x, y)), "{widget}");
            }
        }
    }
}

#[test]
fn dashboard_shows_every_metric_and_every_alarm() {
    let template = template();
    let body = template
        .property("Dashboard", "DashboardBody/Fn::Sub/0")
        .as_str()
        .unwrap();
    // The alarm exists only with a downstream.
    let variables = template.property("Dashboard", "DashboardBody/Fn::Sub/1");
    let pending = r#", "${PendingAlarm.Arn}""#;
    assert_eq!(
        variables["AndPending"],
        json!({"Fn::If": ["HasDownstream", {"Fn::Sub": pending}, ""]})
    );
    let without: Result<Value, _> = serde_json::from_str(&body.replace("${AndPending}", ""));
    assert!(without.is_ok(), "{without:?}");
    let body: Value = serde_json::from_str(&body.replace("${AndPending}", pending)).unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    for (function, shown) in shown_metrics(widgets) {
        let missing: Vec<_> = metrics_of(&function)
            .into_iter()
            .filter(|name| !shown.contains(*name) && !NOT_SHOWN.contains(name))
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
    assert_widgets_fit(widgets);
}
