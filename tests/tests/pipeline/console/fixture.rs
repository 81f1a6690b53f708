//! The console over a model of a pipeline with rich data: the example `fixture` of `onewrite-console`, as a child process.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use hyper::Method;
use onewrite_tests::cargo::cargo;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{
    address::{Address, PRINTED},
    browser::Browser,
    http,
    tool::Tool,
};

/// The first build of the example compiles the server.
const BUILD_AND_START: Duration = Duration::from_secs(300);

/// How long a process may take to end. A server that waits for an open tab never ends.
const END: Duration = Duration::from_secs(10);

/// A notification of the model that is DONE. Its payload has numbers of 20 and 56 digits.
pub(super) const DONE: &str = "order-1001";

/// A notification whose id, type, payload and consumer would run a script if the page took them for HTML.
pub(super) const MARKUP: &str =
    r#""><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>"#;

/// A notification whose id has characters that mean something in an address.
pub(super) const AWKWARD: &str = "päyment/ü 1%2F#?&id=2+3";

/// Built once, whichever test comes first.
static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();

/// A running console.
pub(super) struct Fixture {
    tool: Tool,
    address: Address,
}

impl Fixture {
    /// Starts the example with these arguments.
    pub(super) async fn start(arguments: &[&str]) -> Self {
        let program =
            PROGRAM.get_or_init(async || tokio::task::spawn_blocking(build).await.unwrap());
        let mut command = Command::new(program.await);
        command.args(arguments);
        let mut tool = Tool::start(command);
        let line = tool.line_with(PRINTED, BUILD_AND_START).await;
        let address = Address::parse(&line);
        Self { tool, address }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// What the server has logged.
    pub(super) fn log(&self) -> String {
        self.tool.output()
    }

    /// Reads JSON from the server, as the page does.
    pub(super) async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, "").await
    }

    /// Posts JSON to the server, as the page does.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Value {
        self.call(Method::POST, path, &body.to_string()).await
    }

    async fn call(&self, method: Method, path: &str, body: &str) -> Value {
        let (host, bearer) = (self.address.host(), self.address.bearer());
        let headers = [
            ("host", host.as_str()),
            ("authorization", &bearer),
            ("content-type", "application/json"),
        ];
        let answer = http::send(self.address.socket, method, path, &headers, body).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Ends the server as Ctrl-C does.
    ///
    /// # Panics
    /// It does not end, or fails.
    pub(super) async fn end(mut self) {
        self.tool.interrupt();
        let status = self.tool.ended(END).await;
        assert!(status.success(), "{status}:\n{}", self.tool.output());
    }
}

/// Runs a test in a browser, over a console with these arguments. At the end, the page has called nothing else, and its console has no
/// error but the `expected` ones. Without a browser, nothing runs: see [`Browser::start`].
pub(super) async fn with_page(
    arguments: &[&str],
    expected: &[&str],
    test: impl AsyncFnOnce(&Browser, &Fixture),
) {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let fixture = Fixture::start(arguments).await;
    test(&browser, &fixture).await;
    browser.finish(&fixture.address().origin(), expected).await;
    fixture.end().await;
}

fn build() -> PathBuf {
    let built = cargo()
        .args(["build", "--quiet", "--locked", "--message-format=json"])
        // The operator's tool links the server too: with it, cargo compiles the same dependencies as for the tests.
        .args([
            "--package",
            "onewrite-operator",
            "--package",
            "onewrite-console",
            "--example",
            "fixture",
        ])
        .args(["--features", "onewrite-console/server"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&built.stdout);
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    executable.expect("cargo builds the example")
}
