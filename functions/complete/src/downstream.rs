//! The downstream that this repository deploys.

use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};

/// Accepts every notification and logs its id. Replace it with your own work by calling [`run`](crate::run) from a program
/// of your own.
///
/// [`Downstream::accept`] can do your work in one of two ways, whose guarantees [`onewrite::completion`] states:
/// - Call your system with `event.subject` as idempotency key, and return [`Effect::Happened`].
/// - Return the effect as DynamoDB writes in [`Effect::CommitWith`]. They commit together with DONE, exactly once. The role
///   of the function needs permission for these writes.
///
/// `accept` is called again for each copy and each retry of an event. An error, a panic or a call that outlives the
/// invocation fails this notification only: it stays in INIT and its event is retried. Keep the payload out of logs and
/// errors.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOnly;

impl<W: Send> Downstream<W> for LogOnly {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        tracing::info!(notification_id = event.subject.as_str(), "accepted");
        Ok(Effect::Happened)
    }
}
