//! The format of the recorded cases, as their README defines it. Unknown words are errors: a case must not pass
//! because a part of it was ignored.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) source: Source,
    pub(crate) mapping: Map<String, Value>,
    pub(crate) queue: Option<QueueSpec>,
    pub(crate) table: Option<TableSpec>,
    pub(crate) input: Vec<Step>,
    pub(crate) function: Option<Function>,
    pub(crate) expect: Expect,
    #[serde(default)]
    pub(crate) checked: Vec<String>,
    /// Describes the case, not AWS.
    #[serde(rename = "name")]
    _name: Value,
    #[serde(rename = "kind")]
    _kind: Value,
    #[serde(rename = "recorded")]
    _recorded: Value,
    #[serde(rename = "also_recorded")]
    _also_recorded: Option<Value>,
    #[serde(rename = "provenance")]
    _provenance: Value,
    #[serde(rename = "shows")]
    _shows: Value,
    #[serde(rename = "notes")]
    _notes: Option<Value>,
    #[serde(rename = "mapping_set")]
    _mapping_set: Option<Value>,
    #[serde(rename = "mapping_inferred")]
    _mapping_inferred: Option<Value>,
    not_recorded: Vec<String>,
}

impl Case {
    /// The inputs in order.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &str> {
        self.input.iter().filter_map(|step| match step {
            Step::Send(send) => Some(send.id.as_str()),
            Step::Put { id, .. } | Step::PutRecord { id, .. } => Some(id.as_str()),
            _ => None,
        })
    }

    /// Whether the recording does not show how long the first poll came after the first record. The wait in the case
    /// is then only a guess.
    pub(crate) fn start_delay_is_open(&self) -> bool {
        self.not_recorded
            .iter()
            .any(|open| open.starts_with("The time from the put to the start of polling"))
    }

    /// Replaces every wait.
    pub(crate) fn set_waits(&mut self, delay: f64) {
        for step in &mut self.input {
            if let Step::Wait { seconds } = step {
                *seconds = delay;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Source {
    Sqs,
    SqsFifo,
    Dynamodb,
    Kinesis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct QueueSpec {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) visibility_timeout: Option<u32>,
    pub(crate) redrive_policy: Option<RedrivePolicy>,
    #[serde(default)]
    pub(crate) content_based_deduplication: bool,
    /// The dead-letter queue of the model always has the type of its source.
    #[serde(rename = "DeadLetterQueue")]
    pub(crate) dead_letter_queue: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct RedrivePolicy {
    pub(crate) max_receive_count: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableSpec {
    pub(crate) partition_key: KeySpec,
    #[serde(rename = "StreamViewType")]
    pub(crate) stream_view_type: String,
    #[serde(rename = "billing")]
    _billing: Value,
    /// Always before the mapping is created, so it has no effect on it.
    #[serde(rename = "stream_enabled")]
    _stream_enabled: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySpec {
    pub(crate) name: String,
    #[serde(rename = "type")]
    _kind: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, tag = "step", rename_all = "snake_case")]
pub(crate) enum Step {
    Send(Box<Send>),
    Put {
        id: String,
        item: Map<String, Value>,
        event: Option<String>,
    },
    PutRecord {
        id: String,
        data: String,
        partition_key: String,
    },
    CreateMapping {
        target_version: Option<String>,
    },
    UpdateMapping {
        set: Changes,
    },
    ListMappings {},
    GetMapping {},
    DeleteTable {},
    PublishVersion {
        version: String,
        function_setting: Value,
    },
    Wait {
        seconds: f64,
    },
    WaitUntilEnabled {},
    WaitUntilQueueSize {
        exactly: Option<usize>,
        at_least: Option<usize>,
    },
    WaitUntilInvocations {
        count: usize,
    },
}

impl Step {
    /// The name of the step in `mapping_states`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Put { .. } => "put",
            Self::PutRecord { .. } => "put_record",
            Self::CreateMapping { .. } => "create_mapping",
            Self::UpdateMapping { .. } => "update_mapping",
            Self::ListMappings {} => "list_mappings",
            Self::GetMapping {} => "get_mapping",
            Self::DeleteTable {} => "delete_table",
            Self::PublishVersion { .. } => "publish_version",
            Self::Wait { .. } => "wait",
            Self::WaitUntilEnabled {} => "wait_until_enabled",
            Self::WaitUntilQueueSize { .. } => "wait_until_queue_size",
            Self::WaitUntilInvocations { .. } => "wait_until_invocations",
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Send {
    pub(crate) id: String,
    pub(crate) body: String,
    #[serde(default, rename = "messageAttributes")]
    pub(crate) message_attributes: BTreeMap<String, AttributeSpec>,
    #[serde(rename = "MessageGroupId")]
    pub(crate) message_group_id: Option<String>,
    #[serde(rename = "MessageDeduplicationId")]
    pub(crate) message_deduplication_id: Option<String>,
    pub(crate) reply: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct AttributeSpec {
    pub(crate) data_type: String,
    pub(crate) string_value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    pub(crate) target_version: Option<String>,
    #[serde(rename = "Enabled")]
    pub(crate) enabled: Option<bool>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Function {
    pub(crate) always: Option<String>,
    #[serde(default, deserialize_with = "even_null")]
    pub(crate) respond: Option<Value>,
    /// A response that need not be JSON.
    pub(crate) respond_text: Option<String>,
    pub(crate) error_while_receive_count_at_most: Option<BTreeMap<String, u64>>,
    pub(crate) report_while_receive_count_at_most: Option<BTreeMap<String, u64>>,
    pub(crate) report_inputs: Option<Vec<String>>,
    pub(crate) timeout_s: Option<u32>,
    #[serde(default)]
    pub(crate) sleep_s: u64,
    /// An upper bound. The mapping of the only case that has it sets the same value itself.
    #[serde(rename = "reserved_concurrency")]
    pub(crate) _reserved_concurrency: Option<Value>,
}

/// Distinguishes a function that returns `null` from one without the key.
fn even_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) invocations: Option<Vec<ExpectedInvocation>>,
    pub(crate) invocation_count: Option<usize>,
    pub(crate) records: Option<Vec<ExpectedRecord>>,
    pub(crate) records_common: Option<Map<String, Value>>,
    pub(crate) delivery_counts: Option<BTreeMap<String, usize>>,
    pub(crate) delivered: Option<Vec<String>>,
    pub(crate) not_delivered: Option<Vec<String>>,
    pub(crate) dead_letter_queue: Option<Vec<Map<String, Value>>>,
    pub(crate) left_in_queue: Option<Vec<Value>>,
    pub(crate) failure_notices: Option<Vec<ExpectedFailureRecord>>,
    pub(crate) concurrent_function_instances: Option<usize>,
    pub(crate) mapping_states: Option<Vec<Map<String, Value>>>,
    pub(crate) error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedInvocation {
    pub(crate) records: Vec<ExpectedRecord>,
    pub(crate) outcome: String,
    #[serde(default, deserialize_with = "even_null")]
    pub(crate) response: Option<Value>,
    pub(crate) function_version: Option<String>,
    pub(crate) function_setting: Option<Value>,
    /// The text of the function's error, which does not depend on the mapping.
    #[serde(rename = "error_message")]
    _error_message: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedRecord {
    pub(crate) input: String,
    pub(crate) fields: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedFailureRecord {
    pub(crate) destination: String,
    pub(crate) covers: Vec<String>,
    pub(crate) body: Value,
    pub(crate) object_key_prefix: Option<String>,
    /// The envelope that SNS adds to a failure record; SNS is not modelled.
    #[serde(rename = "envelope")]
    _envelope: Option<Value>,
}
