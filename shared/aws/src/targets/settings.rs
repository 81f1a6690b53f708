//! What targets need beyond their address.

use std::{collections::BTreeSet, str::FromStr};

use super::address::{AddressKind, InvalidTarget, TargetAddress};

/// Settings of all targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetSettings {
    /// The name of the notification table. The writes of a function must not change it.
    pub notification_table: String,
    /// The tables that the writes of a function may change.
    pub tables: Vec<TargetAddress>,
    /// The secret or the parameter that signs requests to a URL.
    pub secret: Option<TargetAddress>,
    /// The HTTP statuses by which a URL refuses a notification.
    pub refusal_statuses: RefusalStatuses,
}

impl TargetSettings {
    /// Checks the kinds of the addresses.
    pub(super) fn check(&self) -> Result<(), InvalidTarget> {
        let misused = |address: &TargetAddress, expected| {
            let kind = address.kind();
            Err(InvalidTarget::Misused { kind, expected })
        };
        let is_table = |address: &&TargetAddress| address.kind() == AddressKind::Table;
        if let Some(address) = self.tables.iter().find(|address| !is_table(address)) {
            return misused(address, "table for writes");
        }
        match &self.secret {
            Some(address)
                if !matches!(address.kind(), AddressKind::Secret | AddressKind::Parameter) =>
            {
                misused(address, "signing secret")
            }
            _ => Ok(()),
        }
    }
}

/// The HTTP statuses that refuse a notification for good. By default 410 (gone) and 422 (unprocessable content).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalStatuses(BTreeSet<u16>);

impl RefusalStatuses {
    pub(super) fn contains(&self, status: u16) -> bool {
        self.0.contains(&status)
    }
}

impl Default for RefusalStatuses {
    fn default() -> Self {
        Self(BTreeSet::from([410, 422]))
    }
}

impl FromStr for RefusalStatuses {
    type Err = InvalidTarget;

    /// Reads numbers, separated by commas. Without a number, no status refuses.
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let texts = text.split(',').map(str::trim);
        let texts = texts.filter(|_| !text.trim().is_empty());
        texts.map(parse_status).collect::<Result<_, _>>().map(Self)
    }
}

/// An expired token, a wrong path or an overloaded receiver must not refuse a day of notifications.
fn parse_status(text: &str) -> Result<u16, InvalidTarget> {
    let status = text.parse().map_err(|_| InvalidTarget::RefusalStatus)?;
    match status {
        401 | 403 | 404 | 408 | 425 | 429 => Err(InvalidTarget::RefusalStatus),
        400..=499 => Ok(status),
        _ => Err(InvalidTarget::RefusalStatus),
    }
}
