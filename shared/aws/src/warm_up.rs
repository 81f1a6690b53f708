//! Opens connections while the function starts, so that the first batch needs no TLS handshakes.
//!
//! A handshake takes 0.5 ms of CPU and two round trips. Lambda gives a function more CPU while it starts than later (known, but
//! not promised), and with provisioned concurrency nobody waits for the start.

use std::time::Duration;

use aws_config::{SdkConfig, retry::RetryConfig};
use aws_sdk_dynamodb::config::Builder;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept, context::BeforeTransmitInterceptorContextMut, dyn_dispatch_hint,
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};
use futures::future::join_all;

use crate::clients;

/// A slow endpoint delays the start by this much at most.
const MAX_TIME: Duration = Duration::from_millis(300);

/// Opens so many connections to DynamoDB in the pool of this configuration's HTTP client. Errors are ignored, because the first
/// call opens a connection that it lacks.
///
/// The SDK cannot open a connection without a request. DynamoDB responds to an unsigned `GET /` (`healthy:
/// dynamodb.REGION.amazonaws.com`; see scylladb/scylladb#5050 on GitHub), so the role needs no permission. Any other response
/// is as good.
pub async fn warm_up_dynamodb(config: &SdkConfig, connections: usize) {
    let client = clients::dynamodb_client(config);
    // At the same time: a connection that is free again would be used twice.
    let requests = (0..connections).map(|_| get_root(&client));
    let _ = tokio::time::timeout(MAX_TIME, join_all(requests)).await;
}

async fn get_root(client: &aws_sdk_dynamodb::Client) {
    let once = Builder::new().retry_config(RetryConfig::disabled());
    let _ = client
        .put_item()
        .table_name("none")
        .customize()
        .config_override(once)
        .interceptor(GetRoot)
        .send()
        .await;
}

/// Turns a call into an unsigned `GET /` to the same endpoint.
#[derive(Debug)]
struct GetRoot;

#[dyn_dispatch_hint]
impl Intercept for GetRoot {
    fn name(&self) -> &'static str {
        "GetRoot"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        const OF_THE_CALL: [&str; 6] = [
            "authorization",
            "content-length",
            "content-type",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-target",
        ];
        let request = context.request_mut();
        request.set_method("GET")?;
        *request.body_mut() = SdkBody::empty();
        for name in OF_THE_CALL {
            request.headers_mut().remove(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_config::Region;
    use aws_credential_types::Credentials;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    async fn config(endpoint: &str) -> SdkConfig {
        let loader = clients::loader(Some(endpoint))
            .empty_test_environment()
            .region(Region::from_static("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new(
                "id",
                "key",
                Some("token".into()),
                None,
                "test",
            ));
        loader.load().await
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        (listener, endpoint)
    }

    /// The heads of the requests of each connection.
    type Heads = Arc<Mutex<Vec<Vec<String>>>>;

    async fn serve(listener: TcpListener, heads: Heads) {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            heads.lock().unwrap().push(Vec::new());
            let number = heads.lock().unwrap().len() - 1;
            tokio::spawn(respond(connection, heads.clone(), number));
        }
    }

    /// Responds to all requests of a connection, which must be in one packet each.
    async fn respond(mut connection: TcpStream, heads: Heads, number: usize) {
        let mut buffer = [0; 8192];
        while let Ok(length @ 1..) = connection.read(&mut buffer).await {
            let head = String::from_utf8_lossy(&buffer[..length]).into_owned();
            heads.lock().unwrap()[number].push(head);
            let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            connection.write_all(response).await.unwrap();
        }
    }

    #[tokio::test]
    async fn opens_connections_that_later_calls_use() {
        let (listener, endpoint) = listener().await;
        let heads = Heads::default();
        tokio::spawn(serve(listener, heads.clone()));
        let config = config(&endpoint).await;
        warm_up_dynamodb(&config, 3).await;
        let client = clients::dynamodb_client(&config);
        let calls = (0..3).map(|_| client.put_item().table_name("t").send());
        for response in join_all(calls).await {
            response.unwrap();
        }
        let heads = heads.lock().unwrap();
        assert_eq!(heads.len(), 3);
        for requests in heads.iter() {
            let [warm_up, call] = &requests[..] else {
                panic!("{requests:?}")
            };
            assert!(warm_up.starts_with("GET / HTTP/1.1\r\n"), "{warm_up}");
            assert!(warm_up.ends_with("\r\n\r\n"), "{warm_up}");
            let warm_up = warm_up.to_ascii_lowercase();
            let call = call.to_ascii_lowercase();
            for name in ["authorization:", "x-amz-target:", "x-amz-security-token:"] {
                assert_eq!((call.contains(name), warm_up.contains(name)), (true, false));
            }
        }
    }

    #[tokio::test]
    async fn ignores_an_endpoint_that_refuses_connections() {
        let (listener, endpoint) = listener().await;
        drop(listener);
        warm_up_dynamodb(&config(&endpoint).await, 3).await;
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_an_endpoint_that_never_responds() {
        let (_listener, endpoint) = listener().await;
        let config = config(&endpoint).await;
        let began = tokio::time::Instant::now();
        warm_up_dynamodb(&config, 3).await;
        assert!(began.elapsed() <= MAX_TIME + Duration::from_millis(1));
    }
}
