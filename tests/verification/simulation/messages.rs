//! The messages that upstream sends: a few ids, many copies in different spellings, conflicting content under the same
//! id, and malformed messages.

use std::sync::LazyLock;

use onewrite::item::PayloadCompression;
use onewrite::limits::MAX_ITEM_BYTES;
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

/// The size of a payload, and whether deflate makes it smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Never compressed, because no write unit could be saved.
    Small,
    /// A few kilobytes of repetitions.
    Repetitive,
    /// A few kilobytes of random digits.
    Random,
    /// More than an item can hold, unless it is compressed.
    Huge,
}

impl Size {
    /// One of the sizes that an item can hold as text too.
    fn draw(mixer: &mut Mixer) -> Self {
        match mixer.next() % 8 {
            0 | 1 => Self::Repetitive,
            2 => Self::Random,
            _ => Self::Small,
        }
    }

    /// A text that makes a payload that large.
    fn filler(self) -> &'static str {
        static HUGE: LazyLock<String> = LazyLock::new(|| "refund ".repeat(MAX_ITEM_BYTES / 6));
        static RANDOM: LazyLock<String> = LazyLock::new(|| random_text(3_000));
        match self {
            Self::Small => "",
            Self::Repetitive => &HUGE[..3_000],
            Self::Random => &RANDOM,
            Self::Huge => &HUGE,
        }
    }
}

/// Random characters of base64, which deflate makes only a quarter smaller.
fn random_text(characters: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    let mut mixer = Mixer::new(1);
    let mut character = || char::from(ALPHABET[(mixer.next() % 64) as usize]);
    (0..characters).map(|_| character()).collect()
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
    pub(crate) size: Size,
    pub(crate) meaning: Meaning,
}

/// One in this many worlds has a payload that only compression makes small enough for an item.
const HUGE_ONE_IN: u32 = 48;

/// The longest message group id (SQS API reference, `MessageGroupId`).
const MAX_GROUP_CHARS: usize = 128;

impl Message {
    /// Creates the message of a notification, in one of its spellings.
    fn valid(at: Millis, id: &str, content: u64, spelling: u64, size: Size) -> Self {
        let filler = size.filler();
        let payload = match spelling % 2 {
            0 => format!(r#"{{"a":1.0,"c":{content},"f":"{filler}"}}"#),
            _ => format!(r#"{{ "c":{content}, "f":"{filler}", "a":1.0 }}"#),
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
            size,
            ..Self::new(at, id, body, meaning)
        }
    }

    fn new(at: Millis, id: &str, body: String, meaning: Meaning) -> Self {
        Self {
            at,
            group: id[id.len().saturating_sub(MAX_GROUP_CHARS)..].to_owned(),
            body,
            payload: String::new(),
            size: Size::Small,
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
        static TEXT: LazyLock<String> = LazyLock::new(|| random_text(MAX_ITEM_BYTES * 4 / 3));
        let payload = TEXT.as_str();
        let body = format!(r#"{{"notification_id":"{id}","payload":"{payload}"}}"#);
        Self::new(at, id, body, Meaning::Malformed)
    }

    /// Creates another notification with an id that was used before.
    pub(crate) fn reused(id: &str) -> Self {
        Self::valid(0, id, 2, 0, Size::Repetitive)
    }

    /// Creates a notification that is new in this world.
    pub(crate) fn fresh(id: &str, size: Size) -> Self {
        Self::valid(0, id, 0, 0, size)
    }

    /// The notification id, or `?` if it is malformed.
    pub(crate) fn id(&self) -> &str {
        match &self.meaning {
            Meaning::Valid { id, .. } => id,
            Meaning::Malformed => "?",
        }
    }

    /// The number of its content, if it is a notification.
    pub(crate) fn content(&self) -> Option<u64> {
        match self.meaning {
            Meaning::Valid { content, .. } => Some(content),
            Meaning::Malformed => None,
        }
    }

    /// The first spelling of the same notification.
    pub(crate) fn first_spelling(&self) -> Option<Self> {
        match &self.meaning {
            Meaning::Valid { id, content } => Some(Self::valid(0, id, *content, 0, self.size)),
            Meaning::Malformed => None,
        }
    }

    /// The fingerprint of its notification, by its first spelling. A malformed message has none.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        let parsed = MessagePointers::default().parse(&self.first_spelling()?.body);
        Some(parsed.unwrap().fingerprint)
    }
}

/// Generates all messages of a fault period, ordered by time. There are at least 20, in bursts, so that batches have several
/// records and a failing record is not alone in its batch.
pub(crate) fn generate_messages(
    mixer: &mut Mixer,
    fault_plan: &FaultPlan,
    until: Millis,
    compression: PayloadCompression,
) -> Vec<Message> {
    let count = 20 + mixer.next() % 15;
    let ids = 4 + mixer.next() % 12;
    // Long ids differ only in their last characters.
    let is_long = mixer.one_in(6);
    let burst = 1 + mixer.next() % 5;
    let mut sizes: Vec<Size> = (0..count).map(|_| Size::draw(mixer)).collect();
    if mixer.one_in(HUGE_ONE_IN) && compression == PayloadCompression::Auto {
        sizes[0] = Size::Huge;
    }
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
        let size = sizes[number as usize];
        let spelling = mixer.next();
        messages.push(if fault_plan.occurs(FaultKind::MessageTooLarge) {
            Message::too_large(at, &id)
        } else if fault_plan.occurs(FaultKind::MessageMalformed) {
            Message::malformed(at, &id, spelling)
        } else if fault_plan.occurs(FaultKind::MessageConflicts) {
            Message::valid(at, &id, 1, spelling, size)
        } else if place < ids || fault_plan.occurs(FaultKind::MessageCopied) {
            Message::valid(at, &id, 0, spelling, size)
        } else {
            Message::valid(at, &format!("m{place}"), 0, spelling, sizes[place as usize])
        });
    }
    messages.sort_by_key(|message| message.at);
    messages
}
