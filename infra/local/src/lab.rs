//! The lab of `cargo local up`: what its own process counts, the switches that break the pipeline, and the double write beside it.
//!
//! - `observer` passes what the pollers see to the `tally`, which counts it; `change` reads records of the table's stream, `series`
//!   keeps the last hour, and `log` the last lines.
//! - `watcher` reads the queues, checks acknowledged messages against the table, and judges dead letters.
//! - `actions` sends messages from `samples`; `comparison` follows them; `stages` describes the stages.
//! - `api` serves all of it on the loopback interface, for the console.
//! - `faults`: `Faults` (a cheap clone of shared state) with `prepare(&Stack)` before the event sources start, `redirect(&Stack)`
//!   after another deployment, `arm(Fault, count)`, `disarm(Fault)` and `left() -> BTreeMap<Fault, u32>`.
//! - `double_write`: `DoubleWrite::start(Faults)`, `send(&[Sample])` for copies of what the console sends, and
//!   `comparison() -> Ledger`. It ends when it is dropped.
//! - `guided`: `GuidedRun::start(Arc<dyn Lab>, seed)`, which presses the buttons of the port, and `state() -> Guided`. It ends
//!   when it is dropped.
//!
//! No module below imports this one.

mod actions;
mod api;
mod bounded;
mod change;
mod comparison;
mod log;
mod observer;
mod samples;
mod series;
mod stages;
mod tally;
mod watcher;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName;
use onewrite::notification::MessagePointers;
use onewrite_console::lab::{Action, Lab, LabState, Ledger};
use onewrite_console::pipeline::PipelineError;
use onewrite_console::view::{Count, Totals};
use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Choices;
use onewrite_stack::dead_letter::MessageRules;
use onewrite_stack::outputs::StackOutputs;
use serde_json::Value;
use tokio::task::JoinHandle;

use actions::Sender;
pub use api::{LabApi, Token};
pub use observer::StackObserver;
use stages::Sources;
use tally::QueueRules;

use crate::clients::Clients;
use crate::error::{LocalError, Result};
use crate::event_sources::PollingSwitch;
use crate::ledger_receiver::Effects;
use crate::stack::Stack;

/// The lab of one stack. Dropping it ends its tasks.
pub struct LocalLab {
    observer: Arc<StackObserver>,
    sender: Sender,
    switch: PollingSwitch,
    deployed: Mutex<Deployed>,
    watcher: JoinHandle<()>,
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
            effects: stack.booking_ledger().map(|ledger| ledger.effects()),
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
        Ok(Arc::new(Self {
            sender: Sender::new(clients, queue_url, Arc::clone(&observer), None),
            observer,
            switch: sources.switch(),
            deployed: Mutex::new(Deployed::new(stack)),
            watcher: tokio::spawn(watch),
        }))
    }

    /// Follows another deployment of the stack.
    ///
    /// # Errors
    /// A failed call.
    pub async fn redeployed(&self, stack: &Stack) -> Result<()> {
        configure(&self.observer, stack).await?;
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

    fn deployed(&self) -> MutexGuard<'_, Deployed> {
        self.deployed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self, is_paused: bool) -> String {
        self.switch.pause(is_paused);
        let text = if is_paused {
            "All event sources are paused"
        } else {
            "All event sources run"
        };
        self.note(text);
        text.to_owned()
    }
}

#[async_trait]
impl Lab for LocalLab {
    async fn state(&self) -> std::result::Result<LabState, PipelineError> {
        let totals = self.totals();
        let deployed = self.deployed();
        let double_write = Ledger::default();
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
            stages: stages::stages(&mut tally, now, &totals, &sources),
            charts: tally.charts(now),
            log: tally.log.lines(),
            totals,
            is_paused: self.switch.is_paused(),
            comparison,
            ..LabState::default()
        })
    }

    async fn act(&self, action: Action) -> std::result::Result<String, PipelineError> {
        match action {
            Action::Pause => Ok(self.pause(true)),
            Action::Resume => Ok(self.pause(false)),
            Action::SetFault { .. } | Action::StartGuided { .. } | Action::StopGuided => {
                Err(PipelineError::Invalid("this lab has no faults".to_owned()))
            }
            action => self.sender.send(action).await,
        }
    }
}

/// Reads what decides about the messages of a stack.
async fn configure(observer: &StackObserver, stack: &Stack) -> Result<()> {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let ingest = clients
        .functions
        .function_configuration(&outputs.ingest)
        .await?;
    let queue = read_queue(clients, &outputs.queue_url).await?;
    observer.configure(outputs, message_rules(&ingest), queue);
    Ok(())
}

/// The rules by which `ingest` accepts a message, from its configuration.
fn message_rules(configuration: &Value) -> MessageRules {
    let variables = &configuration["Environment"]["Variables"];
    let MessageRules {
        pointers,
        compression,
    } = MessageRules::default();
    let text = |name: &str| variables[name].as_str();
    fn parsed<T: std::str::FromStr>(text: Option<&str>, default: T) -> T {
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    }
    MessageRules {
        pointers: MessagePointers {
            message: parsed(text("MESSAGE_POINTER"), pointers.message),
            id: parsed(text("NOTIFICATION_ID_POINTER"), pointers.id),
            kind: parsed(text("NOTIFICATION_TYPE_POINTER"), pointers.kind),
            payload: parsed(text("PAYLOAD_POINTER"), pointers.payload),
        },
        compression: parsed(text("PAYLOAD_COMPRESSION"), compression),
    }
}

async fn read_queue(clients: &Clients, url: &str) -> Result<QueueRules> {
    let request = clients.sqs.get_queue_attributes().queue_url(url);
    let response = request
        .attribute_names(QueueAttributeName::All)
        .send()
        .await;
    let attributes = response.map_err(|error| LocalError::aws("GetQueueAttributes", &error))?;
    let attributes = attributes.attributes.unwrap_or_default();
    let default = QueueRules::default();
    let visibility = attributes.get(&QueueAttributeName::VisibilityTimeout);
    let policy = attributes.get(&QueueAttributeName::RedrivePolicy);
    let policy: Value = policy
        .and_then(|policy| serde_json::from_str(policy).ok())
        .unwrap_or_default();
    Ok(QueueRules {
        max_receives: max_receives(&policy).unwrap_or(default.max_receives),
        visibility: visibility
            .and_then(|seconds| seconds.parse::<Millis>().ok())
            .map_or(default.visibility, |seconds| seconds * 1_000),
    })
}

/// SQS accepts a number and a text.
fn max_receives(policy: &Value) -> Option<u32> {
    let count = &policy["maxReceiveCount"];
    match count.as_u64() {
        Some(number) => u32::try_from(number).ok(),
        None => count.as_str()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_the_rules_of_the_deployed_function() {
        let variables = json!({"PAYLOAD_POINTER": "/data", "PAYLOAD_COMPRESSION": "never"});
        let rules = message_rules(&json!({"Environment": {"Variables": variables}}));
        assert_eq!(rules.pointers.payload.to_string(), "/data");
        assert_eq!(rules.compression, onewrite::item::PayloadCompression::Never);
        let rules = message_rules(&json!({}));
        assert_eq!(rules.pointers, MessagePointers::default());
    }

    #[test]
    fn reads_the_receives_of_a_redrive_policy() {
        assert_eq!(max_receives(&json!({"maxReceiveCount": 6})), Some(6));
        assert_eq!(max_receives(&json!({"maxReceiveCount": "7"})), Some(7));
        assert_eq!(max_receives(&Value::Null), None);
    }
}
