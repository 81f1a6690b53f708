//! The two MD5 digests that SQS returns with a message.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};

use crate::message::{AttributeValue, MessageAttribute};

pub(super) fn of_body(body: &str) -> String {
    hex(&Md5::digest(body))
}

/// MD5 of the message attributes in hex, or `None` if there are none.
///
/// SQS developer guide, "Calculating the MD5 message digest for message attributes": in order of name, the length and
/// bytes of name, data type and value, with a byte before the value that distinguishes text (1) from binary (2).
pub(super) fn of_attributes(attributes: &BTreeMap<String, MessageAttribute>) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    for (name, attribute) in attributes {
        let (transport, value): (u8, &[u8]) = match &attribute.value {
            AttributeValue::Text(text) => (1, text.as_bytes()),
            AttributeValue::Binary(bytes) => (2, bytes),
        };
        put(&mut digest, name.as_bytes());
        put(&mut digest, attribute.data_type.as_bytes());
        digest.update([transport]);
        put(&mut digest, value);
    }
    Some(hex(&digest.finalize()))
}

fn put(digest: &mut Md5, bytes: &[u8]) {
    // A message is at most 1 MiB, so its parts' lengths fit.
    digest.update((bytes.len() as u32).to_be_bytes());
    digest.update(bytes);
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS returned this digest for these three attributes.
    #[test]
    fn s21_message_attribute_digest_equals_that_of_aws() {
        let text = |data_type: &str, value: &str| MessageAttribute {
            data_type: data_type.to_owned(),
            value: AttributeValue::Text(value.to_owned()),
        };
        let attributes = BTreeMap::from([
            ("Title".to_owned(), text("String", "The Whistler")),
            ("Author".to_owned(), text("String", "John Grisham")),
            ("WeeksOn".to_owned(), text("Number", "6")),
        ]);
        assert_eq!(
            of_attributes(&attributes).as_deref(),
            Some("d25a6aea97eb8f585bfa92d314504a92")
        );
        assert_eq!(of_attributes(&BTreeMap::new()), None);
    }

    #[test]
    fn s20_the_digest_of_a_body_is_md5_in_hex() {
        assert_eq!(of_body("abc"), "900150983cd24fb0d6963f7d28e17f72");
    }
}
