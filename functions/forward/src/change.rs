//! The changes of the table, as Lambda sends them: the fields that are used.

use std::fmt;

use aws_lambda_events::encodings::Base64Data;
use onewrite::item::{AttributeRef, Attributes, attribute};
use onewrite_runtime::event::{Batch, BatchRecord};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// The event of the table's stream.
pub type ChangeEvent = Batch<ChangeRecord>;

/// A record of the event (Lambda developer guide, "Using Lambda with DynamoDB"). It does not implement `Debug`, because its
/// images are confidential.
#[derive(Deserialize, Clone)]
#[serde(from = "Envelope<StreamRecord>")]
pub struct ChangeRecord {
    /// The sequence number, which a batch item failure names. Missing only in a malformed record.
    pub sequence_number: Option<String>,
    /// The change. `None` if the record cannot be decoded.
    pub change: Option<Change>,
}

/// A change of one item.
#[derive(Clone)]
pub struct Change {
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub kind: Option<String>,
    /// The key of the item.
    pub keys: Option<Image>,
    /// The item after the change.
    pub new_image: Option<Image>,
    /// The item before the change.
    pub old_image: OldImage,
}

/// The attributes of an item that a notification can have, as DynamoDB JSON. Others are not decoded.
#[derive(Clone)]
pub struct Image(Vec<(&'static str, Value)>);

/// The attributes of an old image that are compared.
#[derive(Deserialize, Clone, Default)]
pub struct OldImage {
    status: Option<Value>,
    redrives: Option<Value>,
}

/// The value of an attribute: a string, a number, bytes, or none of them.
#[derive(Deserialize, Clone)]
struct Value {
    #[serde(rename = "S")]
    text: Option<String>,
    #[serde(rename = "N")]
    number: Option<String>,
    #[serde(rename = "B")]
    bytes: Option<Base64Data>,
}

impl Value {
    fn get(&self) -> AttributeRef<'_> {
        match (&self.text, &self.number, &self.bytes) {
            (Some(text), None, None) => AttributeRef::Text(text),
            (None, Some(digits), None) => AttributeRef::Number(digits),
            (None, None, Some(bytes)) => AttributeRef::Binary(&bytes.0),
            _ => AttributeRef::Other,
        }
    }
}

impl Attributes for Image {
    fn attribute(&self, name: &str) -> Option<AttributeRef<'_>> {
        let found = self.0.iter().find(|(own, _)| *own == name);
        found.map(|(_, value)| value.get())
    }
}

impl Attributes for OldImage {
    fn attribute(&self, name: &str) -> Option<AttributeRef<'_>> {
        let value = match name {
            attribute::STATUS => &self.status,
            attribute::REDRIVES => &self.redrives,
            _ => &None,
        };
        value.as_ref().map(Value::get)
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ImageVisitor;

        impl<'de> Visitor<'de> for ImageVisitor {
            type Value = Image;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Image, M::Error> {
                let mut attributes = Vec::with_capacity(attribute::ALL.len());
                while let Some(Name(name)) = map.next_key()? {
                    if let Some(name) = name {
                        attributes.push((name, map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Image(attributes))
            }
        }

        deserializer.deserialize_map(ImageVisitor)
    }
}

/// The name of an attribute, if a notification can have it.
struct Name(Option<&'static str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an attribute")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name(attribute::ALL.into_iter().find(|own| *own == name)))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

/// The record around what the stream contains.
#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(rename = "eventName")]
    kind: Option<String>,
    dynamodb: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamRecord {
    sequence_number: Option<String>,
    keys: Option<Image>,
    new_image: Option<Image>,
    old_image: Option<OldImage>,
}

impl From<Envelope<StreamRecord>> for ChangeRecord {
    fn from(Envelope { kind, dynamodb }: Envelope<StreamRecord>) -> Self {
        Self {
            sequence_number: dynamodb.sequence_number,
            change: Some(Change {
                kind,
                keys: dynamodb.keys,
                new_image: dynamodb.new_image,
                old_image: dynamodb.old_image.unwrap_or_default(),
            }),
        }
    }
}

/// What a record needs so that an operator finds its change.
#[derive(Deserialize, Default)]
pub struct ChangeIdentity {
    dynamodb: SequenceNumber,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumber {
    sequence_number: Option<String>,
}

impl BatchRecord for ChangeRecord {
    type Identity = ChangeIdentity;

    fn undecodable(ChangeIdentity { dynamodb }: ChangeIdentity) -> Self {
        Self {
            sequence_number: dynamodb.sequence_number,
            change: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value as Json, json};

    use super::*;

    #[test]
    fn an_image_has_every_attribute_of_a_notification_and_no_other() {
        let text = |name: &str| (name.to_owned(), json!({"S": name}));
        let names = attribute::ALL.into_iter().chain(["other"]);
        let item: Map<String, Json> = names.map(text).collect();
        let image: Image = serde_json::from_value(item.into()).unwrap();
        for name in attribute::ALL {
            assert!(image.attribute(name) == Some(AttributeRef::Text(name)));
        }
        assert!(image.attribute("other").is_none());
    }

    #[test]
    fn a_binary_value_is_decoded() {
        let image: Image = serde_json::from_value(json!({"payload": {"B": "AP8="}})).unwrap();
        assert!(image.attribute("payload") == Some(AttributeRef::Binary(&[0, 255])));
        let invalid = json!({"payload": {"B": "not base64"}});
        assert!(serde_json::from_value::<Image>(invalid).is_err());
    }

    #[test]
    fn a_value_of_another_type_is_no_text_number_or_bytes() {
        for value in [
            json!({"BOOL": true}),
            json!({"BS": ["AP8="]}),
            json!({"S": "x", "B": "AP8="}),
            json!({"M": {"S": {"S": "x"}}}),
            json!({"S": "x", "N": "1"}),
            json!({}),
        ] {
            let image: Image = serde_json::from_value(json!({"status": value})).unwrap();
            assert!(image.attribute("status") == Some(AttributeRef::Other));
        }
    }
}
