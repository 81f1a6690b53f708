//! The downstream of a world: a ledger, or receivers behind targets. Both refuse some notifications for good.

use std::sync::Arc;

use aws_sdk_dynamodb::types::TransactWriteItem;
use onewrite::completion::{Downstream, DownstreamError, Effect};
use onewrite::event::NotificationEvent;
use onewrite_complete::targets::Targets;

use crate::effects::LedgerDownstream;
use crate::receivers::{Process, Receiver};

/// The downstream of one process.
pub(crate) enum WorldDownstream {
    Ledger(LedgerDownstream),
    Targets(Arc<Process>, Targets<Receiver>),
}

impl Downstream<TransactWriteItem> for WorldDownstream {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        match self {
            Self::Ledger(ledger) => ledger.accept(event).await,
            Self::Targets(process, targets) => {
                process.check_delivery(event);
                targets.accept(event).await
            }
        }
    }

    fn checks_state(&self) -> bool {
        match self {
            Self::Ledger(ledger) => ledger.checks_state(),
            Self::Targets(_, targets) => targets.checks_state(),
        }
    }
}
