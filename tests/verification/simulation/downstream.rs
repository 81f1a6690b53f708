//! The downstream of a world: a ledger, or receivers behind targets. Both refuse some notifications for good.

use std::time::Duration;

use aws_sdk_dynamodb::types::TransactWriteItem;
use onewrite::completion::{Downstream, DownstreamError, Effect};
use onewrite::event::NotificationEvent;
use onewrite_complete::targets::Targets;

use crate::effects::LedgerDownstream;
use crate::receivers::Receiver;

/// The downstream of one process.
pub(crate) enum WorldDownstream {
    Ledger(LedgerDownstream),
    Targets(Targets<Receiver>),
}

impl Downstream<TransactWriteItem> for WorldDownstream {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        match self {
            Self::Ledger(ledger) => ledger.accept(event).await,
            Self::Targets(targets) => targets.accept(event).await,
        }
    }

    fn checks_state(&self) -> bool {
        match self {
            Self::Ledger(ledger) => ledger.checks_state(),
            Self::Targets(targets) => targets.checks_state(),
        }
    }

    fn begin_batch(&self, time: Duration) {
        if let Self::Targets(targets) = self {
            Downstream::<TransactWriteItem>::begin_batch(targets, time);
        }
    }

    fn postponement(&self, event: &NotificationEvent) -> Option<DownstreamError> {
        match self {
            Self::Ledger(_) => None,
            Self::Targets(targets) => Downstream::<TransactWriteItem>::postponement(targets, event),
        }
    }
}
