//! The console of `cargo local up` with the real binaries: the switches, the comparison with the double write, the guided run, and
//! that the page says what the tools and the table say.

use std::{process::Command, time::Duration};

use onewrite_local::{process, up::StackFile, workspace::Workspace};
use onewrite_tests::{cargo::build, template::repository};
use serde_json::{Value, json};

use super::{
    address::{Address, PRINTED},
    browser::{Browser, selector},
    sentence::{number, numbers},
    tool::Tool,
    truth::{Truth, digits},
    wait::wait_for,
};

/// The first start builds the tools, the functions and the emulator's environment.
const START: Duration = Duration::from_secs(1_800);

/// How long the pipeline may take to settle what was sent: a message that cannot be stored is received six times, and returns to the
/// queue after a pause each time.
const SETTLE: Duration = Duration::from_secs(300);

/// How long the stack may take to end. A server that waits for an open tab never ends.
const END: Duration = Duration::from_secs(20);

/// The switches, by the names of their test ids.
const FAULTS: [&str; 6] = [
    "kill_ingest_before_write",
    "kill_ingest_after_write",
    "cut_kinesis",
    "fail_entries",
    "kill_complete_after_effect",
    "throttle_table",
];

/// A running `cargo local up`, and a browser with its page.
struct Local {
    tool: Tool,
    address: Address,
    browser: Browser,
    /// The messages that the test has sent.
    sent: u64,
}

impl Local {
    async fn start(browser: Browser) -> Self {
        let program = tokio::task::spawn_blocking(|| build("onewrite-local", "onewrite-local"));
        let mut command = process::command(program.await.unwrap());
        command.arg("up").current_dir(repository(""));
        let mut tool = Tool::start(command);
        let address = Address::parse(&tool.line_with(PRINTED, START).await);
        browser.open(&address.page()).await;
        browser.wait_until_shown("lab").await;
        Self {
            tool,
            address,
            browser,
            sent: 0,
        }
    }

    /// Presses a button that sends this many messages.
    async fn send(&mut self, button: &str, count: u64) {
        self.browser.click(button).await;
        self.sent += count;
    }

    /// Waits until the page says that everything that was sent is settled.
    async fn settle(&self) -> String {
        let sent = self.sent;
        let is_settled =
            |text: &str| number(text, "message") == sent && !numbers(text).contains_key("still");
        self.browser
            .text_within(SETTLE, "sentence", is_settled)
            .await
    }

    /// Reads a number of the page.
    async fn number(&self, test_id: &str) -> u64 {
        digits(&self.browser.text(test_id).await)
    }

    /// onewrite's side of the comparison: each id that was sent has one effect.
    async fn check_own_side(&self, what: &str) {
        let ids = self.number("compare-ids").await;
        let effects = digits(
            &self
                .browser
                .text_when("compare-onewrite-effects", |text| digits(text) == ids)
                .await,
        );
        assert_eq!(effects, ids, "{what}");
        assert_eq!(self.number("compare-onewrite-repeated").await, 0, "{what}");
        assert_eq!(self.number("compare-onewrite-lost").await, 0, "{what}");
    }

    async fn wait_for_switch(&self, fault: &str, is_on: bool) {
        const BODY: &str =
            "return document.querySelector(arguments[0]).getAttribute('aria-checked')";
        let (what, css) = (
            format!("{fault} is on: {is_on}"),
            selector(&format!("fault-{fault}")),
        );
        wait_for(&what, SETTLE, async || {
            let state = self.browser.evaluate(BODY, vec![json!(css)]).await;
            (state == json!(is_on.to_string())).then_some(())
        })
        .await;
    }
}

/// A queue delivers at least once: both sides get five copies at about the same time.
async fn check_duplicates(local: &mut Local) {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        local.send("send-duplicates", 5).await;
        local.settle().await;
        local.check_own_side("duplicates").await;
        if local.number("compare-double-write-repeated").await > 0 {
            let ids = local.number("compare-ids").await;
            assert!(local.number("compare-double-write-effects").await > ids);
            return;
        }
    }
    panic!("the double write sends no copy twice");
}

/// Each switch hits a different message, and onewrite loses and repeats nothing.
async fn check_switches(local: &mut Local) {
    local.browser.fill("fault-count", "1").await;
    for fault in FAULTS {
        local.browser.click(&format!("fault-{fault}")).await;
        local.wait_for_switch(fault, true).await;
        local.send("send-1", 1).await;
        local.wait_for_switch(fault, false).await;
        local.settle().await;
        local.check_own_side(fault).await;
    }
    let repeated = local.number("compare-double-write-repeated").await;
    let lost = local.number("compare-double-write-lost").await;
    assert!(repeated > 0 && lost > 0, "{repeated} repeated, {lost} lost");
}

async fn check_pause(local: &mut Local) {
    local.browser.click("pause").await;
    local
        .browser
        .text_when("lab-result", |text| text.contains("paused"))
        .await;
    local.send("send-1", 1).await;
    let on_its_way = |text: &str| text == "1 on the way";
    local
        .browser
        .text_within(SETTLE, "compare-onewrite-verdict", on_its_way)
        .await;
    // The last long poll of a paused queue may still take a message, as on AWS. No paused stage passes it to the target.
    let flags = local
        .browser
        .text_when("stage-complete", |text| text.contains("paused"));
    flags.await;
    local.browser.click("resume").await;
    local.settle().await;
}

/// Everything else that can be sent: many, a conflict, a malformed message, and a file with a copy and a malformed line.
async fn send_the_rest(local: &mut Local) {
    local.send("send-100", 100).await;
    local.settle().await;
    local.send("send-conflict", 1).await;
    local.send("send-poison", 1).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.jsonl");
    let valid = r#"{"notification_id":"from-a-file","type":"order","payload":{"amount":12345678901234567890}}"#;
    std::fs::write(&file, format!("{valid}\n{valid}\n{{\"payload\":1}}\n")).unwrap();
    let input = local.browser.find("send-file").await;
    local
        .browser
        .send_keys(&input, file.to_str().unwrap())
        .await;
    local.sent += 3;
    let sentence = local.settle().await;
    assert_eq!(number(&sentence, "in"), 1, "{sentence}");
    assert_eq!(number(&sentence, "rejected"), 2, "{sentence}");
    local.check_own_side("a file").await;
}

async fn check_guided_run(local: &mut Local) {
    local.browser.fill("guided-seed-input", "42").await;
    local.browser.click("guided-start").await;
    local
        .browser
        .text_when("guided-seed", |text| text == "42")
        .await;
    local
        .browser
        .text_within(SETTLE, "guided-step", |text| text == "Finished")
        .await;
    let verdict = local.browser.text("guided-text").await;
    assert!(verdict.contains("onewrite"), "{verdict}");
    let is_settled = |text: &str| !text.is_empty() && !numbers(text).contains_key("still");
    local
        .browser
        .text_within(SETTLE, "sentence", is_settled)
        .await;
    local.check_own_side("the guided run").await;
}

/// Runs the operator's tool on the stack of this workspace.
async fn onewrite(arguments: &[&str]) -> Value {
    let program = tokio::task::spawn_blocking(|| build("onewrite-operator", "onewrite")).await;
    let mut command: Command = process::command(program.unwrap());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .args(["--output", "json"])
        .current_dir(repository(""));
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {errors}"))
}

/// What `onewrite status` says equals the page.
async fn compare_with_status(local: &Local) {
    let status = onewrite(&["status", "--count"]).await;
    let depth = |name: &str| {
        status[name]["waiting"].as_u64().unwrap() + status[name]["hidden"].as_u64().unwrap()
    };
    assert_eq!(local.number("stage-queue-count").await, depth("queue"));
    assert_eq!(
        local.number("sink-dead-letters-count").await,
        depth("dead_letters")
    );
    assert_eq!(
        local.number("sink-failures-count").await,
        status["failures"].as_u64().unwrap()
    );
    let by_status = &status["items"]["by_status"];
    let items = |name: &str| by_status[name].as_u64().unwrap_or_default();
    let sentence = local.browser.text("sentence").await;
    assert_eq!(
        number(&sentence, "notification"),
        items("INIT") + items("DONE") + items("REFUSED"),
        "{status}"
    );
    assert_eq!(number(&sentence, "effect"), items("DONE"), "{status}");
}

/// What `onewrite trace` says about a notification equals the page.
async fn compare_with_trace(local: &Local, id: &str) {
    let browser = &local.browser;
    let trace = onewrite(&["trace", id]).await;
    browser.open(&local.address.notification(id)).await;
    browser.text_when("trace-id", |text| text == id).await;
    assert_eq!(
        browser.text("trace-place").await,
        trace["place"].as_str().unwrap()
    );
    let steps = browser.texts("trace-step").await;
    let expected = trace["steps"].as_array().unwrap();
    assert_eq!(steps.len(), expected.len(), "{steps:?} {trace}");
    for (step, expected) in steps.iter().zip(expected) {
        for part in ["what", "detail"] {
            assert!(
                step.contains(expected[part].as_str().unwrap()),
                "{step}: {expected}"
            );
        }
    }
    let records = trace["records"].as_array().unwrap();
    let expected: Vec<_> = records
        .iter()
        .map(|record| record["sequence_number"].as_str().unwrap())
        .collect();
    assert_eq!(browser.texts("sequence-number").await, expected);
    assert!(!expected.is_empty());
}

/// The dead letters in the page are those of the queue, which this empties.
async fn compare_dead_letters(local: &Local, truth: &Truth) {
    const KEYS: &str =
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.dataset.key)";
    let browser = &local.browser;
    browser.click("nav-attention").await;
    browser.click("attention-dead_letters").await;
    browser.text("entry").await;
    let keys = browser.evaluate(KEYS, vec![json!(selector("entry"))]).await;
    let mut keys: Vec<String> = serde_json::from_value(keys).unwrap();
    keys.sort();
    let letters = truth.drain_dead_letters().await;
    let ids: Vec<_> = letters
        .iter()
        .map(|letter| letter.message_id.clone())
        .collect();
    assert_eq!(keys, ids);
    let sentence = browser.text("sentence").await;
    let conflicts = letters.iter().filter(|letter| letter.is_conflict).count() as u64;
    assert_eq!(number(&sentence, "in"), conflicts, "{sentence}");
    assert_eq!(
        number(&sentence, "rejected"),
        letters.len() as u64 - conflicts,
        "{sentence}"
    );
}

/// One stack for all of it, because only one can run in a workspace, and its start takes a minute.
#[tokio::test]
async fn the_page_of_a_local_stack_says_what_happens() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut local = Local::start(browser).await;
    let file = StackFile::read(&Workspace::here().stack_file()).unwrap();
    let truth = Truth::new(&file);

    check_duplicates(&mut local).await;
    check_switches(&mut local).await;
    check_pause(&mut local).await;
    send_the_rest(&mut local).await;
    truth.check_table(&local.settle().await).await;
    check_guided_run(&mut local).await;

    let sentence = local.browser.text("sentence").await;
    let items = truth.check_table(&sentence).await;
    compare_with_status(&local).await;
    for id in ["from-a-file", items[0].id.as_str()] {
        compare_with_trace(&local, id).await;
    }
    let item = items.iter().find(|item| item.id == "from-a-file").unwrap();
    local
        .browser
        .open(&local.address.notification(&item.id))
        .await;
    local.browser.click("payload-show").await;
    assert_eq!(local.browser.text("payload").await, item.payload);
    compare_dead_letters(&local, &truth).await;

    // Ctrl-C with an open tab.
    let Local {
        mut tool,
        address,
        browser,
        ..
    } = local;
    tool.interrupt();
    let status = tool.ended(END).await;
    assert!(status.success(), "{status}:\n{}", tool.output());
    let connected = tokio::net::TcpStream::connect(address.socket).await;
    assert!(connected.is_err(), "the console outlives its stack");
    assert!(
        tool.output().contains("its data are gone"),
        "{}",
        tool.output()
    );
    browser.finish(&address.origin(), &["ERR_"]).await;
}
