//! The calls of Lambda's API that this tool needs. None is retried: the poller decides whether to retry an invocation.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use onewrite_aws::signed_service::{Request, Response, SendError, SignedService, encode_segment};
use serde_json::Value;

use crate::error::{LocalError, Result};

/// The path of Lambda's API (Lambda API reference).
const API: &str = "/2015-03-31";

/// A client of Lambda.
#[derive(Debug, Clone)]
pub struct Lambda(SignedService);

impl Lambda {
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        let config = config.to_builder();
        let without_retries = config.retry_config(RetryConfig::disabled()).build();
        Self(SignedService::new(&without_retries, "lambda", "Lambda"))
    }

    /// `Invoke`, synchronous.
    pub(crate) async fn invoke(
        &self,
        function: &str,
        payload: String,
    ) -> std::result::Result<Response, SendError> {
        let path = format!("{API}/functions/{}/invocations", encode_segment(function));
        self.send("Invoke", "POST", path, payload).await
    }

    /// The event source mappings, of one function or of all, as `ListEventSourceMappings` returns them.
    pub(crate) async fn event_source_mappings(&self, function: Option<&str>) -> Result<Vec<Value>> {
        let function = function.map_or_else(String::new, encode_segment);
        let (mut mappings, mut marker) = (Vec::new(), String::new());
        loop {
            let query = query(&[("FunctionName", &function), ("Marker", &marker)]);
            let path = format!("{API}/event-source-mappings/{query}");
            let mut page = self
                .json("ListEventSourceMappings", "GET", path, String::new())
                .await?;
            let Value::Array(listed) = page["EventSourceMappings"].take() else {
                let reason = "Lambda returned no list of mappings";
                return Err(LocalError::UnexpectedStack(reason.to_owned()));
            };
            mappings.extend(listed);
            match page["NextMarker"].as_str() {
                Some(next) if !next.is_empty() => marker = encode_segment(next),
                _ => return Ok(mappings),
            }
        }
    }

    /// `UpdateEventSourceMapping`.
    pub(crate) async fn update_event_source_mapping(
        &self,
        uuid: &str,
        changes: &Value,
    ) -> Result<()> {
        let path = format!("{API}/event-source-mappings/{}", encode_segment(uuid));
        let changes = changes.to_string();
        self.json("UpdateEventSourceMapping", "PUT", path, changes)
            .await
            .map(drop)
    }

    /// `GetFunctionConfiguration`.
    pub(crate) async fn function_configuration(&self, function: &str) -> Result<Value> {
        let path = format!("{API}/functions/{}/configuration", encode_segment(function));
        self.json("GetFunctionConfiguration", "GET", path, String::new())
            .await
    }

    /// `UpdateFunctionConfiguration` of the environment variables. All others are removed.
    pub(crate) async fn set_variables(&self, function: &str, variables: &Value) -> Result<()> {
        let path = format!("{API}/functions/{}/configuration", encode_segment(function));
        let body = serde_json::json!({"Environment": {"Variables": variables}}).to_string();
        self.json("UpdateFunctionConfiguration", "PUT", path, body)
            .await
            .map(drop)
    }

    async fn json(
        &self,
        call: &'static str,
        method: &'static str,
        path: String,
        body: String,
    ) -> Result<Value> {
        let response = self.send(call, method, path, body).await;
        let response = response.map_err(|error| LocalError::aws(call, &error))?;
        serde_json::from_slice(&response.body).map_err(|error| LocalError::aws(call, &error))
    }

    async fn send(
        &self,
        call: &'static str,
        method: &'static str,
        path: String,
        body: String,
    ) -> std::result::Result<Response, SendError> {
        let request = Request {
            method,
            path,
            headers: vec![("content-type", "application/json".to_owned())],
            body,
        };
        self.0.send(call, request).await
    }
}

/// Returns the query of a path for encoded values. Those that are empty are left out.
fn query(values: &[(&str, &String)]) -> String {
    let given = values.iter().filter(|(_, value)| !value.is_empty());
    let given: Vec<String> = given
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if given.is_empty() {
        String::new()
    } else {
        format!("?{}", given.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_only_given_values() {
        let (empty, name, marker) = (String::new(), "f".to_owned(), "m".to_owned());
        let query_of = |name, marker| query(&[("FunctionName", name), ("Marker", marker)]);
        assert_eq!(query_of(&empty, &empty), "");
        assert_eq!(query_of(&name, &empty), "?FunctionName=f");
        assert_eq!(query_of(&empty, &marker), "?Marker=m");
        assert_eq!(query_of(&name, &marker), "?FunctionName=f&Marker=m");
    }
}
