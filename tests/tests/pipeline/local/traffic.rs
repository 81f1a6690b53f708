//! A steady load on a stack, and the items that it leaves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use onewrite::item::attribute;
use onewrite_local::clients::Clients;
use onewrite_local::stack::Stack;
use tokio::task::JoinHandle;

use crate::support::pause;

/// The time between two messages.
const PACE: Duration = Duration::from_millis(25);
/// How long the table may stay without a change while items are awaited.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// A message with two parts that may be the payload.
pub(crate) fn body(id: &str) -> String {
    format!(
        r#"{{"notification_id":"{id}","type":"refund","payload":{{"at":"/payload"}},"data":{{"at":"/data"}}}}"#
    )
}

pub(crate) async fn send(stack: &Stack, id: &str) {
    let send = stack.clients().sqs.send_message();
    let send = send.queue_url(&stack.outputs().queue_url);
    send.message_body(body(id)).send().await.unwrap();
}

/// Messages that are sent until [`Traffic::stop`].
pub(crate) struct Traffic {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

impl Traffic {
    pub(crate) fn start(stack: &Stack) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (sqs, url) = (
            stack.clients().sqs.clone(),
            stack.outputs().queue_url.clone(),
        );
        let over = Arc::clone(&is_over);
        let task = tokio::spawn(async move {
            let (mut pace, mut sent) = (tokio::time::interval(PACE), 0);
            while !over.load(Ordering::SeqCst) {
                pace.tick().await;
                let body = body(&format!("traffic-{sent}"));
                let send = sqs.send_message().queue_url(&url).message_body(body);
                send.send().await.unwrap();
                sent += 1;
            }
            sent
        });
        Self { is_over, task }
    }

    /// Returns the number of messages that were sent.
    pub(crate) async fn stop(self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

pub(crate) type Attributes = HashMap<String, AttributeValue>;

pub(crate) fn text<'a>(item: &'a Attributes, name: &str) -> &'a str {
    item[name].as_s().unwrap()
}

/// The items by id.
pub(crate) async fn read_items(clients: &Clients, table: &str) -> HashMap<String, Attributes> {
    let scan = clients.dynamodb.scan().table_name(table);
    let mut pages = scan.consistent_read(true).into_paginator().items().send();
    let mut items = HashMap::new();
    while let Some(item) = pages.next().await {
        let item = item.unwrap();
        let id = text(&item, attribute::NOTIFICATION_ID).to_owned();
        items.insert(id, item);
    }
    items
}

fn is_done(item: &Attributes) -> bool {
    text(item, attribute::STATUS) == "DONE"
}

/// Waits until the items are as expected, and returns them. Fails if the pipeline makes no progress.
pub(crate) async fn wait_for_items(
    stack: &Stack,
    what: &str,
    is_expected: impl Fn(&HashMap<String, Attributes>) -> bool,
) -> HashMap<String, Attributes> {
    let since = Instant::now();
    let (mut progress, mut changed_at) = ((0, 0), since);
    loop {
        let items = read_items(stack.clients(), &stack.outputs().table).await;
        if is_expected(&items) {
            return items;
        }
        let now = (
            items.len(),
            items.values().filter(|item| is_done(item)).count(),
        );
        if now != progress {
            (progress, changed_at) = (now, Instant::now());
        }
        assert!(
            changed_at.elapsed() < IDLE_LIMIT,
            "{what}: items and DONE items: {progress:?}"
        );
        tokio::time::sleep(pause(since)).await;
    }
}

/// Waits until each of these messages is stored and processed downstream.
pub(crate) async fn wait_until_done(stack: &Stack, ids: &[String]) -> HashMap<String, Attributes> {
    wait_for_items(stack, "until every message is done", |items| {
        ids.iter().all(|id| items.get(id).is_some_and(is_done))
    })
    .await
}
