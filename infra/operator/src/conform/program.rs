//! A consumer that is a program: it gets a batch on standard input and prints the response.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use onewrite_event_sources::report::{self, Report};
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{judge::Answer, proxy::Proxy};

/// How long an invocation may take. Our own choice: a consumer that hangs must not stop the plays.
const LIMIT: Duration = Duration::from_secs(60);

/// Lines of standard error that a reason quotes. All data in it is that of the plan.
const QUOTED_LINES: usize = 3;

/// A consumer as a command line.
pub struct Program {
    pub command: String,
    pub environment: Vec<(&'static str, String)>,
}

impl Program {
    /// Runs the program on a batch. Returns its answer and what it printed.
    ///
    /// # Errors
    /// The program cannot be started.
    pub async fn invoke(
        &self,
        batch: String,
        numbers: &[&str],
        proxy: &Proxy,
    ) -> std::io::Result<(Answer, String)> {
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The shell and all that it starts are killed together.
            .process_group(0)
            .kill_on_drop(true)
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .env("AWS_ENDPOINT_URL", proxy.endpoint())
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let group = group.map(Pid::from_raw);
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input fails by its answer.
            tokio::spawn(async move { stdin.write_all(batch.as_bytes()).await });
        }
        let mut ended = Box::pin(child.wait_with_output());
        let stopped = tokio::select! {
            output = &mut ended => return Ok(read_output(&output?, numbers)),
            () = proxy.killed() => "it was killed".to_owned(),
            () = tokio::time::sleep(LIMIT) => format!("no answer in {} s", LIMIT.as_secs()),
        };
        if let Some(group) = group {
            // An error means that the group has ended.
            let _ = killpg(group, Signal::SIGKILL);
        }
        let (_, printed) = read_output(&ended.await?, numbers);
        Ok((Answer::Failed(stopped), printed))
    }
}

/// The answer of a program that ended, and everything that it printed.
fn read_output(output: &Output, numbers: &[&str]) -> (Answer, String) {
    let response = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let answer = if output.status.success() {
        read_response(&response, numbers)
    } else {
        let lines: Vec<_> = errors.lines().collect();
        let quoted = lines[lines.len().saturating_sub(QUOTED_LINES)..].join(" / ");
        Answer::Failed(format!("{}: {quoted}", output.status))
    };
    (answer, format!("{response}{errors}"))
}

/// Reads a response as Lambda does. It is the whole output, or the last line of it.
fn read_response(output: &str, numbers: &[&str]) -> Answer {
    let lines = [Some(output), output.trim_end().lines().next_back()];
    let is_json = |text: &&str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let Some(response) = lines.into_iter().flatten().find(is_json) else {
        return Answer::Failed("the output does not end with a line of JSON".to_owned());
    };
    read_report(response, numbers)
}

/// The answer that a response of a function gives.
#[must_use]
pub fn read_report(response: &str, numbers: &[&str]) -> Answer {
    match report::read(response, true, numbers) {
        Report::AllSucceeded => Answer::Failures(Vec::new()),
        Report::Partial(failures) => {
            Answer::Failures(failures.identifiers().iter().cloned().collect())
        }
        Report::WholeBatchFailed(malformed) => Answer::Failed(malformed.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_responses_as_lambda_does() {
        let failures =
            |numbers: &[&str]| Answer::Failures(numbers.iter().map(ToString::to_string).collect());
        let report = r#"{"batchItemFailures": [{"itemIdentifier": "9"}]}"#;
        for (output, answer) in [
            (report.to_owned(), failures(&["9"])),
            (format!("started\n{report}\n"), failures(&["9"])),
            ("{\n\"batchItemFailures\": []\n}".to_owned(), failures(&[])),
            ("null".to_owned(), failures(&[])),
        ] {
            assert_eq!(read_response(&output, &["9", "10"]), answer, "{output}");
        }
        for wrong in [
            "",
            "done",
            r#"{"batchItemFailures": [{"itemIdentifier": "1"}]}"#,
        ] {
            let answer = read_response(wrong, &["9"]);
            assert!(matches!(answer, Answer::Failed(_)), "{wrong}");
        }
    }
}
