use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize},
    },
};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::*;
use crate::outputs::StackOutputs;

const STARTED_AT: i64 = 1_700_000_000_000;

/// Tasks that show one state after the other.
struct Scripted {
    states: Mutex<VecDeque<MoveTask>>,
    cancelled: AtomicUsize,
}

fn task(status: MoveTaskStatus, moved: u64) -> MoveTask {
    MoveTask {
        status,
        moved,
        to_move: Some(1_000_000),
        rate: Some(MAX_RATE),
        failure: None,
        started_at: STARTED_AT,
        handle: (status == MoveTaskStatus::Running).then(|| "h-1".to_owned()),
    }
}

fn scripted(states: impl IntoIterator<Item = MoveTask>) -> Scripted {
    Scripted {
        states: Mutex::new(states.into_iter().collect()),
        cancelled: AtomicUsize::new(0),
    }
}

impl MoveTasks for Scripted {
    async fn start(&self, _: u32) -> Result<String, StackError> {
        Ok("h-1".to_owned())
    }

    async fn newest(&self) -> Result<Option<MoveTask>, StackError> {
        Ok(self.states.lock().unwrap().pop_front())
    }

    async fn cancel(&self, handle: &str) -> Result<(), StackError> {
        assert_eq!(handle, "h-1");
        self.cancelled.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn follows_a_task_to_its_end() {
    use MoveTaskStatus::{Completed, Failed, Running};
    for end in [Completed, Failed] {
        let tasks = scripted([task(Running, 0), task(Running, 700), task(end, 900)]);
        let seen = Mutex::new(Vec::new());
        let is_interrupted = AtomicBool::new(false);
        let followed = follow(&tasks, None, &is_interrupted, |task| {
            seen.lock().unwrap().push(task.moved);
        });
        assert_eq!(followed.await.unwrap(), Some(task(end, 900)));
        assert_eq!(*seen.lock().unwrap(), [0, 700, 900]);
        assert_eq!(tasks.cancelled.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_cancels_the_task_once_and_waits_for_its_end() {
    use MoveTaskStatus::{Cancelled, Cancelling, Running};
    let states = [(Running, 5), (Running, 6), (Cancelling, 7), (Cancelled, 8)];
    let tasks = scripted(states.map(|(status, moved)| task(status, moved)));
    let is_interrupted = AtomicBool::new(true);
    let end = follow(&tasks, None, &is_interrupted, |_| {}).await.unwrap();
    assert_eq!(end, Some(task(Cancelled, 8)));
    assert_eq!(tasks.cancelled.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn ignores_the_end_of_the_task_before() {
    use MoveTaskStatus::{Completed, Failed, Running};
    let previous = MoveTask {
        started_at: 1,
        ..task(Failed, 9)
    };
    let states = [previous.clone(), task(Running, 1), task(Completed, 2)];
    let tasks = scripted(states);
    let is_interrupted = AtomicBool::new(false);
    let end = follow(&tasks, Some(&previous), &is_interrupted, |_| {}).await;
    assert_eq!(end.unwrap(), Some(task(Completed, 2)));
    let end = follow(&tasks, Some(&previous), &is_interrupted, |_| {}).await;
    assert_eq!(end.unwrap(), None, "SQS never lists it");
}

#[test]
fn calculates_the_time_of_a_task() {
    assert_eq!(duration(1_000_000, MAX_RATE), Duration::from_secs(2_000));
    assert_eq!(duration(1_000_000, 9_999), Duration::from_secs(2_000));
    assert_eq!(duration(10, 0), Duration::from_secs(10));
}

type Sent = Arc<Mutex<Vec<(String, Value)>>>;

/// Responds to each operation with one body, below the real SDK.
#[derive(Clone, Debug)]
struct Wire {
    responses: BTreeMap<&'static str, Value>,
    sent: Sent,
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap();
        let operation = target.strip_prefix("AmazonSQS.").unwrap().to_owned();
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let queue = body["QueueUrl"].as_str().unwrap_or_default().to_owned();
        let response = match operation.as_str() {
            "GetQueueAttributes" => {
                json!({"Attributes": {"QueueArn": queue.replace("https://", "arn:")}})
            }
            other => self.responses[other].clone(),
        };
        self.sent.lock().unwrap().push((operation, body));
        let status = if response["__type"].is_string() {
            400
        } else {
            200
        };
        let body = SdkBody::from(response.to_string());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), body)))
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A stack whose SQS gives these responses, and what was sent to it.
async fn stack(responses: &[(&'static str, Value)]) -> (Stack, Sent) {
    let sent = Sent::default();
    let wire = Wire {
        responses: responses.iter().cloned().collect(),
        sent: Arc::clone(&sent),
    };
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .empty_test_environment()
        .region(aws_config::Region::from_static("us-east-1"))
        .test_credentials()
        .http_client(wire)
        .load()
        .await;
    let names = [
        "NotificationQueueUrl",
        "DeadLetterQueueUrl",
        "NotificationTableName",
        "NotificationStreamName",
        "FailureBucketName",
        "IngestFunctionName",
        "ForwardFunctionName",
        "CompleteFunctionName",
    ];
    let outputs = names.map(|name| (name.to_owned(), format!("https://{name}")));
    let outputs = StackOutputs::new(outputs.into()).unwrap();
    let stack = Stack::new("onewrite".to_owned(), &config, outputs, BTreeMap::new());
    (stack, sent)
}

#[tokio::test]
async fn starts_lists_and_cancels_tasks_on_the_wire() {
    let listed = json!({"Results": [{
        "TaskHandle": "h-1", "Status": "RUNNING", "SourceArn": "arn:DeadLetterQueueUrl",
        "ApproximateNumberOfMessagesMoved": 12, "ApproximateNumberOfMessagesToMove": 1_000_000,
        "MaxNumberOfMessagesPerSecond": 500, "StartedTimestamp": STARTED_AT,
    }]});
    let (stack, sent) = stack(&[
        ("StartMessageMoveTask", json!({"TaskHandle": "h-1"})),
        ("ListMessageMoveTasks", listed),
        (
            "CancelMessageMoveTask",
            json!({"ApproximateNumberOfMessagesMoved": 12}),
        ),
    ])
    .await;
    assert_eq!(stack.start(10_000).await.unwrap(), "h-1");
    let newest = stack.newest().await.unwrap().unwrap();
    assert_eq!(newest, task(MoveTaskStatus::Running, 12));
    stack.cancel("h-1").await.unwrap();
    let sent = sent.lock().unwrap();
    let body = |operation: &str| &sent.iter().find(|(sent, _)| sent == operation).unwrap().1;
    let start = json!({
        "SourceArn": "arn:DeadLetterQueueUrl", "DestinationArn": "arn:NotificationQueueUrl",
        "MaxNumberOfMessagesPerSecond": 500,
    });
    assert_eq!(body("StartMessageMoveTask"), &start);
    let list = json!({"SourceArn": "arn:DeadLetterQueueUrl", "MaxResults": 1});
    assert_eq!(body("ListMessageMoveTasks"), &list);
    assert_eq!(body("CancelMessageMoveTask"), &json!({"TaskHandle": "h-1"}));
}

#[tokio::test]
async fn reports_an_endpoint_without_move_tasks_by_its_error_code() {
    let unknown = json!({"__type": "com.amazonaws.sqs#InvalidAction", "message": "unknown action"});
    let (stack, _) = stack(&[("ListMessageMoveTasks", unknown)]).await;
    let error = stack.newest().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ListMessageMoveTasks failed: InvalidAction"
    );
}
