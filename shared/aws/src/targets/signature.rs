//! Signatures by Standard Webhooks.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::limits::SIGNING_KEY_BYTES;

const PREFIX: &str = "whsec_";

/// Accepts keys with and without padding.
const KEY_ENCODING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys of an endpoint. While a key is replaced there are two.
pub(super) struct SigningKeys(Vec<Vec<u8>>);

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys").finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Parses `whsec_` and a key in base64, once or several times, separated by white space. `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let keys: Option<Vec<_>> = text.split_ascii_whitespace().map(parse_key).collect();
        keys.filter(|keys| !keys.is_empty()).map(Self)
    }

    /// The header `webhook-signature`: `v1,` and HMAC-SHA256 of `{id}.{timestamp}.{body}` in base64, for each key.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let signatures = self.0.iter().filter_map(|key| {
            // A key of any length is valid (RFC 2104, section 2).
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(body.as_bytes());
            Some(format!(
                "v1,{}",
                STANDARD.encode(mac.finalize().into_bytes())
            ))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn parse_key(text: &str) -> Option<Vec<u8>> {
    let key = KEY_ENCODING.decode(text.strip_prefix(PREFIX)?).ok()?;
    SIGNING_KEY_BYTES.contains(&key.len()).then_some(key)
}
