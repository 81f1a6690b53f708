//! A pipeline whose redrive waits in the middle, and whose overviews are numbered and can be large.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use onewrite_console::{
    memory::Model,
    pipeline::{Pipeline, PipelineError},
    view::{About, Applied, Attention, Charts, Filter, Kind, Overview, Payload, Preview, Trace},
};
use tokio::sync::Semaphore;

/// Redrives one entry, waits for a permit, then goes on or fails.
pub(crate) struct Gated {
    pub model: Model,
    pub gate: Semaphore,
    pub is_failing: AtomicBool,
    /// Whether the redrive came to its end.
    pub is_complete: AtomicBool,
    /// Whether the redrive stops in order when the console ends.
    pub can_stop: AtomicBool,
    /// Whether `about` says that changes are not allowed. The methods do not look at it.
    pub is_read_only: AtomicBool,
    /// The bytes that are added to each overview.
    pub padding: AtomicUsize,
}

impl Gated {
    pub(crate) fn new() -> Self {
        Self {
            model: Model::with_rich_data(),
            gate: Semaphore::new(0),
            is_failing: AtomicBool::new(false),
            is_complete: AtomicBool::new(false),
            can_stop: AtomicBool::new(false),
            is_read_only: AtomicBool::new(false),
            padding: AtomicUsize::new(0),
        }
    }
}

pub(crate) fn applied(key: &str) -> Applied {
    Applied {
        key: key.to_owned(),
        notification_id: None,
        is_redriven: true,
        result: "moved".to_owned(),
    }
}

#[async_trait]
impl Pipeline for Gated {
    fn about(&self) -> About {
        About {
            allows_changes: !self.is_read_only.load(Ordering::SeqCst),
            ..self.model.about()
        }
    }

    async fn overview(&self) -> Result<Overview, PipelineError> {
        let mut overview = self.model.overview().await?;
        overview.sentence = self.model.overviews().to_string();
        let padding = self.padding.load(Ordering::SeqCst);
        overview.not_read = vec!["x".repeat(padding)];
        Ok(overview)
    }

    async fn trace(&self, id: &str) -> Result<Trace, PipelineError> {
        self.model.trace(id).await
    }

    async fn payload(&self, id: &str) -> Result<Payload, PipelineError> {
        self.model.payload(id).await
    }

    async fn attention(&self, kind: Kind, filter: &Filter) -> Result<Attention, PipelineError> {
        self.model.attention(kind, filter).await
    }

    async fn preview(&self, kind: Kind, filter: &Filter) -> Result<Preview, PipelineError> {
        self.model.preview(kind, filter).await
    }

    async fn apply(
        &self,
        _token: &str,
        progress: &(dyn Fn(Applied) + Send + Sync),
    ) -> Result<(), PipelineError> {
        progress(applied("first"));
        match self.gate.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_) => return Ok(()),
        }
        if self.is_failing.load(Ordering::SeqCst) {
            return Err(PipelineError::Failed(
                "ReceiveMessage: throttled".to_owned(),
            ));
        }
        progress(applied("second"));
        self.is_complete.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn charts(&self) -> Result<Charts, PipelineError> {
        self.model.charts().await
    }

    async fn end(&self) {
        if self.can_stop.load(Ordering::SeqCst) {
            self.gate.close();
        }
    }
}
