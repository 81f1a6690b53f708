//! The corpus files as written. Each file is a class of cases and gives the class its name.

use std::{collections::BTreeMap, fs, path::PathBuf};

use onewrite_verification::repository;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::text;

/// A message body, given as a whole or as one part within a frame.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    pub(crate) case: String,
    body: Option<String>,
    payload: Option<String>,
    id: Option<String>,
    r#type: Option<String>,
    #[serde(default)]
    pub(crate) pointers: BTreeMap<String, String>,
    /// `Created`, or a rejection.
    pub(crate) outcome: String,
    /// The outcome if payloads are compressed, where it differs.
    pub(crate) compressed: Option<String>,
    stored: Option<String>,
    stored_id: Option<String>,
    stored_type: Option<String>,
}

impl Body {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if let Some(body) = &self.body {
            return text::bytes(body);
        }
        let part =
            |part: &Option<String>, default: &str| text::bytes(part.as_deref().unwrap_or(default));
        [
            b"{\"notification_id\":".to_vec(),
            part(&self.id, "\"n\""),
            b",\"type\":".to_vec(),
            part(&self.r#type, "\"t\""),
            b",\"payload\":".to_vec(),
            part(&self.payload, "1"),
            b"}".to_vec(),
        ]
        .concat()
    }

    /// The expected id, type and payload of an accepted body. The payload must be stored byte for byte.
    pub(crate) fn stored(&self) -> [String; 3] {
        let default_type = if self.body.is_some() {
            "notification"
        } else {
            "t"
        };
        let payload = self.stored.as_ref().or(self.payload.as_ref());
        let text = |text: Option<&String>, default| text::string(text.map_or(default, |text| text));
        [
            text(self.stored_id.as_ref(), "n"),
            text(self.stored_type.as_ref(), default_type),
            text(payload, "1").trim().to_owned(),
        ]
    }
}

/// Two messages of one id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    pub(crate) case: String,
    pub(crate) first: String,
    pub(crate) second: String,
    #[serde(default = "default_type")]
    pub(crate) second_type: String,
    /// `AlreadyStored` or `Conflict`.
    pub(crate) outcome: String,
}

fn default_type() -> String {
    "t".to_owned()
}

/// The event of an invocation, given as records or verbatim.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) case: String,
    pub(crate) records: Option<Vec<Record>>,
    pub(crate) event: Option<String>,
    /// The outcome of an invocation that fails.
    pub(crate) outcome: Option<String>,
    /// The batch item failures, if the records do not state them.
    pub(crate) failed: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) queue: Queue,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Queue {
    #[default]
    Standard,
    Fifo,
}

/// A record: its differences from a valid record, and its outcome.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) edit: Edit,
    #[serde(default)]
    pub(crate) change: Change,
    pub(crate) document: Option<Edit>,
    pub(crate) data: Option<String>,
    #[serde(default = "one_copy")]
    times: usize,
    #[serde(default)]
    pub(crate) outcome: String,
}

fn one_copy() -> usize {
    1
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    #[default]
    Insert,
    Modify,
    Remove,
}

/// JSON pointers to remove from a value, and then values to insert.
#[derive(Deserialize, Clone, Default)]
pub(crate) struct Edit {
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    without: Vec<String>,
}

impl Edit {
    pub(crate) fn apply(&self, mut value: Value) -> Value {
        let mut at = |pointer: &str, new: Option<&Value>| {
            let (parent, key) = pointer
                .rsplit_once('/')
                .expect("the pointer must name a member");
            let parent = value.pointer_mut(parent).and_then(Value::as_object_mut);
            let parent = parent.unwrap_or_else(|| panic!("nothing to edit at {pointer}"));
            match new {
                Some(new) => drop(parent.insert(key.to_owned(), expanded(new))),
                None => drop(parent.remove(key).expect("the removed member must exist")),
            }
        };
        self.without.iter().for_each(|pointer| at(pointer, None));
        self.set
            .iter()
            .for_each(|(pointer, new)| at(pointer, Some(new)));
        value
    }
}

fn expanded(value: &Value) -> Value {
    match value {
        Value::String(text) => text::string(text).into(),
        Value::Array(elements) => elements.iter().map(expanded).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), expanded(value)))
            .collect(),
        other => other.clone(),
    }
}

impl Event {
    /// All records, repeated as often as they occur.
    pub(crate) fn each(&self) -> Vec<&Record> {
        let records = self.records.iter().flatten();
        records
            .flat_map(|record| std::iter::repeat_n(record, record.times))
            .collect()
    }

    /// The event as Lambda sends it. `records` are the JSON values of its records.
    pub(crate) fn bytes(&self, records: &[Value]) -> Vec<u8> {
        match &self.event {
            Some(event) => text::bytes(event),
            None => serde_json::json!({"Records": records})
                .to_string()
                .into_bytes(),
        }
    }
}

/// All classes of message bodies.
pub(crate) fn bodies() -> BTreeMap<String, Vec<Body>> {
    let files = fs::read_dir(folder().join("bodies")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .map(|name| {
            (
                name.trim_end_matches(".yaml").to_owned(),
                read(&format!("bodies/{name}")),
            )
        })
        .collect()
}

pub(crate) fn pairs() -> Vec<Pair> {
    read("pairs.yaml")
}

pub(crate) fn events(function: &str) -> Vec<Event> {
    read(&format!("events/{function}.yaml"))
}

fn folder() -> PathBuf {
    repository("tests/verification/hostile/corpus")
}

fn read<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}
