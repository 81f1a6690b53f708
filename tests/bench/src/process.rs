//! A function as a process with Lambda's environment, and its use of CPU and memory.

use std::{
    fs::OpenOptions,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hyper::body::Bytes;
use nix::{time::ClockId, unistd::Pid};
use tokio::process::{Child, Command};

use crate::{cpu_share::CpuShare, peer::Peer, runtime_api::RuntimeApi, stub::Stub};

/// A running function. Dropping it kills the process.
pub struct Process {
    lambda: RuntimeApi,
    child: Child,
    pid: Pid,
    cpu: ClockId,
    began: Instant,
    // Dropped after the child.
    _share: Option<CpuShare>,
}

impl Process {
    /// Starts a peer, optionally with the CPU share of this memory.
    ///
    /// # Errors
    /// If the process cannot be started, or CPU shares are not available.
    pub async fn start(
        peer: &Peer,
        stub: &Stub,
        memory_mb: Option<u64>,
        logs: &Path,
    ) -> Result<Self> {
        let lambda = RuntimeApi::start().await?;
        let share = memory_mb.map(CpuShare::for_memory).transpose()?;
        let mut command = match &share {
            None => Command::new(&peer.program),
            // The shell joins the group and then becomes the function, so that all of its work is limited.
            Some(share) => {
                let mut shell = Command::new("/bin/sh");
                let enter = r#"echo $$ > "$0" && exec "$@""#;
                shell.args(["-c", enter]).arg(share.processes());
                shell.arg(&peer.program);
                shell
            }
        };
        let log = logs.join(format!("{}.log", peer.name));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        command
            .args(&peer.arguments)
            .current_dir(&peer.directory)
            .env_clear()
            .envs(environment(stub, &lambda, memory_mb))
            .envs(peer.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let began = Instant::now();
        let child = command
            .spawn()
            .with_context(|| peer.program.display().to_string())?;
        let pid = child.id().context("the process has ended")?;
        let pid = Pid::from_raw(i32::try_from(pid)?);
        let cpu = nix::time::clock_getcpuclockid(pid)?;
        Ok(Self {
            lambda,
            child,
            pid,
            cpu,
            began,
            _share: share,
        })
    }

    /// Invokes the function and returns the time until its response was complete.
    ///
    /// # Errors
    /// If the function fails, does not respond, or reports failed records.
    pub async fn invoke(&mut self, event: Bytes) -> Result<Duration> {
        let began = Instant::now();
        let response = tokio::select! {
            response = self.lambda.invoke(event) => response?,
            ended = self.child.wait() => anyhow::bail!("the process has ended: {}", ended?),
        };
        let (body, at) = response;
        let response: serde_json::Value = serde_json::from_slice(&body)?;
        let failures = response["batchItemFailures"].as_array();
        anyhow::ensure!(
            failures.is_some_and(Vec::is_empty),
            "some records failed: {response}"
        );
        Ok(at - began)
    }

    /// The time from the start to the first request for an event. `None` before that request.
    #[must_use]
    pub fn initialised_after(&self) -> Option<Duration> {
        Some(self.lambda.ready()? - self.began)
    }

    /// The time since the start.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// CPU time of all threads.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(self.cpu.now()?.into())
    }

    /// Peak memory in bytes.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kilobytes.context("no VmHWM")?.trim().parse::<u64>()? * 1024)
    }

    /// Kills the process and waits for it.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// The target of `complete`.
const QUEUE: &str = "arn:aws:sqs:us-east-1:123456789012:downstream";

fn environment(stub: &Stub, lambda: &RuntimeApi, memory_mb: Option<u64>) -> Vec<(String, String)> {
    let bundle = stub.bundle().display().to_string();
    let memory = memory_mb.unwrap_or(crate::cpu_share::CORE_MB).to_string();
    let pairs = [
        ("AWS_LAMBDA_RUNTIME_API", lambda.address().to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", "bench".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench".to_owned()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "bench".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
        ("AWS_SESSION_TOKEN", "example".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", stub.url()),
        ("AWS_ENDPOINT_URL_KINESIS", stub.url()),
        ("AWS_ENDPOINT_URL_SQS", stub.url()),
        ("AWS_CA_BUNDLE", bundle.clone()),
        ("NODE_EXTRA_CA_CERTS", bundle.clone()),
        ("SSL_CERT_FILE", bundle),
        ("TABLE_NAME", "notifications".to_owned()),
        ("IDEMPOTENCY_TABLE", "idempotency".to_owned()),
        ("STREAM_NAME", "notifications".to_owned()),
        ("DOWNSTREAM_ARNS", QUEUE.to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
