//! The HTTP client below the SDK.

use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// An HTTP client that connects through the proxy of `HTTPS_PROXY` and `HTTP_PROXY`, unless `NO_PROXY` excludes the host. The
/// client of the SDK does that only if it is told to. An emulator on this machine is never behind a proxy: `endpoint` is the
/// endpoint of the settings, which replaces those of AWS.
///
/// TLS uses ring instead of aws-lc, whose entropy source costs about 50 ms at the first connection of a process.
#[must_use]
pub fn client(endpoint: Option<&str>) -> SharedHttpClient {
    let is_local = endpoint.is_some_and(is_loopback);
    Builder::new().build_with_connector_fn(move |settings, components| {
        let proxy = if is_local {
            ProxyConfig::disabled()
        } else {
            ProxyConfig::from_env()
        };
        let mut builder = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .proxy_config(proxy);
        builder.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        builder.build()
    })
}

/// Whether the URL leads to this machine, where an emulator runs.
#[must_use]
pub fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_endpoints_on_this_machine() {
        for url in [
            "http://127.0.0.1:4566",
            "http://localhost:80/",
            "http://[::1]:1",
            "localhost",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://dynamodb.us-east-1.amazonaws.com",
            "http://10.0.0.1:4566",
            "http://localhost.example.com",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
