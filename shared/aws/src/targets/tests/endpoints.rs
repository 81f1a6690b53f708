use std::time::Duration;

use jiff::Timestamp;
use onewrite::completion::Downstream as _;
use serde_json::json;

use super::wire::{Answer, Outcome, Wire, accept, busy, event, fault, ok};
use crate::targets::{TargetSettings, signature::SigningKeys};

const URL: &str = "https://example.com:8443/hook/token-1?key=a%20b";
const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-AbCdEf";
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn status(status: u16) -> Answer {
    Answer::Http(status, Vec::new(), "canary-7f3a".to_owned())
}

async fn deliver(answer: Answer) -> Outcome {
    let wire = Wire::new([answer]);
    let endpoint = wire.target(URL, &TargetSettings::default()).await;
    let outcome = accept(&endpoint, &event("n-1")).await;
    assert_eq!(wire.sent().len(), 1);
    outcome
}

#[tokio::test(start_paused = true)]
async fn posts_the_event_with_the_notification_id_as_idempotency_key() {
    let wire = Wire::new([status(202)]);
    let endpoint = wire.target(URL, &TargetSettings::default()).await;
    let event = event("INV 2026/1");
    assert_eq!(accept(&endpoint, &event).await, Outcome::Happened);
    let request = wire.only();
    assert_eq!(request.uri, URL);
    assert_eq!(request.text, event.to_json());
    let headers = &request.headers;
    assert_eq!(
        headers["content-type"],
        "application/cloudevents+json; charset=utf-8"
    );
    assert_eq!(headers["idempotency-key"], "INV 2026/1");
    assert!(headers["webhook-id"].starts_with("sha256-"));
    let seconds: i64 = headers["webhook-timestamp"].parse().unwrap();
    assert!((Timestamp::now().as_second() - seconds).abs() < 60);
    // Neither credentials of AWS nor a signature without a secret.
    assert!(!headers.contains_key("authorization"));
    assert!(!headers.contains_key("webhook-signature"));
}

#[tokio::test(start_paused = true)]
async fn signs_the_request_as_it_is_sent() {
    let wire = Wire::new([ok(&json!({"SecretString": KEY})), status(200)]);
    let settings = TargetSettings {
        secret: Some(SECRET.parse().unwrap()),
        ..TargetSettings::default()
    };
    let endpoint = wire.target(URL, &settings).await;
    assert_eq!(accept(&endpoint, &event("n-1")).await, Outcome::Happened);
    let request = &wire.sent()[1];
    let headers = &request.headers;
    let seconds = headers["webhook-timestamp"].parse().unwrap();
    let keys = SigningKeys::parse(KEY).unwrap();
    let expected = keys.sign(&headers["webhook-id"], seconds, &request.text);
    assert_eq!(headers["webhook-signature"], expected);
}

#[tokio::test(start_paused = true)]
async fn only_the_statuses_of_the_settings_refuse_a_notification() {
    for accepted in [200, 201, 202, 204, 299] {
        assert_eq!(deliver(status(accepted)).await, Outcome::Happened);
    }
    for refused in [410, 422] {
        let expected = Outcome::Refused(format!("http_{refused}"));
        assert_eq!(deliver(status(refused)).await, expected);
    }
    for faulty in [
        300, 301, 302, 304, 307, 400, 401, 403, 404, 408, 409, 425, 500, 502, 504,
    ] {
        let expected = fault(&format!("the endpoint returned {faulty}"));
        assert_eq!(deliver(status(faulty)).await, expected);
    }
    for overloaded in [429, 503] {
        let expected = busy(&format!("the endpoint returned {overloaded}"));
        assert_eq!(deliver(status(overloaded)).await, expected);
    }
    let wire = Wire::new([status(409), status(410)]);
    let settings = TargetSettings {
        refusal_statuses: "409".parse().unwrap(),
        ..TargetSettings::default()
    };
    let endpoint = wire.target(URL, &settings).await;
    let refused = Outcome::Refused("http_409".to_owned());
    assert_eq!(accept(&endpoint, &event("n-1")).await, refused);
    let expected = fault("the endpoint returned 410");
    assert_eq!(accept(&endpoint, &event("n-1")).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_header_names_the_code_of_a_refusal_if_it_is_one() {
    for (header, code) in [
        ("account_closed", "account_closed"),
        ("Account closed", "http_410"),
        ("", "http_410"),
    ] {
        let headers = vec![("onewrite-refusal", header.to_owned())];
        let outcome = deliver(Answer::Http(410, headers, String::new())).await;
        assert_eq!(outcome, Outcome::Refused(code.to_owned()));
    }
    let headers = vec![("onewrite-refusal", "account_closed".to_owned())];
    let outcome = deliver(Answer::Http(403, headers, String::new())).await;
    assert_eq!(outcome, fault("the endpoint returned 403"));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_a_number_of_seconds_or_a_date() {
    let date = aws_smithy_types::DateTime::from_secs(Timestamp::now().as_second() + 1_000);
    let date = date
        .fmt(aws_smithy_types::date_time::Format::HttpDate)
        .unwrap();
    let seconds = Duration::from_secs;
    for (header, shortest, longest) in [
        ("120", Some(seconds(120)), Some(seconds(120))),
        (" 0 ", Some(seconds(0)), Some(seconds(0))),
        (&date, Some(seconds(900)), Some(seconds(1_000))),
        (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            Some(seconds(0)),
            Some(seconds(0)),
        ),
        (
            &"9".repeat(30),
            Some(seconds(u64::MAX)),
            Some(seconds(u64::MAX)),
        ),
        ("-1", None, None),
        ("soon", None, None),
        ("", None, None),
    ] {
        let headers = vec![("retry-after", header.to_owned())];
        let wire = Wire::new([Answer::Http(429, headers, String::new())]);
        let endpoint = wire.target(URL, &TargetSettings::default()).await;
        let Err(error) = endpoint.accept(&event("n-1")).await else {
            panic!("accepted")
        };
        let found = error.retry_after();
        assert!(shortest <= found && found <= longest, "{header}: {found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_answer_is_called_again_later() {
    let lost = |reason: &str| {
        busy(&format!(
            "the endpoint did not answer: outcome unknown: {reason}"
        ))
    };
    assert_eq!(deliver(Answer::Reset).await, lost("connection reset"));
    let timeout = "operation attempt timeout (single attempt) occurred after 10s";
    assert_eq!(deliver(Answer::Silence).await, lost(timeout));
}

#[tokio::test(start_paused = true)]
async fn no_error_or_debug_text_shows_the_url() {
    let wire = Wire::new([Answer::Reset]);
    let endpoint = wire.target(URL, &TargetSettings::default()).await;
    let Err(error) = endpoint.accept(&event("n-1")).await else {
        panic!("accepted")
    };
    assert!(!format!("{error:?}").contains("token-1"));
    assert!(!format!("{endpoint:?}").contains("token-1"));
}
