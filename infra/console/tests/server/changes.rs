//! Changes: previews, redrives, the lab, and their log.

use std::sync::{Arc, atomic::Ordering};

use hyper::StatusCode;
use onewrite_console::memory::{EXACT, HOSTILE, Model};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    client::{Events, PATIENCE, Server},
    gated::Gated,
};

fn by_reason(reason: &str) -> Value {
    json!({ "kind": "dead_letters", "filter": { "reason": reason } })
}

async fn preview(server: &Server, selection: &Value) -> Value {
    let answer = server.post("/api/preview", selection).send().await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()
}

async fn dead_letters(server: &Server) -> usize {
    let all = json!({ "kind": "dead_letters", "filter": {} });
    let answer = server.post("/api/attention", &all).send().await;
    answer.json()["entries"].as_array().unwrap().len()
}

fn keys(list: &Value) -> Vec<&str> {
    let entries = list.as_array().unwrap().iter();
    entries
        .map(|entry| entry["key"].as_str().unwrap())
        .collect()
}

/// Waits until a condition is true.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn redrives_exactly_what_was_previewed_and_only_once() {
    let server = Server::start(&Model::with_rich_data()).await;
    let before = dead_letters(&server).await;
    let preview = preview(&server, &by_reason("NotStored")).await;
    let count = keys(&preview["entries"]).len();
    assert!(count > 10);
    let apply = json!({ "token": preview["token"] });
    let mut events = Events::open(&server).await;
    let answer = server.post("/api/apply", &apply).send().await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = answer.json();
    assert_eq!(keys(&answer["applied"]), keys(&preview["entries"]));
    assert_eq!(dead_letters(&server).await, before - count);
    for key in keys(&preview["entries"]) {
        let progress = events.next_of("progress").await;
        assert_eq!(progress["token"], preview["token"]);
        assert_eq!(progress["applied"]["key"], key);
    }
    let again = server.post("/api/apply", &apply).send().await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert_eq!(dead_letters(&server).await, before - count);
}

#[tokio::test]
async fn refuses_an_empty_filter_and_refused_notifications() {
    let server = Server::start(&Model::with_rich_data()).await;
    for selection in [
        json!({ "kind": "dead_letters", "filter": {} }),
        json!({ "kind": "dead_letters" }),
        json!({ "kind": "refused", "filter": { "notification_type": "refund" } }),
        json!({ "kind": "dead_letters", "filter": { "reason": "Conflict", "typo": 1 } }),
    ] {
        let answer = server.post("/api/preview", &selection).send().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{selection}");
    }
    let unknown = json!({ "token": "guessed" });
    let answer = server.post("/api/apply", &unknown).send().await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_read_only_console_changes_nothing_and_shows_everything() {
    let server = Server::start(&Model::with_rich_data().read_only()).await;
    let before = dead_letters(&server).await;
    for (path, body) in [
        ("/api/preview", by_reason("NotStored")),
        ("/api/apply", json!({ "token": "preview-1" })),
        ("/api/lab", json!({ "action": "send", "count": 1 })),
    ] {
        let answer = server.post(path, &body).send().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.error().contains("--allow-changes"));
    }
    assert_eq!(dead_letters(&server).await, before);
    assert!(server.log().is_empty());
    let about = server.get("/api/about").send().await.json();
    assert_eq!(about["allows_changes"], false);
    for path in ["/api/trace?id=order-1001", "/api/payload?id=order-1001"] {
        assert_eq!(server.get(path).send().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_read_only_server_does_not_even_ask_the_pipeline_for_a_change() {
    let gated = Arc::new(Gated::new());
    gated.is_read_only.store(true, Ordering::SeqCst);
    gated.gate.add_permits(1);
    let lab = Arc::new(gated.model.clone());
    let server = Server::start_with(gated.clone(), Some(lab)).await;
    for (path, body) in [
        ("/api/preview", by_reason("NotStored")),
        ("/api/apply", json!({ "token": "any" })),
        ("/api/lab", json!({ "action": "pause" })),
    ] {
        let answer = server.post(path, &body).send().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(!gated.is_complete.load(Ordering::SeqCst));
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn the_log_names_each_change_with_its_size_and_user() {
    let server = Server::start(&Model::with_rich_data()).await;
    let preview = preview(&server, &by_reason("NotStored")).await;
    assert!(server.log().is_empty(), "a preview changes nothing");
    let apply = json!({ "token": preview["token"] });
    server.post("/api/apply", &apply).send().await;
    let send = json!({ "action": "send", "count": 100 });
    let answer = server.post("/api/lab", &send).send().await.json();
    assert_eq!(answer["text"], "Sent 100 messages.");
    let user = ", from the console of tester";
    let expected = [
        "redrives 61 dead letters (reason NotStored)",
        "redrive of 61 dead letters (reason NotStored) ended: 61 redriven, 0 not",
        "sends 100 messages",
    ];
    let log = server.log();
    assert_eq!(log.len(), expected.len());
    for (line, expected) in log.iter().zip(expected) {
        let (time, what) = line.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert_eq!(what, format!("{expected}{user}"));
        assert!(!line.contains(preview["token"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn no_payload_and_no_token_is_ever_in_the_log() {
    let server = Server::start(&Model::with_rich_data()).await;
    let encoded: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    server
        .get(&format!("/api/payload?id={encoded}"))
        .send()
        .await;
    server.get("/api/payload?id=order-1001").send().await;
    let lines = json!({ "action": "send_lines", "lines": [EXACT, HOSTILE] });
    let answer = server.post("/api/lab", &lines).send().await;
    assert_eq!(answer.status, StatusCode::OK);
    let selection = json!({ "kind": "dead_letters", "filter": { "notification_type": "x\ny" } });
    let preview = preview(&server, &selection).await;
    let apply = json!({ "token": preview["token"] });
    server.post("/api/apply", &apply).send().await;
    let log = server.log();
    assert_eq!(log.len(), 3);
    let log = log.concat();
    for secret in [
        "amount",
        "script",
        "18446744073709551615",
        server.token.as_str(),
        "\n",
    ] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_stack_without_a_lab_has_no_switches() {
    let model = Arc::new(Model::with_rich_data().without_lab());
    let server = Server::start_with(model, None).await;
    let send = json!({ "action": "send", "count": 1 });
    let answer = server.post("/api/lab", &send).send().await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn a_number_out_of_range_is_refused_with_a_reason() {
    let server = Server::start(&Model::with_rich_data()).await;
    let send = json!({ "action": "send", "count": 10_001 });
    let answer = server.post("/api/lab", &send).send().await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.error().contains("10,000"));
}

#[tokio::test]
async fn a_redrive_goes_on_when_its_page_is_closed() {
    let gated = Arc::new(Gated::new());
    let server = Server::start_with(gated.clone(), None).await;
    let call = server.post("/api/apply", &json!({ "token": "any" }));
    let page = tokio::spawn(call.send());
    until(|| server.log().len() == 1).await;
    page.abort();
    assert!(page.await.is_err());
    gated.gate.add_permits(1);
    until(|| gated.is_complete.load(Ordering::SeqCst)).await;
    until(|| server.log().len() == 2).await;
    assert!(server.log()[1].contains("ended: 2 redriven, 0 not"));
}

#[tokio::test]
async fn a_redrive_that_fails_halfway_returns_what_it_did() {
    let gated = Arc::new(Gated::new());
    gated.is_failing.store(true, Ordering::SeqCst);
    gated.gate.add_permits(1);
    let server = Server::start_with(gated, None).await;
    let call = server.post("/api/apply", &json!({ "token": "any" }));
    let answer = call.send().await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.error(), "ReceiveMessage: throttled");
    assert_eq!(keys(&answer.json()["applied"]), ["first"]);
    assert!(server.log()[1].contains("failed: 1 redriven, 0 not"));
}

/// Begins a redrive whose page is closed, and ends the server. Returns the log.
async fn end_during_a_redrive(gated: &Arc<Gated>) -> Vec<String> {
    let server = Server::start_with(gated.clone(), None).await;
    let call = server.post("/api/apply", &json!({ "token": "any" }));
    let page = tokio::spawn(call.send());
    until(|| server.log().len() == 1).await;
    page.abort();
    assert!(page.await.is_err());
    let log = Arc::clone(&server.log);
    let duration = server.stop().await;
    assert!(duration < std::time::Duration::from_secs(1), "{duration:?}");
    assert!(!gated.is_complete.load(Ordering::SeqCst));
    let log = log.lock().unwrap();
    log.clone()
}

#[tokio::test]
async fn the_end_of_the_server_waits_until_a_redrive_has_stopped_in_order() {
    let gated = Arc::new(Gated::new());
    gated.can_stop.store(true, Ordering::SeqCst);
    let log = end_during_a_redrive(&gated).await;
    assert!(
        log[1].contains("stopped because the console ends: 1 redriven, 0 not"),
        "{log:?}"
    );
}

#[tokio::test]
async fn the_end_of_the_server_gives_a_redrive_up_that_does_not_stop_and_says_so() {
    let log = end_during_a_redrive(&Arc::new(Gated::new())).await;
    assert!(log[1].contains("did not stop in time"), "{log:?}");
}

#[tokio::test]
async fn a_page_learns_that_its_redrive_was_given_up() {
    let gated = Arc::new(Gated::new());
    let server = Server::start_with(gated, None).await;
    let call = server.post("/api/apply", &json!({ "token": "any" }));
    let page = tokio::spawn(call.send());
    until(|| server.log().len() == 1).await;
    server.stop().await;
    assert_eq!(page.await.unwrap().status, StatusCode::BAD_GATEWAY);
}
