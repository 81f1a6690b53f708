//! Items of the earlier version: payload and fingerprint as text, and `updated_at` and `redrives` from the start.

use std::collections::HashMap;

use onewrite::item::{
    Enrichment, NotificationItem, PayloadCompression, attribute, to_millis, to_rfc3339,
};
use onewrite::notification::MessagePointers;
use serde_dynamo::AttributeValue;

use crate::clock;
use crate::messages::{Message, Size};
use crate::world::World;

/// The most items of the earlier version in a world.
const MAX_ITEMS: usize = 3;

impl World {
    /// Stores the notifications of some of these messages as the earlier version did, before it could delete its messages from
    /// the queue.
    pub(crate) fn store_earlier_items(&mut self, messages: &[Message]) {
        let copies: Vec<Message> = messages
            .iter()
            .filter_map(Message::first_spelling)
            .collect();
        for message in copies {
            let id = message.id().to_owned();
            let is_storable = message.content() == Some(0) && message.size != Size::Huge;
            if !is_storable || self.parts.table.item(&id).is_some() {
                continue;
            }
            let message_id = self.send(message.clone());
            let item = item(&message, message_id);
            self.note(Some(&id), || "stored by the earlier version".to_owned());
            self.parts.table.edit(&id, |there| *there = item);
            self.earlier.push(message);
            if self.earlier.len() == MAX_ITEMS {
                break;
            }
        }
    }
}

fn item(message: &Message, message_id: String) -> HashMap<String, AttributeValue> {
    let notification = MessagePointers::default().parse(&message.body).unwrap();
    let fingerprint = notification.fingerprint.to_string();
    let (none, now) = (Enrichment::default(), to_millis(clock::wall_clock()));
    let never = PayloadCompression::Never;
    let item = NotificationItem::new(notification, &none, message_id, None, now, never).unwrap();
    let mut attributes: HashMap<String, AttributeValue> = item.to_item().into();
    attributes.extend([
        (
            attribute::FINGERPRINT.to_owned(),
            AttributeValue::S(fingerprint),
        ),
        (
            attribute::UPDATED_AT.to_owned(),
            AttributeValue::S(to_rfc3339(now)),
        ),
        (
            attribute::REDRIVES.to_owned(),
            AttributeValue::N("0".to_owned()),
        ),
    ]);
    attributes
}
