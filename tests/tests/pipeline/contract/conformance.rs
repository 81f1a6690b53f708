//! `onewrite conform` on the emulator: consumers with the helpers keep every promise, and for each promise there is a wrong
//! consumer that breaks this one alone.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use onewrite_local::{
    emulator::{Emulator, REGION},
    python::Interpreter,
};
use onewrite_tests::{cargo::build, script, template::repository};
use serde_json::Value;
use tokio::process::Command;

use super::helpers::has_node;

/// A promise, the file of the consumer that keeps it, and what breaks it.
type Mistake = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const HELPER: &str = "onewrite.py";

const PROGRAM: &str = "conform.py";

/// Makes the program use a client that starts faster than boto3.
const FAST: &str = " fast";

const WITH_WRITES: &str =
    r#"return {"accepted": True, "writes": [{"Put": {"TableName": LEDGER, "Item": entry}}]}"#;

const MISTAKES: [Mistake; 12] = [
    // The effect is a separate write before DONE.
    (
        "one_effect",
        PROGRAM,
        &[(
            WITH_WRITES,
            r#"consumer.client.put_item(TableName=LEDGER, Item=entry)
    return {"accepted": True}"#,
        )],
    ),
    // The same after DONE.
    (
        "nothing_lost",
        PROGRAM,
        &[(
            WITH_WRITES,
            r#"if consumer.settle(event) == "Settled":
        consumer.client.put_item(TableName=LEDGER, Item=entry)
    return {"accepted": True}"#,
        )],
    ),
    // An error of the table is taken for a success.
    (
        "nothing_lost",
        HELPER,
        &[("raise Failed(\"StateUnknown\")", "return")],
    ),
    (
        "one_winner",
        HELPER,
        &[(
            "*writes])",
            "*writes], ClientRequestToken=event[\"subject\"])",
        )],
    ),
    (
        "settled_succeeds",
        HELPER,
        &[(
            "in SETTLED:\n        return True",
            "in SETTLED:\n        raise Failed(\"AlreadySettled\")",
        )],
    ),
    (
        "other_statuses",
        HELPER,
        &[(
            "if event[\"status\"] != \"INIT\":\n            return\n",
            "if False:\n            return\n",
        )],
    ),
    (
        "other_notification",
        HELPER,
        &[
            (
                "fingerprint IN (:fingerprint, :fingerprint_text)\"",
                "(fingerprint IN (:fingerprint, :fingerprint_text) OR attribute_exists(fingerprint))\"",
            ),
            ("fingerprint != event[\"fingerprint\"]:", "False:"),
        ],
    ),
    (
        "unreadable",
        HELPER,
        &[(
            "if event is None:\n            raise Failed(\"Unreadable\")",
            "if event is None:\n            return",
        )],
    ),
    (
        "lowest_number",
        HELPER,
        &[("min(numbers, key=int)", "min(numbers)")],
    ),
    (
        "neighbours",
        HELPER,
        &[(
            "failed += numbers\n",
            "failed += numbers\n                break\n",
        )],
    ),
    ("refusal", PROGRAM, &[("\"closed\"", "\"never\"")]),
    (
        "no_payload",
        PROGRAM,
        &[(
            WITH_WRITES,
            "print(event, file=sys.stderr)\n    return {\"accepted\": True, \"writes\": [{\"Put\": {\"TableName\": LEDGER, \"Item\": entry}}]}",
        )],
    ),
];

/// The emulator, the tool and Python.
struct Setting {
    emulator: Emulator,
    tool: PathBuf,
    python: PathBuf,
    directory: tempfile::TempDir,
}

impl Setting {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let interpreter = Interpreter::find().await.unwrap();
        let environment = script::python(&interpreter).await.unwrap();
        let emulator = Emulator::start(&environment, &interpreter, directory.path(), None);
        Self {
            emulator: emulator.await.unwrap(),
            tool: build("onewrite-operator", "onewrite"),
            python: environment.program("python"),
            directory,
        }
    }

    /// Plays against a consumer. Returns the exit code and the two outputs.
    async fn conform(&self, arguments: &[&str]) -> (i32, String, String) {
        let credentials = self.emulator.credentials();
        let output = Command::new(&self.tool)
            .args([
                "--region",
                REGION,
                "--endpoint-url",
                &self.emulator.endpoint(),
            ])
            .args(["--output", "json", "conform"])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .kill_on_drop(true)
            .output();
        let Output {
            status,
            stdout,
            stderr,
        } = output.await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// The consumer in Python as a command, after changes of one of its files.
    fn python_consumer(&self, name: &str, file: &str, changes: &[(&str, &str)]) -> String {
        let directory = self.directory.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        for path in [
            repository("shared/contract/python").join(HELPER),
            repository("tests/tests/pipeline/contract").join(PROGRAM),
            repository("tests/tests/pipeline/contract").join("dynamodb.py"),
        ] {
            let mut text = std::fs::read_to_string(&path).unwrap();
            let changes = changes.iter().filter(|_| path.ends_with(file));
            for (right, wrong) in changes {
                assert_eq!(text.matches(right).count(), 1, "{name}: {right}");
                text = text.replace(right, wrong);
            }
            std::fs::write(directory.join(path.file_name().unwrap()), text).unwrap();
        }
        command(&[&self.python, Path::new("-B"), &directory.join(PROGRAM)])
    }
}

/// A command line of the shell.
fn command(words: &[&Path]) -> String {
    let words = words.iter().map(|word| format!("'{}'", word.display()));
    words.collect::<Vec<_>>().join(" ")
}

/// The promises with this verdict.
fn promises(report: &str, verdict: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(report).unwrap();
    let promises = report["promises"].as_array().unwrap().iter();
    let promises = promises.filter(|promise| promise["verdict"] == verdict);
    let names = promises.map(|promise| promise["promise"].as_str().unwrap().to_owned());
    names.collect()
}

/// The number of promises.
const PROMISES: usize = 11;

#[tokio::test(flavor = "multi_thread")]
async fn the_tool_catches_a_wrong_consumer_for_each_promise() {
    let setting = Setting::new().await;
    assert_helpers_keep_all(&setting).await;
    let mut broken = Vec::new();
    for (number, (promise, file, changes)) in MISTAKES.iter().enumerate() {
        let name = format!("{number}-{promise}");
        let command = setting.python_consumer(&name, file, changes) + FAST;
        let arguments = ["--refuses", "--command", &command];
        let (code, report, errors) = setting.conform(&arguments).await;
        assert_eq!(code, 1, "{name}: {report}{errors}");
        assert_eq!(promises(&report, "broken"), [*promise], "{name}: {report}");
        broken.push(*promise);
    }
    broken.dedup();
    assert_eq!(broken.len(), PROMISES);
    let (code, report, errors) = setting.conform(&["--command", "exit 3"]).await;
    assert_eq!((code, report.as_str()), (2, ""));
    assert!(
        errors.contains("the first batch failed: exit status: 3"),
        "{errors}"
    );
    assert_no_table_is_left(&setting).await;
    setting.emulator.end().await;
}

async fn assert_helpers_keep_all(setting: &Setting) {
    let python = setting.python_consumer("right", HELPER, &[]);
    let mut consumers = vec![python];
    if has_node("conform.mjs") {
        let script = repository("tests/tests/pipeline/contract/conform.mjs");
        let helper = repository("shared/contract/javascript/onewrite.mjs");
        consumers.push(command(&[Path::new("node"), &script, &helper]));
    }
    for (seed, command) in consumers.iter().enumerate() {
        let seed = seed.to_string();
        let arguments = ["--refuses", "--seed", &seed, "--command", command];
        let (code, report, errors) = setting.conform(&arguments).await;
        assert_eq!(code, 0, "{report}{errors}");
        assert_eq!(promises(&report, "kept").len(), PROMISES, "{report}");
    }
    let fast = consumers[0].clone() + FAST;
    let (code, report, errors) = setting.conform(&["--command", &fast]).await;
    assert_eq!(code, 0, "{report}{errors}");
    assert_eq!(promises(&report, "not tried"), ["refusal"]);
}

async fn assert_no_table_is_left(setting: &Setting) {
    let (endpoint, credentials) = (setting.emulator.endpoint(), setting.emulator.credentials());
    let clients = onewrite_local::clients::Clients::new(&endpoint, credentials);
    let tables = clients.dynamodb.list_tables().send().await.unwrap();
    assert_eq!(tables.table_names(), [] as [String; 0]);
}
