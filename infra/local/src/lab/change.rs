//! What a record of the table's stream says about a notification. Payloads are skipped.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use onewrite::item::attribute;
use onewrite_event_sources::Millis;
use serde::Deserialize;

/// A change that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// An item was created by the message with this id.
    Created {
        id: String,
        message_id: Option<String>,
        at: Option<Millis>,
    },
    /// An item moved from INIT to DONE, or to REFUSED.
    Settled {
        id: String,
        is_refused: bool,
        /// The time between both, if the item has both times.
        took: Option<Millis>,
    },
    /// An item was removed. TTL and an erasure may do that.
    Removed {
        id: String,
        message_id: Option<String>,
        is_expected: bool,
    },
}

impl Change {
    /// Reads a record as the function receives it. `None` for a change that does not count.
    pub(super) fn parse(event: &str) -> Option<Self> {
        let record: Record<'_> = serde_json::from_str(event).ok()?;
        let (new, old) = (record.dynamodb.new, record.dynamodb.old);
        match (record.name.as_ref(), new, old) {
            ("INSERT", Some(new), _) => Some(Self::Created {
                id: new.text(attribute::NOTIFICATION_ID)?,
                message_id: new.text(attribute::SOURCE_MESSAGE_ID),
                at: new.time(attribute::CREATED_AT),
            }),
            ("MODIFY", Some(new), Some(old)) => {
                let (before, after) = (old.text(attribute::STATUS)?, new.text(attribute::STATUS)?);
                let is_settled = before == "INIT" && (after == "DONE" || after == "REFUSED");
                is_settled.then_some(())?;
                let times = new
                    .time(attribute::CREATED_AT)
                    .zip(new.time(attribute::UPDATED_AT));
                Some(Self::Settled {
                    id: new.text(attribute::NOTIFICATION_ID)?,
                    is_refused: after == "REFUSED",
                    took: times.map(|(created, settled)| settled.saturating_sub(created)),
                })
            }
            ("REMOVE", _, Some(old)) => {
                let by = record.identity.and_then(|identity| identity.principal);
                let is_expired = by.as_deref() == Some("dynamodb.amazonaws.com");
                Some(Self::Removed {
                    id: old.text(attribute::NOTIFICATION_ID)?,
                    message_id: old.text(attribute::SOURCE_MESSAGE_ID),
                    is_expected: is_expired || old.text(attribute::ERASED_AT).is_some(),
                })
            }
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "eventName", borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    dynamodb: Images<'a>,
    #[serde(rename = "userIdentity", borrow)]
    identity: Option<Identity<'a>>,
}

#[derive(Deserialize)]
struct Identity<'a> {
    #[serde(rename = "principalId", borrow)]
    principal: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Images<'a> {
    #[serde(rename = "NewImage", borrow)]
    new: Option<Image<'a>>,
    #[serde(rename = "OldImage", borrow)]
    old: Option<Image<'a>>,
}

/// The attributes of an item, not parsed.
#[derive(Deserialize)]
#[serde(transparent)]
struct Image<'a> {
    #[serde(borrow)]
    attributes: BTreeMap<Cow<'a, str>, &'a serde_json::value::RawValue>,
}

impl Image<'_> {
    fn text(&self, name: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Text {
            #[serde(rename = "S")]
            text: String,
        }
        let value = self.attributes.get(name)?;
        let text: Text = serde_json::from_str(value.get()).ok()?;
        Some(text.text)
    }

    fn time(&self, name: &str) -> Option<Millis> {
        let at: Timestamp = self.text(name)?.parse().ok()?;
        Millis::try_from(at.as_millisecond()).ok()
    }
}

/// The newest record of each shard that was read. Records are in order, so those before it were read before.
#[derive(Debug, Default)]
pub(super) struct Frontier(BTreeMap<String, String>);

impl Frontier {
    /// Whether the record is read for the first time. The next call must be for a later one.
    pub(super) fn pass(&mut self, shard: &str, sequence_number: &str) -> bool {
        match self.0.get_mut(shard) {
            Some(newest) if compare(sequence_number, newest) != Ordering::Greater => false,
            Some(newest) => {
                sequence_number.clone_into(newest);
                true
            }
            None => {
                self.0.insert(shard.to_owned(), sequence_number.to_owned());
                true
            }
        }
    }
}

/// Compares decimal numbers of any length.
fn compare(one: &str, other: &str) -> Ordering {
    let significant = |number: &'_ str| number.trim_start_matches('0').len();
    let of_equal_length = || {
        let skip = |number: &'_ str| number.len() - significant(number);
        one[skip(one)..].cmp(&other[skip(other)..])
    };
    significant(one)
        .cmp(&significant(other))
        .then_with(of_equal_length)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn image(status: &str, more: &[(&str, &str)]) -> Value {
        let mut image = json!({
            "notification_id": {"S": "rf_1"},
            "status": {"S": status},
            "payload": {"S": "{\"notification_id\":\"other\"}"},
            "version": {"N": "1"},
            "created_at": {"S": "2026-11-29T10:00:00.250Z"},
            "source_message_id": {"S": "m1"},
        });
        for (name, text) in more {
            image[*name] = json!({ "S": text });
        }
        image
    }

    fn record(name: &str, new: Value, old: Value, principal: Option<&str>) -> Option<Change> {
        let mut record = json!({"eventName": name, "dynamodb": {"SequenceNumber": "1"}});
        for (name, image) in [("NewImage", new), ("OldImage", old)] {
            if !image.is_null() {
                record["dynamodb"][name] = image;
            }
        }
        if let Some(principal) = principal {
            record["userIdentity"] = json!({"type": "Service", "principalId": principal});
        }
        Change::parse(&record.to_string())
    }

    #[test]
    fn reads_creations_with_the_message_and_the_time() {
        let change = record("INSERT", image("INIT", &[]), Value::Null, None);
        let expected = Change::Created {
            id: "rf_1".to_owned(),
            message_id: Some("m1".to_owned()),
            at: Some(1_795_946_400_250),
        };
        assert_eq!(change, Some(expected));
    }

    #[test]
    fn only_the_step_out_of_init_settles_a_notification() {
        let done = || image("DONE", &[("updated_at", "2026-11-29T10:00:01.000Z")]);
        let change = record("MODIFY", done(), image("INIT", &[]), None);
        let expected = |is_refused| Change::Settled {
            id: "rf_1".to_owned(),
            is_refused,
            took: Some(750),
        };
        assert_eq!(change, Some(expected(false)));
        let refused = image("REFUSED", &[("updated_at", "2026-11-29T10:00:01.000Z")]);
        let change = record("MODIFY", refused, image("INIT", &[]), None);
        assert_eq!(change, Some(expected(true)));
        // A redrive, and an erasure.
        let redriven = record("MODIFY", image("INIT", &[]), image("INIT", &[]), None);
        let erased = record("MODIFY", done(), done(), None);
        assert_eq!((redriven, erased), (None, None));
    }

    #[test]
    fn expiry_and_erasure_are_expected_removals() {
        let removed = |old, principal| match record("REMOVE", Value::Null, old, principal) {
            Some(Change::Removed { is_expected, .. }) => is_expected,
            other => panic!("{other:?}"),
        };
        assert!(!removed(image("DONE", &[]), None));
        assert!(!removed(image("DONE", &[]), Some("somebody")));
        assert!(removed(image("DONE", &[]), Some("dynamodb.amazonaws.com")));
        let erased = image("DONE", &[("erased_at", "2026-11-29T10:00:00Z")]);
        assert!(removed(erased, None));
    }

    #[test]
    fn ignores_records_of_other_tables_and_broken_ones() {
        assert_eq!(
            record("INSERT", json!({"id": {"N": "1"}}), Value::Null, None),
            None
        );
        assert_eq!(Change::parse("{"), None);
    }

    #[test]
    fn a_frontier_passes_each_record_once() {
        let mut frontier = Frontier::default();
        let mut pass = |number: &str| frontier.pass("shard", number);
        assert!(pass("9") && pass("10") && pass("000011"));
        assert!(!pass("10") && !pass("11") && !pass("9"));
        assert!(pass("100000000000000000000000000001"));
        assert!(!pass("100000000000000000000000000001"));
        assert!(pass("100000000000000000000000000002"));
        assert!(frontier.pass("other shard", "1"));
    }
}
