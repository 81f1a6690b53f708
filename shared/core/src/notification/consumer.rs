//! The name of a consumer.

use std::{fmt, str::FromStr};

use super::{InvalidName, check_name};
use crate::limits::MAX_CONSUMER_NAME_CHARS;

/// The name that a consumer stores with the notifications that it settles, for example the name of its Lambda function.
///
/// 1 to [`MAX_CONSUMER_NAME_CHARS`] printable ASCII characters. The first and the last one are no spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerName(String);

impl ConsumerName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ConsumerName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        check_name(text, MAX_CONSUMER_NAME_CHARS)?;
        Ok(Self(text.to_owned()))
    }
}
