//! The lab of `cargo local up` on a running stack: its numbers are those of the oracle, its switches work, and it ends at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onewrite_console::lab::{Action, Fault, Lab as _};
use onewrite_console::view::{Count, Totals};
use onewrite_local::event_sources::Observer;
use onewrite_local::inspect;
use onewrite_local::lab::{LocalLab, StackObserver};
use onewrite_local::messages;
use onewrite_local::oracle::{self, Counts};
use onewrite_local::pipeline::Pipeline as _;
use onewrite_local::profile::Profile;
use onewrite_local::sample;
use onewrite_local::stack::{Stack, StackOptions};

const LIMIT: Duration = Duration::from_secs(180);

async fn start() -> (Stack, Arc<LocalLab>) {
    let observer = Arc::new(StackObserver::default());
    let options = StackOptions {
        event_sources: false,
        observer: Arc::clone(&observer) as Arc<dyn Observer>,
        // As `cargo local up`.
        profile: Profile::Dev,
        ..StackOptions::new("lab")
    };
    let mut stack = Stack::start(options).await.unwrap();
    let lab = LocalLab::start(&mut stack, observer).await.unwrap();
    (stack, lab)
}

/// Waits until the numbers are final and as many messages were sent.
async fn settled(lab: &LocalLab, sent: u64) -> Totals {
    let deadline = Instant::now() + LIMIT;
    loop {
        let totals = lab.totals();
        if lab.is_idle() && totals.sent == Some(Count(sent)) {
            return totals;
        }
        assert!(Instant::now() < deadline, "{totals:?}\n{:#?}", lab.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn act(lab: &LocalLab, action: Action) -> String {
    lab.act(action).await.unwrap()
}

fn count(count: usize) -> Option<Count> {
    Some(Count(count as u64))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_the_lab_are_those_of_the_oracle() {
    let (mut stack, lab) = start().await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let samples = sample::messages(60, 5);
    // A message that is delivered again, and a batch that is retried, do not change the counts.
    for fault in [Fault::KillIngestAfterWrite, Fault::KillCompleteAfterEffect] {
        act(&lab, Action::SetFault { fault, count: 1 }).await;
    }
    let sent = messages::send(&clients, &outputs.queue_url, &samples, |_| {})
        .await
        .unwrap();
    let totals = settled(&lab, sent.len() as u64).await;
    let state = lab.state().await.unwrap();
    assert!(state.faults.is_empty(), "{:?}", state.faults);
    let mut end = inspect::read_final_state(&clients, &outputs).await.unwrap();
    end.settlement = stack.settlement().await.unwrap();
    let report = oracle::verify(&sent, &end);
    assert_eq!(report.violations, []);
    let counts = report.counts;
    assert_eq!(totals.sent, count(counts.sent));
    assert_eq!(totals.created, count(counts.created));
    assert_eq!(totals.done, count(counts.done));
    assert_eq!(totals.duplicates, count(counts.duplicates));
    assert_eq!(totals.conflicts, count(counts.conflicts));
    assert_eq!(totals.rejected, count(counts.rejected));
    assert_eq!(totals.dead_letters, count(counts.dead_lettered));
    assert_eq!(totals.effects, count(counts.booked.unwrap()));
    assert_eq!(totals.lost, count(0));

    sees_an_item_that_somebody_deletes(&stack, &lab, &end.items[0].id).await;
    // The dead letters are gone: the oracle has read them.
    let sent = (sent.len() - counts.dead_lettered) as u64;
    pauses_and_resumes(&lab, sent, &counts).await;
    follows_another_deployment(&mut stack, &lab, sent + 5, &counts).await;

    drop(lab);
    let ended = Instant::now();
    stack.stop().await;
    // Half a second without other work on this machine. A process that is waited for would take ten.
    let took = ended.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

async fn sees_an_item_that_somebody_deletes(stack: &Stack, lab: &LocalLab, id: &str) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let key = aws_sdk_dynamodb::types::AttributeValue::S(id.to_owned());
    let delete = clients.dynamodb.delete_item().table_name(&outputs.table);
    delete.key("notification_id", key).send().await.unwrap();
    let deadline = Instant::now() + LIMIT;
    while lab.totals().lost != count(1) {
        assert!(Instant::now() < deadline, "{:?}", lab.totals());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends one notification five times while nothing is received.
async fn pauses_and_resumes(lab: &LocalLab, sent: u64, before: &Counts) {
    act(lab, Action::Pause).await;
    act(lab, Action::SendDuplicates).await;
    assert!(lab.state().await.unwrap().stages[1].is_paused);
    act(lab, Action::Resume).await;
    let totals = settled(lab, sent + 5).await;
    assert_eq!(totals.created, count(before.created + 1));
    assert_eq!(totals.duplicates, count(before.duplicates + 4));
    let comparison = lab.state().await.unwrap().comparison;
    let effects = comparison.onewrite.effects;
    assert_eq!((comparison.ids, effects), (Count(1), Count(1)));
}

/// The lab reads messages as `ingest` does then, and its switches still work.
async fn follows_another_deployment(stack: &mut Stack, lab: &LocalLab, sent: u64, before: &Counts) {
    let pointer = BTreeMap::from([("PayloadPointer".to_owned(), "/data".to_owned())]);
    stack.redeploy(&pointer).await.unwrap();
    lab.redeployed(stack).await.unwrap();
    let fault = Fault::KillIngestAfterWrite;
    act(lab, Action::SetFault { fault, count: 1 }).await;
    let lines = [
        r#"{"notification_id":"moved","data":1}"#,
        r#"{"notification_id":"x","payload":1}"#,
    ];
    let lines = lines.map(str::to_owned).to_vec();
    act(lab, Action::SendLines { lines }).await;
    let totals = settled(lab, sent + 2).await;
    assert_eq!(totals.created, count(before.created + 2));
    assert_eq!(totals.rejected, count(before.rejected + 1));
    assert!(lab.state().await.unwrap().faults.is_empty());
}
