//! The WebDriver protocol (W3C WebDriver 2), as far as these tests need it: JSON over HTTP to chromedriver.
//!
//! The crates for it would change the features of `syn` and `time`, so that all tools and tests compile the AWS SDKs again.

use std::net::SocketAddr;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::http;

/// The key of an element's id in JSON (W3C WebDriver 2, "Elements").
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session of chromedriver.
#[derive(Debug)]
pub(super) struct Session {
    address: SocketAddr,
    id: String,
}

/// An element of the page.
#[derive(Debug, Clone)]
pub(super) struct Element(String);

impl Session {
    /// Starts a browser, or returns why it did not start.
    pub(super) async fn start(address: SocketAddr, capabilities: &Value) -> Result<Self, String> {
        let body = json!({"capabilities": {"alwaysMatch": capabilities}});
        let session = try_call(address, Method::POST, "/session", &body).await?;
        let id = session["sessionId"].as_str().unwrap().to_owned();
        Ok(Self { address, id })
    }

    /// Sends a command and returns its value.
    pub(super) async fn post(&self, command: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{command}", self.id);
        call(self.address, Method::POST, &path, body).await
    }

    pub(super) async fn get(&self, command: &str) -> Value {
        let path = format!("/session/{}/{command}", self.id);
        call(self.address, Method::GET, &path, &Value::Null).await
    }

    /// Finds the first element of a CSS selector.
    pub(super) async fn find(&self, css: &str) -> Element {
        let body = json!({"using": "css selector", "value": css});
        let found = self.post("element", &body).await;
        Element(found[ELEMENT].as_str().unwrap().to_owned())
    }

    /// Does something with an element, such as `click`.
    pub(super) async fn act(&self, element: &Element, command: &str, body: &Value) {
        self.post(&format!("element/{}/{command}", element.0), body)
            .await;
    }

    /// Ends the browser.
    pub(super) async fn end(self) {
        let path = format!("/session/{}", self.id);
        call(self.address, Method::DELETE, &path, &Value::Null).await;
    }
}

/// # Panics
/// The driver reports an error.
async fn call(address: SocketAddr, method: Method, path: &str, body: &Value) -> Value {
    let called = try_call(address, method, path, body).await;
    called.unwrap_or_else(|error| panic!("{path} {body}: {error}"))
}

async fn try_call(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, String> {
    let text = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let host = address.to_string();
    let headers = [
        ("host", host.as_str()),
        ("content-type", "application/json"),
    ];
    let answer = http::send(address, method, path, &headers, &text).await;
    if answer.status != StatusCode::OK {
        return Err(answer.body);
    }
    let mut answer: Value = serde_json::from_str(&answer.body).unwrap();
    Ok(answer["value"].take())
}
