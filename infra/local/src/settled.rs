//! Waits until a pipeline has settled: the queue is empty, nothing is in flight, and every item is DONE or REFUSED. Without a
//! downstream, an event of every item must be in the stream instead.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::error::Result;
use crate::inspect;
use crate::oracle::{Item, is_final};
use crate::pipeline::{Pipeline, WaitSettings};
use crate::progress::Progress;

/// What one check of the pipeline saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Snapshot {
    waiting: usize,
    dead_letters: usize,
    items: usize,
    /// Items that are DONE or REFUSED, or published if nothing settles them.
    finished: usize,
    is_delivering: bool,
    is_idle: bool,
}

impl Snapshot {
    fn is_settled(self) -> bool {
        self.is_idle && self.waiting == 0 && self.finished == self.items
    }

    fn progress_text(self) -> String {
        let Self {
            waiting,
            dead_letters,
            items,
            finished,
            is_delivering,
            ..
        } = self;
        let suffix = if waiting > 0 && finished == items {
            " until their sixth receive"
        } else {
            ""
        };
        let name = if is_delivering {
            "settled"
        } else {
            "published"
        };
        format!(
            "stored {items}, {name} {finished}, dead-lettered {dead_letters}, {waiting} in the queue{suffix}"
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
    let is_delivering = pipeline.has_downstream();
    let finished = if is_delivering {
        items.iter().filter(|item| is_final(&item.status)).count()
    } else {
        count_published(pipeline, &items).await?
    };
    let is_idle = pipeline.is_idle();
    let dead_letters = inspect::read_queue_depth(clients, &outputs.dead_letter_queue_url).await?;
    Ok(Snapshot {
        waiting: waiting.total(),
        dead_letters: dead_letters.total(),
        items: items.len(),
        finished,
        is_delivering,
        is_idle,
    })
}

/// Counts the items that have an event in the stream.
async fn count_published(pipeline: &impl Pipeline, items: &[Item]) -> Result<usize> {
    let (events, _) = inspect::read_events(pipeline.clients(), &pipeline.outputs().stream).await?;
    let ids: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    let is_published = |item: &&Item| ids.contains(item.id.as_str());
    Ok(items.iter().filter(is_published).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_settled_when_nothing_is_left_to_do() {
        let settled = Snapshot {
            items: 3,
            finished: 3,
            is_idle: true,
            is_delivering: true,
            ..Snapshot::default()
        };
        assert!(settled.is_settled());
        for unsettled in [
            Snapshot {
                waiting: 1,
                ..settled
            },
            Snapshot {
                finished: 2,
                ..settled
            },
            Snapshot {
                is_idle: false,
                ..settled
            },
        ] {
            assert!(!unsettled.is_settled(), "{unsettled:?}");
        }
    }

    #[test]
    fn progress_says_what_the_pipeline_waits_for() {
        let text = |is_delivering| {
            Snapshot {
                items: 3,
                finished: 2,
                is_delivering,
                ..Snapshot::default()
            }
            .progress_text()
        };
        assert!(text(true).contains("stored 3, settled 2,"));
        assert!(text(false).contains("stored 3, published 2,"));
    }
}
