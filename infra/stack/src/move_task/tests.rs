use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize},
    },
};

use serde_json::json;

use super::*;
use crate::wire;

const STARTED_AT: i64 = 1_700_000_000_000;

/// Tasks that show one state after the other.
struct Scripted {
    states: Mutex<VecDeque<MoveTask>>,
    cancelled: AtomicUsize,
    /// Whether SQS refuses to cancel.
    refuses: bool,
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
        refuses: false,
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
        if self.refuses {
            return Err(StackError::AccessDenied {
                call: "CancelMessageMoveTask",
            });
        }
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
async fn reports_a_refused_cancellation_unless_the_task_has_ended() {
    use MoveTaskStatus::{Completed, Running};
    let refusing = |states: Vec<MoveTask>| Scripted {
        refuses: true,
        ..scripted(states)
    };
    let is_interrupted = AtomicBool::new(true);
    let ended = refusing(vec![task(Running, 5), task(Completed, 6)]);
    let end = follow(&ended, None, &is_interrupted, |_| {}).await.unwrap();
    assert_eq!(end, Some(task(Completed, 6)));
    let running = refusing(vec![task(Running, 5), task(Running, 6), task(Running, 7)]);
    let error = follow(&running, None, &is_interrupted, |_| {}).await;
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "CancelMessageMoveTask: access denied");
    assert_eq!(running.cancelled.load(Ordering::Relaxed), 2);
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

#[tokio::test]
async fn starts_lists_and_cancels_tasks_on_the_wire() {
    let listed = json!({"Results": [{
        "TaskHandle": "h-1", "Status": "RUNNING", "SourceArn": "arn:DeadLetterQueueUrl",
        "ApproximateNumberOfMessagesMoved": 12, "ApproximateNumberOfMessagesToMove": 1_000_000,
        "MaxNumberOfMessagesPerSecond": 500, "StartedTimestamp": STARTED_AT,
    }]});
    let arn = json!({"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:1:queue"}});
    let (stack, sent) = wire::stack(&[
        ("GetQueueAttributes", arn),
        ("StartMessageMoveTask", json!({"TaskHandle": "h-1"})),
        ("ListMessageMoveTasks", listed),
        (
            "CancelMessageMoveTask",
            json!({"ApproximateNumberOfMessagesMoved": 12}),
        ),
    ])
    .await;
    let tasks = StackMoveTasks::new(&stack).await.unwrap();
    assert_eq!(tasks.start(10_000).await.unwrap(), "h-1");
    for _ in 0..2 {
        let newest = tasks.newest().await.unwrap().unwrap();
        assert_eq!(newest, task(MoveTaskStatus::Running, 12));
    }
    tasks.cancel("h-1").await.unwrap();
    // Once for each queue, not for each look.
    assert_eq!(sent.bodies("GetQueueAttributes").len(), 2);
    let arn = "arn:aws:sqs:us-east-1:1:queue";
    let start = json!({
        "SourceArn": arn, "DestinationArn": arn, "MaxNumberOfMessagesPerSecond": 500,
    });
    assert_eq!(sent.body("StartMessageMoveTask"), start);
    let list = json!({"SourceArn": arn, "MaxResults": 1});
    assert_eq!(sent.body("ListMessageMoveTasks"), list);
    let cancel = json!({"TaskHandle": "h-1"});
    assert_eq!(sent.body("CancelMessageMoveTask"), cancel);
}

#[tokio::test]
async fn reports_an_endpoint_without_move_tasks_by_its_error_code() {
    let unknown = json!({"__type": "com.amazonaws.sqs#InvalidAction", "message": "unknown action"});
    let arn = json!({"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:1:queue"}});
    let responses = [
        ("GetQueueAttributes", arn),
        ("ListMessageMoveTasks", unknown),
    ];
    let (stack, _) = wire::stack(&responses).await;
    let tasks = StackMoveTasks::new(&stack).await.unwrap();
    let error = tasks.newest().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ListMessageMoveTasks failed: InvalidAction"
    );
}
