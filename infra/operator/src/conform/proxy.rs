//! A proxy between the consumer and DynamoDB: it records the writes and injects the faults.
//!
//! An effect counts when its write succeeds. The items would not show a second write of the same key.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hyper::{Response, StatusCode};
use onewrite::{item::attribute, notification::Status};
use onewrite_stack::call_proxy::{Call, CallResponse, forward, serve};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{
    judge::{Change, Write},
    scenario::Fault,
};

/// The key of the ledger table.
pub const LEDGER_KEY: &str = "entry_id";

/// The operations that write items. PartiQL statements are not observed.
const WRITES: [&str; 5] = [
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "TransactWriteItems",
];

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The names of the tables.
#[derive(Debug, Clone)]
pub struct Tables {
    pub notifications: String,
    pub ledger: String,
}

/// Where competing consumers wait before their first write, until each of them has arrived there or ended. Without it, a fast
/// consumer would be done before the next one has started.
#[derive(Debug)]
pub struct Meeting(watch::Sender<usize>);

impl Meeting {
    #[must_use]
    pub fn new(consumers: usize) -> Self {
        Self(watch::Sender::new(consumers))
    }

    fn arrive(&self) {
        self.0
            .send_modify(|missing| *missing = missing.saturating_sub(1));
    }

    async fn wait(&self) {
        // The sender lives as long as this meeting, so it is not an error.
        let _ = self.0.subscribe().wait_for(|missing| *missing == 0).await;
    }
}

/// What the proxy does with the requests of one invocation.
struct Session {
    fault: Fault,
    meeting: Option<Arc<Meeting>>,
    /// Write requests so far.
    requests: usize,
    writes: Vec<Write>,
}

struct Shared {
    upstream: String,
    tables: Tables,
    session: Mutex<Session>,
    kill: Notify,
}

/// A running proxy. It stops when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards requests to `upstream`, a host and a port.
    ///
    /// # Errors
    /// No port is available.
    pub async fn start(upstream: &str, tables: &Tables) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            tables: tables.clone(),
            session: Mutex::new(Session::new(Fault::None, None)),
            kill: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        let handler = Arc::clone(&shared);
        let handle = move |call| {
            let shared = Arc::clone(&handler);
            async move { shared.handle(call).await.ok() }
        };
        tasks.spawn(serve(listener, handle));
        Ok(Self {
            address,
            shared,
            _tasks: tasks,
        })
    }

    /// The endpoint for the consumer.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins an invocation with this fault.
    pub fn begin(&self, fault: Fault, meeting: Option<Arc<Meeting>>) {
        *self.shared.session() = Session::new(fault, meeting);
    }

    /// Waits until the fault demands that the process is killed.
    pub async fn killed(&self) {
        self.shared.kill.notified().await;
    }

    /// Ends the invocation and returns its writes.
    #[must_use]
    pub fn end(&self) -> Vec<Write> {
        let ended = std::mem::replace(&mut *self.shared.session(), Session::new(Fault::None, None));
        if let (0, Some(meeting)) = (ended.requests, ended.meeting) {
            meeting.arrive();
        }
        ended.writes
    }
}

impl Session {
    fn new(fault: Fault, meeting: Option<Arc<Meeting>>) -> Self {
        Self {
            fault,
            meeting,
            requests: 0,
            writes: Vec::new(),
        }
    }
}

impl Shared {
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write request. Returns its number, and the fault of the invocation.
    async fn count(&self) -> (usize, Fault) {
        let (number, fault, meeting) = {
            let mut session = self.session();
            session.requests += 1;
            (session.requests, session.fault, session.meeting.clone())
        };
        if let Some(meeting) = meeting {
            if number == 1 {
                meeting.arrive();
            }
            meeting.wait().await;
        }
        (number, fault)
    }

    /// The process is killed while its request waits for an answer.
    async fn kill(&self) -> Result<CallResponse, AnyError> {
        self.kill.notify_one();
        std::future::pending().await
    }

    async fn handle(&self, call: Call) -> Result<CallResponse, AnyError> {
        let Call {
            operation,
            body,
            request,
            ..
        } = call;
        if self.session().fault == Fault::Unavailable {
            return unavailable();
        }
        if !WRITES.contains(&operation.as_str()) {
            return Ok(forward(request, &self.upstream).await?);
        }
        let (number, fault) = self.count().await;
        if fault == Fault::KillBefore(number) {
            return self.kill().await;
        }
        let response = forward(request, &self.upstream).await?;
        let body: Value = serde_json::from_slice(&body)?;
        let is_committed = response.status().is_success();
        let writes = read_writes(&operation, &body, &self.tables, is_committed);
        let settles = |write: &Write| is_committed && write.change != Change::Effect;
        let is_settled = writes.iter().any(settles);
        self.session().writes.extend(writes);
        if fault == Fault::KillAfter(number) {
            return self.kill().await;
        }
        if fault == Fault::LoseAnswer && is_settled {
            self.session().fault = Fault::None;
            // An error closes the connection without a response.
            return Err("the answer is lost".into());
        }
        Ok(response)
    }
}

/// An error of DynamoDB's JSON protocol that every SDK retries a few times.
fn unavailable() -> Result<CallResponse, AnyError> {
    let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"});
    let body = body.to_string().into();
    let response = Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(response.body(body)?)
}

/// The writes of a request that settle a notification or are an effect.
fn read_writes(operation: &str, body: &Value, tables: &Tables, is_committed: bool) -> Vec<Write> {
    let token = body["ClientRequestToken"].as_str();
    let one = |value: &Value| {
        let (id, change) = read_write(value, tables)?;
        let token = token.map(str::to_owned);
        Some(Write {
            id,
            change,
            token,
            is_committed,
        })
    };
    match operation {
        "TransactWriteItems" => {
            let entries = body["TransactItems"].as_array().into_iter().flatten();
            let writes = entries.flat_map(|entry| [&entry["Put"], &entry["Update"]]);
            writes.filter_map(one).collect()
        }
        "BatchWriteItem" => {
            let requests = body["RequestItems"].as_object().into_iter().flatten();
            let puts = requests.flat_map(|(table, requests)| {
                let puts = requests.as_array().into_iter().flatten();
                puts.map(move |put| json!({"TableName": table, "Item": put["PutRequest"]["Item"]}))
            });
            puts.filter_map(|put| one(&put)).collect()
        }
        "DeleteItem" => Vec::new(),
        _ => one(body).into_iter().collect(),
    }
}

/// The id and the change of a put or an update.
fn read_write(write: &Value, tables: &Tables) -> Option<(String, Change)> {
    // A name or an ARN.
    let table = write["TableName"].as_str()?.rsplit('/').next()?;
    let key = |name: &str| {
        let key = write.get("Key").or_else(|| write.get("Item"))?;
        key[name]["S"].as_str().map(str::to_owned)
    };
    if table == tables.ledger {
        return Some((key(LEDGER_KEY)?, Change::Effect));
    }
    if table != tables.notifications {
        return None;
    }
    let status: Status = written_status(write)?.parse().ok()?;
    let is_settled = status.is_settled();
    is_settled.then_some((key(attribute::NOTIFICATION_ID)?, Change::Settled(status)))
}

/// The status that a put or an update writes, however its expression is spelled.
fn written_status(write: &Value) -> Option<&str> {
    if let Some(status) = write["Item"][attribute::STATUS]["S"].as_str() {
        return Some(status);
    }
    let expression = write["UpdateExpression"].as_str()?.replace([',', '='], " ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let is_status = |name: &str| {
        let name = write["ExpressionAttributeNames"][name]
            .as_str()
            .unwrap_or(name);
        name == attribute::STATUS
    };
    let value = words
        .windows(2)
        .find(|pair| is_status(pair[0]) && pair[1].starts_with(':'))?[1];
    write["ExpressionAttributeValues"][value]["S"].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(operation: &str, body: &Value) -> Vec<Write> {
        let tables = Tables {
            notifications: "n".to_owned(),
            ledger: "l".to_owned(),
        };
        read_writes(operation, body, &tables, true)
    }

    fn update(table: &str, expression: &str) -> Value {
        json!({
            "TableName": table,
            "Key": {"notification_id": {"S": "a"}},
            "UpdateExpression": expression,
            "ExpressionAttributeNames": {"#s": "status", "#v": "version"},
            "ExpressionAttributeValues": {":d": {"S": "DONE"}, ":i": {"S": "INIT"}, ":n": {"N": "2"}},
        })
    }

    #[test]
    fn recognizes_a_settling_write_by_its_table_and_status() {
        let change = |table: &str, expression: &str| {
            let writes = writes("UpdateItem", &update(table, expression));
            writes.first().map(|write| write.change)
        };
        let done = Some(Change::Settled(Status::Done));
        for expression in [
            "SET #s = :d, version = :n",
            "SET #v=:n,#s=:d",
            "SET status=:d",
            "ADD redrives :n SET #s = :d",
        ] {
            assert_eq!(change("n", expression), done, "{expression}");
            let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/n";
            assert_eq!(change(arn, expression), done);
            assert_eq!(change("other", expression), None);
        }
        for expression in ["SET #s = :i", "SET #v = :n, note = :d", "REMOVE #s"] {
            assert_eq!(change("n", expression), None, "{expression}");
        }
    }

    #[test]
    fn reads_effects_of_each_operation() {
        let put = json!({"TableName": "l", "Item": {"entry_id": {"S": "a"}}});
        let add = json!({"TableName": "l", "Key": {"entry_id": {"S": "a"}}, "UpdateExpression": "ADD n :n"});
        let transaction = json!({
            "ClientRequestToken": "t",
            "TransactItems": [{"Update": update("n", "SET #s = :d")}, {"Put": put}, {"ConditionCheck": put}],
        });
        let batch = json!({"RequestItems": {"l": [{"PutRequest": {"Item": put["Item"]}}]}});
        for (operation, body) in [
            ("PutItem", &put),
            ("UpdateItem", &add),
            ("BatchWriteItem", &batch),
        ] {
            let found = writes(operation, body);
            assert_eq!(found.len(), 1, "{operation}");
            assert_eq!(
                (found[0].id.as_str(), found[0].change),
                ("a", Change::Effect)
            );
        }
        assert_eq!(writes("DeleteItem", &add), []);
        let found = writes("TransactWriteItems", &transaction);
        let changes: Vec<_> = found.iter().map(|write| write.change).collect();
        assert_eq!(changes, [Change::Settled(Status::Done), Change::Effect]);
        assert!(
            found
                .iter()
                .all(|write| write.token.as_deref() == Some("t"))
        );
    }

    #[tokio::test]
    async fn competitors_meet_before_they_write() {
        let meeting = Meeting::new(2);
        meeting.arrive();
        let mut wait = Box::pin(meeting.wait());
        assert!(futures_poll(&mut wait).await.is_none());
        meeting.arrive();
        wait.await;
    }

    /// Polls a future once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
