//! The lab of `cargo local up`: what its own process counts, the switches that break the pipeline, and the double write beside it.
//!
//! - `observer` passes what the pollers see to the `tally`, which counts it; `change` reads records of the table's stream, `series`
//!   keeps the last hour, and `log` the last lines.
//! - `watcher` reads the queues, checks acknowledged messages against the table, and judges dead letters.
//! - `deployed` reads what decides about messages, as it was deployed.
//! - `actions` sends messages from `samples`; `comparison` follows them; `stages` describes the stages.
//! - `api` serves all of it on the loopback interface, for the console.
//! - `faults` puts proxies between functions and emulator, whose `switches` also break the `double_write` beside it.
//! - `guided` presses the buttons by itself.
//!
//! No module below imports this one.

mod actions;
mod api;
mod bounded;
mod change;
mod comparison;
pub(crate) mod deployed;
pub mod double_write;
pub mod faults;
mod function_tally;
pub mod guided;
mod log;
mod observer;
pub(crate) mod report;
mod samples;
mod series;
mod stages;
pub mod switches;
mod tally;
mod watcher;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use onewrite_console::lab::{Action, Fault, Guided, Lab, LabState};
use onewrite_console::pipeline::PipelineError;
use onewrite_console::view::{Count, Totals};
use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Choices;
use onewrite_stack::outputs::StackOutputs;
use tokio::task::JoinHandle;

use actions::{Copies, Sender};
pub use api::LabApi;
use double_write::DoubleWrite;
use faults::Faults;
use guided::{GuidedRun, Pauses};
pub use observer::StackObserver;
use stages::Sources;
use switches::Switches;
use tally::QueueRules;

use crate::error::{LocalError, Result};
use crate::event_sources::PollingSwitch;
use crate::ledger_receiver::{Effects, LedgerReceiver};
use crate::sample::Sample;
use crate::stack::Stack;

/// The most occurrences of a fault that a switch arms.
const MAX_FAULTS: u32 = 1_000;

/// The lab of one stack. Dropping it ends its tasks.
pub struct LocalLab {
    /// The lab itself, for a guided run.
    own: Weak<Self>,
    observer: Arc<StackObserver>,
    sender: Sender,
    switch: PollingSwitch,
    faults: Faults,
    double_write: Arc<DoubleWrite>,
    guided: Mutex<Option<GuidedRun>>,
    deployed: Mutex<Deployed>,
    watcher: JoinHandle<()>,
}

impl Copies for DoubleWrite {
    fn send(&self, messages: &[Sample]) {
        DoubleWrite::send(self, messages);
    }
}

/// What another deployment can change.
struct Deployed {
    outputs: StackOutputs,
    has_downstream: bool,
    /// The effects of the built-in ledger, if the stack delivers to it.
    effects: Option<Effects>,
}

impl Deployed {
    fn new(stack: &Stack) -> Self {
        Self {
            outputs: stack.outputs().clone(),
            has_downstream: stack.has_downstream(),
            effects: stack.booking_ledger().map(LedgerReceiver::effects),
        }
    }
}

impl fmt::Debug for LocalLab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalLab")
    }
}

impl Drop for LocalLab {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl LocalLab {
    /// Starts the event sources of a stack, whose options have this `observer`, and everything beside them.
    ///
    /// # Errors
    /// A failed call.
    pub async fn start(stack: &mut Stack, observer: Arc<StackObserver>) -> Result<Arc<Self>> {
        configure(&observer, stack).await?;
        // The functions must not run yet.
        let faults = Faults::start(stack, Switches::default()).await?;
        let (clients, outputs) = (stack.clients(), stack.outputs());
        let settings = deployed::double_write_settings(clients, outputs, rand::random()).await?;
        let double_write = DoubleWrite::start(settings, faults.switches().clone());
        let double_write = Arc::new(double_write);
        stack
            .start_event_sources(None, Choices::default_outcomes())
            .await?;
        let sources = stack.event_sources();
        let sources = sources.ok_or_else(|| {
            LocalError::UnexpectedStack("the event sources did not start".to_owned())
        })?;
        let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
        let queue_url = outputs.queue_url.clone();
        let watch = watcher::watch(Arc::clone(&observer), clients.clone(), outputs);
        let copies = Arc::clone(&double_write) as Arc<dyn Copies>;
        Ok(Arc::new_cyclic(|own| Self {
            own: own.clone(),
            sender: Sender::new(clients, queue_url, Arc::clone(&observer), Some(copies)),
            observer,
            switch: sources.switch(),
            faults,
            double_write,
            guided: Mutex::default(),
            deployed: Mutex::new(Deployed::new(stack)),
            watcher: tokio::spawn(watch),
        }))
    }

    /// Follows another deployment of the stack.
    ///
    /// # Errors
    /// A failed call.
    pub async fn redeployed(&self, stack: &Stack) -> Result<()> {
        let queue = configure(&self.observer, stack).await?;
        self.double_write
            .configure(queue.visibility, queue.max_receives);
        self.faults.redirect(stack).await?;
        *self.deployed() = Deployed::new(stack);
        Ok(())
    }

    /// The numbers of the sentence.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let deployed = self.deployed();
        let effects = deployed.effects.as_ref();
        Totals {
            effects: effects.map(|effects| Count(effects.count() as u64)),
            ..self.observer.tally().totals(deployed.has_downstream)
        }
    }

    /// What happened, newest last.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.observer.tally().log.lines()
    }

    /// Adds a line to the log.
    pub fn note(&self, text: &str) {
        let now = self.observer.now();
        self.observer.tally().log.add(now, text);
    }

    /// Whether all event sources are paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.switch.is_paused()
    }

    /// Whether nothing is in flight, every number is final, and every acknowledged message is checked.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_checked = self.observer.tally().is_checked();
        is_checked && self.switch.is_idle() && self.totals().in_progress() == 0
    }

    /// Refuses further actions, and returns when no message is on its way to the queue any more.
    pub async fn stop(&self) {
        self.stop_guided();
        self.sender.stop().await;
    }

    fn deployed(&self) -> MutexGuard<'_, Deployed> {
        self.deployed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self, is_paused: bool) -> String {
        self.switch.pause(is_paused);
        self.double_write.pause(is_paused);
        let text = if is_paused {
            "All event sources are paused"
        } else {
            "All event sources run"
        };
        self.note(text);
        text.to_owned()
    }

    fn set_fault(&self, fault: Fault, count: u32) -> std::result::Result<String, PipelineError> {
        if count > MAX_FAULTS {
            let reason = format!("a switch arms at most {MAX_FAULTS} faults");
            return Err(PipelineError::Invalid(reason));
        }
        self.faults.set(fault, count);
        let name = name(fault);
        let text = match count {
            0 => format!("Switched off: {name}"),
            1 => format!("Once: {name}"),
            count => format!("{count} times: {name}"),
        };
        self.note(&text);
        Ok(text)
    }

    fn guided(&self) -> MutexGuard<'_, Option<GuidedRun>> {
        self.guided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_guided(&self, seed: Option<u64>) -> std::result::Result<String, PipelineError> {
        check_guided(self.deployed().effects.is_some())?;
        let own = self.own.upgrade();
        let own = own.ok_or_else(|| PipelineError::Failed("the stack ends".to_owned()))?;
        let mut guided = self.guided();
        if guided.as_ref().is_some_and(|run| !run.state().is_finished) {
            let reason = "a guided run is under way; stop it first";
            return Err(PipelineError::Invalid(reason.to_owned()));
        }
        // Such a seed is easy to read aloud and to type again.
        let seed = seed.unwrap_or_else(|| rand::random_range(1..1_000_000));
        let own: Arc<dyn Lab> = own;
        *guided = Some(GuidedRun::start(&own, seed, Pauses::default()));
        drop(guided);
        let text = format!("A guided run with the seed {seed}");
        self.note(&text);
        Ok(text)
    }

    fn stop_guided(&self) -> String {
        match self.guided().take() {
            Some(run) => {
                run.stop();
                "The guided run is stopped".to_owned()
            }
            None => "No guided run is under way".to_owned(),
        }
    }

    fn guided_state(&self) -> Option<Guided> {
        self.guided().as_ref().map(GuidedRun::state)
    }
}

/// A guided run ends with a verdict about effects, so something must count them.
fn check_guided(counts_effects: bool) -> std::result::Result<(), PipelineError> {
    if counts_effects {
        return Ok(());
    }
    let reason = "a guided run compares effects, and only the built-in ledger counts them; start the stack without targets of your own";
    Err(PipelineError::Invalid(reason.to_owned()))
}

/// What a fault does, as a clause.
fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::KillIngestBeforeWrite => "ingest is killed before its write",
        Fault::KillIngestAfterWrite => "ingest is killed after its write",
        Fault::CutKinesis => "the response of Kinesis is lost",
        Fault::FailEntries => "entries of PutRecords fail",
        Fault::KillCompleteAfterEffect => "complete is killed after the effect",
        Fault::ThrottleTable => "the table throttles",
    }
}

#[async_trait]
impl Lab for LocalLab {
    async fn state(&self) -> std::result::Result<LabState, PipelineError> {
        let totals = self.totals();
        let deployed = self.deployed();
        let double_write = self.double_write.comparison();
        let comparison = self
            .sender
            .comparison(deployed.effects.as_ref(), double_write);
        let mut tally = self.observer.tally();
        let now: Millis = self.observer.now();
        let sources = Sources {
            outputs: &deployed.outputs,
            has_downstream: deployed.has_downstream,
            is_polling: &|function| self.switch.is_polling(function),
        };
        Ok(LabState {
            sentence: totals.sentence(),
            stages: stages::stages(&mut tally, now, &totals, &sources),
            charts: tally.charts(now),
            log: tally.log.lines(),
            totals,
            is_paused: self.switch.is_paused(),
            comparison,
            faults: self.faults.left(),
            guided: self.guided_state(),
        })
    }

    async fn act(&self, action: Action) -> std::result::Result<String, PipelineError> {
        if self.sender.is_stopped() {
            return Err(actions::ended());
        }
        match action {
            Action::Pause => Ok(self.pause(true)),
            Action::Resume => Ok(self.pause(false)),
            Action::SetFault { fault, count } => self.set_fault(fault, count),
            Action::StartGuided { seed } => self.start_guided(seed),
            Action::StopGuided => Ok(self.stop_guided()),
            action => self.sender.send(action).await,
        }
    }
}

/// Reads what decides about the messages of a stack.
async fn configure(observer: &StackObserver, stack: &Stack) -> Result<QueueRules> {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let rules = deployed::read_message_rules(clients, &outputs.ingest).await?;
    let queue = deployed::read_queue(clients, &outputs.queue_url).await?;
    observer.configure(outputs, rules, queue);
    Ok(queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guided_run_needs_effects_that_are_counted() {
        check_guided(true).unwrap();
        let refused = check_guided(false).unwrap_err();
        assert!(refused.to_string().contains("built-in ledger"), "{refused}");
    }
}
