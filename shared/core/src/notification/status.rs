//! The one state machine of a notification: INIT -> DONE, and nothing else.

use std::{fmt, str::FromStr};

/// Where a notification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Written once, to be acted on.
    Init,
    /// The downstream has accepted it.
    Done,
}

impl Status {
    /// The status that follows, if there is one: the only transition function there is.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Init => Some(Self::Done),
            Self::Done => None,
        }
    }

    /// The item's `version` in this status: it counts the transitions, so a condition on it is a condition on the
    /// status that was seen.
    #[must_use]
    pub fn version(self) -> u64 {
        match self {
            Self::Init => 1,
            Self::Done => 2,
        }
    }

    /// As it stands in the item.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Done => "DONE",
        }
    }

    /// As it ends the CloudEvents `type`.
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

/// A text that is no status.
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
    fn init_goes_to_done_and_done_stays() {
        assert_eq!(Status::Init.next(), Some(Status::Done));
        assert_eq!(Status::Done.next(), None);
        assert_eq!(Status::Done.version(), Status::Init.version() + 1);
    }

    #[test]
    fn a_status_survives_its_text() {
        for status in [Status::Init, Status::Done] {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("done".parse::<Status>(), Err(UnknownStatus));
    }
}
