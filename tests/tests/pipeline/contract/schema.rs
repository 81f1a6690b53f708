//! The schema accepts every event of the code, and the AsyncAPI document refers to it.

use std::{collections::BTreeSet, path::Path};

use onewrite::{
    event::{NotificationEvent, attribute},
    limits::{MAX_ID_CHARS, MAX_REFUSAL_CHARS, MAX_SOURCE_CHARS, MAX_TYPE_CHARS},
    notification::Status,
};
use onewrite_tests::template::{repository, template};
use serde_json::{Value, json};

use super::{
    events,
    fixtures::{VERSION, event_json, item, refund},
    helpers::run_python,
};

/// The invalid documents that a schema cannot tell from events, because it cannot compare attributes.
const BEYOND_A_SCHEMA: [&str; 2] = ["an id that is not the subject's", "another partition key"];

fn schema() -> Value {
    let text = std::fs::read_to_string(repository("shared/contract/event.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Whether each document is valid, by the reference implementation in Python.
fn validate(documents: &[Value]) -> Vec<bool> {
    let task = json!({"schema": schema(), "documents": documents});
    let no_arguments: [&Path; 0] = [];
    let printed = run_python("check_schema.py", &no_arguments, &task);
    serde_json::from_value(printed).unwrap()
}

#[test]
fn the_schema_accepts_events_and_nothing_else() {
    let vectors = events::vectors();
    let parsed = vectors.iter().filter_map(|vector| {
        let document = serde_json::from_str(vector["document"].as_str().unwrap()).ok()?;
        Some((vector, document))
    });
    let (vectors, documents): (Vec<&Value>, Vec<Value>) = parsed.unzip();
    assert!(documents.len() > 20);
    for (vector, is_valid) in vectors.iter().zip(validate(&documents)) {
        let name = vector["name"].as_str().unwrap();
        let is_accepted = vector["is_event"] == true || BEYOND_A_SCHEMA.contains(&name);
        assert_eq!(is_valid, is_accepted, "{name}");
    }
}

#[test]
fn the_schema_has_the_limits_of_the_code() {
    let with = |name: &str, value: String| {
        let mut document = event_json(&refund("rf_1"));
        document[name] = value.into();
        document
    };
    let id = |chars| event_json(&item(&"i".repeat(chars), "refund", "1"));
    let too_long = "i".repeat(MAX_ID_CHARS + 1);
    let mut long_id = with("subject", too_long.clone());
    long_id["partitionkey"] = too_long.clone().into();
    long_id["id"] = format!("{too_long}/INIT").into();
    let refused = |chars| {
        let mut item = refund("rf_1");
        item.status = Status::Refused;
        item.version = 2;
        let mut document: Value =
            serde_json::from_str(&NotificationEvent::from(item).to_json()).unwrap();
        document["refusal"] = "r".repeat(chars).into();
        document
    };
    let kind = |chars: usize| with("type", format!("{}.init", "t".repeat(chars)));
    let source = |chars: usize| with("source", "s".repeat(chars));
    let valid = [
        id(MAX_ID_CHARS),
        refused(MAX_REFUSAL_CHARS),
        kind(MAX_TYPE_CHARS),
        source(MAX_SOURCE_CHARS),
    ];
    let invalid = [
        long_id,
        refused(MAX_REFUSAL_CHARS + 1),
        kind(MAX_TYPE_CHARS + 1),
        source(MAX_SOURCE_CHARS + 1),
        with("subject", " a".to_owned()),
        with("subject", "é".to_owned()),
        with("refusal", "account_closed".to_owned()),
    ];
    assert_eq!(validate(&valid), [true; 4]);
    assert_eq!(validate(&invalid), [false; 7]);
}

#[test]
fn the_schema_names_every_attribute_and_its_version() {
    use attribute as a;
    let schema = schema();
    let id = format!("urn:onewrite:contract:{VERSION}:event");
    assert_eq!(schema["$id"], id);
    let named: BTreeSet<&str> = schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let optional = [a::REFUSAL, a::TRACEPARENT, a::ENRICHMENT];
    let required: BTreeSet<&str> = [
        a::SPEC_VERSION,
        a::ID,
        a::SOURCE,
        a::TYPE,
        a::SUBJECT,
        a::TIME,
        a::DATA_CONTENT_TYPE,
        a::PARTITION_KEY,
        a::SEQUENCE,
        a::STATUS,
        a::FINGERPRINT,
        a::DATA,
    ]
    .into();
    let listed = schema["required"].as_array().unwrap().iter();
    assert_eq!(
        listed.filter_map(Value::as_str).collect::<BTreeSet<_>>(),
        required
    );
    assert_eq!(named, required.into_iter().chain(optional).collect());
}

/// All values of `$ref` in a document.
fn references(document: &Value) -> Vec<&str> {
    match document {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(target) if name == "$ref" => vec![target],
                _ => references(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_asyncapi_document_describes_the_stream_of_the_stack() {
    let text = std::fs::read_to_string(repository("shared/contract/asyncapi.yaml")).unwrap();
    let document: Value = serde_yaml_ng::from_str(&text).unwrap();
    assert_eq!(document["asyncapi"], "3.0.0");
    let version = document["info"]["version"].as_str().unwrap();
    assert_eq!(
        version.split('.').next(),
        Some(VERSION.to_string().as_str())
    );
    let targets = references(&document);
    assert!(targets.len() >= 7, "{targets:?}");
    for target in targets {
        let resolves = match target.strip_prefix('#') {
            Some(pointer) => document.pointer(pointer).is_some(),
            None => repository("shared/contract").join(target).exists(),
        };
        assert!(resolves, "{target}");
    }
    let messages = document["components"]["messages"].as_object().unwrap();
    let mut statuses: Vec<&str> = messages
        .values()
        .map(|message| message["payload"]["allOf"][1]["properties"]["status"]["const"].as_str())
        .map(Option::unwrap)
        .collect();
    statuses.sort_unstable();
    let all = [Status::Done, Status::Init, Status::Refused];
    assert_eq!(statuses, all.map(Status::as_str));
    let channel = document["channels"]["notifications"]["description"].as_str();
    let channel = channel.unwrap();
    let named = channel.split(|c: char| !c.is_alphanumeric());
    let outputs = template().unwrap();
    let outputs = outputs.at("/Outputs").as_object().unwrap();
    let mut outputs_named = named.filter(|word| outputs.contains_key(*word));
    assert_eq!(outputs_named.next(), Some("NotificationStreamName"));
}
