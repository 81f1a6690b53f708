//! The emulator starts by itself and never outlives the process that started it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use onewrite_local::emulator::Emulator;
use onewrite_local::error::LocalError;
use onewrite_local::progress::Progress;
use onewrite_local::python::{self, Environment, Interpreter};
use onewrite_local::workspace::Workspace;

/// Set for the test binary when it runs again as a child: the directory of an emulator that the child never ends.
const CHILD_DIRECTORY: &str = "ONEWRITE_TEST_EMULATOR_DIRECTORY";
/// What that child runs.
const CHILD_TEST: &str = "local::emulator::child_that_never_ends_its_emulator";
const LIMIT: Duration = Duration::from_secs(120);

async fn install() -> (Environment, Interpreter) {
    let interpreter = Interpreter::find().await.unwrap();
    let requirements = python::EMULATOR;
    let environment = python::environment(
        &Workspace::here(),
        &interpreter,
        requirements,
        Progress::Silent,
    )
    .await
    .unwrap();
    (environment, interpreter)
}

/// Finds the processes whose environment contains `directory`: the emulator, its functions, its supervisor's child.
fn find_processes(directory: &Path) -> Vec<u32> {
    let needle = directory.to_str().unwrap().as_bytes();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            *pid != std::process::id()
                && environment
                    .windows(needle.len())
                    .any(|window| window == needle)
        })
        .collect()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn end_leaves_no_process() {
    let (environment, interpreter) = install().await;
    let directory = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(&environment, &interpreter, directory.path(), None)
        .await
        .unwrap();
    assert!(!find_processes(directory.path()).is_empty());
    emulator.end().await;
    assert_eq!(find_processes(directory.path()), Vec::<u32>::new());
}

#[tokio::test]
async fn reports_a_busy_port() {
    let (environment, interpreter) = install().await;
    let directory = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = Emulator::start(&environment, &interpreter, directory.path(), Some(port))
        .await
        .unwrap_err();
    assert!(
        matches!(error, LocalError::PortBusy { port: named } if named == port),
        "{error}"
    );
}

#[tokio::test]
async fn emulators_started_concurrently_use_different_ports() {
    let (environment, interpreter) = install().await;
    let directories = [
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    ];
    let starts = directories
        .iter()
        .map(|directory| Emulator::start(&environment, &interpreter, directory.path(), None));
    let emulators: Vec<Emulator> = futures::future::try_join_all(starts).await.unwrap();
    let mut endpoints: Vec<String> = emulators.iter().map(Emulator::endpoint).collect();
    endpoints.sort();
    endpoints.dedup();
    assert_eq!(endpoints.len(), directories.len());
    futures::future::join_all(emulators.into_iter().map(Emulator::end)).await;
}

#[tokio::test]
async fn sigkill_of_the_tool_leaves_no_process() {
    install().await;
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD_TEST, "--ignored", "--nocapture"])
        .env(CHILD_DIRECTORY, directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let up = directory.path().join("up");
    wait_until("the child's emulator is running", || {
        up.exists() || child.try_wait().unwrap().is_some()
    });
    assert!(up.exists(), "the child exited early");
    assert!(
        find_processes(directory.path()).len() > 1,
        "the child or its emulator is missing"
    );

    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("every process has exited", || {
        find_processes(directory.path()).is_empty()
    });
}

#[tokio::test]
#[ignore = "not a test: the process that the SIGKILL test kills"]
async fn child_that_never_ends_its_emulator() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else {
        return;
    };
    let (environment, interpreter) = install().await;
    let _emulator = Emulator::start(&environment, &interpreter, Path::new(&directory), None)
        .await
        .unwrap();
    std::fs::write(Path::new(&directory).join("up"), "").unwrap();
    std::future::pending::<()>().await;
}
