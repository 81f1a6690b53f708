//! The emulator: one ministack process on a loopback port, with IAM enforced, whose directory and port are its own.
//!
//! Nothing here knows what is deployed to it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{LocalError, Result};
use crate::process::{Program, Running};
use crate::python::{Environment, Interpreter};

/// The one region everything is deployed to.
pub const REGION: &str = "us-east-1";

/// How long it may take to answer; about a second is usual, more when several start at once.
const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Another process can take a free port between our look and the emulator's bind.
const PORT_ATTEMPTS: u32 = 5;

/// What starts it.
const LAUNCHER: &str = include_str!("../python/emulator.py");

/// The account's own credentials, which may do anything in this emulator; functions get sessions of their roles.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key: drawn anew for each emulator, so that no other page or program of this machine can use it.
    pub secret_access_key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    fn draw() -> Self {
        let hex = |bytes: [u8; 20]| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        Self {
            access_key_id: "onewrite-local".into(),
            secret_access_key: hex(rand::random()),
        }
    }
}

/// A running emulator. Dropping it ends it, a moment later; [`Emulator::end`] waits for that.
#[derive(Debug)]
pub struct Emulator {
    running: Running,
    port: u16,
    credentials: Credentials,
}

impl Emulator {
    /// Starts one in `directory`, on `port` or a free one, and waits until it answers.
    ///
    /// # Errors
    /// [`LocalError::PortBusy`] for a port that was asked for, [`LocalError::NotReady`], or [`LocalError::Step`] with
    /// its last words when it exits.
    pub async fn start(
        environment: &Environment,
        interpreter: &Interpreter,
        directory: &Path,
        port: Option<u16>,
    ) -> Result<Self> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let chosen = match port {
                Some(port) => ensure_free(port)?,
                None => free_port()?,
            };
            match Self::start_on(environment, interpreter, directory, chosen).await {
                Err(LocalError::Step { .. })
                    if port.is_none() && attempts < PORT_ATTEMPTS && is_taken(chosen) => {}
                Err(LocalError::Step { .. }) if port.is_some() && is_taken(chosen) => {
                    return Err(LocalError::PortBusy { port: chosen });
                }
                result => return result,
            }
        }
    }

    async fn start_on(
        environment: &Environment,
        interpreter: &Interpreter,
        directory: &Path,
        port: u16,
    ) -> Result<Self> {
        let credentials = Credentials::draw();
        let identity: String = format!("onewrite-{:016x}", rand::random::<u64>());
        let program = program(
            environment,
            interpreter,
            directory,
            port,
            &credentials,
            &identity,
        )?;
        let mut emulator = Self {
            running: program.spawn()?,
            port,
            credentials,
        };
        emulator.until_ready(&identity, &log(directory)).await?;
        Ok(emulator)
    }

    async fn until_ready(&mut self, identity: &str, log: &Path) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        while Instant::now() < deadline {
            if self.running.try_exited()?.is_some() {
                return Err(self.running.failure("starting the emulator"));
            }
            // Only our own emulator knows the identity: another one on a port we lost answers without it.
            if health(self.port)
                .await
                .is_some_and(|answer| answer.contains(identity))
            {
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Err(LocalError::NotReady {
            what: "the emulator".into(),
            seconds: READY_LIMIT.as_secs(),
            log: log.to_path_buf(),
        })
    }

    /// Where it answers.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The account's own credentials.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether it has exited by itself, as an error that quotes its last words.
    #[must_use]
    pub fn failure(&mut self) -> Option<LocalError> {
        matches!(self.running.try_exited(), Ok(None))
            .then_some(())
            .map_or_else(
                || Some(self.running.failure("running the emulator")),
                |()| None,
            )
    }

    /// Ends it and every function it runs; returns once nothing of it is left.
    pub async fn end(self) {
        self.running.end().await;
    }
}

pub(crate) fn log(directory: &Path) -> PathBuf {
    directory.join("emulator.log")
}

fn program(
    environment: &Environment,
    interpreter: &Interpreter,
    directory: &Path,
    port: u16,
    credentials: &Credentials,
    identity: &str,
) -> Result<Program> {
    let temporary = directory.join("tmp");
    std::fs::create_dir_all(&temporary).map_err(|source| LocalError::file(&temporary, source))?;
    let program = Program::new(
        interpreter.path(),
        environment.program("python"),
        log(directory),
    );
    Ok(isolated(program, directory)
        .args(["-c", LAUNCHER])
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("MINISTACK_REGION", REGION)
        .env("MINISTACK_EDITION", identity)
        // Functions reach the emulator by this, and get nothing without it.
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AUTH", "true")
        .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
        // Code packages, its process id file and anything functions write stay in the stack's own directory.
        .env("TMPDIR", &temporary)
        // Listeners on fixed ports, and containers: two emulators must not meet.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .env(
            "DOCKER_HOST",
            format!("unix://{}", temporary.join("no-docker.sock").display()),
        ))
}

/// Takes away what could lead a program to another AWS than the emulator: the user's profile, credentials, endpoints
/// and proxies.
pub(crate) fn isolated(program: Program, directory: &Path) -> Program {
    let inherited = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("AWS_") && name != "AWS_CA_BUNDLE"
    });
    let program = inherited.fold(program, Program::env_remove);
    program
        .env("AWS_CONFIG_FILE", directory.join("no-aws-config"))
        .env(
            "AWS_SHARED_CREDENTIALS_FILE",
            directory.join("no-aws-credentials"),
        )
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost")
}

fn ensure_free(port: u16) -> Result<u16> {
    if is_taken(port) {
        Err(LocalError::PortBusy { port })
    } else {
        Ok(port)
    }
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| LocalError::file("127.0.0.1:0", source))
}

/// The health answer, when there is one. Plain HTTP by hand: no client crate is worth one request.
async fn health(port: u16) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        let request =
            b"GET /_ministack/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(PROBE_LIMIT, ask).await.ok()?
}
