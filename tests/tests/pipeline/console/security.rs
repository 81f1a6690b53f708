//! The server answers only its own page, which has the token.

use hyper::{Method, StatusCode, header};

use super::{
    address::Address,
    fixture::Fixture,
    http::{self, Answer},
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const JSON: (&str, &str) = ("content-type", "application/json");

/// Everything under `/api/`, with a body for those that change something.
const ENDPOINTS: [(&str, &str); 9] = [
    ("/api/about", ""),
    ("/api/events", ""),
    ("/api/trace?id=a", ""),
    ("/api/payload?id=a", ""),
    ("/api/attention", r#"{"kind":"dead_letters","filter":{}}"#),
    (
        "/api/preview",
        r#"{"kind":"dead_letters","filter":{"reason":"x"}}"#,
    ),
    ("/api/apply", r#"{"token":"x"}"#),
    ("/api/lab", r#"{"action":"pause"}"#),
    ("/api/nothing", ""),
];

fn method(body: &str) -> Method {
    if body.is_empty() {
        Method::GET
    } else {
        Method::POST
    }
}

/// Calls an endpoint with these headers.
async fn call(console: &Address, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    http::send(console.socket, method(body), path, headers, body).await
}

fn error_of(answer: &Answer) -> String {
    let body: serde_json::Value =
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    body["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer:?}"))
        .to_owned()
}

#[tokio::test]
async fn refuses_calls_without_the_token() {
    let fixture = Fixture::start(&[]).await;
    let console = fixture.address();
    let host = console.host();
    let mut wrong = console.token.clone();
    let last = if wrong.pop() == Some('a') { 'b' } else { 'a' };
    wrong.push(last);
    let authorizations = [
        None,
        Some("Bearer ".to_owned()),
        Some(format!("Bearer {wrong}")),
        Some(format!("Bearer {}x", console.token)),
        Some(format!("Basic {}", console.token)),
        Some(console.token.clone()),
    ];
    for (path, body) in ENDPOINTS {
        for authorization in &authorizations {
            let mut headers = vec![("host", host.as_str()), JSON];
            headers.extend(
                authorization
                    .as_deref()
                    .map(|value| ("authorization", value)),
            );
            let answer = call(console, path, &headers, body).await;
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{path} {authorization:?}"
            );
            assert!(!error_of(&answer).contains(&console.token));
        }
        let with_query = format!(
            "{path}{}token={}",
            if path.contains('?') { "&" } else { "?" },
            console.token
        );
        let answer = call(console, &with_query, &[("host", &host), JSON], body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{with_query}");
    }
    fixture.end().await;
}

/// A page of another site can make the browser send requests to this machine. DNS rebinding gives them any host name.
#[tokio::test]
async fn refuses_other_hosts_and_origins() {
    let fixture = Fixture::start(&[]).await;
    let console = fixture.address();
    let (host, bearer) = (console.host(), console.bearer());
    let port = console.socket.port();
    let authorization = ("authorization", bearer.as_str());
    let paths = ["/", "/api/about", "/api/events"];
    for path in paths {
        for wrong in [
            "example.com".to_owned(),
            format!("example.com:{port}"),
            format!("127.0.0.1.example.com:{port}"),
            format!("127.0.0.1:{}", port.wrapping_add(1)),
            "127.0.0.1".to_owned(),
            String::new(),
        ] {
            let answer = call(console, path, &[("host", &wrong), authorization], "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {wrong:?}");
        }
        for wrong in [
            "null",
            "http://example.com",
            "https://127.0.0.1",
            "http://127.0.0.1:1",
        ] {
            let headers = [("host", host.as_str()), authorization, ("origin", wrong)];
            let answer = call(console, path, &headers, "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {wrong}");
        }
    }
    for right in [
        host.clone(),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
    ] {
        let origin = format!("http://{right}");
        let headers = [("host", right.as_str()), authorization, ("origin", &origin)];
        let answer = call(console, "/api/about", &headers, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{right}: {answer:?}");
    }
    fixture.end().await;
}

#[tokio::test]
async fn accepts_changes_as_json_only_and_of_limited_size() {
    let fixture = Fixture::start(&[]).await;
    let console = fixture.address();
    let (host, bearer) = (console.host(), console.bearer());
    let headers = [("host", host.as_str()), ("authorization", bearer.as_str())];
    let body = r#"{"action":"send","count":1}"#;
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
    ] {
        let mut headers = headers.to_vec();
        headers.extend(kind.map(|kind| ("content-type", kind)));
        let answer = call(console, "/api/lab", &headers, body).await;
        assert!(answer.status.is_client_error(), "{kind:?}: {answer:?}");
    }
    let headers = [headers[0], headers[1], JSON];
    for wrong in [
        "{",
        r#"{"action":"explode"}"#,
        r#"{"action":"send","count":0}"#,
    ] {
        let answer = call(console, "/api/lab", &headers, wrong).await;
        assert!(answer.status.is_client_error(), "{wrong}: {answer:?}");
        error_of(&answer);
    }
    let lines = "x".repeat(3 * 1024 * 1024);
    let large = format!(r#"{{"action":"send_lines","lines":["{lines}"]}}"#);
    let answer = call(console, "/api/lab", &headers, &large).await;
    assert!(answer.status.is_client_error(), "{:?}", answer.status);
    let answer = call(console, "/api/lab", &headers, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    fixture.end().await;
}

#[tokio::test]
async fn the_page_may_load_nothing_from_elsewhere() {
    let fixture = Fixture::start(&[]).await;
    let console = fixture.address();
    let host = console.host();
    let page = call(console, "/", &[("host", &host)], "").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.body.contains("<script type=\"module\" src=\""),
        "{}",
        page.body
    );
    assert!(!page.body.contains(&console.token));
    let header = |name: header::HeaderName| page.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header(header::CONTENT_SECURITY_POLICY), POLICY);
    assert_eq!(header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(header(header::REFERRER_POLICY), "no-referrer");
    assert_eq!(header(header::CACHE_CONTROL), "no-store");
    for name in page.headers.keys() {
        assert!(!name.as_str().starts_with("access-control-"), "{name}");
    }
    for path in [
        "/page/../Cargo.toml",
        "/page/%2e%2e/Cargo.toml",
        "/page/nothing.js",
        "/Cargo.toml",
    ] {
        let answer = call(console, path, &[("host", &host)], "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    fixture.end().await;
}
