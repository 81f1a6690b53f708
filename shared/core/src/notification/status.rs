//! The state machine of a notification: INIT -> DONE | REFUSED.

use std::{fmt, str::FromStr};

/// The status of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Stored, and waiting for the downstream.
    Init,
    /// Accepted by the downstream.
    Done,
    /// Refused by the downstream for good. A correction is a new notification.
    Refused,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 3] = [Self::Init, Self::Done, Self::Refused];

    /// Whether the status is final.
    #[must_use]
    pub fn is_settled(self) -> bool {
        match self {
            Self::Init => false,
            Self::Done | Self::Refused => true,
        }
    }

    /// Whether an item in this status may get the status `next`. There are no other transitions.
    #[must_use]
    pub fn can_become(self, next: Self) -> bool {
        self == Self::Init && next.is_settled()
    }

    /// The `version` of an item in this status. It counts the transitions, so a condition on the version is also a
    /// condition on INIT.
    #[must_use]
    pub fn version(self) -> u64 {
        match self {
            Self::Init => 1,
            Self::Done | Self::Refused => 2,
        }
    }

    /// The text in the item.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Done => "DONE",
            Self::Refused => "REFUSED",
        }
    }

    /// The suffix of the CloudEvents `type`.
    #[must_use]
    pub fn event_suffix(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Done => "done",
            Self::Refused => "refused",
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
#[error("the status is not INIT, DONE or REFUSED")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_becomes_done_or_refused_and_both_are_final() {
        for from in Status::ALL {
            for to in Status::ALL {
                let allowed = from == Status::Init && to != Status::Init;
                assert_eq!(from.can_become(to), allowed, "{from} -> {to}");
                if allowed {
                    assert_eq!(to.version(), from.version() + 1);
                }
            }
        }
    }

    #[test]
    fn parses_its_own_text() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("done".parse::<Status>(), Err(UnknownStatus));
    }
}
