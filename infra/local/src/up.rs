//! `up`: a stack that stays, and the file that tells others where it is. `send`: messages to that stack.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clients::Clients;
use crate::deploy::Outputs;
use crate::emulator::{Credentials, REGION};
use crate::error::{LocalError, Result};
use crate::messages;
use crate::progress::Progress;
use crate::stack::{Stack, StackOptions};
use crate::workspace::{FileLock, Workspace};

const WATCH_OVER: Duration = Duration::from_millis(500);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What `target/local/stack.json` holds: enough to point any SDK or the AWS CLI at the stack.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFile {
    /// The emulator.
    pub endpoint: String,
    /// The region of everything.
    pub region: String,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key, of this emulator alone.
    pub secret_access_key: String,
    /// The template's outputs, by name.
    pub outputs: Outputs,
}

impl StackFile {
    fn of(stack: &Stack) -> Self {
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

    /// Reads the description of the running stack.
    ///
    /// # Errors
    /// [`LocalError::NoStack`] where there is none, or it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read(path).map_err(|_| none(format!("{} is not there", path.display())))?;
        serde_json::from_slice(&text).map_err(|error| none(format!("{}: {error}", path.display())))
    }

    /// Written beside and renamed, so that whoever finds the file finds all of it; readable by its owner alone.
    fn write(&self, path: &Path) -> Result<()> {
        let beside = path.with_extension("json.new");
        let _ = std::fs::remove_file(&beside);
        let write = || {
            let mut file = File::options()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            std::fs::rename(&beside, path)
        };
        write().map_err(|source| LocalError::file(path, source))
    }
}

fn none(reason: String) -> LocalError {
    LocalError::NoStack { reason }
}

/// Starts a stack and keeps it up until one of its processes ends. Ended by dropping the future, it leaves the stack
/// to end by itself; `interrupted` is waited for so that it can end in order.
///
/// # Errors
/// [`LocalError::AlreadyUp`], whatever keeps the stack from starting, or the end of one of its processes.
pub async fn up(options: StackOptions, interrupted: impl Future<Output = ()>) -> Result<()> {
    let workspace = options.workspace.clone();
    let lock = FileLock::try_acquire(&workspace.local().join("up.lock"))?;
    let _lock = lock.ok_or(LocalError::AlreadyUp)?;
    tokio::pin!(interrupted);
    let start = Stack::start(options);
    let mut stack = tokio::select! {
        stack = start => stack?,
        () = &mut interrupted => return Err(LocalError::Interrupted),
    };
    let path = workspace.stack_file();
    let described = Described { path: path.clone() };
    StackFile::of(&stack).write(&path)?;
    eprintln!(
        "Ready at {}; described in {}. Ctrl-C ends it.",
        stack.endpoint(),
        path.display()
    );
    let ended = tokio::select! {
        failure = watch_over(&mut stack) => Err(failure),
        () = &mut interrupted => Ok(()),
    };
    drop(described);
    match ended {
        Ok(()) => stack.stop().await,
        Err(_) => stack.end().await,
    }
    ended
}

async fn watch_over(stack: &mut Stack) -> LocalError {
    loop {
        if let Some(failure) = stack.failure() {
            return failure;
        }
        tokio::time::sleep(WATCH_OVER).await;
    }
}

/// The description on disk; it goes with the stack.
struct Described {
    path: PathBuf,
}

impl Drop for Described {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends a file's lines to the stack that is up.
///
/// # Errors
/// [`LocalError::NoStack`], or a file or call that failed.
pub async fn send(workspace: &Workspace, file: &Path, progress: Progress) -> Result<usize> {
    let stack = StackFile::read(&workspace.stack_file())?;
    let queue_url = stack
        .outputs
        .get("NotificationQueueUrl")
        .ok_or_else(|| none("it has no queue".into()))?;
    let messages = messages::classify(messages::read(file)?);
    if !answers(&stack.endpoint).await {
        return Err(none(format!("{} does not answer", stack.endpoint)));
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

/// Whether anything listens there: a stack that was killed leaves its description behind.
async fn answers(endpoint: &str) -> bool {
    let address = endpoint
        .strip_prefix("http://")
        .and_then(|address| address.parse::<SocketAddr>().ok());
    let Some(address) = address else { return false };
    let connect = tokio::net::TcpStream::connect(address);
    tokio::time::timeout(ANSWER_LIMIT, connect)
        .await
        .is_ok_and(|connected| connected.is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn description() -> StackFile {
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
    fn the_description_is_its_owner_s_alone_and_has_the_promised_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stack.json");
        description().write(&path).unwrap();
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
        assert!(StackFile::read(&path).unwrap() == description());
        drop(Described { path: path.clone() });
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn sending_without_a_stack_says_how_to_start_one() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(directory.path());
        let file = directory.path().join("messages.jsonl");
        std::fs::write(&file, "{}").unwrap();
        let error = send(&workspace, &file, Progress::Silent).await.unwrap_err();
        assert!(error.help().unwrap().contains("cargo local up"), "{error}");

        std::fs::create_dir_all(workspace.local()).unwrap();
        description().write(&workspace.stack_file()).unwrap();
        let error = send(&workspace, &file, Progress::Silent).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no running stack: http://127.0.0.1:1 does not answer"
        );
    }
}
