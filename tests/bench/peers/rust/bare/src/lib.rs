//! The bare limit of anybody who uses the SDK: the functions' calls with the functions' client, and nothing of what
//! makes them safe. No id is read, nothing is checked, hashed, counted, timed or logged; an error ends the process.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// The functions' HTTP client: rustls with ring.
pub async fn config() -> SdkConfig {
    let http_client = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .load()
        .await
}
