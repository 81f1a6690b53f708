//! The guided run of the console on a running stack: real faults, and a verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onewrite_console::lab::Lab;
use onewrite_local::event_sources::Observer;
use onewrite_local::lab::guided::{GuidedRun, Pauses};
use onewrite_local::lab::{LocalLab, StackObserver};
use onewrite_local::profile::Profile;
use onewrite_local::stack::{Stack, StackOptions};

const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn a_guided_run_breaks_only_the_double_write() {
    let observer = Arc::new(StackObserver::default());
    let options = StackOptions {
        event_sources: false,
        observer: Arc::clone(&observer) as Arc<dyn Observer>,
        profile: Profile::Dev,
        ..StackOptions::new("guided")
    };
    let mut stack = Stack::start(options).await.unwrap();
    let lab: Arc<dyn Lab> = LocalLab::start(&mut stack, observer).await.unwrap();
    let pauses = Pauses {
        step: Duration::from_secs(1),
        settle: Duration::from_secs(120),
        ..Pauses::default()
    };
    let run = GuidedRun::start(&lab, 3, pauses);
    let deadline = Instant::now() + LIMIT;
    while !run.state().is_finished {
        assert!(Instant::now() < deadline, "{:?}", run.state());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (verdict, state) = (run.state().text, lab.state().await.unwrap());
    let compared = state.comparison;
    let onewrite = format!("onewrite: {} effects, 0 repeated, 0 lost.", compared.ids.0);
    assert!(verdict.contains(&onewrite), "{verdict}");
    let double_write = compared.double_write;
    assert!(
        double_write.lost.0 > 0 && double_write.repeated.0 > 0,
        "{verdict}"
    );
    assert!(state.faults.is_empty(), "{:?}", state.faults);
    drop(lab);
    stack.stop().await;
}
