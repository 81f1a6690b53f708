//! The emulator: a ministack process on a loopback port, with its own directory and IAM enforced.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{LocalError, Result};
use crate::hex::hex;
use crate::process::{Program, Running};
use crate::python::{Environment, Interpreter};

/// The region of every local stack.
pub const REGION: &str = "us-east-1";

/// How long the emulator may take to start. It usually takes a second, and longer if several start at once.
const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Starts the emulator.
const START: &str = include_str!("../python/start_emulator.py");

/// Another process can bind the port before the emulator does.
const PORT_ATTEMPTS: u32 = 5;

/// The root credentials of this emulator. Functions get sessions of their roles instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    /// Random for each emulator, so that no other program or web page on this machine can use it.
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
    fn random() -> Self {
        Self {
            access_key_id: "onewrite-local".into(),
            secret_access_key: hex(&rand::random::<[u8; 20]>()),
        }
    }
}

/// A running emulator. Dropping it ends it a moment later; [`Emulator::end`] waits until it has ended.
#[derive(Debug)]
pub struct Emulator {
    running: Running,
    port: u16,
    credentials: Credentials,
}

impl Emulator {
    /// Starts an emulator in `directory`, on `port` or a free one, and waits until it is ready.
    ///
    /// # Errors
    /// [`LocalError::PortBusy`] if `port` is in use, [`LocalError::NotReady`], or [`LocalError::Step`] with the last
    /// lines of its output if it exits.
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
                    if port.is_none() && attempts < PORT_ATTEMPTS && is_in_use(chosen) => {}
                Err(LocalError::Step { .. }) if port.is_some() && is_in_use(chosen) => {
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
        let credentials = Credentials::random();
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
            // If another emulator got the port, its answer does not contain this identity.
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

    /// Returns the URL of every service.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the root credentials.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Returns an error that quotes the last lines of its output if it has exited.
    #[must_use]
    pub fn failure(&mut self) -> Option<LocalError> {
        matches!(self.running.try_exited(), Ok(None))
            .then_some(())
            .map_or_else(
                || Some(self.running.failure("running the emulator")),
                |()| None,
            )
    }

    /// Ends the emulator and every function it runs. Returns when none of these processes is left.
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
        .args(["-I", "-c", START])
        // The functions inherit these. For a missing file the SDK logs a warning, which looks like a failure of the function.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("MINISTACK_REGION", REGION)
        .env("MINISTACK_EDITION", identity)
        // Functions get this URL as their endpoint.
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AUTH", "true")
        .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
        // Code packages, the emulator's process id file and files that functions write stay in the stack's directory.
        .env("TMPDIR", &temporary)
        // No listeners on fixed ports and no containers, so that emulators do not interfere with each other.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .env(
            "DOCKER_HOST",
            format!("unix://{}", temporary.join("no-docker.sock").display()),
        ))
}

/// Removes everything that could make a program call AWS instead of the emulator: the user's profile, credentials,
/// endpoints and proxies.
pub(crate) fn isolated(program: Program, directory: &Path) -> Program {
    let inherited = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("AWS_") && name != "AWS_CA_BUNDLE"
    });
    let program = inherited.fold(program, Program::env_remove);
    // Empty files, because the SDK logs an error about files that do not exist.
    let [configuration, credentials] =
        ["no-aws-config", "no-aws-credentials"].map(|name| directory.join(name));
    for file in [&configuration, &credentials] {
        let _ = std::fs::File::create(file);
    }
    program
        .env("AWS_CONFIG_FILE", configuration)
        .env("AWS_SHARED_CREDENTIALS_FILE", credentials)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost")
}

fn ensure_free(port: u16) -> Result<u16> {
    if is_in_use(port) {
        Err(LocalError::PortBusy { port })
    } else {
        Ok(port)
    }
}

fn is_in_use(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

/// Returns a port that was free a moment ago.
fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| LocalError::file("127.0.0.1:0", source))
}

/// Returns the response of the health check. Plain HTTP, because one request is not worth an HTTP client crate.
async fn health(port: u16) -> Option<String> {
    let request = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        let text =
            b"GET /_ministack/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        stream.write_all(text).await.ok()?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.ok()?;
        Some(String::from_utf8_lossy(&response).into_owned())
    };
    tokio::time::timeout(PROBE_LIMIT, request).await.ok()?
}
