//! Calls of a service without its SDK crate: signed JSON requests, with the retries, time limits and credentials of the SDK.
//!
//! The tools make one call to CloudWatch Logs. Its crate has about a hundred, and would take longer to compile than the rest
//! of the operator's tool.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_runtime::{
    auth::{
        SigV4OperationSigningConfig,
        sigv4::{SCHEME_ID, SigV4AuthScheme},
    },
    retries::classifiers::AwsErrorCodeClassifier,
};
use aws_smithy_runtime::client::{
    identity::IdentityCache, orchestrator::operation::Operation,
    retries::classifiers::HttpStatusCodeClassifier,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{
            AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
            static_resolver::StaticAuthSchemeOptionResolver,
        },
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{
    body::SdkBody, config_bag::Layer, error::ErrorMetadata, retry::RetryConfig,
};
use aws_types::{
    SigningName,
    region::{Region, SigningRegion},
};
use serde_json::Value;

use crate::error::StackError;

/// A service with the protocol AWS JSON 1.1 (Smithy, "AWS JSON 1.1 protocol").
#[derive(Clone, Debug)]
pub struct JsonService {
    config: SdkConfig,
    /// The name in signatures and in host names.
    name: &'static str,
    /// The prefix of the header `X-Amz-Target`.
    target: &'static str,
}

impl JsonService {
    /// Amazon CloudWatch Logs.
    #[must_use]
    pub fn cloudwatch_logs(config: &SdkConfig) -> Self {
        Self {
            config: config.clone(),
            name: "logs",
            target: "Logs_20140328",
        }
    }

    /// Calls an operation.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    pub async fn call(&self, operation: &'static str, input: &Value) -> Result<Value, StackError> {
        let call = self.operation(operation)?;
        let output = call.invoke(input.to_string()).await;
        output.map_err(|error| StackError::from_sdk(operation, &error))
    }

    fn operation(
        &self,
        operation: &'static str,
    ) -> Result<Operation<String, Value, ErrorMetadata>, StackError> {
        let Self { config, .. } = self;
        let missing = |part: &str| StackError::Call {
            call: operation,
            reason: format!("the SDK configuration has no {part}"),
        };
        let region = config.region().ok_or(StackError::NoRegion)?;
        let retries = config.retry_config().cloned();
        let client = config.http_client().ok_or_else(|| missing("HTTP client"))?;
        let mut builder = Operation::builder()
            .service_name(self.name)
            .operation_name(operation)
            .behavior_version(BehaviorVersion::latest())
            .http_client(client)
            .endpoint_url(&self.endpoint(region))
            .standard_retry(&retries.unwrap_or_else(RetryConfig::standard))
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
            .runtime_plugin(
                self.signature(region)
                    .ok_or_else(|| missing("credentials"))?,
            );
        if let Some(timeouts) = config.timeout_config() {
            builder = builder.timeout_config(timeouts.clone());
        }
        let target = format!("{}.{operation}", self.target);
        let builder = builder.serializer(move |body: String| request(&target, body));
        Ok(builder.deserializer(output).build())
    }

    /// AWS general reference, "Service endpoints".
    fn endpoint(&self, region: &Region) -> String {
        if let Some(url) = self.config.endpoint_url() {
            return url.to_owned();
        }
        let suffix = if region.as_ref().starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        format!("https://{}.{region}.{suffix}", self.name)
    }

    /// Signature Version 4; `None` without credentials.
    fn signature(&self, region: &Region) -> Option<StaticRuntimePlugin> {
        let mut settings = Layer::new("signature");
        settings.store_put(AuthSchemeOptionResolverParams::new(()));
        settings.store_put(SigV4OperationSigningConfig {
            region: Some(SigningRegion::from(region.clone())),
            name: Some(SigningName::from_static(self.name)),
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

fn request(target: &str, body: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    let headers = request.headers_mut();
    headers.insert("content-type", "application/x-amz-json-1.1");
    headers.insert("x-amz-target", target.to_owned());
    Ok(request)
}

fn output(response: &HttpResponse) -> Result<Value, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    let body: Option<Value> = serde_json::from_slice(body).ok();
    if response.status().is_success() {
        return body.ok_or_else(|| OrchestratorError::other("the response is not JSON"));
    }
    let kind = body.as_ref().and_then(|body| body["__type"].as_str());
    let kind = kind.or_else(|| response.headers().get("x-amzn-errortype"));
    // `com.amazonaws.logs#ThrottlingException`, or with a URL behind a colon.
    let code = kind.and_then(|kind| kind.rsplit('#').next()?.split(':').next());
    let code = code.map_or_else(|| response.status().as_u16().to_string(), str::to_owned);
    let error = ErrorMetadata::builder().code(code).build();
    Err(OrchestratorError::operation(error))
}
