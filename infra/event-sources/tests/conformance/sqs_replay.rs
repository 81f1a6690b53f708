//! Replays the case of a queue in virtual time: the model of the queue, the poller, and the function of the case.

use std::collections::BTreeMap;

use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Choices;
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_event_sources::mapping::{Change, Lifecycle, SqsMapping};
use onewrite_event_sources::message::{AttributeValue, Message, MessageAttribute};
use onewrite_event_sources::queue::{DeleteResult, NewMessage, Queue, QueueSettings, Redrive};
use onewrite_event_sources::sqs::{Action, CallId, Input, InvocationId, QueueInfo, SqsPoller};
use serde_json::{Value, json};

use crate::case::{Case, Function, Send, Step};
use crate::log::{DeadLetter, EPOCH, Invocation, Log, OBSERVATION, PATIENCE, REGION, RUN};

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

struct World<'a> {
    now: Millis,
    mapping: SqsMapping,
    function: &'a Function,
    queue: Queue,
    poller: SqsPoller,
    /// The state of the mapping as the API returns it.
    lifecycle: Lifecycle,
    /// The inputs by message body.
    inputs: BTreeMap<String, String>,
    receives: Vec<Receive>,
    runs: Vec<Run>,
    versions: BTreeMap<String, Value>,
    version: Option<String>,
    log: Log,
}

struct Receive {
    call: CallId,
    max: u32,
    visibility: Millis,
    until: Millis,
}

struct Run {
    invocation: InvocationId,
    outcome: InvocationOutcome,
    ends: Millis,
}

impl<'a> World<'a> {
    fn new(case: &'a Case, mapping: SqsMapping) -> Result<Self, String> {
        let spec = case.queue.as_ref().ok_or("the case has no queue")?;
        let function = case.function.as_ref().ok_or("the case has no function")?;
        let visibility = spec
            .visibility_timeout
            .unwrap_or(DEFAULT_VISIBILITY_SECONDS);
        let function_timeout = function
            .timeout_s
            .unwrap_or(DEFAULT_FUNCTION_TIMEOUT_SECONDS);
        mapping
            .check_timeouts(visibility, function_timeout)
            .map_err(|e| e.to_string())?;
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
        let queue = Queue::new(QueueSettings {
            arn: mapping.event_source_arn.clone(),
            visibility_timeout: Millis::from(visibility) * 1_000,
            content_based_deduplication: spec.content_based_deduplication,
            redrive: spec.redrive_policy.as_ref().map(|policy| Redrive {
                max_receive_count: policy.max_receive_count,
                retention: defaults.retention,
            }),
            ..defaults
        });
        let facts = QueueInfo {
            arn: mapping.event_source_arn.clone(),
            region: REGION.to_owned(),
            fifo,
            visibility_timeout_seconds: visibility,
            function_timeout_seconds: function_timeout,
        };
        let poller = SqsPoller::new(mapping.clone(), facts, Choices::default_outcomes());
        Ok(Self {
            now: EPOCH,
            lifecycle: Lifecycle::new(mapping.enabled),
            mapping,
            function,
            queue,
            poller,
            inputs: BTreeMap::new(),
            receives: Vec::new(),
            runs: Vec::new(),
            versions: BTreeMap::new(),
            version: None,
            log: Log::default(),
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(send) => self.send(send)?,
            Step::CreateMapping { target_version } => self.version.clone_from(target_version),
            Step::UpdateMapping { set } => {
                self.change(Change::Update {
                    enabled: set.enabled,
                })?;
                if let Some(version) = &set.target_version {
                    self.version = Some(version.clone());
                    self.handle(Input::Reconfigure(self.mapping.clone()))?;
                }
            }
            Step::PublishVersion {
                version,
                function_setting,
            } => {
                self.versions
                    .insert(version.clone(), function_setting.clone());
            }
            Step::Wait { seconds } => self.run_until(self.now + (seconds * 1_000.0) as Millis)?,
            Step::WaitUntilEnabled {} => {
                self.change(Change::Settle)?;
                self.handle(Input::Enable)?;
            }
            Step::WaitUntilQueueSize { exactly, at_least } => {
                let size = self.queue.len();
                if exactly.is_some_and(|n| n != size) || at_least.is_some_and(|n| n > size) {
                    return Err(format!("{size} messages are in the queue"));
                }
            }
            Step::WaitUntilInvocations { count } => {
                self.run_until_true(|world| {
                    world.log.invocations.len() >= *count && world.runs.is_empty()
                })?;
            }
            Step::Put { .. } | Step::ListMappings {} | Step::DeleteTable {} => {
                return Err(format!("{} is no step of a queue", step.name()));
            }
        }
        let reason = Lifecycle::state_transition_reason(None);
        self.log.note_state(step.name(), self.lifecycle, reason);
        Ok(())
    }

    /// Runs until the queue is empty, reads the dead-letter queue, and continues to observe what must not happen.
    fn finish(mut self) -> Result<Log, String> {
        self.run_until_true(|world| world.queue.is_empty() && world.poller.is_idle())?;
        let left = self.queue.receive(self.now, 10);
        self.log.left_in_queue = left
            .into_iter()
            .map(|message| Value::from(message.body))
            .collect();
        self.run_until(self.now + OBSERVATION)?;
        if let Some(dead_letters) = self.queue.dead_letter_queue_mut() {
            loop {
                let messages = dead_letters.receive(self.now, 10);
                if messages.is_empty() {
                    break;
                }
                let found = messages
                    .iter()
                    .map(|message| dead_letter(&self.inputs, message));
                self.log.dead_letters.extend(found);
            }
        }
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
            .queue
            .send(self.now, outgoing)
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
        if self
            .inputs
            .insert(send.body.clone(), send.id.clone())
            .is_some()
        {
            return Err("two inputs have the same body".to_owned());
        }
        self.work()
    }

    fn handle(&mut self, input: Input) -> Result<(), String> {
        for action in self.poller.handle(self.now, input) {
            match action {
                Action::Receive {
                    call,
                    max_messages,
                    wait_seconds,
                    visibility_timeout_seconds,
                } => {
                    self.receives.push(Receive {
                        call,
                        max: max_messages,
                        visibility: Millis::from(visibility_timeout_seconds) * 1_000,
                        until: self.now + Millis::from(wait_seconds) * 1_000,
                    });
                }
                Action::Invoke {
                    invocation,
                    payload,
                    message_ids,
                } => {
                    self.invoke(invocation, &payload, &message_ids)?;
                }
                Action::Delete { call, entries } => {
                    let failed = entries.into_iter().filter_map(|entry| {
                        let deletion = self.queue.delete(self.now, &entry.receipt_handle);
                        (deletion == DeleteResult::Rejected).then_some(entry.message_id)
                    });
                    let message_ids: Vec<String> = failed.collect();
                    if message_ids.is_empty() {
                        self.handle(Input::Deleted { call })?;
                    } else {
                        self.handle(Input::DeleteFailed { call, message_ids })?;
                    }
                }
                Action::Report(_) => {}
            }
        }
        Ok(())
    }

    fn invoke(
        &mut self,
        invocation: InvocationId,
        payload: &str,
        message_ids: &[String],
    ) -> Result<(), String> {
        let event: Value = serde_json::from_str(payload).map_err(|e| e.to_string())?;
        let mut records = Vec::new();
        for record in event["Records"]
            .as_array()
            .ok_or("an event without Records")?
        {
            let body = record["body"].as_str().unwrap_or_default();
            let input = self.inputs.get(body).ok_or("a message that was not sent")?;
            records.push((input.clone(), record.clone()));
        }
        let delivered: Vec<&str> = records
            .iter()
            .filter_map(|(_, record)| record["messageId"].as_str())
            .collect();
        if delivered != message_ids {
            return Err("the event and its list of message ids differ".to_owned());
        }
        let run = self.function.run(&event, &records)?;
        let dead_letters = self.queue.dead_letter_queue();
        self.log.dead_letters_before_the_last_invocation |=
            dead_letters.is_some_and(|queue| !queue.is_empty());
        self.log.invocations.push(Invocation {
            at: self.now,
            records,
            outcome: run.name,
            response: run.response,
            function_version: self.version.clone(),
            function_setting: self
                .version
                .as_ref()
                .and_then(|version| self.versions.get(version).cloned()),
        });
        let ends = self.now + RUN + self.function.sleep_s * 1_000;
        self.runs.push(Run {
            invocation,
            outcome: run.outcome,
            ends,
        });
        self.log.most_concurrent = self.log.most_concurrent.max(self.runs.len());
        Ok(())
    }

    /// Performs everything that is due now.
    fn work(&mut self) -> Result<(), String> {
        loop {
            if let Some(n) = self.runs.iter().position(|run| run.ends <= self.now) {
                let Run {
                    invocation,
                    outcome,
                    ..
                } = self.runs.remove(n);
                self.handle(Input::Invoked {
                    invocation,
                    outcome,
                })?;
            } else if !self.answer_a_receive()? {
                return Ok(());
            }
        }
    }

    /// Answers one receive that finds messages or whose wait time ended.
    fn answer_a_receive(&mut self) -> Result<bool, String> {
        let receivable = self.queue.has_receivable(self.now);
        let Some(n) = self
            .receives
            .iter()
            .position(|receive| receivable || receive.until <= self.now)
        else {
            return Ok(false);
        };
        let Receive {
            call,
            max,
            visibility,
            until,
        } = self.receives[n];
        let messages = self.queue.receive_for(self.now, max, visibility);
        // A receive that only moved dead letters continues to wait.
        if !messages.is_empty() || until <= self.now {
            self.receives.remove(n);
            self.handle(Input::Received { call, messages })?;
        }
        Ok(true)
    }

    /// The next time at which something happens.
    fn next(&self) -> Option<Millis> {
        let runs = self.runs.iter().map(|run| run.ends);
        let receives = self.receives.iter().map(|receive| receive.until);
        let visible = self
            .queue
            .next_visible(self.now)
            .filter(|_| !self.receives.is_empty());
        runs.chain(receives)
            .chain(visible)
            .chain(self.poller.next_wakeup())
            .min()
    }

    fn run_until(&mut self, end: Millis) -> Result<(), String> {
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.advance(next)?;
        }
        self.now = end;
        Ok(())
    }

    fn run_until_true(&mut self, reached: impl Fn(&Self) -> bool) -> Result<(), String> {
        let end = self.now + PATIENCE;
        while !reached(self) {
            let next = self.next().filter(|next| *next <= end);
            self.advance(next.ok_or("the case waits for something that never happens")?)?;
        }
        Ok(())
    }

    fn advance(&mut self, to: Millis) -> Result<(), String> {
        self.now = self.now.max(to);
        if self
            .poller
            .next_wakeup()
            .is_some_and(|wakeup| wakeup <= self.now)
        {
            self.handle(Input::Wake)?;
        }
        self.work()
    }
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
