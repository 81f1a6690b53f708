//! `--watch`: once a reload is announced, the old code has no effect any more.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use onewrite::item::attribute;
use onewrite_local::progress::Progress;
use onewrite_local::stack::{Stack, StackOptions};
use onewrite_local::workspace::{FileLock, Workspace};
use serde_json::{Value, json};

use super::traffic::{Attributes, Traffic, send, text, wait_for_items, wait_until_done};
use crate::least_privilege::run_script;
use crate::operator::onewrite;
use crate::support::wait_until;

/// The most time until saved code runs. It includes a build.
const RELOAD_LIMIT: Duration = Duration::from_secs(600);
/// The messages that are sent after the reload.
const PROBES: usize = 20;
/// Denies the role of a function to write to DynamoDB.
const DENY: &str = r#"
import json, sys, boto3
name = json.load(sys.stdin)["function"]
role = boto3.client("lambda").get_function_configuration(FunctionName=name)["Role"].split("/")[-1]
deny = {"Effect": "Deny", "Action": "dynamodb:PutItem", "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
boto3.client("iam").put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=policy)
"#;
const AGGREGATE: &str = "functions/ingest/src/aggregate.rs";

/// Makes `to` a copy of a workspace without its hidden files and its build output. Equal files are not written again, so that cargo does
/// not compile their crates again.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let names = |directory: &Path| -> BTreeSet<OsString> {
        let entries = std::fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let is_copied = |name: &OsString| name != "target" && !name.as_bytes().starts_with(b".");
        names.filter(is_copied).collect()
    };
    let sources = names(from);
    let is_stale = |name: &OsString| {
        !sources.contains(name) || from.join(name).is_dir() != to.join(name).is_dir()
    };
    for name in names(to).into_iter().filter(is_stale) {
        let path = to.join(name);
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.unwrap();
    }
    for name in &sources {
        let (from, to) = (from.join(name), to.join(name));
        if from.is_dir() {
            copy(&from, &to);
            continue;
        }
        let content = std::fs::read(&from).unwrap();
        if std::fs::read(&to).ok().as_ref() != Some(&content) {
            std::fs::write(&to, content).unwrap();
        }
    }
}

/// A copy of the workspace that may be edited. It shares the compiled dependencies and the emulator with the original, and the next
/// run uses it again. Only one run can use it at a time, until the lock is dropped.
///
/// Its own crates have another profile. Cargo identifies them by their paths in the workspace, so with the same profile they
/// would replace those of the original, which `cargo test` still needs for its documentation tests.
async fn copy_of_workspace() -> (Workspace, FileLock) {
    let original = Workspace::here();
    let home = original.local().join("watch");
    let lock = FileLock::acquire(&home.join("lock"), Progress::Silent).await;
    let directory = home.join("workspace");
    copy(original.root(), &directory);
    let target = original.root().join("target");
    for below in [".cargo", "target"] {
        std::fs::create_dir_all(directory.join(below)).unwrap();
    }
    let local = directory.join("target/local");
    if !local.exists() {
        std::os::unix::fs::symlink(original.local(), local).unwrap();
    }
    let path = target.display().to_string();
    let config = format!("[build]\ntarget-dir = {path:?}\n\n[profile.dev]\ndebug = false\n");
    std::fs::write(directory.join(".cargo/config.toml"), config).unwrap();
    (Workspace::at(directory), lock.unwrap())
}

/// Saves an `aggregate` that marks its output.
fn save_aggregate(workspace: &Workspace) {
    let path = workspace.root().join(AGGREGATE);
    let text = std::fs::read_to_string(&path).unwrap();
    let old = "    Enrichment::default()\n";
    assert_eq!(text.matches(old).count(), 1, "{AGGREGATE}");
    let new = concat!(
        "    let mut enrichment = Enrichment::default();\n",
        "    enrichment.insert(\"saved\", true);\n",
        "    enrichment\n",
    );
    std::fs::write(path, text.replace(old, new)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn old_code_has_no_effect_after_the_reload_is_announced() {
    let (workspace, _lock) = copy_of_workspace().await;
    let options = StackOptions {
        workspace: workspace.clone(),
        watch: true,
        ..StackOptions::new("watch")
    };
    let stack = Stack::start(options).await.unwrap();
    let mut reloads = stack.watch().unwrap().reloads();
    let traffic = Traffic::start(&stack);
    let is_saved = |item: &Attributes| {
        let enrichment = item.get(attribute::ENRICHMENT);
        enrichment.is_some_and(|value| format!("{value:?}").contains("saved"))
    };
    let items = wait_for_items(&stack, "until messages flow", |items| !items.is_empty()).await;
    assert!(!items.values().any(is_saved), "the saved code runs already");

    save_aggregate(&workspace);
    let reloaded = tokio::time::timeout(RELOAD_LIMIT, reloads.changed()).await;
    reloaded.unwrap().unwrap();
    let announced_at = Timestamp::now();

    let ids: Vec<String> = (0..PROBES).map(|probe| format!("probe-{probe}")).collect();
    for id in &ids {
        send(&stack, id).await;
    }
    wait_until_done(&stack, &ids).await;
    let sent = traffic.stop().await;
    let all: Vec<String> = (0..sent)
        .map(|number| format!("traffic-{number}"))
        .chain(ids)
        .collect();
    let items = wait_until_done(&stack, &all).await;
    for (id, item) in &items {
        let created_at: Timestamp = text(item, attribute::CREATED_AT).parse().unwrap();
        if created_at > announced_at {
            assert!(is_saved(item), "old output for {id} after the reload");
        }
    }
    assert!(items.values().any(is_saved));
    reloaded_code_has_the_rights_of_its_role(&stack).await;
    stack.stop().await;
}

/// Denies the role of `ingest` its write. The reloaded code must then fail, and the operator's tool says so.
async fn reloaded_code_has_the_rights_of_its_role(stack: &Stack) {
    let input = json!({"function": stack.outputs().ingest});
    run_script(stack, DENY, &input).await;
    send(stack, "denied").await;
    wait_until("the write is denied", async || {
        let (code, stdout, stderr) = onewrite(stack, &["--output", "json", "status"]).await;
        assert_eq!(code, 0, "{stderr}");
        let status: Value = serde_json::from_str(&stdout).unwrap();
        status["errors"][0]["function"] == "ingest"
            && status["errors"].to_string().contains("AccessDenied")
    })
    .await;
    let (code, stdout, _) = onewrite(stack, &["trace", "denied"]).await;
    assert_ne!(code, 0, "{stdout}");
    assert!(stdout.contains("AccessDenied"), "{stdout}");
}
