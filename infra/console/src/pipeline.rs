//! The port to a pipeline.

use async_trait::async_trait;

use crate::view::{
    About, Applied, Attention, Charts, Filter, Kind, Overview, Payload, Preview, Trace,
};

/// Why the pipeline did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// The request cannot be served as it is: an empty filter, an invalid id, a preview that is used or too old.
    #[error("{0}")]
    Invalid(String),
    #[error("no such notification")]
    NotFound,
    /// Changes are not allowed.
    #[error("this console is read-only; start it with --allow-changes")]
    ReadOnly,
    /// A call failed. The text names the call and what to do, never a payload.
    #[error("{0}")]
    Failed(String),
}

impl PipelineError {
    /// The HTTP status of an answer with this error.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::ReadOnly => 403,
            Self::NotFound => 404,
            Self::Failed(_) => 502,
        }
    }
}

/// Reads and redrives a pipeline. All methods may be called concurrently. None of them logs a payload.
#[async_trait]
pub trait Pipeline: Send + Sync {
    fn about(&self) -> About;

    /// Reads the whole pipeline. A part that cannot be read is named in `not_read`; the rest is there.
    async fn overview(&self) -> Result<Overview, PipelineError>;

    /// What `onewrite trace` says.
    async fn trace(&self, id: &str) -> Result<Trace, PipelineError>;

    async fn payload(&self, id: &str) -> Result<Payload, PipelineError>;

    /// Lists what needs somebody. An empty filter lists all.
    async fn attention(&self, kind: Kind, filter: &Filter) -> Result<Attention, PipelineError>;

    /// Prepares a redrive of the entries that the filter selects.
    ///
    /// # Errors
    /// [`PipelineError::Invalid`] for an empty filter or for [`Kind::Refused`], [`PipelineError::ReadOnly`].
    async fn preview(&self, kind: Kind, filter: &Filter) -> Result<Preview, PipelineError>;

    /// Redrives exactly the entries of a preview, once. Calls `progress` with each result.
    ///
    /// # Errors
    /// [`PipelineError::Invalid`] if the preview is unknown, used or too old, [`PipelineError::ReadOnly`].
    async fn apply(
        &self,
        token: &str,
        progress: &(dyn Fn(Applied) + Send + Sync),
    ) -> Result<(), PipelineError>;

    async fn charts(&self) -> Result<Charts, PipelineError>;

    /// Stops redrives and looks in order, and waits until nothing that they received is hidden. The server calls it at its end, and
    /// waits for less than a second.
    async fn end(&self) {}
}
