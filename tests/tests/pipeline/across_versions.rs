//! An upgrade with messages in flight, and the way back.
//!
//! To build an older commit would take too long, so both versions have the programs of this one. They differ in the rest of what a
//! deployment changes: hash and location of the code, settings, and the form in which `ingest` stores payloads. Items and
//! events of the oldest version are written by hand.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use hyper::StatusCode;
use onewrite::item::attribute::PAYLOAD;
use onewrite_local::{
    inspect,
    ledger_receiver::Behaviour,
    messages,
    oracle::{self, SentMessage},
    pipeline::Pipeline as _,
    sample::{self, Sample},
    stack::Stack,
};
use serde_json::json;

use super::{
    items::{Attributes, read_item},
    least_privilege::run_script,
    oldest,
    support::{assert_no_violations, options, settle, start_event_sources, valid, wait_until},
};

/// Changes what the next deployment deploys.
const VERSIONS: &str = include_str!("across_versions.py");

/// The time between two groups of messages, and their size. A third of them are copies, conflicts and malformed ones.
const PACE: Duration = Duration::from_millis(300);
const GROUP: usize = 9;

/// Notifications of the oldest version.
const OLDEST: [&str; 3] = ["oldest-1", "oldest-2", "oldest-3"];

/// A pipeline and everything that was sent to it.
struct Upgrade {
    stack: Stack,
    sent: Vec<SentMessage>,
}

impl Upgrade {
    async fn send(&mut self, samples: &[Sample]) {
        let (clients, queue_url) = (self.stack.clients(), &self.stack.outputs().queue_url);
        let sent = messages::send(clients, queue_url, samples, |_| {});
        self.sent.extend(sent.await.unwrap());
    }

    /// Deploys a version while messages arrive. `None` is the first one. `compression` is its `PayloadCompression`.
    async fn deploy(&mut self, version: Option<&str>, compression: &str) {
        let _ = run_script(&self.stack, VERSIONS, &json!({"version": version})).await;
        let clients = self.stack.clients().clone();
        let queue_url = self.stack.outputs().queue_url.clone();
        let changed = BTreeMap::from([("PayloadCompression".to_owned(), compression.to_owned())]);
        let is_over = AtomicBool::new(false);
        let deploying = async {
            self.stack.redeploy(&changed).await.unwrap();
            is_over.store(true, Ordering::SeqCst);
        };
        let sending = async {
            let mut sent = Vec::new();
            for group in 0.. {
                let prefix = format!("{}-{group}", version.unwrap_or("first"));
                let samples = sample::messages_with_prefix(&prefix, GROUP, group);
                let accepted = messages::send(&clients, &queue_url, &samples, |_| {});
                sent.extend(accepted.await.unwrap());
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                tokio::time::sleep(PACE).await;
            }
            sent
        };
        let ((), sent) = tokio::join!(deploying, sending);
        assert!(
            sent.len() > GROUP,
            "no message arrived during the deployment"
        );
        self.sent.extend(sent);
    }

    /// Sends a message whose payload is worth compressing, and waits until its item is in INIT. Returns the stored payload.
    async fn probe(&mut self, id: &str) -> AttributeValue {
        let payload = format!("[{}1.0]", "1.0, ".repeat(1_000));
        self.send(&[valid(id, &payload)]).await;
        wait_until("the probe is stored", async || {
            read_item(&self.stack, id).await.is_some()
        })
        .await;
        self.stored(id, "INIT").await[PAYLOAD].clone()
    }

    /// Reads an item, which must have this status.
    async fn stored(&self, id: &str, status: &str) -> Attributes {
        let item = read_item(&self.stack, id).await.unwrap();
        assert_eq!(item["status"].as_s().unwrap(), status, "{id}");
        item
    }

    async fn wait_until_done(&self, ids: &[&str]) {
        wait_until("each of them is DONE", async || {
            for id in ids {
                let item = read_item(&self.stack, id).await.unwrap();
                if item["status"].as_s().unwrap() != "DONE" {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// While the downstream is down, everything stays in flight.
    fn set_downstream(&self, is_up: bool) {
        let ledger = self.stack.ledger().unwrap();
        ledger.script(move |_| {
            if is_up {
                Behaviour::accept()
            } else {
                Behaviour::answer(StatusCode::SERVICE_UNAVAILABLE)
            }
        });
    }

    /// The hash of the code of each function.
    async fn code(&self) -> [String; 3] {
        let outputs = self.stack.outputs();
        let names = [&outputs.ingest, &outputs.forward, &outputs.complete];
        let hash = async |name: &String| {
            let get = self.stack.clients().lambda.get_function_configuration();
            let configuration = get.function_name(name).send().await.unwrap();
            configuration.code_sha256.unwrap()
        };
        [
            hash(names[0]).await,
            hash(names[1]).await,
            hash(names[2]).await,
        ]
    }

    /// Writes items of the oldest version with their events, and sends copies of their messages.
    async fn write_oldest(&mut self) {
        let (clients, outputs) = (self.stack.clients().clone(), self.stack.outputs().clone());
        for id in OLDEST {
            let put = clients.dynamodb.put_item().table_name(&outputs.table);
            put.set_item(Some(oldest::item(id))).send().await.unwrap();
            let put = clients.kinesis.put_record().stream_name(&outputs.stream);
            let put = put.partition_key(id).data(Blob::new(oldest::event(id)));
            put.send().await.unwrap();
        }
        self.send(&OLDEST.map(oldest::message)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_under_traffic_and_the_way_back_lose_and_double_nothing() {
    let options = options("upgrade").parameter("PayloadCompression", "never");
    let mut stack = Stack::start(options).await.unwrap();
    let _recorder = start_event_sources(&mut stack).await;
    let mut upgrade = Upgrade {
        stack,
        sent: Vec::new(),
    };
    let first = upgrade.code().await;

    // Forward. The new version settles what the one before, and the oldest one, have left.
    upgrade.set_downstream(false);
    upgrade.write_oldest().await;
    assert!(upgrade.probe("before").await.is_s());
    upgrade.deploy(Some("next"), "auto").await;
    let next = upgrade.code().await;
    assert!(first.iter().zip(&next).all(|(one, other)| one != other));
    upgrade.stored("before", "INIT").await;
    upgrade.set_downstream(true);
    upgrade
        .wait_until_done(&[&["before"][..], &OLDEST].concat())
        .await;

    // Back. The version before settles what the new one has stored in its form.
    upgrade.set_downstream(false);
    let compressed = upgrade.probe("between").await;
    assert!(compressed.is_b());
    upgrade.deploy(None, "never").await;
    assert_eq!(upgrade.code().await, first);
    upgrade.stored("between", "INIT").await;
    assert!(upgrade.probe("after").await.is_s());
    upgrade.set_downstream(true);

    settle(&mut upgrade.stack, upgrade.sent.len()).await;
    assert_eq!(upgrade.stored("between", "DONE").await[PAYLOAD], compressed);
    let (clients, outputs) = (upgrade.stack.clients(), upgrade.stack.outputs());
    let mut found = inspect::read_final_state(clients, outputs).await.unwrap();
    found.settlement = upgrade.stack.settlement().await.unwrap();
    let report = oracle::verify(&upgrade.sent, &found);
    assert_no_violations(&report);
    assert_eq!(report.counts.booked, Some(report.counts.done));
    upgrade.stack.stop().await;
}
