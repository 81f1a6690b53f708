//! The life of one item: what is known about a notification id, and the checks of each of its changes.

use std::collections::HashSet;
use std::io::Read as _;

use flate2::read::DeflateDecoder;
use onewrite::event::NotificationEvent;
use onewrite::item::{NotificationItem, attribute};
use onewrite::notification::ConsumerName;
use onewrite_testing::{Change, InMemoryTable};
use serde_dynamo::{AttributeValue, Item};

use super::violation::{CheckResult, violated};
use crate::effects::{self, FINGERPRINT, LEDGER, NOTIFICATION_ID};
use crate::witness::hash;

/// An event as it must be published.
pub(super) struct Document {
    pub(super) text: String,
    pub(super) hash: u64,
    /// How often it was published.
    pub(super) copies: usize,
}

impl Document {
    pub(super) fn is_published(&self) -> bool {
        self.copies > 0
    }
}

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
    /// The events that its changes require, in the order of the changes.
    pub(super) documents: Vec<Document>,
    /// Index of the latest published event.
    pub(super) latest: Option<usize>,
}

impl Life {
    /// The index of an event.
    pub(super) fn document(&self, text: &str) -> Option<usize> {
        let mut documents = self.documents.iter();
        documents.position(|document| document.text == text)
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(self.status.as_deref(), Some("DONE" | "REFUSED"))
    }
}

/// Records the event that a change requires and returns its index. An event is required for a new item and for a
/// change of the status or of the redrive count.
pub(super) fn document_of(change: &Change, life: &mut Life) -> Option<usize> {
    let new = change.new.as_ref()?;
    let is_same = |old: &Item| {
        old.get(attribute::STATUS) == new.get(attribute::STATUS) && redrives(old) == redrives(new)
    };
    if change.old.as_ref().is_some_and(is_same) {
        return None;
    }
    let item = NotificationItem::from_item(new).ok()?;
    let document = NotificationEvent::from_item(&item).to_json();
    let known = life.document(&document);
    let place = known.unwrap_or(life.documents.len());
    if known.is_none() {
        life.documents.push(Document {
            hash: hash(document.as_bytes()),
            text: document,
            copies: 0,
        });
    }
    Some(place)
}

/// Checks that each id has one INSERT of content that was sent, and that only an operator changes the content.
pub(super) fn written_once(id: &str, change: &Change, life: &mut Life) -> CheckResult {
    const GUARANTEE: &str = "Written once";
    let Some(new) = &change.new else {
        return Ok(());
    };
    let payload = payload(new);
    if change.old.is_none() {
        if life.was_inserted {
            return violated(GUARANTEE, id, "a second INSERT");
        }
        life.was_inserted = true;
        let fingerprint = fingerprint(new).unwrap_or_default();
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

/// Checks that a settled item names the consumer that has settled it, and that this name does not change.
pub(super) fn settler(
    id: &str,
    change: &Change,
    settler: Option<Option<ConsumerName>>,
) -> CheckResult {
    let name = |item: &Option<Item>| {
        item.as_ref()
            .and_then(|item| text(item, attribute::SETTLED_BY))
    };
    let status = |item: &Option<Item>| item.as_ref().and_then(|item| text(item, attribute::STATUS));
    let (old, new) = (status(&change.old), status(&change.new));
    let is_settled = matches!(new.as_deref(), Some("DONE" | "REFUSED"));
    let expected = match old.as_deref() {
        _ if !is_settled => return Ok(()),
        Some("INIT") => settler.flatten().map(|name| name.to_string()),
        _ => name(&change.old),
    };
    let named = name(&change.new);
    if named == expected {
        return Ok(());
    }
    let what = format!("settled by {expected:?}, but the item names {named:?}");
    violated("Status", id, what)
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

/// The payload, which is stored as text or, compressed, as bytes. Decompressed by another program than the functions use.
fn payload(item: &Item) -> Option<String> {
    match item.get(attribute::PAYLOAD)? {
        AttributeValue::S(text) => Some(text.clone()),
        AttributeValue::B(bytes) => {
            let mut text = String::new();
            let inflated = DeflateDecoder::new(bytes.as_slice()).read_to_string(&mut text);
            inflated.ok().map(|_| text)
        }
        _ => None,
    }
}

/// The fingerprint in hexadecimal digits. Items of the earlier version store these digits, later ones store bytes.
pub(crate) fn fingerprint(item: &Item) -> Option<String> {
    match item.get(attribute::FINGERPRINT)? {
        AttributeValue::S(digits) => Some(digits.clone()),
        AttributeValue::B(bytes) => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => None,
    }
}

/// How often the event was requested again. An item that was never redriven need not say so.
fn redrives(item: &Item) -> AttributeValue {
    let never = || AttributeValue::N("0".to_owned());
    item.get(attribute::REDRIVES).cloned().unwrap_or_else(never)
}

/// The string value of an attribute.
pub(crate) fn text(item: &Item, name: &str) -> Option<String> {
    match item.get(name)? {
        AttributeValue::S(text) => Some(text.clone()),
        _ => None,
    }
}
