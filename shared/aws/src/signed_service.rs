//! Requests to a service without its SDK crate: signed, with the retries, time limits, connections and credentials of the SDK.
//!
//! The SDK crates of Lambda, S3, CloudWatch Logs and the services of the targets have hundreds of operations. They take longer
//! to compile than a tool that calls a few of them, and make a function's program larger.

use aws_config::SdkConfig;
use aws_runtime::{
    auth::{
        SigV4OperationSigningConfig, SigningOptions,
        sigv4::{SCHEME_ID, SigV4AuthScheme},
    },
    retries::classifiers::AwsErrorCodeClassifier,
};
use aws_smithy_runtime::client::{
    identity::IdentityCache,
    orchestrator::operation::Operation,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{
            AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
            static_resolver::StaticAuthSchemeOptionResolver,
        },
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        result::SdkError,
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::Layer, error::ErrorMetadata};
use aws_types::{
    SigningName,
    region::{Region, SigningRegion},
    service_config::ServiceConfigKey,
};
use serde_json::Value;

use crate::clients;

/// A service, and how its requests are signed.
#[derive(Clone, Debug)]
pub struct SignedService {
    config: SdkConfig,
    /// The name in signatures and in host names.
    name: &'static str,
    /// The name in settings, as in `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS`.
    id: &'static str,
    options: SigningOptions,
}

/// A request. The path begins with `/` and is encoded.
#[derive(Debug)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Additional headers, by names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body as text.
    pub body: String,
}

/// A successful response.
#[derive(Debug)]
pub struct Response {
    headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of a header. `name` is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(header, _)| header == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// A failed request. It has the service's error code, if the service returned one.
pub type SendError = SdkError<ErrorMetadata, HttpResponse>;

impl SignedService {
    /// A service by its name in signatures and host names, and by its service id (AWS SDKs and tools reference guide,
    /// "Identifiers for service-specific endpoints").
    #[must_use]
    pub fn new(config: &SdkConfig, name: &'static str, id: &'static str) -> Self {
        Self {
            config: config.clone(),
            name,
            id,
            options: SigningOptions::default(),
        }
    }

    /// Amazon S3. It signs paths as they are, and the hash of the body in a header (S3 API reference, "Signature
    /// calculations for the Authorization header").
    #[must_use]
    pub fn s3(config: &SdkConfig) -> Self {
        let mut service = Self::new(config, "s3", "S3");
        service.options.double_uri_encode = false;
        service.options.normalize_uri_path = false;
        service.options.content_sha256_header = true;
        service
    }

    /// The URL that requests are sent to; empty without a region.
    pub(crate) fn url(&self) -> String {
        let region = self.config.region();
        region.map_or_else(String::new, |region| self.endpoint(region))
    }

    /// Sends a request, with the retries of the configuration.
    ///
    /// # Errors
    /// [`SendError`]: no response, or an error response.
    pub async fn send(
        &self,
        operation: &'static str,
        request: Request,
    ) -> Result<Response, SendError> {
        let operation = self.operation(operation);
        let operation = operation.map_err(SdkError::construction_failure)?;
        operation.invoke(request).await
    }

    fn operation(
        &self,
        operation: &'static str,
    ) -> Result<Operation<Request, Response, ErrorMetadata>, String> {
        let Self { config, .. } = self;
        let missing = |part: &str| format!("the SDK configuration has no {part}");
        let region = config.region().ok_or_else(|| missing("region"))?;
        let client = config.http_client().ok_or_else(|| missing("HTTP client"))?;
        let signature = self.signature(region);
        let retries = config.retry_config().cloned();
        let mut builder = Operation::builder()
            .service_name(self.name)
            .operation_name(operation)
            .behavior_version(clients::behavior_version())
            .http_client(client)
            .endpoint_url(&self.endpoint(region))
            .standard_retry(&retries.unwrap_or_else(clients::retries))
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
            .retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
            .runtime_plugin(signature.ok_or_else(|| missing("credentials"))?);
        if let Some(timeouts) = config.timeout_config() {
            builder = builder.timeout_config(timeouts.clone());
        }
        Ok(builder.serializer(serialize).deserializer(read).build())
    }

    /// The endpoint of the settings, or the one of the region (AWS general reference, "Service endpoints").
    fn endpoint(&self, region: &Region) -> String {
        if let Some(url) = self.configured_endpoint() {
            return url;
        }
        let Self { config, name, .. } = self;
        let (suffix, dual_stack_suffix) = dns_suffixes(region.as_ref());
        let is_dual_stack = config.use_dual_stack() == Some(true);
        // The endpoints of most services in GovCloud (US) are FIPS endpoints without the suffix.
        let is_always_suffixed = is_dual_stack || ["lambda", "secretsmanager"].contains(name);
        let is_suffixed = is_always_suffixed || !region.as_ref().starts_with("us-gov-");
        let fips = if config.use_fips() == Some(true) && is_suffixed {
            "-fips"
        } else {
            ""
        };
        let suffix = if is_dual_stack {
            dual_stack_suffix
        } else {
            suffix
        };
        format!("https://{name}{fips}.{region}.{suffix}")
    }

    /// An endpoint for this service has priority over one for all services, unless the program sets the latter.
    fn configured_endpoint(&self) -> Option<String> {
        let Self { config, id, .. } = self;
        let for_all = || config.endpoint_url().map(str::to_owned);
        if config.get_origin("endpoint_url").is_client_config() {
            return for_all();
        }
        let key = ServiceConfigKey::builder()
            .service_id(id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        let settings = config.service_config();
        let own = settings.and_then(|settings| settings.load_config(key.ok()?));
        own.or_else(for_all)
    }

    /// Signature Version 4; `None` without credentials.
    fn signature(&self, region: &Region) -> Option<StaticRuntimePlugin> {
        let mut settings = Layer::new("signature");
        settings.store_put(AuthSchemeOptionResolverParams::new(()));
        settings.store_put(SigV4OperationSigningConfig {
            region: Some(SigningRegion::from(region.clone())),
            name: Some(SigningName::from_static(self.name)),
            signing_options: self.options.clone(),
            ..SigV4OperationSigningConfig::default()
        });
        let cache = self.config.identity_cache();
        let cache = cache.unwrap_or_else(IdentityCache::no_cache);
        let schemes = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
        let mut components = RuntimeComponentsBuilder::new("signature");
        components
            .set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(schemes)));
        components.push_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()));
        components.set_identity_cache(Some(cache));
        components.set_identity_resolver(SCHEME_ID, self.config.credentials_provider()?);
        let plugin = StaticRuntimePlugin::new().with_config(settings.freeze());
        Some(plugin.with_runtime_components(components))
    }
}

/// The DNS suffixes of a region's partition, the second one of dual-stack endpoints (AWS SDK for Rust, partitions).
fn dns_suffixes(region: &str) -> (&'static str, &'static str) {
    const PARTITIONS: [(&str, (&str, &str)); 6] = [
        ("cn-", ("amazonaws.com.cn", "api.amazonwebservices.com.cn")),
        ("eusc-", ("amazonaws.eu", "api.amazonwebservices.eu")),
        ("us-iso-", ("c2s.ic.gov", "api.aws.ic.gov")),
        ("us-isob-", ("sc2s.sgov.gov", "api.aws.scloud")),
        ("us-isof-", ("csp.hci.ic.gov", "api.aws.hci.ic.gov")),
        ("eu-isoe-", ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk")),
    ];
    let found = PARTITIONS
        .iter()
        .find(|(start, _)| region.starts_with(start));
    found.map_or(("amazonaws.com", "api.aws"), |(_, suffixes)| *suffixes)
}

fn serialize(input: Request) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(input.body));
    request.set_method(input.method)?;
    request.set_uri(input.path)?;
    for (name, value) in input.headers {
        request.headers_mut().try_insert(name, value)?;
    }
    Ok(request)
}

fn read(response: &HttpResponse) -> Result<Response, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    if !response.status().is_success() {
        return Err(OrchestratorError::operation(error_metadata(response, body)));
    }
    let headers = response.headers().iter();
    Ok(Response {
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: body.to_vec(),
    })
}

/// Reads an error response of the JSON protocols (Smithy, "Operation error serialization") or of S3, whose errors are XML.
fn error_metadata(response: &HttpResponse, body: &[u8]) -> ErrorMetadata {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = std::str::from_utf8(body).unwrap_or_default();
    let member = |name: &str| json[name].as_str();
    let code = response.headers().get("x-amzn-errortype");
    let code = code.or_else(|| member("__type")).or_else(|| member("code"));
    // `com.amazonaws.logs#ThrottlingException`, or with a URL behind a colon.
    let code = code.and_then(|code| code.rsplit('#').next()?.split(':').next());
    let code = code.or_else(|| element(text, "Code"));
    let message = member("message").or_else(|| member("Message"));
    let status = response.status().as_u16().to_string();
    let mut error = ErrorMetadata::builder().code(code.unwrap_or(&status));
    if let Some(message) = message.or_else(|| element(text, "Message")) {
        error = error.message(message);
    }
    error.build()
}

/// The text of the first XML element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(text, _)| text)
}

/// Encodes one segment of a path (RFC 3986, section 2.1).
#[must_use]
pub fn encode_segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
