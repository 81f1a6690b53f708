//! A downstream without an effect.

use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};

/// Accepts every notification and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accepting;

impl<W: Send> Downstream<W> for Accepting {
    async fn accept(&self, _event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        Ok(Effect::Happened)
    }
}
