//! What upstream sends: a few ids, many copies of their messages in every spelling, other contents under the same id,
//! and what is no message at all.

use onewrite::notification::{Fingerprint, MessagePointers};
use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Mixer;

use crate::weather::{Kind, Weather};

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A notification; equal contents are the same notification.
    Valid { id: String, content: u64 },
    /// It must end in the dead-letter queue.
    Malformed,
}

/// A message to send.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// When, in milliseconds since the world began.
    pub(crate) at: Millis,
    /// The FIFO message group.
    pub(crate) group: String,
    pub(crate) body: String,
    /// The payload as it is spelled; of a notification alone.
    pub(crate) payload: String,
    pub(crate) meaning: Meaning,
}

/// The longest message group id (SQS API reference, `MessageGroupId`).
const MAX_GROUP_CHARS: usize = 128;

/// More than an item holds.
const TOO_LARGE: usize = onewrite::limits::MAX_ITEM_BYTES;

impl Letter {
    /// A notification's message, in one of its spellings.
    fn valid(at: Millis, id: &str, content: u64, spelling: u64) -> Self {
        let payload = match spelling % 2 {
            0 => format!(r#"{{"a":1.0,"c":{content}}}"#),
            _ => format!(r#"{{ "c":{content}, "a":1.0 }}"#),
        };
        let body = match spelling % 3 {
            0 => format!(r#"{{"notification_id":"{id}","type":"refund","payload":{payload}}}"#),
            1 => format!(r#"{{"payload":{payload} ,"type":"refund","notification_id":"{id}"}}"#),
            _ => {
                format!(r#"{{"notification_id":"{id}","type":"\u0072efund","payload":{payload}}}"#)
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

    fn malformed(at: Millis, id: &str, which: u64) -> Self {
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

    /// One that is new in this world.
    pub(crate) fn fresh(id: &str) -> Self {
        Self::valid(0, id, 0, 0)
    }
}

/// What a message of this id and content is stored with.
pub(crate) fn fingerprint(id: &str, content: u64) -> Fingerprint {
    let letter = Letter::valid(0, id, content, 0);
    let parsed = MessagePointers::default().parse(&letter.body);
    parsed.unwrap().fingerprint
}

/// All letters of a storm, by their time: at least 20, in bursts, so that batches have many records and what fails is not
/// alone in its batch.
pub(crate) fn letters(mixer: &mut Mixer, weather: &Weather, until: Millis) -> Vec<Letter> {
    let count = 20 + mixer.next() % 15;
    let ids = 4 + mixer.next() % 12;
    // Ids as long as they may be differ in their last characters alone.
    let is_long = mixer.one_in(6);
    let burst = 1 + mixer.next() % 5;
    let mut letters = Vec::new();
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
        letters.push(if weather.strikes(Kind::MessageTooLarge) {
            Letter::too_large(at, &id)
        } else if weather.strikes(Kind::MessageMalformed) {
            Letter::malformed(at, &id, spelling)
        } else if weather.strikes(Kind::MessageConflicts) {
            Letter::valid(at, &id, 1, spelling)
        } else if place < ids || weather.strikes(Kind::MessageCopied) {
            Letter::valid(at, &id, 0, spelling)
        } else {
            Letter::valid(at, &format!("m{place}"), 0, spelling)
        });
    }
    letters.sort_by_key(|letter| letter.at);
    letters
}
