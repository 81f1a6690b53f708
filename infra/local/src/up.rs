//! `cargo local up` keeps a stack running and describes it in a file. `cargo local send` sends messages to it.
//!
//! - `screen` shows counts and failures while it runs, `console` runs the page beside it, and `keep` writes its data at the end.

mod console;
mod keep;
mod screen;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::OptionFuture;
use keep::Kept;
use onewrite_console::lab::Lab;
use serde::{Deserialize, Serialize};

use crate::clients::Clients;
use crate::emulator::{Credentials, REGION};
use crate::error::{LocalError, Result};
use crate::event_sources::Observer;
use crate::lab::{LocalLab, StackObserver};
use crate::ledger_receiver::LedgerReceiver;
use crate::messages;
use crate::progress::Progress;
use crate::redeploy;
use crate::stack::{Stack, StackOptions};
use crate::watch::Watch;
use crate::workspace::{FileLock, Workspace};
use onewrite_stack::outputs::Outputs;

const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Printed if the pipeline has no downstream.
const NO_DOWNSTREAM: &str =
    "There is no target: notifications stay in INIT until your own consumer settles them.";

/// Printed at the end.
const GONE: &str = "The stack has ended, and its data are gone. To keep them, use --keep.";

/// Printed before `--keep` writes the data.
const AGAIN: &str = "Press Ctrl-C again to end at once, without the data that are not written yet.";

/// Printed in place of [`GONE`] if `--keep` could not write the data.
const LOST: &str = "The stack failed before --keep could write its data, so they are gone.";

/// The contents of `target/local/stack.json`: all that an SDK or the AWS CLI needs to use the stack.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFile {
    /// The URL of the emulator.
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    /// Valid for this emulator only.
    pub secret_access_key: String,
    /// The stack's outputs, by name.
    pub outputs: Outputs,
}

impl StackFile {
    fn new(stack: &Stack) -> Self {
        let Credentials {
            access_key_id,
            secret_access_key,
        } = stack.credentials().clone();
        let (endpoint, outputs) = (stack.endpoint(), stack.outputs().all.clone());
        Self {
            endpoint,
            region: REGION.to_owned(),
            access_key_id,
            secret_access_key,
            outputs,
        }
    }

    /// Reads the file of the running stack.
    ///
    /// # Errors
    /// [`LocalError::NoStack`] if the file does not exist or cannot be parsed.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path)
            .map_err(|_| no_stack(format!("{} does not exist", path.display())))?;
        serde_json::from_slice(&text)
            .map_err(|error| no_stack(format!("{}: {error}", path.display())))
    }

    /// Writes a temporary file and renames it, so that readers never see a part of it. Only the owner may read it.
    fn write(&self, path: &Path) -> Result<()> {
        let temporary = path.with_extension("json.new");
        let _ = std::fs::remove_file(&temporary);
        let write = || {
            let mut file = File::options()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            std::fs::rename(&temporary, path)
        };
        write().map_err(|source| LocalError::file(path, source))
    }
}

fn no_stack(reason: String) -> LocalError {
    LocalError::NoStack { reason }
}

/// The settings of `cargo local up`.
pub struct UpOptions {
    pub stack: StackOptions,
    /// Whether the page is served.
    pub console: bool,
    /// Whether the data are written to files at the end.
    pub keep: bool,
}

/// Starts a stack and keeps it running until `interrupted` returns or one of its processes exits. A second return of `interrupted`
/// ends the writing of its data.
///
/// # Errors
/// [`LocalError::AlreadyUp`], a failed start, the exit of one of its processes, or [`LocalError::Interrupted`] before all data are
/// written.
pub async fn up(options: UpOptions, mut interrupted: impl AsyncFnMut()) -> Result<()> {
    let UpOptions {
        stack: options,
        console,
        keep,
    } = options;
    let (workspace, progress) = (options.workspace.clone(), options.progress);
    let lock = FileLock::try_acquire(&redeploy::up_lock(&workspace))?;
    let _lock = lock.ok_or(LocalError::AlreadyUp)?;
    let (mut stack, lab, program) = tokio::select! {
        started = Box::pin(start(options, console)) => started?,
        () = interrupted() => return Err(LocalError::Interrupted),
    };
    let path = workspace.stack_file();
    let file_guard = StackFileGuard { path: path.clone() };
    StackFile::new(&stack).write(&path)?;
    print_start(&stack, &path);
    let reloads = stack.watch().map(Watch::reloads);
    let console = program.map(|program| {
        let lab = Arc::clone(&lab) as Arc<dyn Lab>;
        let (root, directory) = (workspace.root(), stack.directory().to_path_buf());
        Box::pin(console::run(program, root, directory, lab, progress))
    });
    let ended = tokio::select! {
        failure = redeploy::serve(&workspace, &mut stack, &lab) => Err(failure),
        Some(never) = OptionFuture::from(console) => match never {},
        never = screen::show(Arc::clone(&lab), reloads, progress) => match never {},
        () = interrupted() => Ok(()),
    };
    drop(file_guard);
    match ended {
        Ok(()) if keep => {
            let interrupted = interrupted();
            Box::pin(keep_and_stop(&workspace, stack, lab, interrupted, progress)).await
        }
        Ok(()) => {
            print_end(lab, progress);
            stack.stop().await;
            progress.print(GONE);
            Ok(())
        }
        Err(failure) => {
            print_end(lab, progress);
            stack.end().await;
            progress.print(if keep { LOST } else { GONE });
            Err(failure)
        }
    }
}

/// Prints the numbers of a lab and ends it.
fn print_end(lab: Arc<LocalLab>, progress: Progress) {
    progress.print(&format!("{}.", lab.totals().sentence()));
    drop(lab);
}

/// A running stack, its lab, and the program of its console, if it has one.
type Started = (Stack, Arc<LocalLab>, Option<Result<PathBuf>>);

/// Starts a stack whose event sources are counted, and builds its console. While cargo builds, `cargo local send` would wait for it,
/// so the stack is not ready before.
async fn start(options: StackOptions, console: bool) -> Result<Started> {
    let observer = Arc::new(StackObserver::default());
    let (workspace, progress) = (options.workspace.clone(), options.progress);
    let options = StackOptions {
        event_sources: false,
        observer: Arc::clone(&observer) as Arc<dyn Observer>,
        ..options
    };
    let mut stack = Stack::start(options).await?;
    let directory = stack.directory().to_path_buf();
    let program = console.then(|| console::build(&workspace, &directory, progress));
    let program = OptionFuture::from(program).await;
    let lab = LocalLab::start(&mut stack, observer).await?;
    Ok((stack, lab, program))
}

fn print_start(stack: &Stack, path: &Path) {
    if !stack.has_downstream() {
        eprintln!("{NO_DOWNSTREAM}");
    }
    for (name, url) in stack.queue_urls() {
        eprintln!("Queue {name}: {url}");
    }
    eprintln!(
        "Ready at {}; see {}. Press Ctrl-C to stop.",
        stack.endpoint(),
        path.display()
    );
}

/// Writes what the stack has to files, unless `interrupted` resolves before, and ends it.
async fn keep_and_stop(
    workspace: &Workspace,
    mut stack: Stack,
    lab: Arc<LocalLab>,
    interrupted: impl Future<Output = ()>,
    progress: Progress,
) -> Result<()> {
    progress.print(AGAIN);
    let step = progress.step("Writing what the stack has to files");
    let kept = match Kept::create(workspace) {
        Ok(kept) => kept,
        Err(error) => {
            stack.end().await;
            progress.print(LOST);
            return Err(error);
        }
    };
    let write = async {
        // What is sent later would be missing in the files.
        lab.stop().await;
        print_end(lab, progress);
        stack.stop_event_sources();
        let ledger = stack.ledger().map(LedgerReceiver::ledger);
        let (clients, outputs) = (stack.clients(), stack.outputs());
        kept.write(clients, outputs, ledger.as_ref()).await
    };
    match keep::unless(interrupted, write).await {
        Ok(unread) => {
            step.done();
            stack.stop().await;
            progress.print(&kept.complete(unread));
            Ok(())
        }
        Err(error) => {
            drop(step);
            stack.end().await;
            progress.print(&kept.incomplete());
            Err(error)
        }
    }
}

/// Removes the stack file when dropped.
struct StackFileGuard {
    path: PathBuf,
}

impl Drop for StackFileGuard {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends the lines of a file to the running stack.
///
/// # Errors
/// [`LocalError::NoStack`], or a failed file operation or call.
pub async fn send(workspace: &Workspace, file: &Path, progress: Progress) -> Result<usize> {
    let stack = StackFile::read(&workspace.stack_file())?;
    let queue_url = stack
        .outputs
        .get("NotificationQueueUrl")
        .ok_or_else(|| no_stack("its queue is missing in the file".into()))?;
    let messages = messages::classify(messages::read(file)?);
    if !is_reachable(&stack.endpoint).await {
        return Err(no_stack(format!("{} does not respond", stack.endpoint)));
    }
    let credentials = Credentials {
        access_key_id: stack.access_key_id,
        secret_access_key: stack.secret_access_key,
    };
    let clients = Clients::new(&stack.endpoint, &credentials);
    let mut bar = progress.bar(messages.len() as u64);
    let sent = messages::send(&clients, queue_url, &messages, |sent| {
        bar.at(sent as u64, "sent")
    })
    .await?;
    bar.finish();
    Ok(sent.len())
}

/// Whether a program listens at the endpoint. A stack that was killed leaves its file behind.
async fn is_reachable(endpoint: &str) -> bool {
    let address = endpoint
        .strip_prefix("http://")
        .and_then(|address| address.parse::<SocketAddr>().ok());
    let Some(address) = address else { return false };
    let connect = tokio::net::TcpStream::connect(address);
    tokio::time::timeout(CONNECT_LIMIT, connect)
        .await
        .is_ok_and(|connected| connected.is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn stack_file() -> StackFile {
        StackFile {
            endpoint: "http://127.0.0.1:1".into(),
            region: "us-east-1".into(),
            access_key_id: "key".into(),
            secret_access_key: "secret".into(),
            outputs: Outputs::from([(
                "NotificationQueueUrl".into(),
                "http://127.0.0.1:1/q".into(),
            )]),
        }
    }

    #[test]
    fn stack_file_is_private_and_has_the_documented_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stack.json");
        stack_file().write(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "access_key_id",
                "endpoint",
                "outputs",
                "region",
                "secret_access_key"
            ]
        );
        assert!(StackFile::read(&path).unwrap() == stack_file());
        drop(StackFileGuard { path: path.clone() });
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn send_without_a_stack_suggests_starting_one() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(directory.path());
        let file = directory.path().join("messages.jsonl");
        std::fs::write(&file, "{}").unwrap();
        let error = send(&workspace, &file, Progress::Silent).await.unwrap_err();
        assert!(error.help().unwrap().contains("cargo local up"), "{error}");

        std::fs::create_dir_all(workspace.local()).unwrap();
        stack_file().write(&workspace.stack_file()).unwrap();
        let error = send(&workspace, &file, Progress::Silent).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no running stack: http://127.0.0.1:1 does not respond"
        );
    }
}
