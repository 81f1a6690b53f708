//! Captures all output of a function process, and searches it after the process has ended.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{
    fake_aws::FakeAws,
    function::{DEBUG_PREFIX, NAME},
    marker::{MARKER, TYPE_MARKER, contains_marker},
};

pub(crate) struct FunctionProcess {
    child: Child,
    output: [JoinHandle<String>; 2],
}

impl FunctionProcess {
    /// Starts the function with this name. `aws` is the only AWS endpoint it knows.
    pub(crate) fn start(name: &str, aws: &FakeAws) -> Self {
        let address = aws.address();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "function::process"])
            .env_clear()
            .env(NAME, name)
            .env("LOG_LEVEL", "trace")
            // Enables everything the SDK can print.
            .env("LOG_SENSITIVE_BODIES", "true")
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_LOG_LEVEL", "TRACE")
            .env("AWS_ENDPOINT_URL", format!("http://{address}"))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("TABLE_NAME", "notifications")
            .env(
                "QUEUE_URL",
                format!("http://{address}/000000000000/notifications"),
            )
            .env("STREAM_NAME", "notifications")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = [
            tokio::spawn(read(child.stdout.take().unwrap())),
            tokio::spawn(read(child.stderr.take().unwrap())),
        ];
        Self { child, output }
    }

    /// Stops the process, searches everything it wrote and sent, and returns its log.
    pub(crate) async fn stop_and_check(mut self, aws: &FakeAws) -> Log {
        self.child.kill().await.unwrap();
        let mut written = String::new();
        for output in self.output {
            written.push_str(&output.await.unwrap());
        }
        for line in written.lines() {
            assert!(!contains_marker(MARKER, line), "written: {line}");
            assert!(
                line.starts_with(DEBUG_PREFIX) || !contains_marker(TYPE_MARKER, line),
                "written: {line}"
            );
        }
        for sent in aws.requests_to_lambda() {
            let sent = format!("{} {}", sent.head, sent.body);
            assert!(
                !contains_marker(MARKER, &sent) && !contains_marker(TYPE_MARKER, &sent),
                "sent to Lambda: {sent}"
            );
        }
        // The requests to AWS must contain the marker. This shows that the search works.
        let services = aws.requests_to_services();
        assert!(
            services
                .iter()
                .all(|sent| !contains_marker(MARKER, &sent.head))
        );
        assert!(
            services
                .iter()
                .any(|sent| contains_marker(MARKER, &sent.body))
        );
        assert!(
            services
                .iter()
                .any(|sent| contains_marker(TYPE_MARKER, &sent.body))
        );
        Log(written
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }
}

async fn read(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The lines of a log, as JSON.
pub(crate) struct Log(Vec<Value>);

impl Log {
    /// Asserts that a line has all these fields, each with a value that contains the text.
    #[track_caller]
    pub(crate) fn assert_line(&self, fields: &[(&str, &str)]) {
        let value = |line: &Value, name: &str| match &line[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let matches = |line: &&Value| {
            fields
                .iter()
                .all(|(name, text)| value(line, name).contains(text))
        };
        assert!(
            self.0.iter().any(|line| matches(&line)),
            "no line with {fields:?}"
        );
    }

    /// The sum of a counter over all metrics lines.
    pub(crate) fn metric_sum(&self, name: &str) -> u64 {
        let lines = self.0.iter().filter(|line| line.get("_aws").is_some());
        lines.filter_map(|line| line[name].as_u64()).sum()
    }
}
