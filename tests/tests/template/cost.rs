//! The fixed cost of a stack, counted in the template.

use std::collections::{BTreeMap, BTreeSet};

use onewrite_cost::billing::{QueueType, StreamCapacity, total};
use onewrite_cost::estimate::Estimate;
use onewrite_cost::fixed::{FixedUsage, Inventory, MONTH_HOURS, Metrics, fixed};
use onewrite_cost::prices::Prices;
use onewrite_cost::sizes::{DEFLATE_RATIO, Sizes};
use onewrite_cost::traffic::{Assumptions, Traffic};
use onewrite_runtime::telemetry::NAMESPACE;
use onewrite_tests::template::{repository, scalar};
use serde_json::Value;

use crate::alarms::metrics_watched_by;
use crate::cloudformation::{Evaluation, Parameters};
use crate::translated::{QUEUE, choose, translate_with_defaults};
use crate::{FUNCTIONS, essential_metrics_of, metrics_of};

/// The most that a month of the environment `small` of samconfig.toml may cost without any message, in US dollars.
const SMALL_USD: f64 = 15.0;

type Resources<'a> = BTreeMap<&'a str, Value>;

fn of_type<'a>(resources: &'a Resources<'_>, kind: &str) -> Vec<&'a Value> {
    let found = resources.values().filter(|one| one["Type"] == kind);
    found.collect()
}

/// The metrics of the functions that only tell that something failed: an alarm goes off as soon as one of them has a count.
fn metrics_of_failures(alarms: &[&Value]) -> BTreeSet<(String, String)> {
    let failures = alarms
        .iter()
        .filter(|alarm| alarm["Properties"]["Threshold"] == 0)
        .flat_map(|alarm| metrics_watched_by(alarm));
    failures
        .filter(|(namespace, _, _)| namespace == NAMESPACE)
        .map(|(_, metric, dimensions)| (scalar(&dimensions["Function"]).unwrap(), metric))
        .collect()
}

/// The metrics that Lambda emits for a mapping with `EventCount` (Lambda developer guide, "Event source mapping metrics").
fn event_counts(mapping: &Value) -> u64 {
    if mapping["Properties"]["MetricsConfig"].is_null() {
        return 0;
    }
    let is_stream = !mapping["Properties"]["StartingPosition"].is_null();
    // Both: polled, filtered out, invoked, failed to invoke. A queue: deleted. A stream: dropped, delivered on failure.
    if is_stream { 6 } else { 5 }
}

fn count(resources: &Resources<'_>, metrics: Metrics) -> Inventory {
    let alarms = of_type(resources, "AWS::CloudWatch::Alarm");
    let failures = metrics_of_failures(&alarms);
    let emitted = FUNCTIONS.iter().map(|name| name.to_lowercase());
    let emitted = emitted.map(|function| match metrics {
        Metrics::All => metrics_of(&function).len() as u64,
        Metrics::Essential => {
            let names = essential_metrics_of(&function).iter();
            let steady =
                names.filter(|name| !failures.contains(&(function.clone(), (**name).to_owned())));
            steady.count() as u64
        }
    });
    let mappings = of_type(resources, "AWS::Lambda::EventSourceMapping");
    let watched = alarms.iter().map(|alarm| metrics_watched_by(alarm).len());
    Inventory {
        custom_metrics: emitted.sum(),
        mapping_metrics: mappings.into_iter().map(event_counts).sum(),
        alarm_metrics: watched.sum::<usize>() as u64,
        dashboards: of_type(resources, "AWS::CloudWatch::Dashboard").len() as u64,
    }
}

fn resources<'a>(translated: &'a Value, chosen: &Parameters) -> Resources<'a> {
    Evaluation::new(translated, chosen).resources()
}

/// The parameters of an environment of samconfig.toml, with a target.
fn environment(name: &str) -> Parameters {
    let text = std::fs::read_to_string(repository("samconfig.toml")).unwrap();
    let config: toml::Table = text.parse().unwrap();
    let overrides = &config[name]["deploy"]["parameters"]["parameter_overrides"];
    let overrides = overrides.as_array().unwrap().iter();
    let mut chosen: Parameters = overrides
        .map(|one| {
            let (name, value) = one.as_str().unwrap().split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect();
    chosen.insert("DownstreamArns".to_owned(), QUEUE.to_owned());
    chosen
}

#[test]
fn the_cost_model_counts_what_the_template_has() {
    let translated = translate_with_defaults();
    for (value, metrics) in [("essential", Metrics::Essential), ("all", Metrics::All)] {
        let chosen = choose(&[("DownstreamArns", QUEUE), ("Metrics", value)]);
        let counted = count(&resources(translated, &chosen), metrics);
        assert_eq!(counted, metrics.inventory(), "{value}");
    }
}

#[test]
fn a_month_of_the_small_stack_costs_at_most_15_dollars() {
    let translated = translate_with_defaults();
    let resources = resources(translated, &environment("small"));
    let stream = &resources["NotificationStream"]["Properties"];
    assert_eq!(stream["StreamModeDetails"]["StreamMode"], "PROVISIONED");
    let shards: f64 = scalar(&stream["ShardCount"]).unwrap().parse().unwrap();
    let polling = &resources["IngestEventSource"]["Properties"]["ProvisionedPollerConfig"];
    assert!(polling.is_null());
    let usage = FixedUsage {
        inventory: count(&resources, Metrics::Essential),
        stream: StreamCapacity::Provisioned {
            shard_hours: shards * MONTH_HOURS as f64,
        },
        pollers: 0,
        hours: MONTH_HOURS,
    };
    let usd = total(&fixed(&Prices::built_in().unwrap(), usage));
    assert!(usd <= SMALL_USD, "{usd}");
}

const DOCUMENT: &str = "docs/deploying.md";

fn assert_documented(rows: &[String]) {
    let text = std::fs::read_to_string(repository(DOCUMENT)).unwrap();
    let missing: Vec<_> = rows.iter().filter(|row| !text.contains(*row)).collect();
    assert!(missing.is_empty(), "{DOCUMENT} lacks {missing:#?}");
}

fn row(label: &str, usd: &[f64]) -> String {
    let cells = usd.iter().map(|usd| format!(" {usd:.2} |"));
    format!("| {label} |{}", cells.collect::<String>())
}

#[test]
fn documents_the_fixed_cost_of_each_environment() {
    let hours = MONTH_HOURS as f64;
    let shard = StreamCapacity::Provisioned { shard_hours: hours };
    let on_demand = StreamCapacity::OnDemand { hours };
    let environments = [
        (shard, Metrics::Essential),
        (on_demand, Metrics::Essential),
        (on_demand, Metrics::All),
    ];
    let bills = environments.map(|(stream, metrics)| {
        let usage = FixedUsage {
            inventory: metrics.inventory(),
            stream,
            pollers: 0,
            hours: MONTH_HOURS,
        };
        fixed(&Prices::built_in().unwrap(), usage)
    });
    let labels = [
        "stream: one shard, or on-demand",
        "polls of an empty queue",
        "metrics of the functions",
        "metrics of the mappings",
        "metrics that alarms watch",
        "dashboard",
    ];
    let rows = labels.iter().enumerate();
    let rows = rows.map(|(index, label)| row(label, &bills.each_ref().map(|bill| bill[index].usd)));
    let totals = row("total", &bills.each_ref().map(|bill| total(bill)));
    assert_documented(&rows.chain([totals]).collect::<Vec<_>>());
    for (name, metrics) in [("small", "essential"), ("production", "all")] {
        assert_eq!(environment(name)["Metrics"], metrics, "{name}");
    }
}

#[test]
fn documents_the_cost_of_a_million_messages_at_both_ends() {
    let prices = Prices::built_in().unwrap();
    let traffic = Traffic::new(1_000_000, Sizes::new(1_024, DEFLATE_RATIO), 0.0);
    let estimates = [10, 1].map(|batch| {
        let assumptions = Assumptions {
            queue_type: QueueType::Standard,
            batch,
            duration: 50,
            memory: 256,
            log_bytes: Metrics::Essential.log_bytes(),
            metrics: Metrics::Essential,
            commits_writes: false,
            shards: 1,
            pollers: 0,
            hours: MONTH_HOURS,
        };
        Estimate::new(&traffic, &assumptions, &prices)
    });
    let of_service = |estimate: &Estimate, service: &str| {
        let items = estimate.line_items.iter();
        let items = items.filter(|item| item.service == service);
        items.map(|item| item.usd).sum::<f64>()
    };
    let services = [
        ("SQS", "SQS"),
        ("Lambda", "Lambda"),
        ("DynamoDB", "DynamoDB"),
        ("Kinesis, one shard", "Kinesis"),
        ("logs", "CloudWatch"),
    ];
    let rows = services.map(|(label, service)| {
        row(
            label,
            &estimates.each_ref().map(|one| of_service(one, service)),
        )
    });
    let totals = row("total", &estimates.each_ref().map(|one| one.variable_usd));
    assert_documented(&[&rows[..], &[totals]].concat());
}
