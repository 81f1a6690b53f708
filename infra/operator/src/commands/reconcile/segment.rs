//! Reads the segments of a parallel scan.

use std::sync::Arc;

use onewrite::redrive::Reconciliation;
use onewrite_stack::{
    error::StackError,
    pace::Pace,
    scan::{self, PageQuery, SelectedItem, Selection},
    stack::Stack,
};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::sleep_until,
};

use super::checkpoint::{Checkpoint, SegmentProgress};

/// The size and the speed of a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanLimits {
    pub segments: u32,
    pub read_units_per_second: u32,
    pub page_items: Option<i32>,
}

/// One page of a segment.
pub(super) struct Page {
    pub segment: u32,
    pub items_read: u64,
    pub selected: Vec<SelectedItem>,
    /// Items that somebody edited, and that cannot be read.
    pub unreadable: u64,
    pub progress: SegmentProgress,
}

/// The pages of all segments. Dropping it stops the tasks that read them.
pub(super) struct Pages {
    receiver: mpsc::Receiver<Result<Page, StackError>>,
    _tasks: JoinSet<()>,
}

impl Pages {
    /// Starts to read the segments that the checkpoint does not mark as done, each in its own task.
    pub(super) fn start(stack: &Stack, checkpoint: &Checkpoint, limits: ScanLimits) -> Self {
        let selection = Selection::Reconcile(Reconciliation {
            before: checkpoint.created_before,
            settled_since: checkpoint.run.settled_since,
        });
        let (sender, receiver) = mpsc::channel(1);
        let pace = Arc::new(Mutex::new(Pace::new(limits.read_units_per_second)));
        let mut tasks = JoinSet::new();
        for segment in 0..limits.segments {
            let after = match checkpoint.segments.get(&segment) {
                Some(SegmentProgress::End) => continue,
                Some(SegmentProgress::After(id)) => Some(id.clone()),
                None => None,
            };
            let reader = SegmentReader {
                stack: stack.clone(),
                pace: Arc::clone(&pace),
                query: PageQuery {
                    segment,
                    segments: limits.segments,
                    selection,
                    limit: limits.page_items,
                    after,
                },
            };
            tasks.spawn(reader.read_all(sender.clone()));
        }
        Self {
            receiver,
            _tasks: tasks,
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Page, StackError>> {
        self.receiver.recv().await
    }
}

struct SegmentReader {
    stack: Stack,
    pace: Arc<Mutex<Pace>>,
    query: PageQuery,
}

impl SegmentReader {
    async fn read_all(mut self, sender: mpsc::Sender<Result<Page, StackError>>) {
        loop {
            let page = self.read_page().await;
            self.query.after = match &page {
                Ok(Page {
                    progress: SegmentProgress::After(id),
                    ..
                }) => Some(id.clone()),
                _ => None,
            };
            // The receiver is gone if the run failed elsewhere.
            if sender.send(page).await.is_err() || self.query.after.is_none() {
                return;
            }
        }
    }

    async fn read_page(&self) -> Result<Page, StackError> {
        // The response tells what a page costs. So the pace holds on average, not for each page.
        let free_at = self.pace.lock().await.free_at();
        sleep_until(free_at).await;
        let page = scan::read_page(&self.stack, self.query.clone()).await?;
        self.pace.lock().await.record_use(page.read_units);
        Ok(Page {
            segment: self.query.segment,
            items_read: page.items_read,
            selected: page.selected,
            unreadable: page.unreadable,
            progress: page
                .last_key
                .map_or(SegmentProgress::End, SegmentProgress::After),
        })
    }
}
