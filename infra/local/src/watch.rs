//! `--watch`: rebuilds the functions when a source file is saved, and restarts every running instance.
//!
//! Invocations wait while code is replaced: once a reload is announced, the old code neither runs nor starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, watch};
use tokio::task::JoinHandle;

use crate::error::{LocalError, Result};
use crate::event_sources::{Function, InvocationResult, Invoker};
use crate::functions::{self, Deployer, Programs, Update};
use crate::profile::Reloadable;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// The sources of the functions, relative to the workspace.
const SOURCES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "shared", "functions"];

/// Time between two scans of the sources. Also how long they must stay unchanged before a build, because an editor may
/// save several files.
const POLL: Duration = Duration::from_millis(300);

/// A running watcher. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    task: JoinHandle<()>,
    gate: Gate,
    reloads: watch::Receiver<u64>,
}

impl Watch {
    /// Watches the sources of `workspace`. `functions` maps the name of a deployed function to the name of its binary.
    pub(crate) fn start(
        workspace: Workspace,
        reloadable: Reloadable,
        functions: BTreeMap<String, String>,
        progress: Progress,
    ) -> Self {
        let gate = Gate::default();
        let (sender, reloads) = watch::channel(0);
        let watcher = Watcher {
            workspace,
            deployer: reloadable.deployer,
            functions,
            running: reloadable.programs,
            gate: gate.clone(),
            reloads: sender,
            progress,
        };
        Self {
            task: tokio::spawn(watcher.run()),
            gate,
            reloads,
        }
    }

    /// Wraps an invoker so that its invocations wait while code is replaced.
    pub(crate) fn wrap(&self, invoker: Arc<dyn Invoker>) -> Arc<dyn Invoker> {
        let gate = self.gate.clone();
        Arc::new(GatedInvoker { invoker, gate })
    }

    /// Counts the reloads. It changes after the last invocation of the old code.
    #[must_use]
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Open for invocations, closed while code is replaced.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<RwLock<()>>);

impl Gate {
    /// Waits for the running invocations and holds back new ones until the guard is dropped.
    async fn close(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.0).write_owned().await
    }
}

struct GatedInvoker {
    invoker: Arc<dyn Invoker>,
    gate: Gate,
}

#[async_trait]
impl Invoker for GatedInvoker {
    async fn invoke(&self, function: &Function, payload: String) -> InvocationResult {
        let _open = self.gate.0.read().await;
        self.invoker.invoke(function, payload).await
    }
}

struct Watcher {
    workspace: Workspace,
    deployer: Deployer,
    functions: BTreeMap<String, String>,
    /// Copies of the programs that are deployed now, by function.
    running: Programs,
    gate: Gate,
    reloads: watch::Sender<u64>,
    progress: Progress,
}

/// The time of the last change and the size of each source file.
type Snapshot = BTreeMap<PathBuf, (SystemTime, u64)>;

impl Watcher {
    async fn run(mut self) {
        // The first build covers files that were saved while the stack started.
        let mut built = Snapshot::new();
        loop {
            let now = self.settled_snapshot().await;
            if now == built {
                continue;
            }
            let name = first_difference(&built, &now);
            match self.reload(name.as_deref()).await {
                Ok(changed) if changed.is_empty() => {}
                Ok(changed) => {
                    let changed = changed.join(", ");
                    self.progress.print(&format!(
                        "Reloaded {changed}. Only the saved code runs now."
                    ));
                }
                Err(error) => self.progress.print(&failure(&error)),
            }
            built = now;
        }
    }

    /// Returns a snapshot that did not change for [`POLL`].
    async fn settled_snapshot(&self) -> Snapshot {
        let mut last = snapshot(self.workspace.root());
        loop {
            tokio::time::sleep(POLL).await;
            let now = snapshot(self.workspace.root());
            if now == last {
                return now;
            }
            last = now;
        }
    }

    /// Builds the functions and replaces the code of those that changed. Returns their names.
    async fn reload(&mut self, saved: Option<&Path>) -> Result<Vec<String>> {
        let log = self.deployer.directory.join("build.log");
        let step = saved.map(|path| {
            let name = format!("{} was saved: building", path.display());
            self.progress.long_step(name, "10 s", Some(&log))
        });
        let programs = functions::build(&self.workspace, &self.deployer.interpreter, &log).await?;
        let number = *self.reloads.borrow() + 1;
        let (mut copies, mut update) = (Programs::new(), Programs::new());
        for (deployed, name) in &self.functions {
            let (Some(new), Some(old)) = (programs.get(name), self.running.get(name)) else {
                continue;
            };
            if !is_same(new, old)? {
                let copy = functions::copy(new, name, number, &self.deployer.directory)?;
                update.insert(deployed.clone(), copy.clone());
                copies.insert(name.clone(), copy);
            }
        }
        if copies.is_empty() {
            return Ok(Vec::new());
        }
        let closed = self.gate.close().await;
        self.deployer.update(&Update { functions: update }).await?;
        self.reloads.send_replace(number);
        drop(closed);
        if let Some(step) = step {
            step.done();
        }
        let changed = copies.keys().cloned().collect();
        for (name, copy) in copies {
            if let Some(old) = self.running.insert(name, copy) {
                let _ = std::fs::remove_file(old);
            }
        }
        Ok(changed)
    }
}

/// A build that failed is described by all of its log: it has the compiler's errors.
fn failure(error: &LocalError) -> String {
    let details = match error {
        LocalError::Step { log, .. } => std::fs::read_to_string(log).unwrap_or_default(),
        _ => String::new(),
    };
    format!("{details}error: {error}\nThe old code is still running. Save again to retry.")
}

fn is_same(one: &Path, other: &Path) -> Result<bool> {
    let read = |path: &Path| std::fs::read(path).map_err(|source| LocalError::file(path, source));
    Ok(read(one)? == read(other)?)
}

fn snapshot(root: &Path) -> Snapshot {
    let mut files = Snapshot::new();
    for source in SOURCES {
        add_files(root, &PathBuf::from(source), &mut files);
    }
    files
}

/// Skips hidden files and build output. A file that disappears meanwhile is skipped too.
fn add_files(root: &Path, path: &Path, files: &mut Snapshot) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with('.') || name == "target" {
        return;
    }
    let Ok(metadata) = root.join(path).metadata() else {
        return;
    };
    if metadata.is_dir() {
        let entries = std::fs::read_dir(root.join(path)).into_iter().flatten();
        for entry in entries.flatten() {
            add_files(root, &path.join(entry.file_name()), files);
        }
    } else if let Ok(modified) = metadata.modified() {
        files.insert(path.to_path_buf(), (modified, metadata.len()));
    }
}

/// Returns the first file that was changed, added or removed. None if there was no earlier snapshot.
fn first_difference(before: &Snapshot, after: &Snapshot) -> Option<PathBuf> {
    if before.is_empty() {
        return None;
    }
    let changed = after
        .iter()
        .find(|(path, state)| before.get(*path) != Some(state));
    let removed = before.keys().find(|path| !after.contains_key(*path));
    changed.map(|(path, _)| path).or(removed).cloned()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use onewrite_event_sources::invocation::InvocationOutcome;

    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn sees_changed_added_and_removed_sources() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "functions/ingest/src/lib.rs", "a");
        let before = snapshot(root);
        assert_eq!(first_difference(&Snapshot::new(), &before), None);
        assert_eq!(first_difference(&before, &snapshot(root)), None);
        write(root, "functions/ingest/src/lib.rs", "ab");
        let after = snapshot(root);
        let name = Some("functions/ingest/src/lib.rs".into());
        assert_eq!(first_difference(&before, &after), name);
        write(root, "shared/core/src/new.rs", "");
        let name = Some("shared/core/src/new.rs".into());
        assert_eq!(first_difference(&after, &snapshot(root)), name);
        assert_eq!(first_difference(&snapshot(root), &after), name);
    }

    #[test]
    fn ignores_build_output_hidden_files_and_other_directories() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "functions/ingest/target/debug/ingest", "");
        write(root.path(), "functions/ingest/src/.lib.rs.swp", "");
        write(root.path(), "target/debug/ingest", "");
        write(root.path(), "infra/local/src/lib.rs", "");
        assert_eq!(snapshot(root.path()), Snapshot::new());
    }

    struct Slow(Arc<AtomicBool>);

    #[async_trait]
    impl Invoker for Slow {
        async fn invoke(&self, _: &Function, _: String) -> InvocationResult {
            self.0.store(true, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.0.store(false, Ordering::SeqCst);
            InvocationResult {
                outcome: InvocationOutcome::Response(String::new()),
                request_id: None,
            }
        }
    }

    #[tokio::test]
    async fn replaces_code_only_while_no_invocation_runs() {
        let (running, gate) = (Arc::new(AtomicBool::new(false)), Gate::default());
        let invoker = GatedInvoker {
            invoker: Arc::new(Slow(Arc::clone(&running))),
            gate: gate.clone(),
        };
        let function = Function {
            name: "f".into(),
            arn: "f".into(),
            timeout_seconds: 1,
        };
        let invoke = tokio::spawn(async move { invoker.invoke(&function, String::new()).await });
        while !running.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        let closed = gate.close().await;
        assert!(!running.load(Ordering::SeqCst));
        drop(closed);
        invoke.await.unwrap();
    }
}
