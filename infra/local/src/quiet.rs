//! Waits until a pipeline has come to rest: nothing in the queue, nothing under way, every item DONE.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::progress::Progress;
use crate::stack::Stack;
use crate::survey;

const POLL: Duration = Duration::from_millis(500);

/// Looks in a row that must find the same rest: a record can be between two mappings in one look.
const LOOKS: u32 = 2;

/// Nothing moved for this long: it never will. Longer than what is rightly still, a message's visibility timeout.
const STALL_LIMIT: Duration = Duration::from_secs(90);

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
/// A failed call, or the end of one of the stack's processes.
pub async fn until_quiet(stack: &mut Stack, sent: usize, progress: Progress) -> Result<bool> {
    let mut bar = progress.bar(sent as u64);
    let (mut last, mut moved, mut rests) = (Look::default(), Instant::now(), 0);
    while rests < LOOKS {
        if let Some(failure) = stack.failure() {
            return Err(failure);
        }
        let look = look(stack).await?;
        rests = if look.is_quiet() { rests + 1 } else { 0 };
        if look != last {
            (last, moved) = (look, Instant::now());
        } else if moved.elapsed() > STALL_LIMIT && rests == 0 {
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
        tokio::time::sleep(POLL).await;
    }
    bar.finish();
    Ok(true)
}

async fn look(stack: &Stack) -> Result<Look> {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    // The order is that of the flow, so that what moves on meanwhile is seen at least once.
    let waiting = survey::depth(clients, &outputs.queue_url).await?.total();
    let items = survey::items(clients, &outputs.table).await?;
    let done = items.iter().filter(|item| item.status == "DONE").count();
    let idle = stack
        .event_sources()
        .is_none_or(crate::event_sources::EventSources::is_idle);
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
