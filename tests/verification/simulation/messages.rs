//! The messages that upstream sends: a few ids, many copies in different spellings, conflicting content under the same
//! id, and malformed messages.

use onewrite::notification::{Fingerprint, MessagePointers};
use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Mixer;

use crate::fault_plan::{FaultKind, FaultPlan};

/// The meaning of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A notification. Equal contents are the same notification.
    Valid { id: String, content: u64 },
    /// A malformed message, which must end in the dead-letter queue.
    Malformed,
}

/// The types of notifications.
pub(crate) const REFUND: &str = "refund";
pub(crate) const CHARGE: &str = "charge.card";

/// The type of the notifications with this id.
pub(crate) fn kind(id: &str) -> &'static str {
    let is_charge = id.ends_with(['1', '3', '5', '7', '9']);
    if is_charge { CHARGE } else { REFUND }
}

/// A message to send.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Send time in milliseconds since the start of the world.
    pub(crate) at: Millis,
    /// The FIFO message group.
    pub(crate) group: String,
    pub(crate) body: String,
    /// The payload as spelled in the message. Only notifications have one.
    pub(crate) payload: String,
    pub(crate) meaning: Meaning,
}

/// The longest message group id (SQS API reference, `MessageGroupId`).
const MAX_GROUP_CHARS: usize = 128;

/// More bytes than an item can hold.
const TOO_LARGE: usize = onewrite::limits::MAX_ITEM_BYTES;

impl Message {
    /// Creates the message of a notification, in one of its spellings.
    fn valid(at: Millis, id: &str, content: u64, spelling: u64) -> Self {
        let payload = match spelling % 2 {
            0 => format!(r#"{{"a":1.0,"c":{content}}}"#),
            _ => format!(r#"{{ "c":{content}, "a":1.0 }}"#),
        };
        let kind = kind(id);
        let body = match spelling % 3 {
            0 => format!(r#"{{"notification_id":"{id}","type":"{kind}","payload":{payload}}}"#),
            1 => format!(r#"{{"payload":{payload} ,"type":"{kind}","notification_id":"{id}"}}"#),
            _ => {
                let kind = kind.replace('r', r"\u0072");
                format!(r#"{{"notification_id":"{id}","type":"{kind}","payload":{payload}}}"#)
            }
        };
        let meaning = Meaning::Valid {
            id: id.to_owned(),
            content,
        };
        Self {
            payload,
            ..Self::new(at, id, body, meaning)
        }
    }

    fn new(at: Millis, id: &str, body: String, meaning: Meaning) -> Self {
        Self {
            at,
            group: id[id.len().saturating_sub(MAX_GROUP_CHARS)..].to_owned(),
            body,
            payload: String::new(),
            meaning,
        }
    }

    pub(crate) fn malformed(at: Millis, id: &str, which: u64) -> Self {
        let body = match which % 3 {
            0 => format!(r#"{{"notification_id":"{id}""#),
            1 => r#"{"type":"refund","payload":1}"#.to_owned(),
            _ => format!(r#"{{"notification_id":"{id}","notification_id":"{id}","payload":1}}"#),
        };
        Self::new(at, id, body, Meaning::Malformed)
    }

    fn too_large(at: Millis, id: &str) -> Self {
        let payload = "x".repeat(TOO_LARGE);
        let body = format!(r#"{{"notification_id":"{id}","payload":"{payload}"}}"#);
        Self::new(at, id, body, Meaning::Malformed)
    }

    /// Creates another notification with an id that was used before.
    pub(crate) fn reused(id: &str) -> Self {
        Self::valid(0, id, 2, 0)
    }

    /// Creates a notification that is new in this world.
    pub(crate) fn fresh(id: &str) -> Self {
        Self::valid(0, id, 0, 0)
    }
}

/// The stored fingerprint of a message with this id and content.
pub(crate) fn fingerprint(id: &str, content: u64) -> Fingerprint {
    let message = Message::valid(0, id, content, 0);
    let parsed = MessagePointers::default().parse(&message.body);
    parsed.unwrap().fingerprint
}

/// Generates all messages of a fault period, ordered by time. There are at least 20, in bursts, so that batches have several
/// records and a failing record is not alone in its batch.
pub(crate) fn generate_messages(
    mixer: &mut Mixer,
    fault_plan: &FaultPlan,
    until: Millis,
) -> Vec<Message> {
    let count = 20 + mixer.next() % 15;
    let ids = 4 + mixer.next() % 12;
    // Long ids differ only in their last characters.
    let is_long = mixer.one_in(6);
    let burst = 1 + mixer.next() % 5;
    let mut messages = Vec::new();
    for place in 0..count {
        let at = mixer.next() % burst * (until / burst) + mixer.next() % 1_500;
        let number = place % ids;
        let id = if is_long {
            format!(
                "n{number:0width$}",
                width = onewrite::limits::MAX_ID_CHARS - 1
            )
        } else {
            format!("n{number}")
        };
        let spelling = mixer.next();
        messages.push(if fault_plan.occurs(FaultKind::MessageTooLarge) {
            Message::too_large(at, &id)
        } else if fault_plan.occurs(FaultKind::MessageMalformed) {
            Message::malformed(at, &id, spelling)
        } else if fault_plan.occurs(FaultKind::MessageConflicts) {
            Message::valid(at, &id, 1, spelling)
        } else if place < ids || fault_plan.occurs(FaultKind::MessageCopied) {
            Message::valid(at, &id, 0, spelling)
        } else {
            Message::valid(at, &format!("m{place}"), 0, spelling)
        });
    }
    messages.sort_by_key(|message| message.at);
    messages
}
