//! Redriving from the page: exactly the entries of a preview, never everything, and only where changes are allowed.

use std::collections::BTreeSet;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    browser::{Browser, selector},
    fixture::{Fixture, with_page},
    http,
    wait::{TIMEOUT, wait_for},
};

/// The keys of the entries in the order of the page.
async fn keys(browser: &Browser, test_id: &str) -> Vec<String> {
    const BODY: &str =
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.dataset.key)";
    let keys = browser.evaluate(BODY, vec![json!(selector(test_id))]).await;
    serde_json::from_value(keys).unwrap()
}

/// The keys of the dead letters, as the server lists them.
async fn letters(fixture: &Fixture, reason: Option<&str>) -> BTreeSet<String> {
    let body = json!({"kind": "dead_letters", "filter": {"reason": reason}});
    let found = fixture.post("/api/attention", &body).await;
    let entries = found["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["key"].as_str().unwrap().to_owned())
        .collect()
}

/// The reason that the most entries have that a redrive can help.
async fn redrivable_reason(fixture: &Fixture) -> String {
    let body = json!({"kind": "dead_letters", "filter": {}});
    let found = fixture.post("/api/attention", &body).await;
    let entries = found["entries"].as_array().unwrap().iter();
    let mut reasons: Vec<&str> = entries
        .filter(|entry| entry["is_redrivable"] == json!(true))
        .map(|entry| entry["reason"].as_str().unwrap())
        .collect();
    reasons.sort_unstable();
    reasons.last().unwrap().to_string()
}

/// A preview that arrives late must not offer a redrive beside a list of something else.
#[tokio::test]
async fn a_preview_of_a_list_that_was_left_is_not_shown() {
    const HOLD: &str = r#"const real = window.fetch;
        window.fetch = (path, options) => path !== "/api/preview" ? real(path, options) : new Promise((resolve) => {
          window.answerPreview = async () => {
            const response = await real(path, options);
            const read = response.json.bind(response);
            response.json = async () => {
              const body = await read();
              setTimeout(() => { window.isPreviewed = true; }, 0);
              return body;
            };
            resolve(response);
          };
        });"#;
    with_page(&[], &[], async |browser, fixture| {
        let address = fixture.address();
        let reason = redrivable_reason(fixture).await;
        browser.open(&address.page()).await;
        browser.click("nav-attention").await;
        browser.text("entry").await;
        browser.choose("filter-reason", &reason).await;
        browser.evaluate(HOLD, Vec::new()).await;
        browser.click("preview").await;
        let is_true = async |expression: &str| {
            let body = format!("return {expression}");
            let value = browser.evaluate(&body, Vec::new()).await;
            (value == json!(true)).then_some(())
        };
        let is_held = "window.answerPreview !== undefined";
        wait_for(is_held, TIMEOUT, async || is_true(is_held).await).await;
        browser.click("attention-pending").await;
        browser
            .text_when("entry", |text| text.contains("published"))
            .await;
        let answer = "window.answerPreview()";
        browser.evaluate(answer, Vec::new()).await;
        let is_answered = "window.isPreviewed === true";
        wait_for(is_answered, TIMEOUT, async || is_true(is_answered).await).await;
        assert!(!browser.shows("apply").await, "dead letters beside items");
    })
    .await;
}

#[tokio::test]
async fn redrives_exactly_the_previewed_entries() {
    with_page(&[], &[], async |browser, fixture| {
        let address = fixture.address();
        let reason = redrivable_reason(fixture).await;
        let all = letters(fixture, None).await;
        let wanted = letters(fixture, Some(&reason)).await;
        assert!(
            wanted.len() > 1 && wanted.len() < all.len(),
            "{wanted:?} of {all:?}"
        );

        browser.open(&address.page()).await;
        browser.click("nav-attention").await;
        browser.text("entry").await;
        browser.choose("filter-reason", &reason).await;
        browser.click("preview").await;
        browser.text("preview-entry").await;
        let previewed = keys(browser, "preview-entry").await;
        assert_eq!(previewed.iter().cloned().collect::<BTreeSet<_>>(), wanted);

        // One of them is gone before the redrive, and another one is new: neither may change what is redriven.
        let gone = previewed[0].clone();
        redrive_elsewhere(fixture, &gone).await;
        let left: BTreeSet<_> = all.iter().filter(|key| **key != gone).cloned().collect();
        assert_eq!(
            letters(fixture, None).await,
            left,
            "a preview changes nothing"
        );

        browser.click("apply").await;
        let results = wait_for("each entry has a result", TIMEOUT, async || {
            let results = browser.texts("applied").await;
            results
                .iter()
                .all(|result| !result.is_empty())
                .then_some(results)
        })
        .await;
        assert_eq!(results.len(), previewed.len());
        for (key, result) in previewed.iter().zip(&results) {
            assert_eq!(result, if *key == gone { "gone" } else { "moved" }, "{key}");
        }
        let others: BTreeSet<_> = all.difference(&wanted).cloned().collect();
        assert_eq!(letters(fixture, None).await, others);

        // The log says who changed what.
        let log = fixture.log();
        assert!(log.contains("from the console of "), "{log}");
    })
    .await;
}

/// Redrives one entry as another tab would.
async fn redrive_elsewhere(fixture: &Fixture, key: &str) {
    let filter = json!({"ids": [key]});
    let body = json!({"kind": "dead_letters", "filter": filter});
    let preview = fixture.post("/api/preview", &body).await;
    assert_eq!(preview["entries"].as_array().unwrap().len(), 1);
    let body = json!({"token": preview["token"]});
    let applied = fixture.post("/api/apply", &body).await;
    assert_eq!(applied["applied"][0]["is_redriven"], json!(true));
}

/// Posts as the page does, and returns status and error.
async fn refused(fixture: &Fixture, path: &str, body: &Value) -> (StatusCode, String) {
    let address = fixture.address();
    let (host, bearer) = (address.host(), address.bearer());
    let headers = [
        ("host", host.as_str()),
        ("authorization", &bearer),
        ("content-type", "application/json"),
    ];
    let answer = http::send(
        address.socket,
        Method::POST,
        path,
        &headers,
        &body.to_string(),
    )
    .await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    (
        answer.status,
        body["error"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn refuses_to_redrive_everything() {
    let fixture = Fixture::start(&[]).await;
    let all = letters(&fixture, None).await;
    for kind in ["dead_letters", "pending", "failure_bucket"] {
        let body = json!({"kind": kind, "filter": {}});
        let (status, error) = refused(&fixture, "/api/preview", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{kind}: {error}");
    }
    let body = json!({"kind": "refused", "filter": {"reason": "refused"}});
    let (status, _) = refused(&fixture, "/api/preview", &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = refused(&fixture, "/api/apply", &json!({"token": "preview-0"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(letters(&fixture, None).await, all);

    if let Some(browser) = Browser::start().await {
        browser.open(&fixture.address().page()).await;
        browser.click("nav-attention").await;
        browser.text("entry").await;
        browser.click("preview").await;
        let message = browser
            .text_when("attention-message", |text| text.contains("refused"))
            .await;
        assert!(message.contains("everything"), "{message}");
        assert!(!browser.shows("preview-panel").await);
        browser.finish(&fixture.address().origin(), &[]).await;
    }
    assert_eq!(letters(&fixture, None).await, all);
    fixture.end().await;
}

#[tokio::test]
async fn a_read_only_console_refuses_changes_and_says_so() {
    let fixture = Fixture::start(&["--read-only"]).await;
    let all = letters(&fixture, None).await;
    let about = fixture.get("/api/about").await;
    assert_eq!(about["allows_changes"], json!(false));
    let body =
        json!({"kind": "dead_letters", "filter": {"reason": redrivable_reason(&fixture).await}});
    for (path, body) in [
        ("/api/preview", body),
        ("/api/apply", json!({"token": "preview-1"})),
    ] {
        let (status, error) = refused(&fixture, path, &body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {error}");
        assert!(error.contains("read-only"), "{error}");
    }
    if let Some(browser) = Browser::start().await {
        browser.open(&fixture.address().page()).await;
        browser.click("nav-attention").await;
        browser.text("entry").await;
        let notice = browser
            .text_when("read-only", |text| text.contains("read-only"))
            .await;
        assert!(notice.contains("--allow-changes"), "{notice}");
        let reason = redrivable_reason(&fixture).await;
        browser.choose("filter-reason", &reason).await;
        browser.click_even_if_off("preview").await;
        let message = browser
            .text_when("attention-message", |text| text.contains("read-only"))
            .await;
        assert!(message.contains("--allow-changes"), "{message}");
        assert!(!browser.shows("preview-panel").await);
        browser.finish(&fixture.address().origin(), &[]).await;
    }
    assert_eq!(letters(&fixture, None).await, all);
    fixture.end().await;
}
