//! Waits until a pipeline has come to rest: nothing in the queue, nothing under way, every item DONE.

use std::time::Instant;

use crate::error::Result;
use crate::pipeline::{Pace, Pipeline};
use crate::progress::Progress;
use crate::survey;

/// What one look saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Look {
    waiting: usize,
    dead: usize,
    items: usize,
    done: usize,
    idle: bool,
}

impl Look {
    fn is_quiet(self) -> bool {
        self.idle && self.waiting == 0 && self.done == self.items
    }
}

/// Waits until the pipeline is at rest, and tells how far it is. False when it stands still short of that.
///
/// # Errors
/// A failed call, or the end of one of the pipeline's processes.
pub async fn until_quiet(
    pipeline: &mut impl Pipeline,
    sent: usize,
    progress: Progress,
) -> Result<bool> {
    let mut bar = progress.bar(sent as u64);
    let Pace { poll, rest, stall } = pipeline.pace();
    let (mut last, mut moved, mut quiet_since) = (Look::default(), Instant::now(), None);
    while quiet_since.is_none_or(|since: Instant| since.elapsed() < rest) {
        if let Some(failure) = pipeline.failure() {
            return Err(failure);
        }
        let look = look(pipeline).await?;
        quiet_since = look
            .is_quiet()
            .then(|| quiet_since.unwrap_or_else(Instant::now));
        if look != last {
            (last, moved) = (look, Instant::now());
        } else if moved.elapsed() > stall && quiet_since.is_none() {
            return Ok(false);
        }
        let away = sent.saturating_sub(look.waiting) as u64;
        let Look {
            waiting,
            dead,
            items,
            done,
            ..
        } = look;
        bar.at(
            away,
            format!(
                "stored {items}, done {done}, dead-lettered {dead}, {waiting} in the queue{}",
                if waiting > 0 && done == items {
                    " until their sixth receive"
                } else {
                    ""
                }
            ),
        );
        tokio::time::sleep(poll).await;
    }
    bar.finish();
    Ok(true)
}

async fn look(pipeline: &impl Pipeline) -> Result<Look> {
    let (clients, outputs) = (pipeline.clients(), pipeline.outputs());
    // The order is that of the flow, so that what moves on meanwhile is seen at least once.
    let waiting = survey::depth(clients, &outputs.queue_url).await?.total();
    let mut items = survey::items(clients, &outputs.table).await?;
    items.retain(|item| !pipeline.is_of_others(&item.id));
    let done = items.iter().filter(|item| item.status == "DONE").count();
    let idle = pipeline.is_idle();
    let dead = survey::depth(clients, &outputs.dead_letter_queue_url)
        .await?
        .total();
    Ok(Look {
        waiting,
        dead,
        items: items.len(),
        done,
        idle,
    })
}
