//! The plan of a world: a seed, and the parts that are left out to shorten a failure.

use crate::bugs::Bug;
use crate::fault_plan::FaultKind;
use onewrite_event_sources::Millis;

/// Default duration of the fault period in milliseconds.
pub(crate) const FAULT_PERIOD: Millis = 60_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Faults that are disabled.
    pub(crate) without: Vec<FaultKind>,
    /// Numbers of the messages to send. `None` sends all of them.
    pub(crate) messages: Option<Vec<usize>>,
    /// Duration of the fault period in milliseconds.
    pub(crate) fault_period: Millis,
}

impl Plan {
    /// The whole world of a seed.
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self {
            seed,
            without: Vec::new(),
            messages: None,
            fault_period: FAULT_PERIOD,
        }
    }

    pub(crate) fn sends(&self, message: usize) -> bool {
        let messages = self.messages.as_ref();
        messages.is_none_or(|messages| messages.contains(&message))
    }

    /// The command that reproduces this world.
    pub(crate) fn command(&self, bug: Option<Bug>) -> String {
        let mut command = format!("cargo simulate --from {} --seeds 1", self.seed);
        if let Some(bug) = bug {
            command.push_str(&format!(" --bug \"{}\"", bug.name()));
        }
        for kind in &self.without {
            command.push_str(&format!(" --without \"{}\"", kind.name()));
        }
        if let Some(messages) = &self.messages {
            let messages: Vec<String> = messages.iter().map(ToString::to_string).collect();
            command.push_str(&format!(" --messages {}", messages.join(",")));
        }
        if self.fault_period != FAULT_PERIOD {
            command.push_str(&format!(" --fault-period {}", self.fault_period));
        }
        command
    }
}
