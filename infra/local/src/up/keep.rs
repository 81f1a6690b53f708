//! `cargo local up --keep`: writes what the stack has as JSON lines when it ends.
//!
//! The emulator can save the state of its services. A stack also has the checkpoints of the pollers, the ledger, and programs and
//! endpoints with the ports of this run, which nothing saves. So you can read a kept stack, but not start it again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::clients::Clients;
use crate::error::{LocalError, Result};
use crate::inspect;
use crate::ledger_receiver::Ledger;
use crate::workspace::Workspace;
use onewrite_stack::outputs::StackOutputs;
use onewrite_stack::stream;

/// How long messages that a function had received may take to become visible again.
const VISIBLE_AGAIN: Duration = Duration::from_secs(40);

/// A file of JSON lines that only its owner may read, because it has payloads.
struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
    count: usize,
}

impl Lines {
    fn create(directory: &Path, name: &str) -> Result<Self> {
        let path = directory.join(name);
        let file = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path);
        let file = file.map_err(|source| LocalError::file(&path, source))?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
            count: 0,
        })
    }

    fn add(&mut self, value: &impl Serialize) -> Result<()> {
        self.count += 1;
        let written = serde_json::to_writer(&mut self.file, value).map_err(std::io::Error::from);
        let written = written.and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| LocalError::file(&self.path, source))
    }

    fn finish(mut self) -> Result<usize> {
        let flushed = self.file.flush();
        flushed.map_err(|source| LocalError::file(&self.path, source))?;
        Ok(self.count)
    }
}

/// The directory of what is kept of a run.
#[derive(Debug)]
pub(super) struct Kept(PathBuf);

impl Kept {
    /// Creates the directory.
    ///
    /// # Errors
    /// A failed file operation.
    pub(super) fn create(workspace: &Workspace) -> Result<Self> {
        create_directory(workspace, Timestamp::now()).map(Self)
    }

    /// Writes table, stream, queues and ledger of a stack whose event sources have stopped. Returns how many messages are still
    /// hidden in a queue and could not be read.
    ///
    /// # Errors
    /// A failed call or file operation.
    pub(super) async fn write(
        &self,
        clients: &Clients,
        outputs: &StackOutputs,
        ledger: Option<&Ledger>,
    ) -> Result<usize> {
        let directory = &self.0;
        let mut table = Lines::create(directory, "table.jsonl")?;
        write_table(clients, &outputs.table, &mut table).await?;
        table.finish()?;
        let mut records = Lines::create(directory, "stream.jsonl")?;
        for (shard, record) in stream::read_records(clients, &outputs.stream).await? {
            records.add(&json!({
                "shard": shard,
                "sequence_number": record.sequence_number(),
                "partition_key": record.partition_key(),
                "data": String::from_utf8_lossy(record.data().as_ref()),
            }))?;
        }
        records.finish()?;
        let unread = write_queues(clients, outputs, directory).await?;
        if let Some(ledger) = ledger {
            let mut entries = Lines::create(directory, "ledger.jsonl")?;
            for (id, calls) in &ledger.calls {
                let is_booked = ledger.booked.contains(id);
                entries
                    .add(&json!({"notification_id": id, "calls": calls, "booked": is_booked}))?;
            }
            entries.finish()?;
        }
        Ok(unread)
    }

    /// Says what the directory has after [`Self::write`] succeeded.
    pub(super) fn complete(&self, unread: usize) -> String {
        let directory = self.0.display();
        let text = format!("The stack has ended. Its data, with all payloads, are in {directory}.");
        match unread {
            0 => text,
            unread => format!(
                "{text}\n{unread} messages are missing there: a function had just received them."
            ),
        }
    }

    /// Says what is left after [`Self::write`] failed. Removes the directory if nothing was written.
    pub(super) fn incomplete(&self) -> String {
        match std::fs::remove_dir(&self.0) {
            Ok(()) => {
                "The stack has ended before its data were written, so they are gone.".to_owned()
            }
            Err(_) => format!(
                "The stack has ended before all its data were written. A part of them, with payloads, is in {}; the rest is gone.",
                self.0.display()
            ),
        }
    }
}

/// Waits for `work`, unless `interrupted` resolves before.
///
/// # Errors
/// Those of `work`, or [`LocalError::Interrupted`].
pub(super) async fn unless<T>(
    interrupted: impl Future<Output = ()>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        result = work => result,
        () = interrupted => Err(LocalError::Interrupted),
    }
}

/// A directory for this run, such as `target/local/kept/20261129T165512`.
fn create_directory(workspace: &Workspace, now: Timestamp) -> Result<PathBuf> {
    let parent = workspace.local().join("kept");
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).recursive(true);
    let failed = |source| LocalError::file(&parent, source);
    builder.create(&parent).map_err(failed)?;
    let name = now.strftime("%Y%m%dT%H%M%S").to_string();
    let directory = parent.join(&name);
    builder.recursive(false);
    match builder.create(&directory) {
        Ok(()) => Ok(directory),
        // Another run ended in the same second.
        Err(_) => {
            let directory = parent.join(format!("{name}-{:04x}", rand::random::<u16>()));
            let created = builder.create(&directory);
            created.map_err(|source| LocalError::file(&directory, source))?;
            Ok(directory)
        }
    }
}

async fn write_table(clients: &Clients, table: &str, lines: &mut Lines) -> Result<()> {
    let scan = clients.dynamodb.scan().table_name(table);
    let mut pages = scan.consistent_read(true).into_paginator().items().send();
    while let Some(item) = pages.next().await {
        lines.add(&item_json(
            item.map_err(|error| LocalError::aws("Scan", &error))?,
        ))?;
    }
    Ok(())
}

/// An item as DynamoDB JSON, which the AWS CLI reads.
fn item_json(item: HashMap<String, AttributeValue>) -> Value {
    let attributes = item
        .into_iter()
        .map(|(name, value)| (name, attribute_json(value)));
    Value::Object(attributes.collect::<Map<_, _>>())
}

fn attribute_json(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(bytes) => json!({ "B": BASE64_STANDARD.encode(bytes) }),
        AttributeValue::Bool(truth) => json!({ "BOOL": truth }),
        AttributeValue::M(attributes) => json!({ "M": item_json(attributes) }),
        AttributeValue::L(values) => {
            let values: Vec<Value> = values.into_iter().map(attribute_json).collect();
            json!({ "L": values })
        }
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(blobs) => {
            let blobs = blobs.iter().map(|blob| BASE64_STANDARD.encode(blob));
            json!({ "BS": blobs.collect::<Vec<_>>() })
        }
        _ => json!({ "NULL": true }),
    }
}

/// Moves the messages of both queues to files. Returns how many it could not read.
async fn write_queues(
    clients: &Clients,
    outputs: &StackOutputs,
    directory: &Path,
) -> Result<usize> {
    let mut unread = 0;
    // The dead letters last: a receive moves messages that had all their receives there.
    for (name, url) in [
        ("queue.jsonl", &outputs.queue_url),
        ("dead-letters.jsonl", &outputs.dead_letter_queue_url),
    ] {
        let mut messages = Lines::create(directory, name)?;
        unread += write_queue(clients, url, &mut messages).await?;
        messages.finish()?;
    }
    Ok(unread)
}

/// Moves the messages of a queue to a file. Returns how many it could not read.
async fn write_queue(clients: &Clients, url: &str, lines: &mut Lines) -> Result<usize> {
    let deadline = Instant::now() + VISIBLE_AGAIN;
    loop {
        for message in inspect::drain_queue(clients, url).await? {
            let attributes = message.attributes.unwrap_or_default();
            let attributes = attributes
                .iter()
                .map(|(name, value)| (name.as_str(), value));
            let attributes: HashMap<_, _> = attributes.collect();
            lines.add(&json!({
                "message_id": message.message_id,
                "attributes": attributes,
                "body": message.body,
            }))?;
        }
        let left = inspect::read_queue_depth(clients, url).await?.total();
        if left == 0 || Instant::now() > deadline {
            return Ok(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::{Arc, Mutex};

    use aws_sdk_dynamodb::primitives::Blob;
    use hyper::Response;
    use onewrite_stack::call_proxy::Call;
    use tokio::task::JoinSet;

    use super::*;
    use crate::scripted;

    const QUEUE: &str = "http://127.0.0.1/1/queue";
    const DEAD_LETTERS: &str = "http://127.0.0.1/1/dead-letters";

    /// The messages of both queues. The one in the queue had all its receives.
    #[derive(Default)]
    struct Queues {
        waiting: Vec<Value>,
        dead_letters: Vec<Value>,
        /// Messages of each queue that do not become visible again.
        hidden: usize,
    }

    impl Queues {
        fn answer(&mut self, operation: &str, request: &Value) -> Value {
            let is_main = request["QueueUrl"] == QUEUE;
            let received = match operation {
                "ReceiveMessage" if is_main => {
                    self.dead_letters.append(&mut self.waiting);
                    Vec::new()
                }
                "ReceiveMessage" => std::mem::take(&mut self.dead_letters),
                "DeleteMessageBatch" => return json!({"Successful": [{"Id": "0"}], "Failed": []}),
                "Scan" => return json!({"Items": [{"notification_id": {"S": "a"}}], "Count": 1}),
                "ListShards" => return json!({"Shards": []}),
                _ => {
                    let messages = if is_main {
                        &self.waiting
                    } else {
                        &self.dead_letters
                    };
                    return json!({"Attributes": {
                        "ApproximateNumberOfMessages": messages.len().to_string(),
                        "ApproximateNumberOfMessagesNotVisible": self.hidden.to_string(),
                        "ApproximateNumberOfMessagesDelayed": "0",
                    }});
                }
            };
            json!({ "Messages": received })
        }
    }

    async fn start(queues: Queues) -> (Clients, JoinSet<()>) {
        let queues = Arc::new(Mutex::new(queues));
        let (clients, _, tasks) = scripted::clients(move |call: Call| {
            let request = serde_json::from_slice(&call.body).unwrap();
            let answer = queues.lock().unwrap().answer(&call.operation, &request);
            async move { Some(Response::new(answer.to_string().into())) }
        })
        .await;
        (clients, tasks)
    }

    fn outputs() -> StackOutputs {
        scripted::outputs(QUEUE, DEAD_LETTERS)
    }

    #[tokio::test]
    async fn keeps_a_message_that_becomes_a_dead_letter_at_the_end() {
        let message = json!({"MessageId": "m1", "ReceiptHandle": "h1", "Body": "{}"});
        let (clients, _tasks) = start(Queues {
            waiting: vec![message],
            ..Queues::default()
        })
        .await;
        let directory = tempfile::tempdir().unwrap();
        let unread = write_queues(&clients, &outputs(), directory.path()).await;
        assert_eq!(unread.unwrap(), 0);
        let text = std::fs::read_to_string(directory.path().join("dead-letters.jsonl"));
        let line: Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(line["message_id"], "m1");
    }

    #[tokio::test]
    async fn an_interruption_ends_the_wait_for_hidden_messages() {
        let queues = Queues {
            hidden: 1,
            ..Queues::default()
        };
        let (clients, _tasks) = start(queues).await;
        let root = tempfile::tempdir().unwrap();
        let kept = Kept::create(&Workspace::at(root.path())).unwrap();
        let queue = kept.0.join("queue.jsonl");
        let interrupted = async {
            while !queue.exists() {
                tokio::task::yield_now().await;
            }
        };
        let outputs = outputs();
        let write = kept.write(&clients, &outputs, None);
        let error = unless(interrupted, write).await.unwrap_err();
        assert!(matches!(error, LocalError::Interrupted), "{error}");
        let text = kept.incomplete();
        assert!(
            text.contains("A part of them") && text.contains("the rest is gone"),
            "{text}"
        );
        let table = std::fs::read_to_string(kept.0.join("table.jsonl")).unwrap();
        assert_eq!(table, "{\"notification_id\":{\"S\":\"a\"}}\n");
    }

    #[test]
    fn a_directory_without_data_is_not_called_a_part_of_them() {
        let root = tempfile::tempdir().unwrap();
        let kept = Kept::create(&Workspace::at(root.path())).unwrap();
        let text = kept.incomplete();
        assert!(text.ends_with("so they are gone."), "{text}");
        assert!(!kept.0.exists());
    }

    #[test]
    fn only_the_owner_can_read_what_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(root.path());
        let at: Timestamp = "2026-11-29T16:55:12Z".parse().unwrap();
        let directory = create_directory(&workspace, at).unwrap();
        assert!(directory.ends_with("target/local/kept/20261129T165512"));
        assert_ne!(create_directory(&workspace, at).unwrap(), directory);
        let mut lines = Lines::create(&directory, "table.jsonl").unwrap();
        lines.add(&json!({"a": 1})).unwrap();
        lines.add(&json!({"a": 2})).unwrap();
        let path = lines.path.clone();
        assert_eq!(lines.finish().unwrap(), 2);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\"a\":1}\n{\"a\":2}\n"
        );
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        assert!(Lines::create(&directory, "table.jsonl").is_err());
    }

    #[test]
    fn items_are_dynamodb_json() {
        let item = HashMap::from([
            ("id".to_owned(), AttributeValue::S("a".to_owned())),
            ("version".to_owned(), AttributeValue::N("2".to_owned())),
            ("payload".to_owned(), AttributeValue::B(Blob::new([0, 255]))),
        ]);
        let expected = json!({"id": {"S": "a"}, "version": {"N": "2"}, "payload": {"B": "AP8="}});
        assert_eq!(item_json(item), expected);
    }
}
