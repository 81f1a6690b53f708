//! The functions served by `cargo lambda watch`: saved code is built and used under the running pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::clients::Clients;
use crate::deploy::Sam;
use crate::emulator::free_port;
use crate::error::{LocalError, Result};
use crate::event_sources::Watched;
use crate::process::Running;
use crate::progress::Progress;
use crate::stack::Stack;

const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);

/// How long an invocation waits for the compiler, which may have to start from nothing.
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Invocations of one function that run side by side.
const CONCURRENCY: &str = "8";

/// A running `cargo lambda watch`.
#[derive(Debug)]
pub struct Watch {
    running: Running,
    port: u16,
}

impl Watch {
    /// Starts it with the settings that the deployed functions have.
    ///
    /// # Errors
    /// [`LocalError::NotReady`], [`LocalError::Step`] with its last words, or a failed call.
    pub(crate) async fn start(sam: &Sam, stack: &Stack, progress: Progress) -> Result<Self> {
        let step = progress.step("Starting cargo lambda watch");
        let log = stack.directory().join("watch.log");
        let port = free_port()?;
        let credentials = stack.credentials();
        let mut program = sam
            .cargo_lambda(stack.directory(), &log)
            .args(["watch", "-A", "127.0.0.1", "-P"])
            .arg(port.to_string())
            .args(["--concurrency", CONCURRENCY])
            .env("AWS_ENDPOINT_URL", stack.endpoint())
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key);
        for (name, value) in settings(stack).await? {
            program = program.env(name, value);
        }
        let mut watch = Self {
            running: program.spawn()?,
            port,
        };
        watch.until_ready(log).await?;
        step.done();
        Ok(watch)
    }

    async fn until_ready(&mut self, log: PathBuf) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        while Instant::now() < deadline {
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
                .await
                .is_ok()
            {
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Err(LocalError::NotReady {
            what: "cargo lambda watch".into(),
            seconds: READY_LIMIT.as_secs(),
            log,
        })
    }

    /// Invokes what it serves.
    pub(crate) fn invoker(&self, stack: &Stack) -> Watched {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let clients = Clients::patient(&endpoint, stack.credentials(), BUILD_LIMIT);
        Watched::new(clients.lambda, stack.outputs().binaries(), BUILD_LIMIT)
    }

    /// Why it no longer serves, if it has ended by itself.
    pub(crate) fn failure(&mut self) -> Option<LocalError> {
        let ended = !matches!(self.running.try_exited(), Ok(None));
        ended.then(|| self.running.failure("cargo lambda watch"))
    }

    /// Ends it and the functions it runs.
    pub(crate) async fn end(self) {
        self.running.end().await;
    }
}

/// The environment of all functions together.
async fn settings(stack: &Stack) -> Result<BTreeMap<String, String>> {
    let mut variables = Vec::new();
    for function in stack.outputs().binaries().keys() {
        let configuration = stack
            .clients()
            .lambda
            .get_function_configuration()
            .function_name(function)
            .send()
            .await;
        let configuration =
            configuration.map_err(|error| LocalError::aws("GetFunctionConfiguration", &error))?;
        let environment = configuration
            .environment
            .and_then(|environment| environment.variables);
        variables.extend(environment.into_iter().flatten());
    }
    Ok(shared(variables))
}

/// One process environment serves all functions. Where they differ in a value (a time budget, a bound), none is given
/// and each takes its own default; what has no default, the names of table and stream, is the same for all.
fn shared(variables: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, value) in variables {
        values.entry(name).or_default().insert(value);
    }
    let one = |(name, values): (String, BTreeSet<String>)| {
        let mut values = values.into_iter();
        values
            .next()
            .filter(|_| values.next().is_none())
            .map(|value| (name, value))
    };
    values.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_which_the_functions_differ_is_left_to_their_defaults() {
        let variable = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let variables = [
            ("TABLE_NAME", "t"),
            ("MAX_IN_FLIGHT", "32"),
            ("TABLE_NAME", "t"),
            ("MAX_IN_FLIGHT", "16"),
            ("STREAM_NAME", "s"),
        ];
        let expected = [("TABLE_NAME", "t"), ("STREAM_NAME", "s")].map(variable);
        assert_eq!(shared(variables.map(variable).into()), expected.into());
    }
}
