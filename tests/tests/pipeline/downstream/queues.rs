//! Several queues, each for its types.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use onewrite_local::{downstream::Targets, inspect, messages, stack::Stack};
use serde_json::Value;

use super::{assert_settled, of_type, with_targets};
use crate::support::{settle, start};

const REFUNDS: &str = "refunds";
const INVOICES: &str = "invoices.fifo";
/// A queue that `DownstreamTypes` does not name.
const AUDIT: &str = "audit";

async fn drain(stack: &Stack, queue: &str) -> Vec<Message> {
    let url = &stack.queue_urls()[queue];
    inspect::drain_queue(stack.clients(), url).await.unwrap()
}

fn event(message: &Message) -> Value {
    serde_json::from_str(message.body().unwrap()).unwrap()
}

/// The notification ids, without copies: a standard queue may deliver an event more than once.
fn subjects(messages: &[Message]) -> BTreeSet<String> {
    let subject = |message| event(message)["subject"].as_str().unwrap().to_owned();
    messages.iter().map(subject).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_notification_arrives_in_the_queues_for_its_type() {
    let targets = Targets {
        queues: [REFUNDS, INVOICES, AUDIT].map(str::to_owned).into(),
        ..Targets::default()
    };
    let types = "refunds=refund.*,refunds=chargeback,invoices.fifo=invoice";
    let options = with_targets("queues", targets).parameter("DownstreamTypes", types);
    let (mut stack, _recorder) = start(options).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let mut samples = vec![
        of_type("chargeback", "c-1"),
        of_type("chargeback.late", "other-1"),
        of_type("invoice.late", "other-2"),
        of_type("refunded", "other-3"),
    ];
    for number in 0..12 {
        samples.push(of_type("refund.card", &format!("r-{number}")));
        samples.push(of_type("invoice", &format!("i-{number}")));
    }
    let sent = messages::send(&clients, &outputs.queue_url, &samples, |_| {}).await;
    let sent = sent.unwrap();
    settle(&mut stack, sent.len()).await;
    assert_settled(&stack, &sent).await;

    let all: BTreeSet<String> = sent
        .iter()
        .filter_map(|sent| sent.meaning.id().cloned())
        .collect();
    let with_prefix = |prefixes: &[&str]| -> BTreeSet<String> {
        let has_prefix = |id: &&String| prefixes.iter().any(|prefix| id.starts_with(prefix));
        all.iter().filter(has_prefix).cloned().collect()
    };
    let refunds = drain(&stack, REFUNDS).await;
    assert_eq!(subjects(&refunds), with_prefix(&["r-", "c-"]));
    let invoices = drain(&stack, INVOICES).await;
    assert_eq!(subjects(&invoices), with_prefix(&["i-"]));
    assert_eq!(invoices.len(), 12, "a FIFO queue drops copies");
    assert_eq!(subjects(&drain(&stack, AUDIT).await), all);
    for message in &invoices {
        let event = event(message);
        let attributes = message.attributes().unwrap();
        let group = &attributes[&MessageSystemAttributeName::MessageGroupId];
        assert_eq!(event["subject"], group.as_str());
        let id = &attributes[&MessageSystemAttributeName::MessageDeduplicationId];
        let fingerprint = &event["fingerprint"].as_str().unwrap()[..16];
        let expected = format!("{}/{fingerprint}", event["id"].as_str().unwrap());
        assert_eq!(*id, expected);
        assert_eq!(event["type"], "invoice.init");
        assert_eq!(event["status"], "INIT");
        assert_eq!(event["data"], 1);
    }
    stack.stop().await;
}
