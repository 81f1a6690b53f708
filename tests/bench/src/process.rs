//! One function as a process, with Lambda's environment; what it uses of CPU and memory.

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

use crate::{contender::Contender, runtime_api::RuntimeApi, share::Share, stub::Stub};

/// A running function; it ends when it is dropped.
pub struct Process {
    lambda: RuntimeApi,
    child: Child,
    pid: Pid,
    cpu: ClockId,
    began: Instant,
    // Dropped after the child.
    _share: Option<Share>,
}

impl Process {
    /// Starts it, with the CPU share of this much memory where it is given.
    ///
    /// # Errors
    /// It cannot be started, or there are no shares here.
    pub async fn start(
        contender: &Contender,
        stub: &Stub,
        memory_mb: Option<u64>,
        logs: &Path,
    ) -> Result<Self> {
        let lambda = RuntimeApi::start().await?;
        let share = memory_mb.map(Share::of_memory).transpose()?;
        let mut command = match &share {
            None => Command::new(&contender.program),
            // A process can only enter a group by itself or when it runs; the shell becomes the function.
            Some(share) => {
                let mut shell = Command::new("/bin/sh");
                let enter = r#"echo $$ > "$0" && exec "$@""#;
                shell.args(["-c", enter]).arg(share.processes());
                shell.arg(&contender.program);
                shell
            }
        };
        let log = logs.join(format!("{}.log", contender.name));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        command
            .args(&contender.arguments)
            .current_dir(&contender.directory)
            .env_clear()
            .envs(environment(stub, &lambda, memory_mb))
            .envs(contender.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let began = Instant::now();
        let child = command
            .spawn()
            .with_context(|| contender.program.display().to_string())?;
        let pid = child.id().context("it has ended")?;
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

    /// Hands it an event; how long it took until its answer was there.
    ///
    /// # Errors
    /// It fails, does not answer, or answers that a message failed.
    pub async fn invoke(&mut self, event: Bytes) -> Result<Duration> {
        let began = Instant::now();
        let answered = tokio::select! {
            answered = self.lambda.invoke(event) => answered?,
            ended = self.child.wait() => anyhow::bail!("it has ended: {}", ended?),
        };
        let (body, at) = answered;
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        let failures = answer["batchItemFailures"].as_array();
        anyhow::ensure!(
            failures.is_some_and(Vec::is_empty),
            "not all was done: {answer}"
        );
        Ok(at - began)
    }

    /// From its start until it asked for its first event, once it has.
    #[must_use]
    pub fn initialised_after(&self) -> Option<Duration> {
        Some(self.lambda.ready()? - self.began)
    }

    /// The time since it was started.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// CPU time that it has used, by all its threads.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(self.cpu.now()?.into())
    }

    /// The most memory that it has had, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kilobytes.context("no VmHWM")?.trim().parse::<u64>()? * 1024)
    }

    /// Ends it and waits until it has.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

fn environment(stub: &Stub, lambda: &RuntimeApi, memory_mb: Option<u64>) -> Vec<(String, String)> {
    let bundle = stub.bundle().display().to_string();
    let memory = memory_mb.unwrap_or(crate::share::CORE_MB).to_string();
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
        ("AWS_CA_BUNDLE", bundle.clone()),
        ("NODE_EXTRA_CA_CERTS", bundle.clone()),
        ("SSL_CERT_FILE", bundle),
        ("TABLE_NAME", "notifications".to_owned()),
        ("IDEMPOTENCY_TABLE", "idempotency".to_owned()),
        ("STREAM_NAME", "notifications".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
