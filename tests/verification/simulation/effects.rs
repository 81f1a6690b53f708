//! What the downstream of a world decides, and a ledger whose entries are committed with DONE, so that a second commit would
//! leave a second entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use onewrite::completion::{Downstream, DownstreamError, Effect};
use onewrite::event::NotificationEvent;
use onewrite::notification::Refusal;
use onewrite::table::Verdict;

use crate::fault_plan::{FaultKind, FaultPlan};

pub(crate) const LEDGER: &str = "ledger";
pub(crate) const ENTRY_ID: &str = "entry_id";
/// The attribute with the notification id.
pub(crate) const NOTIFICATION_ID: &str = "of";
/// The attribute with the fingerprint of the notification.
pub(crate) const FINGERPRINT: &str = "fingerprint";

/// The notifications that the downstream refuses. All consumers agree, because the decision depends on the id alone.
pub(crate) fn refuses(id: &str) -> bool {
    id.ends_with('3')
}

/// The reason of every refusal.
pub(crate) fn refusal() -> Refusal {
    "ends_with_3".parse().unwrap()
}

/// What every consumer decides about the notification.
pub(crate) fn verdict(id: &str) -> Verdict {
    if refuses(id) {
        Verdict::Refused(refusal())
    } else {
        Verdict::Done
    }
}

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
        Ok(match verdict(event.subject.as_str()) {
            Verdict::Refused(reason) => Effect::Refused(reason),
            Verdict::Done => Effect::CommitWith(vec![self.entry(event)]),
        })
    }

    fn checks_state(&self) -> bool {
        false
    }
}

impl LedgerDownstream {
    /// The next ledger entry for this notification.
    pub(crate) fn entry(&self, event: &NotificationEvent) -> TransactWriteItem {
        let number = self.entries.fetch_add(1, Ordering::SeqCst);
        let entry = Put::builder()
            .table_name(LEDGER)
            .item(ENTRY_ID, AttributeValue::S(number.to_string()))
            .item(
                NOTIFICATION_ID,
                AttributeValue::S(event.subject.to_string()),
            )
            .item(
                FINGERPRINT,
                AttributeValue::S(event.fingerprint.to_string()),
            )
            .build()
            .unwrap();
        TransactWriteItem::builder().put(entry).build()
    }
}
