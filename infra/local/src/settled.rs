//! Waits until a pipeline has settled: the queue is empty, nothing is in flight, and every item is DONE.

use std::time::Instant;

use crate::error::Result;
use crate::inspect;
use crate::pipeline::{Pipeline, WaitSettings};
use crate::progress::Progress;

/// What one check of the pipeline saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Snapshot {
    waiting: usize,
    dead_letters: usize,
    items: usize,
    done: usize,
    is_idle: bool,
}

impl Snapshot {
    fn is_settled(self) -> bool {
        self.is_idle && self.waiting == 0 && self.done == self.items
    }

    fn progress_text(self) -> String {
        let Self {
            waiting,
            dead_letters,
            items,
            done,
            ..
        } = self;
        let suffix = if waiting > 0 && done == items {
            " until their sixth receive"
        } else {
            ""
        };
        format!(
            "stored {items}, done {done}, dead-lettered {dead_letters}, {waiting} in the queue{suffix}"
        )
    }
}

/// Waits until the pipeline has settled and reports progress. Returns false if the pipeline is stuck before that.
///
/// # Errors
/// A failed call, or the end of one of the pipeline's processes.
pub async fn wait_until_settled(
    pipeline: &mut impl Pipeline,
    sent: usize,
    progress: Progress,
) -> Result<bool> {
    let mut bar = progress.bar(sent as u64);
    let WaitSettings {
        poll_interval,
        settle_time,
        stall_limit,
    } = pipeline.wait_settings();
    let (mut last, mut changed_at, mut settled_at) = (Snapshot::default(), Instant::now(), None);
    while settled_at.is_none_or(|at: Instant| at.elapsed() < settle_time) {
        if let Some(failure) = pipeline.failure() {
            return Err(failure);
        }
        let snapshot = read_snapshot(pipeline).await?;
        settled_at = snapshot
            .is_settled()
            .then(|| settled_at.unwrap_or_else(Instant::now));
        if snapshot != last {
            (last, changed_at) = (snapshot, Instant::now());
        } else if changed_at.elapsed() > stall_limit && settled_at.is_none() {
            return Ok(false);
        }
        let processed = sent.saturating_sub(snapshot.waiting) as u64;
        bar.at(processed, snapshot.progress_text());
        tokio::time::sleep(poll_interval).await;
    }
    bar.finish();
    Ok(true)
}

async fn read_snapshot(pipeline: &impl Pipeline) -> Result<Snapshot> {
    let (clients, outputs) = (pipeline.clients(), pipeline.outputs());
    // In the order of the data flow, so that something that moves meanwhile is seen at least once.
    let waiting = inspect::read_queue_depth(clients, &outputs.queue_url).await?;
    let mut items = inspect::read_items(clients, &outputs.table).await?;
    items.retain(|item| !pipeline.is_preexisting(&item.id));
    let done = items.iter().filter(|item| item.status == "DONE").count();
    let is_idle = pipeline.is_idle();
    let dead_letters = inspect::read_queue_depth(clients, &outputs.dead_letter_queue_url).await?;
    Ok(Snapshot {
        waiting: waiting.total(),
        dead_letters: dead_letters.total(),
        items: items.len(),
        done,
        is_idle,
    })
}
