//! A function in Python or JavaScript whose writes `complete` commits together with DONE.
//!
//! The functions are the examples of the documentation, in a wrapper that makes repeated effects visible: each answer writes
//! another entry. Two committed answers would be two entries.

use std::{collections::BTreeMap, path::Path};

use onewrite_local::{
    downstream::{Function, Table, Targets},
    messages,
    sample::Sample,
    stack::Stack,
    workspace::Workspace,
};
use onewrite_tests::{
    fault_proxy::{FaultProxy, WireFault},
    recorder::Recorder,
    settings::redirect,
};
use serde_json::json;

use super::{assert_settled, scan, text, verdicts, with_targets};
use crate::support::{CANARY, settle, start_event_sources, valid, wait_until};

const LEDGER: &str = "ledger";

/// Crashes once for each id that begins with `before-` or `after-`, before or after the answer is made.
const PYTHON: &str = include_str!("wrapper.py");

const JAVASCRIPT: &str = include_str!("wrapper.mjs");

/// Writes the example in its wrapper to `directory`.
fn wrap(example: &str, wrapper: &str, directory: &Path) -> Function {
    let path = Workspace::here().root().join("docs/examples/functions");
    let source = std::fs::read_to_string(path.join(example)).unwrap();
    let source = [
        ("\ndef handler(", "\ndef answer("),
        (
            "\nexport async function handler(",
            "\nasync function answer(",
        ),
    ]
    .iter()
    .fold(source, |source, (from, to)| source.replace(from, to));
    assert!(source.contains("answer("));
    let markers = directory.join("markers");
    std::fs::create_dir(&markers).unwrap();
    let keyword = if example.ends_with(".py") {
        ""
    } else {
        "const "
    };
    let markers = format!("\n{keyword}MARKERS = {}", json!(markers));
    let file = directory.join(example);
    std::fs::write(&file, format!("{source}\n\n{wrapper}{markers}\n")).unwrap();
    let table = Table::parse(&format!("{LEDGER}:entry_id")).unwrap();
    Function { file, table }
}

fn samples() -> Vec<Sample> {
    let payload = format!(r#"{{"amount": 1.0, "note": "{CANARY}"}}"#);
    let closed = r#"{"account": "closed"}"#;
    let mut samples = Vec::new();
    for number in 0..10 {
        samples.push(valid(&format!("plain-{number}"), &payload));
    }
    for number in 0..2 {
        samples.push(valid(&format!("before-{number}"), &payload));
        samples.push(valid(&format!("after-{number}"), &payload));
        samples.push(valid(&format!("closed-{number}"), closed));
    }
    samples
}

/// A lost answer to the transaction is the fault that repeats effects which are not in one transaction with DONE.
fn faults() -> Vec<WireFault> {
    let faults = [
        WireFault::CutAfter,
        WireFault::CutBefore,
        WireFault::InternalError,
        WireFault::Silent,
        WireFault::Throttled,
        WireFault::Late(300),
    ];
    let repeated = faults.iter().flat_map(|fault| [*fault; 3]);
    repeated.collect()
}

/// Invokes `complete` with the batches of all invocations so far, at once, next to the pipeline.
async fn compete(stack: &Stack, recorder: &Recorder) {
    let complete = &stack.outputs().complete;
    let batches = recorder
        .invocations(complete)
        .into_iter()
        .map(|invocation| {
            let payload = json!({"Records": invocation.records}).to_string();
            let invoke = stack.clients().lambda.invoke().function_name(complete);
            invoke.payload(payload.into_bytes().into()).send()
        });
    for result in futures::future::join_all(batches).await {
        result.unwrap();
    }
}

async fn assert_ledger_equals_done(stack: &Stack) {
    let verdicts = verdicts(stack).await;
    let mut entries: BTreeMap<String, usize> = BTreeMap::new();
    for entry in scan(stack, LEDGER).await {
        let key = text(&entry, "entry_id");
        *entries
            .entry(key.split('#').next().unwrap().to_owned())
            .or_default() += 1;
    }
    let (refused, done): (BTreeMap<_, _>, BTreeMap<_, _>) = verdicts
        .into_iter()
        .partition(|(id, _)| id.starts_with("closed-"));
    assert!(
        refused.values().all(|code| code == "account_closed"),
        "{refused:?}"
    );
    assert!(done.values().all(|status| status == "DONE"), "{done:?}");
    let expected = done.into_keys().map(|id| (id, 1)).collect();
    assert_eq!(entries, expected, "one entry for each notification in DONE");
}

async fn commits_each_effect_once(example: &str, wrapper: &str) {
    let directory = tempfile::tempdir().unwrap();
    let targets = Targets {
        function: Some(wrap(example, wrapper, directory.path())),
        ..Targets::default()
    };
    let mut stack = Stack::start(with_targets("function", targets))
        .await
        .unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let emulator = stack.endpoint();
    let emulator = emulator.trim_start_matches("http://").parse().unwrap();
    let proxy = FaultProxy::start(emulator).await.unwrap();
    proxy.script("TransactWriteItems", faults());
    redirect(&clients, &outputs.complete, "DYNAMODB", &proxy.endpoint())
        .await
        .unwrap();
    let recorder = start_event_sources(&mut stack).await;
    let samples = samples();
    let sent = messages::send(&clients, &outputs.queue_url, &samples, |_| {}).await;
    let sent = sent.unwrap();
    wait_until("an invocation of complete ended", async || {
        !recorder.invocations(&outputs.complete).is_empty()
    })
    .await;
    compete(&stack, &recorder).await;
    settle(&mut stack, sent.len()).await;
    compete(&stack, &recorder).await;

    assert!(proxy.injected()[&WireFault::CutAfter] > 0);
    let crashed = std::fs::read_dir(directory.path().join("markers")).unwrap();
    assert_eq!(crashed.count(), 4, "each crash happened");
    assert_ledger_equals_done(&stack).await;
    assert_settled(&stack, &sent).await;
    let log = std::fs::read_to_string(stack.log()).unwrap();
    assert!(!log.contains(CANARY));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_function_has_each_effect_once() {
    Box::pin(commits_each_effect_once("ledger.py", PYTHON)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_javascript_function_has_each_effect_once() {
    Box::pin(commits_each_effect_once("ledger.mjs", JAVASCRIPT)).await;
}
