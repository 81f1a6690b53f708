//! For tests: clients of services that a test plays, and the outputs of a stack.

use onewrite_stack::call_proxy::{Call, CallResponse, serve};
use onewrite_stack::outputs::StackOutputs;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clients::Clients;
use crate::emulator::Credentials;

/// Clients whose calls `answer` answers, and the endpoint, until the tasks are dropped.
pub(crate) async fn clients<R>(
    answer: impl Fn(Call) -> R + Clone + Send + Sync + 'static,
) -> (Clients, String, JoinSet<()>)
where
    R: Future<Output = Option<CallResponse>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, answer));
    let credentials = Credentials {
        access_key_id: "k".to_owned(),
        secret_access_key: "s".to_owned(),
    };
    (Clients::new(&endpoint, &credentials), endpoint, tasks)
}

/// The outputs of a stack with these queues, and with the functions `ingest`, `forward` and `complete`.
pub(crate) fn outputs(queue: &str, dead_letters: &str) -> StackOutputs {
    let outputs = [
        ("NotificationQueueUrl", queue),
        ("DeadLetterQueueUrl", dead_letters),
        ("NotificationTableName", "table"),
        ("NotificationStreamName", "stream"),
        ("FailureBucketName", "failures"),
        ("IngestFunctionName", "ingest"),
        ("ForwardFunctionName", "forward"),
        ("CompleteFunctionName", "complete"),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    StackOutputs::new(outputs.map(owned).into()).unwrap()
}
