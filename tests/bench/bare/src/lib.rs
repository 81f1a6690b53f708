//! The lower bound with the SDK: the calls of the functions with the same client. Messages are not parsed, validated, hashed,
//! counted or logged, and an error fails the invocation.

use aws_config::SdkConfig;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// The functions' HTTP client: rustls with ring.
pub async fn config() -> SdkConfig {
    let http_client = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    aws_config::defaults(onewrite_aws::clients::behavior_version())
        .http_client(http_client)
        .load()
        .await
}
