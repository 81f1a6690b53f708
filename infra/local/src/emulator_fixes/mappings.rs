//! Disables the emulator's own pollers and restores the numbers of the event source mappings.

use serde_json::{Map, Value, json};

use crate::clients::Clients;
use crate::error::Result;

pub(super) async fn fix(clients: &Clients) -> Result<()> {
    for mapping in clients.functions.event_source_mappings(None).await? {
        let uuid = mapping["UUID"].as_str().unwrap_or_default();
        let functions = &clients.functions;
        functions
            .update_event_source_mapping(uuid, &changes(&mapping))
            .await?;
    }
    Ok(())
}

/// The input of `UpdateEventSourceMapping` for a mapping as the emulator lists it.
fn changes(mapping: &Value) -> Value {
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
    changes.insert("Enabled".to_owned(), Value::from(false));
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
    fn disables_the_poller_and_restores_numbers() {
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
        assert_eq!(changes(&listed), expected);
    }
}
