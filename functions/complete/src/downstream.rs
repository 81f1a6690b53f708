//! YOUR LOGIC, 2 of 2: what happens with a notification, once.

use async_trait::async_trait;
use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};

/// Accepts every notification and logs its id: the reference to replace with your own work.
///
/// Your work goes into [`Downstream::accept`], in one of two ways, whose guarantees [`onewrite::completion`] states:
/// - call whatever must happen, with `event.subject` as its idempotency key, and return [`Effect::Happened`];
/// - or return the effect as DynamoDB writes, [`Effect::CommitWith`], and they commit with DONE: exactly once. The
///   function's role then needs these writes too.
///
/// It is called again for each copy and each retry of an event. An error, a panic or a call that outlives the
/// invocation fails this notification alone: it stays in INIT and its event comes again. Keep the payload out of logs
/// and errors.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOnly;

#[async_trait]
impl<W: Send> Downstream<W> for LogOnly {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        tracing::info!(notification_id = event.subject.as_str(), "accepted");
        Ok(Effect::Happened)
    }
}
