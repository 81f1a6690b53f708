//! Names that services deduplicate and order by, made from ids that they do not allow as they are.
//!
//! A name that is not the id itself begins with [`DIGEST_PREFIX`]. An id that begins with it is never used as it is, so that
//! two ids have two names.

use onewrite::{
    event::NotificationEvent,
    notification::{Fingerprint, NotificationId},
};
use sha2::{Digest as _, Sha256};

use super::limits::{MAX_EXECUTION_NAME_CHARS, MAX_FIFO_ID_CHARS};

const DIGEST_PREFIX: &str = "sha256-";

/// Characters of the fingerprint in the name of an execution and in a deduplication id.
const FINGERPRINT_CHARS: usize = 16;

/// The name of an execution: the id, and the start of the fingerprint, so that a reused id begins another execution. Only
/// letters, digits, `-` and `_`, which executions with logs need (Step Functions API reference, "StartExecution").
pub(super) fn execution_name(id: &NotificationId, fingerprint: Fingerprint) -> String {
    let max = MAX_EXECUTION_NAME_CHARS - FINGERPRINT_CHARS - 1;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let id = as_is_or_digest(id.as_str(), max, is_allowed);
    format!("{id}-{}", fingerprint_start(fingerprint))
}

fn fingerprint_start(fingerprint: Fingerprint) -> String {
    let mut text = fingerprint.to_string();
    text.truncate(FINGERPRINT_CHARS);
    text
}

/// `MessageGroupId` and `MessageDeduplicationId` of FIFO queues and topics.
pub(super) struct FifoIds {
    pub(super) group: String,
    pub(super) deduplication: String,
}

impl FifoIds {
    /// A notification is a group, and an event a message. With the fingerprint, a notification that uses the id of a removed one
    /// soon after it is not dropped as its repetition.
    pub(super) fn new(event: &NotificationEvent) -> Self {
        Self {
            group: fifo_id(event.subject.as_str()),
            deduplication: fifo_id(&format!(
                "{}/{}",
                event.id(),
                fingerprint_start(event.fingerprint)
            )),
        }
    }
}

/// Letters, digits and ASCII punctuation (SQS and SNS API references).
fn fifo_id(text: &str) -> String {
    as_is_or_digest(text, MAX_FIFO_ID_CHARS, |byte| byte.is_ascii_graphic())
}

/// The header `webhook-id`. A full stop would make the signed text ambiguous (Standard Webhooks, "Signature scheme").
pub(super) fn webhook_id(event: &NotificationEvent) -> String {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
    as_is_or_digest(&event.id(), usize::MAX, is_allowed)
}

/// The text, or its digest, cut to `max` characters. 56 digits are 224 bits.
fn as_is_or_digest(text: &str, max: usize, is_allowed: impl Fn(u8) -> bool) -> String {
    let is_name = text.len() <= max && text.bytes().all(is_allowed);
    if is_name && !text.starts_with(DIGEST_PREFIX) {
        return text.to_owned();
    }
    let digest = Sha256::digest(text);
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    let mut name: String = std::iter::once(DIGEST_PREFIX.to_owned())
        .chain(hex)
        .collect();
    name.truncate(max);
    name
}
