//! `cargo local deploy` asks the process of `cargo local up` to deploy its stack with other parameters.
//!
//! The two exchange files in `target/local`, because only the process that runs the stack has all it needs to deploy it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{LocalError, Result};
use crate::lab::LocalLab;
use crate::progress::Progress;
use crate::stack::Stack;
use crate::workspace::{FileLock, Workspace};

/// How long each process waits before it checks again for a file of the other one.
const POLL: Duration = Duration::from_millis(200);

/// Parameters and their new values.
type Changes = BTreeMap<String, String>;

/// A request to deploy.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    /// A random number, because the process of an earlier request may have been killed before its answer.
    id: u64,
    changes: Changes,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    /// The `id` of the request.
    request: u64,
    /// Why the deployment failed.
    failure: Option<String>,
}

fn request_file(workspace: &Workspace) -> PathBuf {
    workspace.local().join("deploy.request.json")
}

fn answer_file(workspace: &Workspace) -> PathBuf {
    workspace.local().join("deploy.answer.json")
}

/// The lock that `cargo local up` holds as long as it runs.
#[must_use]
pub(crate) fn up_lock(workspace: &Workspace) -> PathBuf {
    workspace.local().join("up.lock")
}

/// Asks `cargo local up` to deploy its stack with these parameters, and waits until it is done.
///
/// # Errors
/// [`LocalError::NoStack`], or [`LocalError::Deployment`] with the reason for the failure.
pub(crate) async fn request(
    workspace: &Workspace,
    changes: &BTreeMap<String, String>,
    progress: Progress,
) -> Result<()> {
    if !workspace.stack_file().exists() {
        return Err(no_stack());
    }
    // One request at a time.
    let lock = workspace.local().join("deploy.lock");
    let _lock = FileLock::acquire(&lock, progress).await?;
    let (request, answer) = (request_file(workspace), answer_file(workspace));
    let id = rand::random();
    let changes = changes.clone();
    write(&request, &Request { id, changes })?;
    let step = progress.step("Deploying the changed parameters");
    let failure = loop {
        if let Some(Answer { request, failure }) = take(&answer)
            && request == id
        {
            break failure;
        }
        if FileLock::try_acquire(&up_lock(workspace))?.is_some() {
            let _ = std::fs::remove_file(&request);
            return Err(no_stack());
        }
        tokio::time::sleep(POLL).await;
    };
    match failure {
        Some(reason) => Err(LocalError::Deployment { reason }),
        None => {
            step.done();
            Ok(())
        }
    }
}

/// Serves requests for `stack`, until it fails. Its lab follows each deployment.
pub(crate) async fn serve(workspace: &Workspace, stack: &mut Stack, lab: &LocalLab) -> LocalError {
    // A process that was killed leaves its request behind.
    let _ = std::fs::remove_file(request_file(workspace));
    loop {
        if let Some(failure) = stack.failure() {
            return failure;
        }
        if let Some(Request { id, changes }) = take(&request_file(workspace)) {
            let deployed = stack.redeploy(&changes).await;
            // A failed deployment can change the functions, too.
            let followed = lab.redeployed(stack).await;
            let deployed = deployed.and(followed);
            let answer = Answer {
                request: id,
                failure: deployed.err().map(|error| error.to_string()),
            };
            if let Err(error) = write(&answer_file(workspace), &answer) {
                return error;
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn no_stack() -> LocalError {
    let reason = "`cargo local up` does not run in this workspace".to_owned();
    LocalError::NoStack { reason }
}

/// Writes a temporary file and renames it, so that the reader never sees a part of it.
fn write(path: &Path, content: &impl Serialize) -> Result<()> {
    let temporary = path.with_extension("new");
    let text = serde_json::to_vec(content).map_err(|error| LocalError::file(path, error.into()))?;
    std::fs::write(&temporary, text)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|source| LocalError::file(path, source))
}

/// Reads and removes a file. `None` if there is none, or if its content is something else.
fn take<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = std::fs::read(path).ok()?;
    let _ = std::fs::remove_file(path);
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_running_stack_the_request_is_withdrawn() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(directory.path());
        let changes = Changes::from([("PayloadPointer".to_owned(), "/data".to_owned())]);
        std::fs::create_dir_all(workspace.local()).unwrap();
        let request = async || request(&workspace, &changes, Progress::Silent).await;
        let error = request().await.unwrap_err();
        assert!(matches!(error, LocalError::NoStack { .. }), "{error}");
        // A killed process leaves its description behind, but not its lock.
        std::fs::write(workspace.stack_file(), "{}").unwrap();
        let error = request().await.unwrap_err();
        assert!(matches!(error, LocalError::NoStack { .. }), "{error}");
        assert!(!request_file(&workspace).exists());
    }

    #[tokio::test]
    async fn reports_the_answer_of_the_process_that_runs_the_stack() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(directory.path());
        std::fs::create_dir_all(workspace.local()).unwrap();
        std::fs::write(workspace.stack_file(), "{}").unwrap();
        let _up = FileLock::try_acquire(&up_lock(&workspace)).unwrap();
        let changes = Changes::from([("Name".to_owned(), "value".to_owned())]);
        for failure in [None, Some("no such parameter".to_owned())] {
            let answering = async {
                let Request { id, changes } = loop {
                    if let Some(asked) = take(&request_file(&workspace)) {
                        break asked;
                    }
                    tokio::task::yield_now().await;
                };
                // The answer to a request whose process was killed comes first.
                let late = Answer {
                    request: id.wrapping_add(1),
                    failure: Some("late".to_owned()),
                };
                write(&answer_file(&workspace), &late).unwrap();
                while answer_file(&workspace).exists() {
                    tokio::task::yield_now().await;
                }
                let failure = failure.clone();
                let answer = Answer {
                    request: id,
                    failure,
                };
                write(&answer_file(&workspace), &answer).unwrap();
                changes
            };
            let request = request(&workspace, &changes, Progress::Silent);
            let (answered, asked) = tokio::join!(request, answering);
            assert_eq!(asked, changes);
            match (answered, failure) {
                (Ok(()), None) => {}
                (Err(LocalError::Deployment { reason }), Some(failure)) => {
                    assert_eq!(reason, failure);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
