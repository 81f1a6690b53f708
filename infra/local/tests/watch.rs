//! `--watch`: once a reload is announced, the old code has no effect any more.
#![allow(clippy::unwrap_used)]

mod traffic;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use onewrite::item::attribute;
use onewrite_local::stack::{Stack, StackOptions};
use onewrite_local::workspace::Workspace;

use traffic::{Traffic, send, text, wait_for_items, wait_until_done};

/// The most time until saved code runs. It includes a build.
const RELOAD_LIMIT: Duration = Duration::from_secs(600);
/// The messages that are sent after the reload.
const PROBES: usize = 20;
const AGGREGATE: &str = "functions/ingest/src/aggregate.rs";

/// Copies a workspace without its hidden files and its build output.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        let to = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A copy of the workspace that may be edited. It shares the compiled dependencies and the emulator with the original.
fn copy_of_workspace(directory: &Path) -> Workspace {
    let original = Workspace::here();
    copy(original.root(), directory);
    let target = original.root().join("target");
    std::fs::create_dir_all(original.local()).unwrap();
    std::fs::create_dir_all(directory.join("target")).unwrap();
    std::os::unix::fs::symlink(original.local(), directory.join("target/local")).unwrap();
    std::fs::create_dir(directory.join(".cargo")).unwrap();
    let path = target.display().to_string();
    let config = format!("[build]\ntarget-dir = {path:?}\n");
    std::fs::write(directory.join(".cargo/config.toml"), config).unwrap();
    Workspace::at(directory)
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
    let directory = tempfile::tempdir().unwrap();
    let workspace = copy_of_workspace(directory.path());
    let options = StackOptions {
        workspace: workspace.clone(),
        watch: true,
        ..StackOptions::new("watch")
    };
    let stack = Stack::start(options).await.unwrap();
    let mut reloads = stack.watch().unwrap().reloads();
    let traffic = Traffic::start(&stack);
    let is_saved = |item: &traffic::Attributes| {
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
    stack.stop().await;
}
