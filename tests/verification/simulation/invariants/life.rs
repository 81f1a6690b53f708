//! The life of one item: what is known about a notification id, and the checks of each of its changes.

use std::collections::HashSet;

use onewrite::event::NotificationEvent;
use onewrite::item::{NotificationItem, attribute};
use onewrite_testing::{Change, InMemoryTable};
use serde_dynamo::{AttributeValue, Item};

use super::violation::{CheckResult, violated};
use crate::effects::{self, FINGERPRINT, LEDGER, NOTIFICATION_ID};

/// Everything known about one notification id.
#[derive(Default)]
pub(super) struct Life {
    /// The payloads and fingerprints that were sent with this id.
    pub(super) payloads: HashSet<String>,
    pub(super) fingerprints: HashSet<String>,
    pub(super) stored: Option<String>,
    pub(super) payload: Option<String>,
    /// The fingerprints of the notifications with this id that were settled.
    pub(super) settled: HashSet<String>,
    pub(super) status: Option<String>,
    pub(super) was_inserted: bool,
    /// Whether an operator made the item unreadable.
    pub(super) is_unreadable: bool,
    /// The events that its changes require, in the order of the changes, and whether each was published.
    pub(super) documents: Vec<(String, bool)>,
    /// Index of the latest published event.
    pub(super) latest: Option<usize>,
}

impl Life {
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.status.as_deref(), Some("DONE" | "REFUSED"))
    }
}

/// Records the event that a change requires and returns its index. An event is required for a new item and for a
/// change of the status or of the redrive count.
pub(super) fn document_of(change: &Change, life: &mut Life) -> Option<usize> {
    let new = change.new.as_ref()?;
    let differs = |name: &str| {
        let old = change.old.as_ref().and_then(|old| old.get(name));
        old.is_none() || old != new.get(name)
    };
    if !differs(attribute::STATUS) && !differs(attribute::REDRIVES) {
        return None;
    }
    let item = NotificationItem::from_item(new).ok()?;
    let document = NotificationEvent::from_item(&item).to_json();
    let known = life
        .documents
        .iter()
        .position(|(other, _)| *other == document);
    Some(known.unwrap_or_else(|| {
        life.documents.push((document, false));
        life.documents.len() - 1
    }))
}

/// Checks that each id has one INSERT of content that was sent, and that only an operator changes the content.
pub(super) fn written_once(id: &str, change: &Change, life: &mut Life) -> CheckResult {
    const GUARANTEE: &str = "Written once";
    let Some(new) = &change.new else {
        return Ok(());
    };
    let payload = text(new, attribute::PAYLOAD);
    if change.old.is_none() {
        if life.was_inserted {
            return violated(GUARANTEE, id, "a second INSERT");
        }
        life.was_inserted = true;
        let fingerprint = text(new, attribute::FINGERPRINT).unwrap_or_default();
        let was_sent = payload
            .as_ref()
            .is_some_and(|text| life.payloads.contains(text))
            && life.fingerprints.contains(&fingerprint);
        if !was_sent {
            return violated("Nothing invented", id, "stored, but never sent");
        }
        life.stored = Some(fingerprint);
        life.payload = payload;
    } else if payload != life.payload && !life.is_unreadable {
        return violated(GUARANTEE, id, "the payload changed");
    }
    Ok(())
}

/// Checks that the status goes once from INIT to what the downstream decided, and that only a settled item has a time to
/// live.
pub(super) fn status(id: &str, change: &Change, life: &Life) -> CheckResult {
    const GUARANTEE: &str = "Status";
    let Some(new) = &change.new else {
        return Ok(());
    };
    let (old, status) = (life.status.as_deref(), text(new, attribute::STATUS));
    match (old, status.as_deref()) {
        (None, Some("INIT")) => {}
        (Some("INIT"), Some("DONE")) if !effects::refuses(id) => {}
        (Some("INIT"), Some("REFUSED")) if effects::refuses(id) => {
            let reason = text(new, attribute::REFUSAL);
            if reason.as_deref() != Some(effects::refusal().as_str()) {
                return violated(GUARANTEE, id, format!("refused because of {reason:?}"));
            }
        }
        (Some(old), Some(new)) if old == new => {}
        (old, new) => return violated(GUARANTEE, id, format!("{old:?} became {new:?}")),
    }
    let expires = new.get(attribute::EXPIRES_AT).is_some();
    if expires && status.as_deref() == Some("INIT") {
        return violated(GUARANTEE, id, "an item in INIT may expire");
    }
    Ok(())
}

/// Checks that an effect that commits with DONE happens once, and that a refused notification has none.
pub(super) fn effect_of_verdict(id: &str, life: &Life, table: &InMemoryTable) -> CheckResult {
    let entries = table.other_items(LEDGER).into_values();
    let count = entries
        .filter(|entry| text(entry, NOTIFICATION_ID).as_deref() == Some(id))
        .filter(|entry| text(entry, FINGERPRINT) == life.stored)
        .count();
    if count == usize::from(!effects::refuses(id)) {
        return Ok(());
    }
    violated("Effect", id, format!("{count} effects of one notification"))
}

/// The string value of an attribute.
pub(crate) fn text(item: &Item, name: &str) -> Option<String> {
    match item.get(name)? {
        AttributeValue::S(text) => Some(text.clone()),
        _ => None,
    }
}
