//! `cargo local demo --html FILE`: a run with faults, the double write beside it, and the page about both.

use std::path::{Path, PathBuf};

use onewrite_event_sources::choices::Choices;

use crate::downstream::Downstream;
use crate::error::{LocalError, Result};
use crate::lab::deployed::double_write_settings;
use crate::lab::double_write::Settings;
use crate::lab::double_write::machine::Machine;
use crate::lab::faults::Faults;
use crate::lab::report::{self, Comparison, Run};
use crate::lab::switches::Switches;
use crate::oracle::Report;
use crate::python;
use crate::sample::Sample;
use crate::stack::{Stack, StackOptions};

/// Messages that the double write gets at once, and the milliseconds between them. The real run sends as many with one call.
const WAVE: usize = 10;
const WAVE_MILLIS: u64 = 10;

/// What the page is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOptions {
    /// The file to write.
    pub path: PathBuf,
    /// Decides the faults, and the timing of the double write.
    pub seed: u64,
    /// The command that repeats the run. It goes into the page.
    pub command: String,
}

impl PageOptions {
    /// Checks what would fail after the run otherwise.
    ///
    /// # Errors
    /// The directory of the file does not exist, or the stack has no built-in ledger.
    pub(super) fn check(&self, options: &StackOptions) -> Result<()> {
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if !directory.is_dir() {
            let reason = std::io::ErrorKind::NotADirectory.into();
            return Err(LocalError::file(directory, reason));
        }
        match options.downstream.next_to(&options.parameters) {
            Downstream::Ledger => Ok(()),
            _ => Err(LocalError::InvalidTarget {
                target: "--html".to_owned(),
                reason: "compares the ledger of the built-in target, so leave out other targets"
                    .to_owned(),
            }),
        }
    }
}

/// A stack whose functions meet the planned faults.
#[derive(Debug)]
pub(super) struct FaultyRun {
    options: PageOptions,
    /// The settings of the double write, which are those of the stack.
    settings: Settings,
    /// Keeps the proxies running.
    faults: Faults,
}

impl FaultyRun {
    /// Plans the faults and starts the event sources of the stack.
    ///
    /// # Errors
    /// A failed call.
    pub(super) async fn start(stack: &mut Stack, options: PageOptions) -> Result<Self> {
        let (clients, outputs) = (stack.clients(), stack.outputs());
        let settings = double_write_settings(clients, outputs, options.seed).await?;
        let switches = Switches::planned(options.seed);
        let faults = Faults::start(stack, switches).await?;
        stack
            .start_event_sources(None, Choices::default_outcomes())
            .await?;
        Ok(Self {
            options,
            settings,
            faults,
        })
    }

    /// Runs the double write on the same messages, and writes the page. Returns its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(
        &self,
        stack: &Stack,
        messages: &[Sample],
        report: &Report,
    ) -> Result<&Path> {
        let switches = self.faults.switches().clone();
        let first = double_write(self.settings, switches, messages);
        let resending = Settings {
            resends: true,
            ..self.settings
        };
        // The same plan again, because the first one has used up the faults.
        let switches = Switches::planned(self.options.seed);
        let second = double_write(resending, switches, messages);
        let ledger = stack.booking_ledger().ok_or_else(|| {
            LocalError::UnexpectedStack("it does not deliver to the built-in ledger".to_owned())
        })?;
        let comparison = Comparison::new(messages, report, &ledger.effects(), &first, &second);
        let run = Run {
            at: jiff::Timestamp::now().strftime("%F %T UTC").to_string(),
            command: self.options.command.clone(),
            seed: self.options.seed,
            versions: versions(stack, self.settings.is_fifo),
        };
        let path = &self.options.path;
        let html = report::html(&run, report, &comparison);
        std::fs::write(path, html).map_err(|source| LocalError::file(path, source))?;
        Ok(path)
    }
}

/// Sends the messages as the real run does, and runs to the end in virtual time.
fn double_write(settings: Settings, switches: Switches, messages: &[Sample]) -> Machine {
    let mut machine = Machine::new(settings, switches);
    let mut now = 0;
    for wave in messages.chunks(WAVE) {
        machine.advance(now);
        machine.send(now, wave);
        now += WAVE_MILLIS;
    }
    machine.run_to_end();
    machine
}

fn versions(stack: &Stack, is_fifo: bool) -> Vec<(String, String)> {
    let queue = if is_fifo { "FIFO" } else { "standard" };
    let shards = stack.parameters().get("ShardCount");
    let named = [
        ("onewrite", env!("CARGO_PKG_VERSION").to_owned()),
        ("Emulator", emulator_version()),
        ("Queue", queue.to_owned()),
        ("Shards", shards.cloned().unwrap_or_default()),
    ];
    let named = named.into_iter().filter(|(_, version)| !version.is_empty());
    named
        .map(|(name, version)| (name.to_owned(), version))
        .collect()
}

/// The pinned version of the emulator, such as `ministack 1.5.33`.
fn emulator_version() -> String {
    let pinned = python::EMULATOR.pinned("ministack");
    pinned.map_or_else(String::new, |version| format!("ministack {version}"))
}

#[cfg(test)]
mod tests {
    use onewrite_console::lab::Fault;

    use super::*;
    use crate::sample;

    #[test]
    fn names_the_version_of_the_emulator() {
        let version = emulator_version();
        let number = version.strip_prefix("ministack ").unwrap();
        assert!(
            number.split('.').all(|part| part.parse::<u32>().is_ok()),
            "{version}"
        );
    }

    #[test]
    fn needs_the_built_in_ledger_and_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let options = |path: PathBuf| PageOptions {
            path,
            seed: 1,
            command: String::new(),
        };
        let page = options(directory.path().join("run.html"));
        page.check(&StackOptions::new("demo")).unwrap();
        let other = StackOptions::new("demo").parameter("DownstreamUrl", "http://127.0.0.1:1");
        let error = page.check(&other).unwrap_err().to_string();
        assert!(error.contains("built-in target"), "{error}");
        let missing = options(directory.path().join("missing/run.html"));
        assert!(missing.check(&StackOptions::new("demo")).is_err());
        options("run.html".into())
            .check(&StackOptions::new("demo"))
            .unwrap();
    }

    #[test]
    fn the_double_write_is_correct_on_the_sample_without_copies_and_faults() {
        let mut messages = sample::messages(300, 1);
        let mut seen = std::collections::BTreeSet::new();
        messages.retain(|message| {
            message
                .meaning
                .id()
                .is_none_or(|id| seen.insert(id.clone()))
        });
        let machine = double_write(Settings::default(), Switches::default(), &messages);
        let ledger = machine.ledger();
        assert_eq!(
            (ledger.effects.0, ledger.lost.0, ledger.repeated.0),
            (200, 0, 0)
        );
    }

    #[test]
    fn the_double_write_of_the_default_demo_meets_every_fault() {
        let switches = Switches::planned(1);
        double_write(
            Settings::default(),
            switches.clone(),
            &sample::messages(60, 1),
        );
        let happened = switches.happened(crate::lab::switches::Design::DoubleWrite);
        assert_eq!(happened.keys().copied().collect::<Vec<_>>(), Fault::ALL);
    }
}
