//! The example functions in Python and JavaScript, and the copies of them in the documents.

use std::path::Path;

use onewrite_tests::template::repository;
use serde_json::{Value, json};

use super::{
    fixtures::{directory, event_json, item, item_json, refund},
    helpers::{run_node, run_python},
};

const EXAMPLES: &str = "docs/examples/functions";

/// The form of items and events.
pub(crate) const FORMATS: &str = "docs/messages-and-events.md";

/// Events, and the verdicts that each example gives.
fn cases() -> (Value, Value) {
    let closed = item("rf_2", "refund", r#"{"account":"closed"}"#);
    let events = json!([event_json(&refund("rf_1")), event_json(&closed)]);
    let entry = |text: &str| json!({"entry_id": {"S": "rf_1"}, "entry": {"S": text}});
    // Each language has its own spelling of the same JSON.
    let verdicts = |text: &str| {
        json!([
            {"accepted": true, "writes": [{"Put": {"TableName": "ledger", "Item": entry(text)}}]},
            {"refused": "account_closed"},
        ])
    };
    let python = verdicts(r#"{"amount": 1.0, "order": 8841}"#);
    let javascript = verdicts(r#"{"amount":1,"order":8841}"#);
    (events, json!([python, javascript]))
}

#[test]
fn the_ledger_in_python_answers_with_a_write_or_a_refusal() {
    let (events, verdicts) = cases();
    let file = repository(EXAMPLES).join("ledger.py");
    let printed = run_python("run_function.py", &[&file], &events);
    assert_eq!(printed, verdicts[0]);
}

#[test]
fn the_ledger_in_javascript_answers_with_a_write_or_a_refusal() {
    let (events, verdicts) = cases();
    let file = repository(EXAMPLES).join("ledger.mjs");
    if let Some(printed) = run_node("run_function.mjs", &[&file], &events) {
        assert_eq!(printed, verdicts[1]);
    }
}

fn document() -> String {
    std::fs::read_to_string(repository("docs/consumers.md")).unwrap()
}

#[test]
fn the_document_shows_the_request_of_the_first_vector() {
    let document = document();
    let blocks = document.split("```json\n").skip(1);
    let requests = blocks.map(|block| block.split("```").next().unwrap());
    let shown = requests.map(|text| serde_json::from_str::<Value>(text).unwrap());
    let shown: Vec<Value> = shown.collect();
    let vectors = std::fs::read_to_string(directory().join("settlements.json")).unwrap();
    let vectors: Value = serde_json::from_str(&vectors).unwrap();
    assert_eq!(
        shown,
        [vectors["vectors"][0]["calls"][0]["request"].clone()]
    );
}

#[test]
fn the_document_shows_the_tested_functions() {
    let shown = document();
    for file in std::fs::read_dir(repository(EXAMPLES)).unwrap() {
        let path = file.unwrap().path();
        let code = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        // The first line describes the file, which the document does itself.
        let (_, code) = code.split_once("\n\n").unwrap();
        let language = match Path::new(name).extension().and_then(|end| end.to_str()) {
            Some("py") => "python",
            _ => "js",
        };
        let block = format!("```{language}\n{code}```");
        assert!(shown.contains(&block), "{name}");
    }
}

/// A payload, and the compressed value of its item in Base64.
fn compressed() -> (String, Value) {
    let payload = format!(
        r#"{{"lines": [{}0], "name": "Müller"}}"#,
        "1.0, ".repeat(900)
    );
    let value = item_json(&item("rf_1", "refund", &payload))["payload"]["B"].clone();
    assert!(value.is_string(), "it is compressed");
    (payload, value)
}

/// The text of the document between two others.
fn between<'a>(document: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = document.split_once(start).unwrap();
    rest.split_once(end).unwrap().0
}

#[test]
fn the_lines_in_the_document_read_a_compressed_payload() {
    let document = std::fs::read_to_string(repository(FORMATS)).unwrap();
    let (payload, value) = compressed();
    let nothing: [&Path; 0] = [];
    let run = |line: &str, command: &str| {
        let task = json!({"line": line, "command": command, "value": value});
        run_python("read_payload.py", &nothing, &task)
    };
    let line = between(&document, "```python\n", "```");
    let command = between(&document, "python3 -c '", "'");
    let expected = json!([payload, format!("{payload}\n")]);
    assert_eq!(run(line, command), expected);
    let expression = between(&document, "Node.js has `", "`");
    let task = json!({"expression": expression, "value": value});
    if let Some(printed) = run_node("read_payload.mjs", &nothing, &task) {
        assert_eq!(printed, payload);
    }
}
