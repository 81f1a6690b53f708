//! The lower bound: one signed HTTP request for each message, with concurrent requests, and a minimal client of the Runtime
//! API. There are no retries and no timeouts; an error ends the process.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use futures::{StreamExt, stream};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    body::{Bytes, Incoming},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use serde_json::json;

/// Concurrent requests, as in `ingest` by default.
const IN_FLIGHT: usize = 32;

type Error = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    message_id: String,
    body: String,
}

struct Table {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: String,
    region: String,
    credentials: Credentials,
    name: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = std::env::var;
    let runtime = format!(
        "http://{}/2018-06-01/runtime/invocation",
        variable("AWS_LAMBDA_RUNTIME_API")?
    );
    let connector = HttpsConnectorBuilder::new()
        .with_native_roots()?
        .https_or_http()
        .enable_http1()
        .build();
    let table = Table {
        http: Client::builder(TokioExecutor::new()).build(connector),
        endpoint: format!("{}/", variable("AWS_ENDPOINT_URL_DYNAMODB")?),
        region: variable("AWS_REGION")?,
        credentials: Credentials::new(
            variable("AWS_ACCESS_KEY_ID")?,
            variable("AWS_SECRET_ACCESS_KEY")?,
            variable("AWS_SESSION_TOKEN").ok(),
            None,
            "environment",
        ),
        name: variable("TABLE_NAME")?,
    };
    let lambda: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    loop {
        let next = lambda.get(format!("{runtime}/next").parse()?).await?;
        let id = next.headers()["lambda-runtime-aws-request-id"]
            .to_str()?
            .to_owned();
        let event = next.into_body().collect().await?.to_bytes();
        let event: Event = serde_json::from_slice(&event)?;
        stream::iter(&event.records)
            .map(|message| table.put(message))
            .buffer_unordered(IN_FLIGHT)
            .for_each(async |put| put.expect("PutItem"))
            .await;
        let response = Request::post(format!("{runtime}/{id}/response"))
            .body(Full::from(r#"{"batchItemFailures":[]}"#))?;
        drain(lambda.request(response).await?.into_body()).await?;
    }
}

impl Table {
    async fn put(&self, message: &Message) -> Result<(), Error> {
        let body = json!({
            "TableName": self.name,
            "ConditionExpression": "attribute_not_exists(notification_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            "Item": {
                "notification_id": {"S": message.message_id},
                "source_message_id": {"S": message.message_id},
                "type": {"S": "notification"},
                "payload": {"S": message.body},
                "fingerprint": {"B": "zXSuqZpfrPPrjyYHYkPpmEUztLM3MVjrSQjc+91p2KE="},
                "status": {"S": "INIT"},
                "version": {"N": "1"},
                "created_at": {"S": "2026-11-23T10:00:00.123Z"},
            },
        });
        let body = Bytes::from(serde_json::to_vec(&body)?);
        let mut request = Request::post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "DynamoDB_20120810.PutItem")
            .body(Full::new(body.clone()))?;
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("dynamodb")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = request.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
        let signable =
            SignableRequest::new("POST", &self.endpoint, headers, SignableBody::Bytes(&body))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        let response = self.http.request(request).await?;
        assert!(response.status().is_success(), "{}", response.status());
        drain(response.into_body()).await
    }
}

/// Reads a response completely, so that its connection can be reused.
async fn drain(body: Incoming) -> Result<(), Error> {
    body.collect().await?;
    Ok(())
}
