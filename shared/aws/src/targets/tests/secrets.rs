use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use super::wire::{Answer, Outcome, Wire, accept, busy, event, failed, fault, ok};
use crate::targets::{ServiceTarget, TargetSettings};

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-AbCdEf";
const PARAMETER: &str = "arn:aws:ssm:us-east-2:123456789012:parameter/hook/key";
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn endpoint(wire: &Wire, secret: &str) -> ServiceTarget {
    let settings = TargetSettings {
        secret: Some(secret.parse().unwrap()),
        ..TargetSettings::default()
    };
    wire.target("https://example.com/", &settings).await
}

fn status(status: u16) -> Answer {
    Answer::Http(status, Vec::new(), String::new())
}

fn secret() -> Answer {
    ok(&json!({"SecretString": KEY}))
}

/// The hosts that were called.
fn hosts(wire: &Wire) -> Vec<String> {
    let sent = wire.sent().into_iter();
    sent.map(|sent| sent.uri.split('/').nth(2).unwrap().to_owned())
        .collect()
}

const MANAGER: &str = "secretsmanager.eu-west-1.amazonaws.com";
const ENDPOINT: &str = "example.com";

#[tokio::test(start_paused = true)]
async fn reads_a_secret_or_a_decrypted_parameter_in_its_region() {
    let parameter = json!({"Parameter": {"Value": KEY}});
    for (arn, answer, uri, target, input) in [
        (
            SECRET,
            secret(),
            "https://secretsmanager.eu-west-1.amazonaws.com/",
            "secretsmanager.GetSecretValue",
            json!({"SecretId": SECRET}),
        ),
        (
            PARAMETER,
            ok(&parameter),
            "https://ssm.us-east-2.amazonaws.com/",
            "AmazonSSM.GetParameter",
            json!({"Name": PARAMETER, "WithDecryption": true}),
        ),
    ] {
        let wire = Wire::new([answer, status(200)]);
        let endpoint = endpoint(&wire, arn).await;
        assert_eq!(accept(&endpoint, &event("n-1")).await, Outcome::Happened);
        let request = &wire.sent()[0];
        assert_eq!(request.uri, uri);
        assert_eq!(request.headers["x-amz-target"], target);
        assert_eq!(request.body, input);
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_read_the_secret_once_and_again_after_five_minutes() {
    let wire = Wire::new([
        secret(),
        status(200),
        status(200),
        status(200),
        secret(),
        status(200),
    ]);
    let endpoint = endpoint(&wire, SECRET).await;
    let events = [event("n-1"), event("n-2")];
    let outcomes = join_all(events.iter().map(|event| accept(&endpoint, event))).await;
    assert_eq!(outcomes, [Outcome::Happened, Outcome::Happened]);
    tokio::time::advance(Duration::from_secs(299)).await;
    accept(&endpoint, &event("n-3")).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    accept(&endpoint, &event("n-4")).await;
    let expected = [MANAGER, ENDPOINT, ENDPOINT, ENDPOINT, MANAGER, ENDPOINT];
    assert_eq!(hosts(&wire), expected);
}

#[tokio::test(start_paused = true)]
async fn a_denied_request_is_a_fault_and_the_secret_is_read_again() {
    for denied in [401, 403] {
        let wire = Wire::new([secret(), status(200), status(denied), secret(), status(200)]);
        let endpoint = endpoint(&wire, SECRET).await;
        accept(&endpoint, &event("n-1")).await;
        tokio::time::advance(Duration::from_secs(10)).await;
        let expected = fault(&format!("the endpoint returned {denied}"));
        assert_eq!(accept(&endpoint, &event("n-2")).await, expected);
        assert_eq!(accept(&endpoint, &event("n-2")).await, Outcome::Happened);
        let expected = [MANAGER, ENDPOINT, ENDPOINT, MANAGER, ENDPOINT];
        assert_eq!(hosts(&wire), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn denied_requests_read_the_secret_at_most_every_ten_seconds() {
    let wire = Wire::new([
        secret(),
        status(401),
        status(401),
        status(401),
        secret(),
        status(500),
        status(200),
    ]);
    let endpoint = endpoint(&wire, SECRET).await;
    let event = event("n-1");
    for _ in 0..2 {
        accept(&endpoint, &event).await;
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    for _ in 0..3 {
        accept(&endpoint, &event).await;
    }
    let expected = [
        MANAGER, ENDPOINT, ENDPOINT, ENDPOINT, MANAGER, ENDPOINT, ENDPOINT,
    ];
    assert_eq!(hosts(&wire), expected);
}

/// Every answer of Secrets Manager that has no keys.
fn failed_reads() -> [Answer; 4] {
    [
        failed(400, "ThrottlingException"),
        failed(500, "InternalServiceError"),
        Answer::Reset,
        ok(&json!({"SecretString": "canary-7f3a"})),
    ]
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_read_again_are_used_for_an_hour() {
    for unreadable in failed_reads() {
        let wire = Wire::new([
            secret(),
            status(200),
            unreadable.clone(),
            status(200),
            status(200),
            secret(),
            status(200),
            unreadable.clone(),
        ]);
        let endpoint = endpoint(&wire, SECRET).await;
        accept(&endpoint, &event("n-1")).await;
        tokio::time::advance(Duration::from_secs(3_599)).await;
        for id in ["n-2", "n-3"] {
            let outcome = accept(&endpoint, &event(id)).await;
            assert_eq!(outcome, Outcome::Happened, "{unreadable:?}");
        }
        // The second call did not ask again.
        let expected = [MANAGER, ENDPOINT, MANAGER, ENDPOINT, ENDPOINT];
        assert_eq!(hosts(&wire), expected);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(accept(&endpoint, &event("n-4")).await, Outcome::Happened);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let outcome = accept(&endpoint, &event("n-5")).await;
        assert!(
            matches!(outcome, Outcome::Busy(_) | Outcome::Fault(_)),
            "{unreadable:?}: {outcome:?}"
        );
        assert_eq!(hosts(&wire)[5..], [MANAGER, ENDPOINT, MANAGER]);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_with_old_keys_do_not_wait_for_a_read() {
    let wire = Wire::new([
        secret(),
        status(200),
        Answer::Silence,
        status(200),
        status(200),
    ]);
    let endpoint = endpoint(&wire, SECRET).await;
    accept(&endpoint, &event("n-1")).await;
    tokio::time::advance(Duration::from_secs(300)).await;
    let start = tokio::time::Instant::now();
    let events = ["n-2", "n-3"].map(event);
    let times = join_all(events.iter().map(async |event| {
        let outcome = accept(&endpoint, event).await;
        (outcome, start.elapsed().as_secs())
    }));
    let expected = [(Outcome::Happened, 10), (Outcome::Happened, 0)];
    assert_eq!(times.await, expected);
}

#[tokio::test(start_paused = true)]
async fn without_keys_a_failed_read_is_not_repeated_at_once() {
    for unreadable in failed_reads() {
        let wire = Wire::new([unreadable.clone(), secret(), status(200)]);
        let endpoint = endpoint(&wire, SECRET).await;
        let events = ["n-1", "n-2", "n-3"].map(event);
        let outcomes = join_all(events.iter().map(|event| accept(&endpoint, event))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
        assert_ne!(outcomes[0], Outcome::Happened, "{unreadable:?}");
        assert_eq!(hosts(&wire), [MANAGER]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(accept(&endpoint, &event("n-1")).await, Outcome::Happened);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_not_called_without_its_secret() {
    let wrong = || fault("the signing secret is not whsec_ and 24 to 64 bytes in base64");
    let text = |text: &str| -> Value { json!({"SecretString": text}) };
    for (answer, expected) in [
        (
            failed(400, "AccessDeniedException"),
            fault("Secrets Manager returned AccessDeniedException"),
        ),
        (
            failed(400, "ThrottlingException"),
            busy("Secrets Manager throttles (ThrottlingException)"),
        ),
        (
            Answer::Reset,
            busy("the outcome at Secrets Manager is unknown: connection reset"),
        ),
        (ok(&text("canary-7f3a")), wrong()),
        (ok(&text("whsec_AAAA")), wrong()),
        (ok(&json!({"SecretBinary": "AAAA"})), wrong()),
        (Answer::Http(200, Vec::new(), "{".to_owned()), wrong()),
    ] {
        let wire = Wire::new([answer.clone()]);
        let endpoint = endpoint(&wire, SECRET).await;
        assert_eq!(
            accept(&endpoint, &event("n-1")).await,
            expected,
            "{answer:?}"
        );
        assert_eq!(hosts(&wire), [MANAGER]);
    }
}
