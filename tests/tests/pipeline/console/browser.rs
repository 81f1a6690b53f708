//! Headless Chromium, driven by chromedriver.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use onewrite_local::process::{Program, Running};
use onewrite_tests::template::repository;
use serde_json::{Value, json};

use super::{
    driver::{Element, Session},
    wait::{TIMEOUT, wait_for},
};

/// Set where Chromium must be installed, as in the gate. Without it, tests that find no Chromium are skipped.
const REQUIRED: &str = "ONEWRITE_REQUIRE_BROWSER";

/// The name of Chromium differs between distributions.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Written by chromedriver when it listens.
const DRIVER_READY: &str = "started successfully on port ";

/// The directory of the screenshots, for a reviewer.
const SCREENSHOTS: &str = "target/console-screenshots";

/// The handle of a tab.
#[derive(Debug, Clone)]
pub(super) struct Tab(Value);

/// How Chromium renders the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) is_dark: bool,
}

impl Screen {
    pub(super) const fn light(width: u32) -> Self {
        Self {
            width,
            height: 800,
            is_dark: false,
        }
    }

    pub(super) const fn dark(width: u32) -> Self {
        Self {
            is_dark: true,
            ..Self::light(width)
        }
    }
}

/// A browser with its own profile. Dropping it ends chromedriver and Chromium by their process ids, also if the test is killed.
pub(super) struct Browser {
    session: Session,
    driver: Running,
    _directory: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser, or returns `None` where none is installed.
    ///
    /// # Panics
    /// No browser is installed although `ONEWRITE_REQUIRE_BROWSER` is set.
    pub(super) async fn start() -> Option<Self> {
        let programs = find(&BROWSERS).zip(find(&["chromedriver"]));
        let Some((browser, driver)) = programs else {
            let is_required = std::env::var_os(REQUIRED).is_some();
            assert!(!is_required, "Chromium or chromedriver is missing");
            eprintln!(
                "NOT TESTED: the page, because Chromium or chromedriver is missing. {REQUIRED}=1 makes this a failure."
            );
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let (driver, address) = start_driver(&driver, directory.path()).await;
        let session = start_session(address, &capabilities(&browser)).await;
        Some(Self {
            session,
            driver,
            _directory: directory,
        })
    }

    /// Opens a page in the current tab.
    pub(super) async fn open(&self, url: &str) {
        self.session.post("url", &json!({"url": url})).await;
    }

    /// Opens a page in a new tab, which becomes the current one.
    pub(super) async fn open_tab(&self, url: &str) -> Tab {
        let mut opened = self
            .session
            .post("window/new", &json!({"type": "tab"}))
            .await;
        let tab = Tab(opened["handle"].take());
        self.switch_to(&tab).await;
        self.open(url).await;
        tab
    }

    pub(super) async fn current_tab(&self) -> Tab {
        Tab(self.session.get("window").await)
    }

    pub(super) async fn switch_to(&self, tab: &Tab) {
        self.session.post("window", &json!({"handle": tab.0})).await;
    }

    /// Loads the page of the current tab again.
    pub(super) async fn reload(&self) {
        self.session.post("refresh", &json!({})).await;
    }

    pub(super) async fn current_url(&self) -> String {
        let url = self.session.get("url").await;
        url.as_str().unwrap().to_owned()
    }

    /// Sets the size of the page in CSS pixels and the theme of the system.
    pub(super) async fn show_on(&self, screen: Screen) {
        let Screen {
            width,
            height,
            is_dark,
        } = screen;
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        )
        .await;
        let theme = if is_dark { "dark" } else { "light" };
        let features = json!([
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features}))
            .await;
    }

    /// Runs the body of a function of JavaScript and returns its result.
    pub(super) async fn evaluate(&self, body: &str, arguments: Vec<Value>) -> Value {
        let body = json!({"script": body, "args": arguments});
        self.session.post("execute/sync", &body).await
    }

    /// The texts of all elements with this test id, also of those that are scrolled out of sight.
    pub(super) async fn texts(&self, test_id: &str) -> Vec<String> {
        const BODY: &str = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent.trim())";
        let texts = self.evaluate(BODY, vec![json!(selector(test_id))]).await;
        serde_json::from_value(texts).unwrap()
    }

    /// Waits until the first element with this test id has a text that the test accepts, and returns it.
    pub(super) async fn text_when(
        &self,
        test_id: &str,
        is_accepted: impl FnMut(&str) -> bool,
    ) -> String {
        self.text_within(TIMEOUT, test_id, is_accepted).await
    }

    /// The same with another limit.
    pub(super) async fn text_within(
        &self,
        limit: Duration,
        test_id: &str,
        mut is_accepted: impl FnMut(&str) -> bool,
    ) -> String {
        let mut seen = Vec::new();
        let poll = wait_for(test_id, Duration::MAX, async || {
            seen = self.texts(test_id).await;
            seen.first().filter(|text| is_accepted(text)).cloned()
        });
        match tokio::time::timeout(limit, poll).await {
            Ok(text) => text,
            Err(_) => panic!("timed out waiting for {test_id}, which is {seen:?}"),
        }
    }

    /// Waits until there is an element with this test id and a text, and returns the text.
    pub(super) async fn text(&self, test_id: &str) -> String {
        self.text_when(test_id, |text| !text.is_empty()).await
    }

    /// Whether the page shows an element with this test id.
    pub(super) async fn shows(&self, test_id: &str) -> bool {
        const BODY: &str = "const one = document.querySelector(arguments[0]); return Boolean(one?.checkVisibility())";
        self.evaluate(BODY, vec![json!(selector(test_id))]).await == json!(true)
    }

    /// Waits until the page shows an element with this test id.
    pub(super) async fn wait_until_shown(&self, test_id: &str) {
        let what = format!("the page shows {test_id}");
        wait_for(&what, TIMEOUT, async || {
            self.shows(test_id).await.then_some(())
        })
        .await;
    }

    /// Clicks the first element with this test id when it is there and enabled.
    pub(super) async fn click(&self, test_id: &str) {
        const IS_ENABLED: &str = "const one = document.querySelector(arguments[0]);
            return Boolean(one?.checkVisibility()) && !one.disabled && one.ariaDisabled !== 'true'";
        let css = selector(test_id);
        let what = format!("{test_id} can be clicked");
        wait_for(&what, TIMEOUT, async || {
            let is_enabled = self.evaluate(IS_ENABLED, vec![json!(css)]).await == json!(true);
            is_enabled.then_some(())
        })
        .await;
        let element = self.session.find(&css).await;
        self.session.act(&element, "click", &json!({})).await;
    }

    /// Replaces the text of an input.
    pub(super) async fn fill(&self, test_id: &str, text: &str) {
        self.wait_until_shown(test_id).await;
        let element = self.find(test_id).await;
        self.session.act(&element, "clear", &json!({})).await;
        self.send_keys(&element, text).await;
    }

    /// Clicks an element that says that it is off, as a reader can.
    pub(super) async fn click_even_if_off(&self, test_id: &str) {
        self.wait_until_shown(test_id).await;
        let element = self.find(test_id).await;
        self.session.act(&element, "click", &json!({})).await;
    }

    /// Chooses an option by its value when the list has it.
    pub(super) async fn choose(&self, test_id: &str, value: &str) {
        let css = format!("{} option[value=\"{value}\"]", selector(test_id));
        let what = format!("{test_id} has {value}");
        const HAS: &str = "return document.querySelector(arguments[0]) !== null";
        wait_for(&what, TIMEOUT, async || {
            let has = self.evaluate(HAS, vec![json!(css)]).await == json!(true);
            has.then_some(())
        })
        .await;
        let element = self.session.find(&css).await;
        self.session.act(&element, "click", &json!({})).await;
    }

    /// Presses Enter in an input, which sends its form.
    pub(super) async fn submit(&self, test_id: &str) {
        let element = self.find(test_id).await;
        self.send_keys(&element, "\u{E007}").await;
    }

    /// Finds the first element with this test id.
    pub(super) async fn find(&self, test_id: &str) -> Element {
        self.session.find(&selector(test_id)).await
    }

    /// Types into an element, or names the file of an input for files.
    pub(super) async fn send_keys(&self, element: &Element, text: &str) {
        self.session
            .act(element, "value", &json!({"text": text}))
            .await;
    }

    /// Presses a key wherever the focus is.
    pub(super) async fn press(&self, key: char) {
        let keys = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]});
        self.session.post("actions", &actions).await;
    }

    /// Writes a screenshot of the whole page for a reviewer. Returns its size in bytes.
    pub(super) async fn screenshot(&self, name: &str) -> usize {
        const BODY: &str = "return document.documentElement.scrollHeight";
        let height = self.evaluate(BODY, Vec::new()).await;
        let parameters = json!({
            "captureBeyondViewport": true,
            "clip": {"x": 0, "y": 0, "width": self.evaluate("return innerWidth", Vec::new()).await, "height": height, "scale": 1},
        });
        let taken = self.devtools("Page.captureScreenshot", parameters).await;
        let png = BASE64_STANDARD.decode(taken["data"].as_str().unwrap());
        let directory = repository(SCREENSHOTS);
        std::fs::create_dir_all(&directory).unwrap();
        let png = png.unwrap();
        std::fs::write(directory.join(format!("{name}.png")), &png).unwrap();
        png.len()
    }

    /// Calls a method of the DevTools protocol.
    pub(super) async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let body = json!({"cmd": method, "params": parameters});
        self.session.post("goog/cdp/execute", &body).await
    }

    /// The entries of a log of chromedriver since the last call.
    async fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.session.post("se/log", &json!({"type": kind})).await;
        serde_json::from_value(log).unwrap()
    }

    /// The URLs that all tabs requested since the last call.
    pub(super) async fn requests(&self) -> Vec<String> {
        let entries = self.log("performance").await;
        let message = |entry: &Value| -> Value {
            serde_json::from_str(entry["message"].as_str().unwrap()).unwrap()
        };
        entries
            .iter()
            .map(|entry| message(entry)["message"].take())
            .filter_map(|event| match event["method"].as_str()? {
                "Network.requestWillBeSent" => Some(event["params"]["request"]["url"].clone()),
                "Network.webSocketCreated" => Some(event["params"]["url"].clone()),
                _ => None,
            })
            .map(|url| url.as_str().unwrap().to_owned())
            .collect()
    }

    /// Ends the browser.
    ///
    /// # Panics
    /// A tab called another origin, or wrote a warning or an error to its console, such as a violation of the content security
    /// policy. Failed requests are errors too: `expected` has parts of those that the test causes.
    pub(super) async fn finish(self, origin: &str, expected: &[&str]) {
        let requests = self.requests().await;
        let is_inside = |url: &&String| url.starts_with(origin) || url.starts_with("data:");
        let outside: Vec<_> = requests.iter().filter(|url| !is_inside(url)).collect();
        assert!(outside.is_empty(), "requests outside {origin}: {outside:?}");
        assert!(requests.len() > 3, "the log has few requests: {requests:?}");

        let mut errors = self.log("browser").await;
        errors.retain(|entry| {
            let message = entry["message"].as_str().unwrap();
            let is_expected = expected.iter().any(|part| message.contains(part));
            !is_expected
                && ["WARNING", "SEVERE"]
                    .iter()
                    .any(|level| entry["level"] == *level)
        });
        assert!(errors.is_empty(), "the console has {errors:#?}");
        self.session.end().await;
        self.driver.end().await;
    }
}

/// Starts chromedriver on a free port.
///
/// It asks for the same port on IPv4 and on IPv6, and ends if the second one is taken. Then it is started again.
async fn start_driver(driver: &Path, directory: &Path) -> (Running, SocketAddr) {
    const STARTS: usize = 5;
    let (output, log) = (directory.join("driver"), directory.join("log"));
    for _ in 0..STARTS {
        // Chromedriver and Chromium keep their profile and their sockets in TMPDIR.
        let mut running = Program::new("python3", driver, &log)
            .arg("--port=0")
            .env("TMPDIR", directory)
            .output(&output)
            .spawn()
            .unwrap();
        let port = wait_for("chromedriver listens", TIMEOUT, async || {
            let text = std::fs::read_to_string(&output).ok()?;
            let port = text.split_once(DRIVER_READY).and_then(|(_, rest)| {
                let (port, _) = rest.split_once('.')?;
                port.parse::<u16>().ok()
            });
            let has_ended = running.try_exited().unwrap().is_some();
            (port.is_some() || has_ended).then_some(port)
        })
        .await;
        if let Some(port) = port {
            return (running, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
    }
    let errors = std::fs::read_to_string(log).unwrap_or_default();
    panic!("chromedriver does not start: {errors}");
}

/// Starts Chromium, which sometimes exits at once on a machine under load.
async fn start_session(driver: SocketAddr, capabilities: &Value) -> Session {
    const STARTS: usize = 5;
    let mut errors = Vec::new();
    for _ in 0..STARTS {
        match Session::start(driver, capabilities).await {
            Ok(session) => return session,
            Err(error) => errors.push(error),
        }
    }
    panic!("Chromium does not start: {errors:#?}");
}

/// The selector of a test id.
pub(super) fn selector(test_id: &str) -> String {
    format!("[data-testid=\"{test_id}\"]")
}

/// Finds the first of these programs in PATH.
fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut programs = names.iter().flat_map(|name| {
        directories
            .iter()
            .map(move |directory| directory.join(name))
    });
    programs.find(|program| program.is_file())
}

fn capabilities(browser: &Path) -> Value {
    let arguments = [
        "--headless=new",
        "--disable-background-networking",
        "--disable-component-update",
        // The shared memory of a container is often too small.
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        // The sandbox starts neither for root nor in most containers. The only page is the console's.
        "--no-sandbox",
        // Tabs in the background must behave as on a screen.
        "--disable-background-timer-throttling",
        "--disable-renderer-backgrounding",
    ];
    json!({
        "browserName": "chrome",
        "goog:chromeOptions": {"binary": browser, "args": arguments},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    })
}
