//! The log of a replayed case.

use std::collections::BTreeMap;

use onewrite_event_sources::Millis;
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_event_sources::mapping::{Lifecycle, ProcessingResult};
use serde_json::{Value, json};

use crate::case::Function;

pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const MAPPING_UUID: &str = "0b2f6a3e-6c0e-4f8a-9d3e-2f6b1c9a7e10";

/// The start of virtual time: 2026-01-01.
pub(crate) const EPOCH: Millis = 1_767_225_600_000;
/// The duration of a function that does not sleep.
pub(crate) const RUN: Millis = 10;
/// How long a case is observed after it became idle, for events that must not happen.
pub(crate) const OBSERVATION: Millis = 300_000;
/// Virtual time after which a case is considered stuck.
pub(crate) const PATIENCE: Millis = 3_600_000;

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) invocations: Vec<Invocation>,
    /// The recorded replies to requests, with those of the model.
    pub(crate) replies: Vec<(Value, Value)>,
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// Whether the dead-letter queue contained messages when an invocation began.
    pub(crate) dead_letters_before_the_last_invocation: bool,
    pub(crate) left_in_queue: Vec<Value>,
    pub(crate) failure_records: Vec<SentFailureRecord>,
    /// The inputs of a stream by sequence number.
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) states: Vec<Value>,
    pub(crate) most_concurrent: usize,
    pub(crate) last_result: Option<ProcessingResult>,
}

pub(crate) struct Invocation {
    pub(crate) at: Millis,
    /// Each with its input.
    pub(crate) records: Vec<(String, Value)>,
    pub(crate) outcome: &'static str,
    pub(crate) response: Option<Value>,
    pub(crate) function_version: Option<String>,
    pub(crate) function_setting: Option<Value>,
}

pub(crate) struct DeadLetter {
    pub(crate) input: String,
    pub(crate) message: Value,
}

pub(crate) struct SentFailureRecord {
    pub(crate) destination: &'static str,
    pub(crate) body: Value,
    pub(crate) object_key: Option<String>,
}

impl Log {
    pub(crate) fn records(&self) -> impl Iterator<Item = &(String, Value)> {
        self.invocations
            .iter()
            .flat_map(|invocation| &invocation.records)
    }

    pub(crate) fn delivery_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (input, _) in self.records() {
            *counts.entry(input.clone()).or_insert(0) += 1;
        }
        counts
    }

    /// Records the state of the mapping, as the API would return it after a step.
    pub(crate) fn note_state(&mut self, step: &str, lifecycle: Lifecycle, reason: &str) {
        let result = self
            .last_result
            .unwrap_or(ProcessingResult::NoRecordsProcessed);
        self.states.push(json!({
            "after": step,
            "State": lifecycle.state().as_str(),
            "StateTransitionReason": reason,
            "LastProcessingResult": result.as_str(),
        }));
    }
}

/// The sequence number of a record of a stream.
pub(crate) fn sequence_number(record: &Value) -> &Value {
    record
        .pointer("/dynamodb/SequenceNumber")
        .or_else(|| record.pointer("/kinesis/sequenceNumber"))
        .unwrap_or(&Value::Null)
}

/// One run of the function of a case.
pub(crate) struct Run {
    pub(crate) outcome: InvocationOutcome,
    pub(crate) name: &'static str,
    pub(crate) response: Option<Value>,
}

impl Function {
    /// The function of a case that never invokes it.
    pub(crate) const NONE: Self = Self {
        always: None,
        respond: None,
        respond_text: None,
        error_while_receive_count_at_most: None,
        report_while_receive_count_at_most: None,
        report_inputs: None,
        timeout_s: None,
        sleep_s: 0,
        _reserved_concurrency: None,
    };

    /// Responds to an event as the case specifies.
    pub(crate) fn run(&self, event: &Value, records: &[(String, Value)]) -> Result<Run, String> {
        if let Some(text) = &self.respond_text {
            return Ok(Run {
                outcome: InvocationOutcome::Response(text.clone()),
                name: "success",
                response: None,
            });
        }
        let response = self.response(event, records)?;
        Ok(match response {
            Some(response) => {
                let text = response.to_string();
                Run {
                    outcome: InvocationOutcome::Response(text),
                    name: "success",
                    response: Some(response),
                }
            }
            None => {
                let text = json!({"errorMessage": "failed", "errorType": "Exception"}).to_string();
                Run {
                    outcome: InvocationOutcome::FunctionError(text),
                    name: "error",
                    response: None,
                }
            }
        })
    }

    /// The response, or nothing if the function fails.
    fn response(
        &self,
        event: &Value,
        records: &[(String, Value)],
    ) -> Result<Option<Value>, String> {
        let at_most = |limits: &BTreeMap<String, u64>, input: &str, record: &Value| {
            let count = record["attributes"]["ApproximateReceiveCount"]
                .as_str()
                .and_then(|c| c.parse::<u64>().ok());
            let limit = limits.get(input).copied().unwrap_or(0);
            count.is_some_and(|count| count <= limit)
        };
        let report = |failed: Vec<&Value>| {
            let entries: Vec<Value> = failed
                .into_iter()
                .map(|id| json!({"itemIdentifier": id}))
                .collect();
            Some(json!({"batchItemFailures": entries}))
        };
        Ok(match self {
            Self {
                respond: Some(response),
                ..
            } => Some(response.clone()),
            Self {
                always: Some(always),
                ..
            } => match always.as_str() {
                "success" => Some(Value::Null),
                "echo" => Some(event.clone()),
                "error" => None,
                other => return Err(format!("the function always does {other:?}")),
            },
            Self {
                error_while_receive_count_at_most: Some(limits),
                ..
            } => {
                let fails = records
                    .iter()
                    .any(|(input, record)| at_most(limits, input, record));
                (!fails).then_some(Value::Null)
            }
            Self {
                report_while_receive_count_at_most: Some(limits),
                ..
            } => {
                let failed = records
                    .iter()
                    .filter(|(input, record)| at_most(limits, input, record));
                report(failed.map(|(_, record)| &record["messageId"]).collect())
            }
            Self {
                report_inputs: Some(inputs),
                ..
            } => {
                let failed = records.iter().filter(|(input, _)| inputs.contains(input));
                report(failed.map(|(_, record)| sequence_number(record)).collect())
            }
            _ => return Err("the case does not specify the behaviour of the function".to_owned()),
        })
    }
}
