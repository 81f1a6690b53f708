//! Restores the numbers of the event source mappings, and which of them are enabled.

use std::collections::BTreeMap;

use onewrite_stack::enabled_sources::{EnabledSources, PARAMETER};
use onewrite_stack::outputs::StackOutputs;
use serde_json::{Map, Value, json};

use crate::clients::Clients;
use crate::error::Result;

pub(super) async fn fix(
    clients: &Clients,
    outputs: &StackOutputs,
    parameters: &BTreeMap<String, String>,
) -> Result<()> {
    let sources = EnabledSources::parse(parameters.get(PARAMETER).map(String::as_str));
    for mapping in clients.functions.event_source_mappings(None).await? {
        let uuid = mapping["UUID"].as_str().unwrap_or_default();
        let function = mapping["FunctionArn"].as_str().unwrap_or_default();
        let changes = changes(&mapping, is_enabled(function, outputs, sources));
        let functions = &clients.functions;
        functions
            .update_event_source_mapping(uuid, &changes)
            .await?;
    }
    Ok(())
}

/// Whether the parameter enables the mapping of the function with this ARN. Other functions have no parameter.
fn is_enabled(function_arn: &str, outputs: &StackOutputs, sources: EnabledSources) -> bool {
    let names = [
        (&outputs.ingest, "ingest"),
        (&outputs.forward, "forward"),
        (&outputs.complete, "complete"),
    ];
    // arn:aws:lambda:region:account-id:function:name
    let deployed = function_arn.split(':').nth(6);
    let mut own = names
        .into_iter()
        .filter(|(name, _)| deployed == Some(name.as_str()));
    own.all(|(_, function)| sources.contains(function))
}

/// The input of `UpdateEventSourceMapping` for a mapping as the emulator lists it.
fn changes(mapping: &Value, is_enabled: bool) -> Value {
    let numbers = [
        "BatchSize",
        "ParallelizationFactor",
        "MaximumRetryAttempts",
        "MaximumRecordAgeInSeconds",
    ];
    let numbers = numbers.into_iter().filter_map(|name| {
        let number = parse_integer(&mapping[name])?;
        Some((name.to_owned(), Value::from(number)))
    });
    let mut changes: Map<_, _> = numbers.collect();
    let concurrency = parse_integer(&mapping["ScalingConfig"]["MaximumConcurrency"]);
    if let Some(concurrency) = concurrency {
        let scaling = json!({ "MaximumConcurrency": concurrency });
        changes.insert("ScalingConfig".to_owned(), scaling);
    }
    changes.insert("Enabled".to_owned(), Value::from(is_enabled));
    Value::Object(changes)
}

/// Parses an integer, also from text.
fn parse_integer(value: &Value) -> Option<i32> {
    let number = value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))?;
    i32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_integers_written_as_text() {
        assert_eq!(parse_integer(&json!(4)), Some(4));
        assert_eq!(parse_integer(&json!("4")), Some(4));
        assert_eq!(parse_integer(&json!("-1")), Some(-1));
        for other in [json!(null), json!("four"), json!([4])] {
            assert_eq!(parse_integer(&other), None);
        }
    }

    #[test]
    fn only_the_functions_of_the_parameter_are_enabled() {
        let outputs = crate::scripted::outputs("q", "d");
        for (parameter, expected) in [
            (None, [true; 3]),
            (Some("ingest,complete"), [true, false, true]),
            (Some(""), [false; 3]),
        ] {
            let sources = EnabledSources::parse(parameter);
            let enabled = ["ingest", "forward:live", "complete"].map(|name| {
                let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{name}");
                is_enabled(&arn, &outputs, sources)
            });
            assert_eq!(enabled, expected, "{parameter:?}");
        }
    }

    #[test]
    fn restores_state_and_numbers() {
        let listed = json!({
            "UUID": "u",
            "BatchSize": "10",
            "MaximumRetryAttempts": 3,
            "ScalingConfig": {"MaximumConcurrency": "4"},
            "State": "Enabled",
        });
        let expected = json!({
            "BatchSize": 10,
            "MaximumRetryAttempts": 3,
            "ScalingConfig": {"MaximumConcurrency": 4},
            "Enabled": false,
        });
        assert_eq!(changes(&listed, false), expected);
        assert_eq!(changes(&listed, true)["Enabled"], true);
    }
}
