//! Which requests are refused, and what each answer says to the browser.

use std::{net::Ipv4Addr, sync::Arc};

use hyper::{Method, StatusCode};
use onewrite_console::{
    auth::Token,
    memory::{HOSTILE, Model},
    server::{Options, page_address, serve},
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::client::{Answer, Server};

const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// All addresses that need the token.
const API: [(Method, &str); 9] = [
    (Method::GET, "/api/about"),
    (Method::GET, "/api/events"),
    (Method::GET, "/api/trace?id=order-1001"),
    (Method::GET, "/api/payload?id=order-1001"),
    (Method::POST, "/api/attention"),
    (Method::POST, "/api/preview"),
    (Method::POST, "/api/apply"),
    (Method::POST, "/api/lab"),
    (Method::GET, "/api/unknown"),
];

async fn server() -> Server {
    Server::start(&Model::with_rich_data()).await
}

fn assert_refused(answer: &Answer, status: StatusCode, what: &str) {
    assert_eq!(answer.status, status, "{what}");
    assert!(!answer.error().is_empty(), "{what}");
}

#[tokio::test]
async fn refuses_every_address_of_the_api_without_the_right_token() {
    let server = server().await;
    let other = Token::new().unwrap();
    let right = server.token.as_str();
    let wrong = [
        String::new(),
        format!("Bearer {}", other.as_str()),
        format!("Bearer {right}x"),
        format!("Bearer {}", &right[1..]),
        format!("Basic {right}"),
        right.to_owned(),
    ];
    for (method, path) in API {
        let call = server.request(method, path);
        let call = call.header("content-type", "application/json");
        let answer = call.clone().send().await;
        assert_refused(&answer, StatusCode::UNAUTHORIZED, path);
        for value in &wrong {
            let answer = call.clone().header("authorization", value).send().await;
            assert_refused(&answer, StatusCode::UNAUTHORIZED, value);
        }
        let twice = call
            .header("authorization", &format!("Bearer {right}"))
            .header("authorization", &wrong[1]);
        assert_refused(&twice.send().await, StatusCode::UNAUTHORIZED, path);
    }
    let query = format!("/api/about?token={right}");
    let answer = server.request(Method::GET, &query).send().await;
    assert_refused(&answer, StatusCode::UNAUTHORIZED, "token in the address");
    assert_eq!(server.get("/api/about").send().await.status, StatusCode::OK);
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn serves_the_files_of_the_page_without_a_token() {
    let server = server().await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page/app.js", "text/javascript; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = server.request(Method::GET, path).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.headers["content-type"], content_type);
        assert!(!answer.body.is_empty());
    }
}

#[tokio::test]
async fn refuses_a_wrong_host_for_every_address() {
    let server = server().await;
    let port = server.address.port();
    let hosts = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("0.0.0.0:{port}"),
        format!("127.0.0.1:{}", port ^ 1),
        "127.0.0.1".to_owned(),
        String::new(),
    ];
    for path in ["/", "/page/app.js", "/api/about", "/unknown"] {
        let call = server.get(path).without("host");
        for host in &hosts {
            let answer = call.clone().header("host", host).send().await;
            assert_refused(&answer, StatusCode::FORBIDDEN, host);
        }
        let answer = call.send().await;
        assert_refused(&answer, StatusCode::FORBIDDEN, "no host");
        let twice = server.get(path).header("host", &hosts[0]).send().await;
        assert_refused(&twice, StatusCode::FORBIDDEN, "two hosts");
        let proxy = server.get(&format!("http://evil.example:{port}{path}"));
        assert_refused(&proxy.send().await, StatusCode::FORBIDDEN, "proxy");
    }
    for name in ["127.0.0.1", "localhost", "LocalHost", "[::1]"] {
        let call = server.get("/api/about").without("host");
        let answer = call.header("host", &format!("{name}:{port}")).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn refuses_a_wrong_origin_also_with_the_token() {
    let server = server().await;
    let (address, port) = (server.address, server.address.port());
    let origins = [
        "http://evil.example".to_owned(),
        "null".to_owned(),
        String::new(),
        format!("https://{address}"),
        format!("http://{address}/"),
        format!("http://127.0.0.1:{}", port ^ 1),
        // The same machine under another name than in the address.
        format!("http://localhost:{port}"),
    ];
    for origin in &origins {
        for path in ["/", "/api/about"] {
            let answer = server.get(path).header("origin", origin).send().await;
            assert_refused(&answer, StatusCode::FORBIDDEN, origin);
        }
        let post = server.post("/api/lab", &json!({ "action": "send_poison" }));
        let answer = post.without("origin").header("origin", origin).send().await;
        assert_refused(&answer, StatusCode::FORBIDDEN, origin);
    }
    assert!(server.log().is_empty());
    let own = format!("http://{address}");
    let answer = server.get("/api/about").header("origin", &own).send().await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn never_allows_another_origin_to_read_an_answer() {
    let server = server().await;
    let preflight = server
        .request(Method::OPTIONS, "/api/lab")
        .header("origin", "http://evil.example")
        .header("access-control-request-method", "POST");
    for call in [preflight, server.get("/api/about"), server.get("/")] {
        let answer = call.send().await;
        for name in answer.headers.keys() {
            assert!(!name.as_str().starts_with("access-control"), "{name}");
        }
    }
}

#[tokio::test]
async fn accepts_json_bodies_only() {
    let server = server().await;
    let body = json!({ "kind": "dead_letters", "filter": {} }).to_string();
    let call = server.post_bytes("/api/attention", body.into_bytes());
    for wrong in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/jsonx",
        "",
    ] {
        let answer = call.clone().header("content-type", wrong).send().await;
        assert_refused(&answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, wrong);
    }
    let answer = call.clone().send().await;
    assert_refused(&answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, "none");
    let right = "application/json; charset=utf-8";
    let answer = call.header("content-type", right).send().await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn refuses_a_body_of_more_than_two_mebibytes() {
    let server = server().await;
    let body = |bytes: usize| {
        let mut body = json!({ "kind": "dead_letters" }).to_string().into_bytes();
        body.resize(bytes, b' ');
        server
            .post_bytes("/api/attention", body)
            .header("content-type", "application/json")
    };
    let answer = body(MAX_BODY_BYTES).send().await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = body(MAX_BODY_BYTES + 1).send().await;
    assert_refused(&answer, StatusCode::PAYLOAD_TOO_LARGE, "too large");
}

#[tokio::test]
async fn does_not_quote_a_body_that_it_cannot_read() {
    let server = server().await;
    for body in [
        r#"{"action": "send_lines", "lines": ["secret-payload", 1]}"#,
        r#"{"action": "secret-payload"}"#,
        r#"{"action": "send", "count": "secret-payload"}"#,
        r#"{"action": "send", "count": 1, "secret-payload": 2}"#,
        "secret-payload",
        "",
    ] {
        let call = server.post_bytes("/api/lab", body.into());
        let answer = call.header("content-type", "application/json").send().await;
        assert_refused(&answer, StatusCode::BAD_REQUEST, body);
        assert!(!answer.error().contains("secret"), "{}", answer.error());
    }
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn answers_unknown_addresses_and_methods_with_an_error() {
    let server = server().await;
    for path in [
        "/api/unknown",
        "/unknown",
        "/page/",
        "/page/../src/lib.rs",
        "//",
    ] {
        let answer = server.get(path).send().await;
        assert_refused(&answer, StatusCode::NOT_FOUND, path);
    }
    for (call, path) in [
        (server.post("/api/about", &json!({})), "/api/about"),
        (server.post("/", &json!({})), "/"),
        (server.get("/api/lab"), "/api/lab"),
    ] {
        let answer = call.send().await;
        assert_refused(&answer, StatusCode::METHOD_NOT_ALLOWED, path);
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let server = server().await;
    for call in [
        server.get("/"),
        server.get("/api/about"),
        server.get("/api/unknown"),
        server.request(Method::GET, "/api/about"),
        server.get("/").header("origin", "http://evil.example"),
        server.post("/", &json!({})),
    ] {
        let answer = call.send().await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        let directives: Vec<&str> = policy.split("; ").collect();
        let expected = [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ];
        assert_eq!(directives, expected);
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let events = server.get("/api/events").open().await;
    assert_eq!(events.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn finds_ids_with_any_character_and_needs_exactly_one() {
    let server = server().await;
    for id in [HOSTILE, "päyment/ü 1%2F#?&id=2+3", "order-1001"] {
        let encoded: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let answer = server.get(&format!("/api/trace?id={encoded}")).send().await;
        assert_eq!(answer.json()["id"], id);
    }
    for path in [
        "/api/trace",
        "/api/trace?id=",
        "/api/payload?x=1",
        "/api/trace?id=1&id=2",
    ] {
        let answer = server.get(path).send().await;
        assert_refused(&answer, StatusCode::BAD_REQUEST, path);
    }
    let answer = server.get("/api/trace?id=nowhere").send().await;
    assert_refused(&answer, StatusCode::NOT_FOUND, "unknown id");
}

#[tokio::test]
async fn a_payload_is_exact_to_the_last_digit() {
    let server = server().await;
    let answer = server.get("/api/payload?id=order-1001").send().await;
    let payload = answer.json()["payload"].as_str().unwrap().to_owned();
    assert!(payload.contains("18446744073709551615"));
    assert!(payload.contains("49590338271490256608559692538361571095921575989136588898"));
}

#[tokio::test]
async fn a_pipeline_that_fails_is_answered_with_its_reason() {
    let model = Model::with_rich_data();
    let server = Server::start(&model).await;
    model.set_failure(Some("GetItem: access denied"));
    let answer = server.get("/api/trace?id=order-1001").send().await;
    assert_refused(&answer, StatusCode::BAD_GATEWAY, "failed");
    assert_eq!(answer.error(), "GetItem: access denied");
}

#[tokio::test]
async fn listens_on_the_loopback_interface_only() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let options = Options::new(Token::new().unwrap());
    let served = serve(listener, options, Arc::new(Model::new()), None, async {});
    assert!(served.await.is_err());
}

#[test]
fn the_address_of_the_page_has_the_token_in_its_fragment() {
    let token = Token::new().unwrap();
    let address = page_address(([127, 0, 0, 1], 4000).into(), &token);
    let expected = format!("http://127.0.0.1:4000/#token={}", token.as_str());
    assert_eq!(address, expected);
}
