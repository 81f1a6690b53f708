//! The plan of a world: a seed, and the parts that are left out to shorten a failure.

use crate::bugs::Bug;
use crate::weather::Kind;
use onewrite_event_sources::Millis;

/// Default duration of the storm in milliseconds.
pub(crate) const STORM: Millis = 60_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Faults that are disabled.
    pub(crate) without: Vec<Kind>,
    /// Numbers of the messages to send. `None` sends all of them.
    pub(crate) letters: Option<Vec<usize>>,
    /// Duration of the storm in milliseconds.
    pub(crate) storm: Millis,
}

impl Plan {
    /// The whole world of a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        Self {
            seed,
            without: Vec::new(),
            letters: None,
            storm: STORM,
        }
    }

    pub(crate) fn sends(&self, letter: usize) -> bool {
        let letters = self.letters.as_ref();
        letters.is_none_or(|letters| letters.contains(&letter))
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
        if let Some(letters) = &self.letters {
            let letters: Vec<String> = letters.iter().map(ToString::to_string).collect();
            command.push_str(&format!(" --letters {}", letters.join(",")));
        }
        if self.storm != STORM {
            command.push_str(&format!(" --storm {}", self.storm));
        }
        command
    }
}
