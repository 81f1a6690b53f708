//! The state machine of a notification: INIT -> DONE.

use std::{fmt, str::FromStr};

/// The status of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Stored, and waiting for the downstream.
    Init,
    /// Accepted by the downstream.
    Done,
}

impl Status {
    /// The next status, if there is one. This is the only transition function.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Init => Some(Self::Done),
            Self::Done => None,
        }
    }

    /// The `version` of an item in this status. It counts the transitions, so a condition on the version is also a
    /// condition on the status.
    #[must_use]
    pub fn version(self) -> u64 {
        match self {
            Self::Init => 1,
            Self::Done => 2,
        }
    }

    /// The text in the item.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Done => "DONE",
        }
    }

    /// The suffix of the CloudEvents `type`.
    #[must_use]
    pub fn event_suffix(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the status is neither INIT nor DONE")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        match text {
            "INIT" => Ok(Self::Init),
            "DONE" => Ok(Self::Done),
            _ => Err(UnknownStatus),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_leads_to_done_and_done_is_final() {
        assert_eq!(Status::Init.next(), Some(Status::Done));
        assert_eq!(Status::Done.next(), None);
        assert_eq!(Status::Done.version(), Status::Init.version() + 1);
    }

    #[test]
    fn parses_its_own_text() {
        for status in [Status::Init, Status::Done] {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("done".parse::<Status>(), Err(UnknownStatus));
    }
}
