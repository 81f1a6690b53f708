use std::pin::pin;

use hyper::{Response, StatusCode};
use onewrite_stack::call_proxy::Call;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::messages::MAX_SENDS_IN_FLIGHT;
use crate::scripted;

/// A queue that notes the ids of the notifications that it accepts, as soon as a call has a permit.
struct Model {
    calls: Mutex<usize>,
    permits: Semaphore,
    accepted: Mutex<Vec<String>>,
    /// The positions of the messages in a batch that it does not accept.
    refused: &'static [usize],
    /// The number of the call that fails, from 1.
    failing: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            calls: Mutex::default(),
            permits: Semaphore::new(100),
            accepted: Mutex::default(),
            refused: &[],
            failing: 0,
        }
    }

    fn calls(&self) -> usize {
        *lock(&self.calls)
    }

    async fn answer(&self, request: Value) -> (StatusCode, Value) {
        let number = {
            let mut calls = lock(&self.calls);
            *calls += 1;
            *calls
        };
        let _permit = self.permits.acquire().await.unwrap();
        if number == self.failing {
            let error = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist"});
            return (StatusCode::BAD_REQUEST, error);
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (index, entry) in request["Entries"].as_array().unwrap().iter().enumerate() {
            let id = &entry["Id"];
            if self.refused.contains(&index) {
                failed.push(json!({"Id": id, "Code": "InternalError", "SenderFault": false}));
                continue;
            }
            let body: Value = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
            let notification = body["notification_id"].as_str().unwrap().to_owned();
            lock(&self.accepted).push(notification);
            successful.push(json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": "d"}));
        }
        let answer = json!({"Successful": successful, "Failed": failed});
        (StatusCode::OK, answer)
    }
}

/// Notes the ids of the copies.
#[derive(Default)]
struct Copied(Mutex<Vec<String>>);

impl Copies for Copied {
    fn send(&self, messages: &[Sample]) {
        let ids = messages.iter().filter_map(|one| one.meaning.id().cloned());
        lock(&self.0).extend(ids);
    }
}

/// A sender to a model of a queue with this name.
async fn sender(name: &str, model: Model) -> (Sender, Arc<Model>, Arc<Copied>, JoinSet<()>) {
    let (model, copied) = (Arc::new(model), Arc::new(Copied::default()));
    let answering = Arc::clone(&model);
    let (clients, endpoint, tasks) = scripted::clients(move |call: Call| {
        let model = Arc::clone(&answering);
        async move {
            let request = serde_json::from_slice(&call.body).unwrap();
            let (status, answer) = model.answer(request).await;
            let response = Response::builder().status(status);
            response.body(answer.to_string().into()).ok()
        }
    })
    .await;
    let url = format!("{endpoint}/1/{name}");
    let copies = Arc::clone(&copied) as Arc<dyn Copies>;
    let sender = Sender::new(clients, url, Arc::default(), Some(copies));
    (sender, model, copied, tasks)
}

#[tokio::test]
async fn copies_exactly_what_the_queue_has_accepted() {
    let model = Model {
        refused: &[3, 7],
        ..Model::new()
    };
    let (sender, model, copied, _tasks) = sender("queue", model).await;
    let error = sender.send(Action::Send { count: 10 }).await.unwrap_err();
    let expected = "the queue accepted 8 of 10 messages: SendMessageBatch failed: InternalError";
    assert_eq!(error.to_string(), expected);
    let accepted = lock(&model.accepted).clone();
    assert_eq!((accepted.len(), &*lock(&copied.0)), (8, &accepted));
    let compared = sender.comparison(None, Ledger::default());
    assert_eq!(compared.ids.0, 8);
}

#[tokio::test]
async fn sends_nothing_behind_a_batch_that_the_queue_refuses() {
    let model = Model {
        failing: 2,
        ..Model::new()
    };
    let (sender, model, copied, _tasks) = sender("queue.fifo", model).await;
    let error = sender.send(Action::Send { count: 30 }).await.unwrap_err();
    let expected = "the queue accepted 10 of 30 messages";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!((model.calls(), lock(&copied.0).len()), (2, 10));
}

#[tokio::test]
async fn stop_waits_for_messages_on_their_way_and_sends_no_more() {
    let model = Model {
        permits: Semaphore::new(0),
        ..Model::new()
    };
    let (sender, model, copied, _tasks) = sender("queue", model).await;
    let (messages, _) = composed(Action::Send { count: 200 }, None).unwrap();
    let sent = sender.start(messages).unwrap();
    while model.calls() < MAX_SENDS_IN_FLIGHT {
        tokio::task::yield_now().await;
    }
    let mut stop = pin!(sender.stop());
    assert!(futures::poll!(&mut stop).is_pending());
    model.permits.add_permits(100);
    stop.await;
    assert_eq!(lock(&copied.0).len(), 80);
    let expected = "the stack ends, and only 80 of 200 messages were sent";
    assert_eq!(sent.await.unwrap().unwrap_err().to_string(), expected);
    let refused = sender.send(Action::SendPoison).await.unwrap_err();
    assert_eq!(refused.to_string(), "the stack ends");
    assert_eq!(model.calls(), MAX_SENDS_IN_FLIGHT);
}

fn composed(action: Action, stored: Option<&str>) -> Result<(Vec<Sample>, String), String> {
    let mut samples = Samples::new(1);
    let stored = stored.map(str::to_owned);
    let result = compose(action, &mut samples, stored, &MessagePointers::default());
    result.map_err(|error| error.to_string())
}

fn lines(lines: &[&str]) -> Action {
    Action::SendLines {
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
    }
}

#[test]
fn sends_as_many_notifications_as_asked_for() {
    for count in [1, MAX_SEND] {
        let (messages, _) = composed(Action::Send { count }, None).unwrap();
        assert_eq!(messages.len(), usize::try_from(count).unwrap());
    }
    for count in [0, MAX_SEND + 1] {
        let error = composed(Action::Send { count }, None).unwrap_err();
        assert_eq!(error, "count must be from 1 to 10,000");
    }
}

#[test]
fn duplicates_are_five_copies_of_one_message() {
    let (messages, text) = composed(Action::SendDuplicates, None).unwrap();
    assert_eq!(messages.len(), 5);
    assert!(messages.iter().all(|message| *message == messages[0]));
    assert_eq!(text, "one new notification 5 times");
}

#[test]
fn a_conflict_needs_a_stored_notification() {
    let error = composed(Action::SendConflict, None).unwrap_err();
    assert!(error.contains("send a notification first"), "{error}");
    let (messages, _) = composed(Action::SendConflict, Some("rf_1")).unwrap();
    assert_eq!(messages[0].meaning.id().unwrap(), "rf_1");
}

#[test]
fn lines_are_sent_as_they_are_except_empty_ones() {
    let valid = r#"{"notification_id":"a","payload":{ "x" : 1.0 }}"#;
    let (messages, text) = composed(lines(&[valid, "", "no json\r"]), None).unwrap();
    let bodies: Vec<&str> = messages.iter().map(|one| one.body.as_str()).collect();
    assert_eq!(bodies, [valid, "no json"]);
    assert_eq!(messages[1].meaning, Meaning::Malformed);
    assert_eq!(text, "2 lines");
}

#[test]
fn lines_that_sqs_rejects_are_named_without_their_text() {
    let error = composed(lines(&["{}", "", "canary\u{1}"]), None).unwrap_err();
    assert_eq!(error, "line 3: SQS does not accept U+0001");
    for invalid in [vec![], vec!["", " "], vec!["{}"; MAX_LINES + 1]] {
        assert!(composed(lines(&invalid), None).is_err());
    }
}

#[test]
fn samples_that_the_settings_make_unreadable_are_not_sent() {
    let pointers = MessagePointers {
        payload: "/data".parse().unwrap(),
        ..MessagePointers::default()
    };
    let mut samples = Samples::new(1);
    let action = Action::Send { count: 1 };
    let error = compose(action, &mut samples, None, &pointers).unwrap_err();
    assert!(error.to_string().contains("send lines of your own"));
}
