//! The golden vectors are what the functions do.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    batches, events,
    fixtures::{VERSION, directory},
    settlements,
};

/// Writes the vectors instead of comparing them.
const REWRITE: &str = "ONEWRITE_WRITE_VECTORS";

#[tokio::test]
async fn vectors_are_what_the_functions_do() {
    let generated = BTreeMap::from([
        ("events.json", events::vectors()),
        ("settlements.json", settlements::vectors().await),
        ("batches.json", batches::vectors().await),
    ]);
    for (name, vectors) in generated {
        let file = directory().join(name);
        let vectors = json!({"version": VERSION, "vectors": vectors});
        if std::env::var_os(REWRITE).is_some() {
            let text = serde_json::to_string_pretty(&vectors).unwrap();
            std::fs::write(&file, format!("{text}\n")).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let stored: Value = serde_json::from_str(&text).unwrap_or_default();
        assert!(
            stored == vectors,
            "{name} is not what the code does. If the contract is to change, run this test with {REWRITE}=1"
        );
    }
}
