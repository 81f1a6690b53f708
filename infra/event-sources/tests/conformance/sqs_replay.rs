//! Replays the case of a queue in virtual time, with the harness of the unit tests and the function of the case.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Choices;
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_event_sources::mapping::{Change, Lifecycle, SqsMapping};
use onewrite_event_sources::message::{AttributeValue, Message, MessageAttribute};
use onewrite_event_sources::queue::{NewMessage, QueueSettings, Redrive};
use onewrite_event_sources::sqs::Input;
use serde_json::{Value, json};

use crate::case::{Case, Function, QueueSpec, Send, Step};
use crate::harness::{Event, Harness, SECOND};
use crate::log::{DeadLetter, Invocation, Log, OBSERVATION, PATIENCE, RUN};

/// The defaults of SQS and Lambda.
const DEFAULT_VISIBILITY_SECONDS: u32 = 30;
const DEFAULT_FUNCTION_TIMEOUT_SECONDS: u32 = 3;

pub(crate) fn replay(case: &Case, mapping: SqsMapping) -> Result<Log, String> {
    let mut world = World::new(case, mapping)?;
    for step in &case.input {
        world.step(step)?;
    }
    world.finish()
}

struct World {
    harness: Harness,
    mapping: SqsMapping,
    /// The state of the mapping as the API returns it.
    lifecycle: Lifecycle,
    function: Rc<RefCell<FunctionLog>>,
    log: Log,
}

/// What the function of the case knows and does.
#[derive(Default)]
struct FunctionLog {
    /// The inputs by message body.
    inputs: BTreeMap<String, String>,
    versions: BTreeMap<String, Value>,
    version: Option<String>,
    invocations: Vec<Invocation>,
}

impl FunctionLog {
    fn run(
        &mut self,
        function: &Function,
        now: Millis,
        event: &Event,
    ) -> (InvocationOutcome, Millis) {
        let records = event.records.iter().map(|record| {
            let input = &self.inputs[record["body"].as_str().unwrap()];
            (input.clone(), record.clone())
        });
        let records: Vec<(String, Value)> = records.collect();
        let run = function
            .run(&json!({"Records": event.records}), &records)
            .unwrap();
        let version = self.version.as_ref();
        self.invocations.push(Invocation {
            at: now,
            records,
            outcome: run.name,
            response: run.response,
            function_version: self.version.clone(),
            function_setting: version.and_then(|version| self.versions.get(version).cloned()),
        });
        (run.outcome, RUN + function.sleep_s * SECOND)
    }
}

impl World {
    fn new(case: &Case, mapping: SqsMapping) -> Result<Self, String> {
        let spec = case.queue.as_ref().ok_or("the case has no queue")?;
        let function = case.function.clone().ok_or("the case has no function")?;
        let visibility = spec
            .visibility_timeout
            .unwrap_or(DEFAULT_VISIBILITY_SECONDS);
        let function_timeout = function
            .timeout_s
            .unwrap_or(DEFAULT_FUNCTION_TIMEOUT_SECONDS);
        mapping
            .check_timeouts(visibility, function_timeout)
            .map_err(|e| e.to_string())?;
        let settings = QueueSettings {
            arn: mapping.event_source_arn.clone(),
            visibility_timeout: Millis::from(visibility) * SECOND,
            ..queue_settings(spec)?
        };
        let log = Rc::<RefCell<FunctionLog>>::default();
        let shared = Rc::clone(&log);
        Ok(Self {
            harness: Harness::over(
                settings,
                mapping.clone(),
                function_timeout,
                Choices::default_outcomes(),
                move |now, event| shared.borrow_mut().run(&function, now, event),
            ),
            lifecycle: Lifecycle::new(mapping.enabled),
            mapping,
            function: log,
            log: Log::default(),
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(send) => self.send(send)?,
            Step::CreateMapping { target_version } => {
                self.function
                    .borrow_mut()
                    .version
                    .clone_from(target_version);
            }
            Step::UpdateMapping { set } => {
                self.change(Change::Update {
                    enabled: set.enabled,
                })?;
                if let Some(version) = &set.target_version {
                    self.function.borrow_mut().version = Some(version.clone());
                    self.harness.input(Input::Reconfigure(self.mapping.clone()));
                }
            }
            Step::PublishVersion {
                version,
                function_setting,
            } => {
                let mut function = self.function.borrow_mut();
                function
                    .versions
                    .insert(version.clone(), function_setting.clone());
            }
            Step::Wait { seconds } => self.harness.pass((seconds * 1_000.0) as Millis),
            Step::WaitUntilEnabled {} => {
                self.change(Change::Settle)?;
                self.harness.enable();
            }
            Step::WaitUntilQueueSize { exactly, at_least } => {
                let size = self.harness.queue.len();
                if exactly.is_some_and(|n| n != size) || at_least.is_some_and(|n| n > size) {
                    return Err(format!("{size} messages are in the queue"));
                }
            }
            Step::WaitUntilInvocations { count } => {
                self.pass_until(|it| it.seen.len() >= *count && it.concurrent() == 0)?;
            }
            Step::Put { .. }
            | Step::PutRecord { .. }
            | Step::ListMappings {}
            | Step::GetMapping {}
            | Step::DeleteTable {} => {
                return Err(format!("{} is no step of a queue", step.name()));
            }
        }
        let reason = Lifecycle::state_transition_reason(None);
        self.log.note_state(step.name(), self.lifecycle, reason);
        Ok(())
    }

    fn pass_until(&mut self, reached: impl Fn(&Harness) -> bool) -> Result<(), String> {
        if self.harness.pass_until(PATIENCE, reached) {
            Ok(())
        } else {
            Err("the case waits for something that never happens".to_owned())
        }
    }

    /// Runs until the queue is empty, reads the dead-letter queue, and continues to observe what must not happen.
    fn finish(mut self) -> Result<Log, String> {
        self.pass_until(|it| it.queue.is_empty() && it.poller.is_idle())?;
        let left = self.harness.queue.receive(self.harness.now, 10);
        self.log.left_in_queue = left
            .into_iter()
            .map(|message| Value::from(message.body))
            .collect();
        self.harness.pass(OBSERVATION);
        let mut function = self.function.borrow_mut();
        if let Some(dead_letters) = self.harness.queue.dead_letter_queue_mut() {
            loop {
                let messages = dead_letters.receive(self.harness.now, 10);
                if messages.is_empty() {
                    break;
                }
                let found = messages
                    .iter()
                    .map(|message| dead_letter(&function.inputs, message));
                self.log.dead_letters.extend(found);
            }
        }
        self.log.invocations = std::mem::take(&mut function.invocations);
        self.log.most_concurrent = self.harness.peak;
        let mut seen = self.harness.seen.iter();
        self.log.dead_letters_before_the_last_invocation = seen.any(|seen| seen.after_dead_letter);
        Ok(self.log)
    }

    fn change(&mut self, change: Change) -> Result<(), String> {
        let next = self.lifecycle.apply(change).map_err(|e| e.to_string())?;
        self.lifecycle = next.ok_or("the mapping is gone")?;
        Ok(())
    }

    fn send(&mut self, send: &Send) -> Result<(), String> {
        let attributes = send.message_attributes.iter().map(|(name, spec)| {
            let value = AttributeValue::Text(spec.string_value.clone());
            (
                name.clone(),
                MessageAttribute {
                    data_type: spec.data_type.clone(),
                    value,
                },
            )
        });
        let outgoing = NewMessage {
            message_attributes: attributes.collect(),
            message_group_id: send.message_group_id.clone(),
            message_deduplication_id: send.message_deduplication_id.clone(),
            ..NewMessage::new(send.body.clone())
        };
        let sent = self
            .harness
            .queue
            .send(self.harness.now, outgoing)
            .map_err(|e| e.to_string())?;
        if let Some(recorded) = &send.reply {
            let mut reply = recorded.clone();
            reply["MessageId"] = sent.message_id.into();
            if let Some(sequence_number) = sent.sequence_number {
                reply["SequenceNumber"] = sequence_number.into();
            }
            reply["MD5OfMessageBody"] = sent.md5_of_body.into();
            self.log.replies.push((recorded.clone(), reply));
        }
        let mut function = self.function.borrow_mut();
        let same = function.inputs.insert(send.body.clone(), send.id.clone());
        if same.is_some() {
            return Err("two inputs have the same body".to_owned());
        }
        drop(function);
        self.harness.pass(0);
        Ok(())
    }
}

/// The queue of a case, without its ARN and visibility timeout.
fn queue_settings(spec: &QueueSpec) -> Result<QueueSettings, String> {
    let fifo = spec.kind == "fifo";
    let dead_letters_fifo = spec.dead_letter_queue.as_deref().unwrap_or("standard") == "fifo";
    if spec.redrive_policy.is_some() && fifo != dead_letters_fifo {
        return Err("a dead-letter queue of another type".to_owned());
    }
    let defaults = if fifo {
        QueueSettings::fifo()
    } else {
        QueueSettings::standard()
    };
    Ok(QueueSettings {
        content_based_deduplication: spec.content_based_deduplication,
        redrive: spec.redrive_policy.as_ref().map(|policy| Redrive {
            max_receive_count: policy.max_receive_count,
            retention: defaults.retention,
        }),
        ..defaults
    })
}

fn dead_letter(inputs: &BTreeMap<String, String>, message: &Message) -> DeadLetter {
    DeadLetter {
        input: inputs.get(&message.body).cloned().unwrap_or_default(),
        message: json!({
            "MessageId": message.message_id,
            "MD5OfBody": message.md5_of_body,
            "Body": message.body,
        }),
    }
}
