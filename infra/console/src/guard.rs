//! Which requests the server answers at all, and the headers of each answer.
//!
//! Another web page in the same browser can send requests to 127.0.0.1. It cannot read the answers and does not know the token.
//! The checks of `Host` (against DNS rebinding) and `Origin` refuse such a request before anything handles it.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{answer::Refusal, auth::Token};

/// The headers of each answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The paths that need the token.
const API: &str = "/api/";

/// The port that a browser leaves out.
const HTTP_PORT: u16 = 80;

/// Decides whether a request comes from the page of this console.
pub(crate) struct Guard {
    token: Token,
    hosts: Vec<String>,
}

impl Guard {
    pub(crate) fn new(token: Token, address: SocketAddr) -> Self {
        let port = address.port();
        let names = ["127.0.0.1", "localhost", "[::1]"];
        let mut hosts: Vec<String> = names.iter().map(|name| format!("{name}:{port}")).collect();
        if port == HTTP_PORT {
            hosts.extend(names.map(str::to_owned));
        }
        Self { token, hosts }
    }

    fn check(&self, request: &Parts) -> Result<(), Refusal> {
        let host = self.check_host(&request.headers, &request.uri)?;
        check_origin(&request.headers, host)?;
        if request.uri.path().starts_with(API) {
            self.check_token(&request.headers)?;
        }
        if request.method == Method::POST {
            check_content_type(&request.headers)?;
        }
        Ok(())
    }

    fn check_host<'a>(&self, headers: &'a HeaderMap, uri: &Uri) -> Result<&'a str, Refusal> {
        let text = "wrong Host header; open the address that the console printed, and forward a port to the same number";
        let refusal = || Refusal::new(StatusCode::FORBIDDEN, text);
        let is_known = |host: &str| self.hosts.iter().any(|one| one.eq_ignore_ascii_case(host));
        let host = single(headers, &header::HOST).map_err(|()| refusal())?;
        // A proxy request names its host in the address too.
        let is_proxy = uri.authority().is_some_and(|host| !is_known(host.as_str()));
        host.filter(|host| is_known(host) && !is_proxy)
            .ok_or_else(refusal)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let value = single(headers, &header::AUTHORIZATION).unwrap_or_default();
        if value.is_some_and(|value| self.token.is_in(value)) {
            return Ok(());
        }
        let text = "wrong token; open the address that the console printed";
        Err(Refusal::new(StatusCode::UNAUTHORIZED, text))
    }
}

/// The value of a header that must not be repeated.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(());
    }
    value.map(|value| value.to_str().map_err(drop)).transpose()
}

/// A browser sends `Origin` with each POST, and with each request of another page that wants to read the answer.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Refusal> {
    match single(headers, &header::ORIGIN) {
        Ok(None) => Ok(()),
        Ok(Some(origin)) if origin.eq_ignore_ascii_case(&format!("http://{host}")) => Ok(()),
        _ => Err(Refusal::new(StatusCode::FORBIDDEN, "wrong Origin header")),
    }
}

/// A form of another page cannot send JSON without a question to the server, which the server never grants.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = single(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let media_type = value.and_then(|value| value.split(';').next());
    if media_type.is_some_and(|one| one.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let text = "the Content-Type must be application/json";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// Refuses a request that does not come from the page, and adds the security headers to each answer.
pub(crate) async fn protect(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match guard.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
