//! Judges why a message is a dead letter, by what is stored now.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as Attribute};
use jiff::Timestamp;

use super::port::DeadLetterQueue;
use crate::{
    dead_letter::{DeadLetter, MessageBody, MessageRules, StoredContent},
    error::StackError,
};

/// How `ingest` reads a message, and which messages matter.
#[derive(Clone, Debug)]
pub struct Judge {
    pub rules: MessageRules,
    /// Only messages of these notifications matter; if it is empty, all do.
    pub ids: BTreeSet<String>,
}

impl Judge {
    /// Determines why a message is a dead letter; `None` if it does not belong to the ids.
    ///
    /// # Errors
    /// [`StackError`]: the item could not be read.
    pub async fn judge(
        &self,
        queue: &impl DeadLetterQueue,
        message: &Message,
    ) -> Result<Option<DeadLetter>, StackError> {
        let text = message.body().unwrap_or_default();
        let message_id = message.message_id().unwrap_or_default();
        let body = MessageBody::parse(text, message_id, &self.rules);
        let pointers = &self.rules.pointers;
        let is_about = |id: &String| body.is_about(id, text, pointers);
        if !self.ids.is_empty() && !self.ids.iter().any(is_about) {
            return Ok(None);
        }
        let stored = match &body {
            MessageBody::Notification { id, .. } => queue.fetch_stored(id.as_str()).await?,
            MessageBody::Rejected(_) => StoredContent::Nothing,
        };
        let millis =
            attribute(message, &Attribute::SentTimestamp).and_then(|text| text.parse().ok());
        Ok(Some(DeadLetter {
            message_id: message_id.to_owned(),
            notification_id: body.id(text, &self.ids, pointers),
            notification_type: body.kind().map(ToString::to_string),
            sent_at: millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
            receives: attribute(message, &Attribute::ApproximateReceiveCount)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            message_group_id: attribute(message, &Attribute::MessageGroupId).map(str::to_owned),
            reason: body.reason(stored),
        }))
    }
}

pub(super) fn attribute<'m>(message: &'m Message, name: &Attribute) -> Option<&'m str> {
    message.attributes()?.get(name).map(String::as_str)
}
