//! The lab of `cargo local up` on a running stack: its numbers are those of the oracle, its switches work, and it ends at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onewrite_console::lab::{Action, Fault, Lab as _};
use onewrite_console::view::{Count, Totals};
use onewrite_local::event_sources::Observer;
use onewrite_local::inspect;
use onewrite_local::lab::{LocalLab, StackObserver};
use onewrite_local::messages;
use onewrite_local::oracle;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_the_lab_are_those_of_the_oracle() {
    let (stack, lab) = start().await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let samples = sample::messages(60, 5);
    // Its copies, its message that is delivered again, and its batch that is retried do not change the counts.
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
    let count = |count: usize| Some(Count(count as u64));
    assert_eq!(totals.sent, count(counts.sent));
    assert_eq!(totals.created, count(counts.created));
    assert_eq!(totals.done, count(counts.done));
    assert_eq!(totals.duplicates, count(counts.duplicates));
    assert_eq!(totals.conflicts, count(counts.conflicts));
    assert_eq!(totals.rejected, count(counts.rejected));
    assert_eq!(totals.dead_letters, count(counts.dead_lettered));
    assert_eq!(totals.effects, count(counts.booked.unwrap()));
    assert_eq!(totals.lost, count(0));

    // An item that somebody deletes is lost, and the lab sees it.
    let id = &end.items[0].id;
    let key = aws_sdk_dynamodb::types::AttributeValue::S(id.clone());
    let delete = clients.dynamodb.delete_item().table_name(&outputs.table);
    delete.key("notification_id", key).send().await.unwrap();
    let deadline = Instant::now() + LIMIT;
    while lab.totals().lost != count(1) {
        assert!(Instant::now() < deadline, "{:?}", lab.totals());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // Paused, nothing is received.
    act(&lab, Action::Pause).await;
    act(&lab, Action::SendDuplicates).await;
    assert!(lab.state().await.unwrap().stages[1].is_paused);
    act(&lab, Action::Resume).await;
    // The dead letters are gone: the oracle has read them.
    let sent = sent.len() as u64 - counts.dead_lettered as u64 + 5;
    let totals = settled(&lab, sent).await;
    assert_eq!(totals.created, count(counts.created + 1));
    assert_eq!(totals.duplicates, count(counts.duplicates + 4));
    let comparison = lab.state().await.unwrap().comparison;
    assert_eq!(
        (comparison.ids, comparison.onewrite.effects),
        (Count(1), Count(1))
    );

    drop(lab);
    let ended = Instant::now();
    stack.stop().await;
    // Half a second without other work on this machine.
    let took = ended.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
