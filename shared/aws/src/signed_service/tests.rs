use std::sync::{Arc, Mutex};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    runtime_components::RuntimeComponents,
};
use aws_types::service_config::LoadServiceConfig;

use aws_smithy_types::retry::RetryConfig;

use super::*;

fn error(header: Option<&'static str>, body: &'static str) -> (Option<String>, Option<String>) {
    let mut response = HttpResponse::new(404.try_into().unwrap(), SdkBody::from(body));
    if let Some(header) = header {
        response.headers_mut().insert("x-amzn-errortype", header);
    }
    let Err(error) = read(&response) else {
        panic!("success")
    };
    let error = error.as_operation_error().unwrap().clone();
    let text = |text: Option<&str>| text.map(str::to_owned);
    (text(error.code()), text(error.message()))
}

#[test]
fn reads_the_code_of_an_error_of_each_protocol() {
    let some = |text: &str| Some(text.to_owned());
    let code = |code| (some(code), None);
    assert_eq!(
        error(Some("TooManyRequestsException:http://x/"), "{}"),
        code("TooManyRequestsException")
    );
    assert_eq!(
        error(None, r#"{"__type": "com.amazonaws.logs#Throttling"}"#),
        code("Throttling")
    );
    assert_eq!(
        error(None, r#"{"code": "Invalid", "Message": "why"}"#),
        (some("Invalid"), some("why"))
    );
    assert_eq!(
        error(
            None,
            "<Error><Code>NoSuchBucket</Code><Message>why</Message></Error>"
        ),
        (some("NoSuchBucket"), some("why"))
    );
    assert_eq!(error(None, "not found"), code("404"));
}

#[test]
fn resolves_the_endpoints_of_partitions_fips_and_dual_stack() {
    let endpoint = |region: &'static str, fips, dual_stack| {
        let config = SdkConfig::builder().use_fips(fips);
        let config = config.use_dual_stack(dual_stack).build();
        let service = SignedService::new(&config, "logs", "CloudWatch Logs");
        service.endpoint(&Region::from_static(region))
    };
    for (region, fips, dual_stack, host) in [
        ("eu-west-1", false, false, "eu-west-1.amazonaws.com"),
        ("eu-west-1", false, true, "eu-west-1.api.aws"),
        ("cn-north-1", false, false, "cn-north-1.amazonaws.com.cn"),
        (
            "eusc-de-east-1",
            false,
            false,
            "eusc-de-east-1.amazonaws.eu",
        ),
        ("us-iso-east-1", false, false, "us-iso-east-1.c2s.ic.gov"),
        (
            "us-isob-east-1",
            false,
            false,
            "us-isob-east-1.sc2s.sgov.gov",
        ),
        ("us-gov-west-1", true, false, "us-gov-west-1.amazonaws.com"),
    ] {
        let found = endpoint(region, fips, dual_stack);
        assert_eq!(found, format!("https://logs.{host}"));
    }
    let fips = |region, dual_stack| endpoint(region, true, dual_stack);
    let expected = "https://logs-fips.us-east-1.amazonaws.com";
    assert_eq!(fips("us-east-1", false), expected);
    let expected = "https://logs-fips.us-gov-west-1.api.aws";
    assert_eq!(fips("us-gov-west-1", true), expected);
    // Lambda is an exception: in GovCloud, its FIPS endpoint has another name than its usual one.
    let config = SdkConfig::builder().use_fips(true).build();
    let lambda = SignedService::new(&config, "lambda", "Lambda");
    let expected = "https://lambda-fips.us-gov-west-1.amazonaws.com";
    assert_eq!(
        lambda.endpoint(&Region::from_static("us-gov-west-1")),
        expected
    );
}

#[test]
fn prefers_the_configured_endpoint_of_the_service() {
    #[derive(Debug)]
    struct Settings;
    impl LoadServiceConfig for Settings {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            let is_logs = key.service_id() == "CloudWatch Logs";
            assert_eq!(
                (key.env(), key.profile()),
                ("AWS_ENDPOINT_URL", "endpoint_url")
            );
            is_logs.then(|| "https://own".to_owned())
        }
    }
    let config = SdkConfig::builder().endpoint_url("https://all");
    let config = config.service_config(Settings).build();
    let endpoint = |name, id| {
        let service = SignedService::new(&config, name, id);
        service.endpoint(&Region::from_static("eu-west-1"))
    };
    assert_eq!(endpoint("logs", "CloudWatch Logs"), "https://own");
    assert_eq!(endpoint("lambda", "Lambda"), "https://all");
}

/// Answers every request, and keeps it. The first ones are throttled.
#[derive(Clone, Debug, Default)]
struct Wire {
    requests: Arc<Mutex<Vec<HttpRequest>>>,
    throttled: usize,
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut requests = self.requests.lock().unwrap();
        requests.push(request);
        let (status, body) = if requests.len() > self.throttled {
            (200, "{}")
        } else {
            (400, r#"{"__type": "ThrottlingException"}"#)
        };
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn config(wire: &Wire) -> SdkConfig {
    let credentials = Credentials::new("AKID", "secret", Some("token".to_owned()), None, "");
    SdkConfig::builder()
        .region(Region::from_static("us-gov-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(wire.clone())
        .build()
}

fn put() -> Request {
    Request {
        method: "PUT",
        path: "/b/a%3Ab".to_owned(),
        headers: Vec::new(),
        body: "{}".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn retries_throttled_requests_unless_retries_are_disabled() {
    for (retries, throttled, sent) in [
        (RetryConfig::standard(), 2, 3),
        (RetryConfig::standard(), 3, 3),
        (RetryConfig::disabled(), 1, 1),
    ] {
        let wire = Wire {
            throttled,
            ..Wire::default()
        };
        let config = config(&wire).to_builder().retry_config(retries).build();
        let service = SignedService::new(&config, "logs", "CloudWatch Logs");
        let result = service.send("Put", put()).await;
        assert_eq!(wire.requests.lock().unwrap().len(), sent);
        assert_eq!(result.is_ok(), throttled < sent);
    }
}

#[tokio::test]
async fn signs_requests_with_the_session_token_and_those_of_s3_with_the_hash() {
    let wire = Wire::default();
    let config = config(&wire);
    let services = [
        SignedService::new(&config, "logs", "CloudWatch Logs"),
        SignedService::s3(&config),
    ];
    for service in services {
        service.send("Put", put()).await.unwrap();
    }
    let requests = wire.requests.lock().unwrap();
    let header = |index: usize, name| requests[index].headers().get(name);
    for (index, name, signed) in [
        (0, "logs", "host;x-amz-date;x-amz-security-token"),
        (
            1,
            "s3",
            "host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
        ),
    ] {
        let url = format!("https://{name}.us-gov-west-1.amazonaws.com/b/a%3Ab");
        assert_eq!(requests[index].uri(), url);
        assert_eq!(header(index, "x-amz-security-token"), Some("token"));
        let signature = header(index, "authorization").unwrap();
        let scope = format!("/us-gov-west-1/{name}/aws4_request, SignedHeaders={signed}, ");
        assert!(signature.contains(&scope), "{signature}");
    }
    assert_eq!(header(0, "x-amz-content-sha256"), None);
    let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    assert_eq!(header(1, "x-amz-content-sha256"), Some(hash));
}

#[test]
fn encodes_reserved_characters_in_a_path() {
    let arn = "arn:aws:lambda:us-east-1:1:function:f-1/ä";
    let encoded = "arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af-1%2F%C3%A4";
    assert_eq!(encode_segment(arn), encoded);
}
