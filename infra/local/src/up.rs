//! `cargo local up` keeps a stack running and describes it in a file. `cargo local send` sends messages to it.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clients::Clients;
use crate::emulator::{Credentials, REGION};
use crate::error::{LocalError, Result};
use crate::messages;
use crate::progress::Progress;
use crate::redeploy;
use crate::stack::{Stack, StackOptions};
use crate::workspace::{FileLock, Workspace};
use onewrite_stack::outputs::Outputs;

const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Printed if the pipeline has no downstream.
const NO_DOWNSTREAM: &str = "There is no target: notifications stay in INIT until your own consumer settles them. To deliver them, use \
    --downstream-url, --downstream-queue or --downstream-function.";

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

/// Starts a stack and keeps it running until `interrupted` resolves or one of its processes exits.
///
/// # Errors
/// [`LocalError::AlreadyUp`], a failed start, or the exit of one of its processes.
pub async fn up(options: StackOptions, interrupted: impl Future<Output = ()>) -> Result<()> {
    let workspace = options.workspace.clone();
    let lock = FileLock::try_acquire(&redeploy::up_lock(&workspace))?;
    let _lock = lock.ok_or(LocalError::AlreadyUp)?;
    tokio::pin!(interrupted);
    let start = Stack::start(options);
    let mut stack = tokio::select! {
        stack = start => stack?,
        () = &mut interrupted => return Err(LocalError::Interrupted),
    };
    let path = workspace.stack_file();
    let file_guard = StackFileGuard { path: path.clone() };
    StackFile::new(&stack).write(&path)?;
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
    let ended = tokio::select! {
        failure = redeploy::serve(&workspace, &mut stack) => Err(failure),
        () = &mut interrupted => Ok(()),
    };
    drop(file_guard);
    match ended {
        Ok(()) => stack.stop().await,
        Err(_) => stack.end().await,
    }
    ended
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
