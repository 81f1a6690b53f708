//! `template.yaml` matches the code and provides what the guarantees require.
#![allow(clippy::unwrap_used)]

mod alarms;
mod build;
mod cloudformation;
mod cost;
mod dashboard;
mod downstream;
mod guided;
mod interface;
mod mappings;
mod metrics;
mod outputs;
mod package;
mod parameters;
mod permissions;
mod queue_policies;
mod queues;
mod settings;
mod storage;
mod terraform;
mod translated;

use std::collections::BTreeSet;

use onewrite_tests::template::Template;
use serde_json::{Value, json};

const FUNCTIONS: [&str; 3] = ["Ingest", "Forward", "Complete"];

/// The runbook, to whose sections the alarms link.
const RUNBOOK: &str = "docs/operating.md";

fn template() -> Template {
    onewrite_tests::template::template().unwrap()
}

fn reference(name: &str) -> Value {
    json!({ "Ref": name })
}

fn get_att(name: &str) -> Value {
    json!({ "Fn::GetAtt": name })
}

/// The change stream of the table: the stack's own, or the one of an existing table.
fn table_stream_arn() -> Value {
    let own = get_att("NotificationTable.StreamArn");
    json!({"Fn::If": ["CreatesTable", own, reference("ExistingTableStreamArn")]})
}

/// The metrics that a function emits with `Metrics=essential`.
fn essential_metrics_of(function: &str) -> &'static [&'static str] {
    match function {
        "ingest" => &onewrite_ingest::handler::ESSENTIAL_METRICS,
        "forward" => &onewrite_forward::handler::ESSENTIAL_METRICS,
        "complete" => &onewrite_complete::handler::ESSENTIAL_METRICS,
        other => panic!("there is no function {other}"),
    }
}

/// The metrics that a function emits, by the value of its dimension `Function`.
fn metrics_of(function: &str) -> BTreeSet<&'static str> {
    match function {
        "ingest" => onewrite_ingest::handler::METRICS.into(),
        "forward" => onewrite_forward::handler::METRICS.into(),
        "complete" => onewrite_complete::handler::METRICS.into(),
        other => panic!("there is no function {other}"),
    }
}
