use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use onewrite_console::lab::{Action, LabState};
use onewrite_console::pipeline::PipelineError;

use super::*;

struct NoLab;

#[async_trait]
impl Lab for NoLab {
    async fn state(&self) -> std::result::Result<LabState, PipelineError> {
        Ok(LabState::default())
    }

    async fn act(&self, _: Action) -> std::result::Result<String, PipelineError> {
        Ok(String::new())
    }
}

/// A program that notes its process id and its variables, and then runs `script`.
fn program(directory: &Path, script: &str) -> PathBuf {
    let path = directory.join("program");
    let noted = directory.join("noted").display().to_string();
    let variables = r#"$ONEWRITE_LAB_URL ${#ONEWRITE_LAB_TOKEN} ${AWS_PROFILE-none} $1"#;
    let text =
        format!("#!/bin/sh\necho $$ {variables} > {noted}.new\nmv {noted}.new {noted}\n{script}\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn noted(directory: &Path) -> Vec<String> {
    let path = directory.join("noted");
    let text = until(|| std::fs::read_to_string(&path).ok()).await;
    text.split_whitespace().map(str::to_owned).collect()
}

fn is_running(pid: &str) -> bool {
    kill(Pid::from_raw(pid.parse().unwrap()), None).is_ok()
}

async fn serve_in(directory: &Path, program: &Path) -> Result<ExitStatus> {
    let log = directory.join("console.log");
    serve(program, directory, &log, Arc::new(NoLab), Progress::Silent).await
}

#[tokio::test]
async fn tells_the_console_its_lab_and_hides_other_stacks() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(
        directory.path(),
        "echo fine >&2; echo error: problem >&2; exit 3",
    );
    let status = serve_in(directory.path(), &program).await.unwrap();
    assert_eq!(status.code(), Some(3));
    let noted = noted(directory.path()).await;
    assert!(noted[1].starts_with("http://127.0.0.1:"), "{noted:?}");
    assert_eq!(noted[2..], ["64", "none", "console"]);
    let log = directory.path().join("console.log");
    assert_eq!(last_error(&log).as_deref(), Some("error: problem"));
}

#[tokio::test]
async fn the_console_does_not_look_for_the_stack_that_the_shell_names() {
    let api = LabApi::start(Arc::new(NoLab)).await.unwrap();
    let command = command(Path::new("console"), Path::new("."), &api);
    let mut variables = command.as_std().get_envs();
    assert!(variables.any(|variable| variable == (STACK_VARIABLE.as_ref(), None)));
}

#[tokio::test]
async fn the_console_ends_with_its_parent() {
    let directory = tempfile::tempdir().unwrap();
    // It reads until its standard input closes, as the console does, and then cleans up.
    let script = "cat > /dev/null\necho the last line >&2 && touch cleaned-up";
    let program = program(directory.path(), script);
    let serving = serve_in(directory.path(), &program);
    let pid = tokio::select! {
        status = serving => panic!("{status:?}"),
        noted = noted(directory.path()) => noted[0].clone(),
    };
    until(|| (!is_running(&pid)).then_some(())).await;
    assert!(directory.path().join("cleaned-up").exists());
    let log = directory.path().join("console.log");
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    until(|| (text() == "the last line\n").then_some(())).await;
}

#[tokio::test]
async fn a_console_that_does_not_end_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path(), "exec sleep 600");
    let serving = serve_in(directory.path(), &program);
    let pid = tokio::select! {
        status = serving => panic!("{status:?}"),
        noted = noted(directory.path()) => noted[0].clone(),
    };
    until(|| (!is_running(&pid)).then_some(())).await;
}

#[tokio::test]
async fn the_standard_input_of_the_console_closes_with_the_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path(), "cat > /dev/null");
    let api = LabApi::start(Arc::new(NoLab)).await.unwrap();
    let mut child = spawn(&program, directory.path(), &api).unwrap();
    noted(directory.path()).await;
    assert!(child.try_wait().unwrap().is_none());
    // What the kernel does if this process is killed.
    drop(child.stdin.take());
    let status = until(|| child.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn the_end_of_the_console_is_not_the_end_of_the_pipeline() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let ending = program(root, "exit 0");
    let missing = root.join("missing");
    let failed = || LocalError::UnexpectedStack("cargo built no console".to_owned());
    for built in [Ok(ending), Ok(missing), Err(failed())] {
        let directory = root.to_path_buf();
        let run = run(built, root, directory, Arc::new(NoLab), Progress::Silent);
        tokio::pin!(run);
        let is_gone = || async {
            let pid = noted(root).await[0].clone();
            until(|| (!is_running(&pid)).then_some(())).await;
        };
        tokio::select! {
            never = &mut run => match never {},
            () = is_gone() => {}
        }
        for _ in 0..100 {
            assert!(futures::poll!(&mut run).is_pending());
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn says_why_there_is_no_console() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("console.log");
    std::fs::write(
        &log,
        "a line\nerror: the port is in use\nhelp: another one\n",
    )
    .unwrap();
    let ended = Ok(std::os::unix::process::ExitStatusExt::from_raw(256));
    let text = without_console(&ended, &log);
    assert!(
        text.contains("ended with exit status: 1: error: the port is in use."),
        "{text}"
    );
    assert!(text.contains("The pipeline runs on."), "{text}");
}

#[test]
fn takes_the_program_from_cargos_messages() {
    let messages = concat!(
        r#"{"reason":"compiler-artifact","target":{"name":"onewrite_operator"},"executable":null}"#,
        "\n",
        r#"{"reason":"compiler-artifact","target":{"name":"onewrite"},"executable":"/t/debug/onewrite"}"#,
        "\n",
        r#"{"reason":"build-finished","success":true}"#,
    );
    assert_eq!(executable(messages), Some("/t/debug/onewrite".into()));
    assert_eq!(executable(""), None);
}
