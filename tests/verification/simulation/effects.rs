//! The downstream of the simulation. Its effect is a ledger entry committed with DONE. A second commit would leave a
//! second entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use onewrite::completion::{Downstream, DownstreamError, Effect};
use onewrite::event::NotificationEvent;
use onewrite::notification::NotificationId;

use crate::fault_plan::{FaultKind, FaultPlan};

pub(crate) const LEDGER: &str = "ledger";
pub(crate) const ENTRY_ID: &str = "entry_id";
/// The attribute with the notification id.
pub(crate) const NOTIFICATION_ID: &str = "of";

/// The message of a planned panic.
pub(crate) const PANIC: &str = "injected panic";

#[derive(Clone)]
pub(crate) struct LedgerDownstream {
    pub(crate) fault_plan: FaultPlan,
    pub(crate) entries: Arc<AtomicU64>,
}

impl Downstream<TransactWriteItem> for LedgerDownstream {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        if self.fault_plan.occurs(FaultKind::DownstreamRejects) {
            return Err(DownstreamError::new("the downstream rejects the event"));
        }
        assert!(
            !self.fault_plan.occurs(FaultKind::FunctionPanics),
            "{PANIC}"
        );
        Ok(Effect::CommitWith(vec![self.entry(&event.subject)]))
    }
}

impl LedgerDownstream {
    /// The next ledger entry for this notification.
    pub(crate) fn entry(&self, id: &NotificationId) -> TransactWriteItem {
        let number = self.entries.fetch_add(1, Ordering::SeqCst);
        let entry = Put::builder()
            .table_name(LEDGER)
            .item(ENTRY_ID, AttributeValue::S(number.to_string()))
            .item(NOTIFICATION_ID, AttributeValue::S(id.to_string()))
            .build()
            .unwrap();
        TransactWriteItem::builder().put(entry).build()
    }
}
