//! A poller, its queue and its function on one virtual clock. The harness performs the poller's actions at once,
//! except that receives wait for messages and the function takes time.
//!
//! The replay of recorded cases (`tests/conformance`) uses this file too, so it names the crate as a user does.

use std::collections::{BTreeMap, BTreeSet};

use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::{Choices, Mixer};
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_event_sources::mapping::SqsMapping;
use onewrite_event_sources::queue::{DeleteResult, NewMessage, Queue, QueueSettings, Redrive};
use onewrite_event_sources::sqs::{
    Action, CallId, Finding, Input, InvocationId, QueueInfo, SqsPoller,
};
use serde_json::Value;

pub(super) const SECOND: Millis = 1_000;
/// The start of virtual time; its value does not matter.
pub(super) const START: Millis = 1_700_000_000_000;

/// The event of one invocation.
pub(super) struct Event {
    pub(super) records: Vec<Value>,
}

impl Event {
    pub(super) fn read(payload: &str) -> Self {
        let event: Value = serde_json::from_str(payload).unwrap();
        assert_eq!(
            event.as_object().unwrap().len(),
            1,
            "an event is its Records alone"
        );
        Self {
            records: event["Records"].as_array().unwrap().clone(),
        }
    }

    fn texts(&self, key: &str) -> Vec<String> {
        self.records
            .iter()
            .map(|record| record[key].as_str().unwrap().to_owned())
            .collect()
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.texts("body")
    }

    pub(super) fn message_ids(&self) -> Vec<String> {
        self.texts("messageId")
    }

    pub(super) fn receive_counts(&self) -> Vec<String> {
        let count = |record: &Value| {
            record["attributes"]["ApproximateReceiveCount"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        self.records.iter().map(count).collect()
    }
}

/// An invocation, in the order they began.
pub(super) struct ObservedInvocation {
    pub(super) at: Millis,
    pub(super) until: Millis,
    pub(super) event: Event,
    /// Whether the dead-letter queue had messages.
    pub(super) after_dead_letter: bool,
}

impl ObservedInvocation {
    pub(super) fn bodies(&self) -> Vec<String> {
        self.event.bodies()
    }
}

struct Waiting {
    call: CallId,
    max: u32,
    visibility_timeout: Millis,
    until: Millis,
}

type Function = Box<dyn FnMut(Millis, &Event) -> (InvocationOutcome, Millis)>;

pub(super) struct Harness {
    pub(super) now: Millis,
    pub(super) poller: SqsPoller,
    pub(super) queue: Queue,
    pub(super) seen: Vec<ObservedInvocation>,
    pub(super) findings: Vec<(Millis, Finding)>,
    /// The ids of all messages that the poller asked to delete, and when.
    pub(super) deleted: Vec<(Millis, String)>,
    /// Every receive of the poller.
    pub(super) receives: Vec<Action>,
    /// When the visibility timeout of each receipt handle ends.
    pub(super) hidden_until: BTreeMap<String, Millis>,
    /// The maximum number of concurrent invocations.
    pub(super) peak: usize,
    /// If set, some receives and deletes fail, with or without effect.
    pub(super) faults: Option<Mixer>,
    waiting: Vec<Waiting>,
    running: BTreeMap<InvocationId, (Millis, InvocationOutcome)>,
    function: Function,
}

/// Creates a mapping with these settings and the defaults of AWS.
pub(super) fn mapping(fifo: bool, settings: Value) -> SqsMapping {
    let name = if fifo { "queue.fifo" } else { "queue" };
    let mut json = settings;
    json["EventSourceArn"] = format!("arn:aws:sqs:us-east-1:000000000000:{name}").into();
    json["FunctionName"] = "function".into();
    SqsMapping::from_json(&json.to_string()).unwrap()
}

pub(super) fn reporting() -> Value {
    serde_json::json!({ "FunctionResponseTypes": ["ReportBatchItemFailures"] })
}

/// A partial batch response with these message ids.
pub(super) fn failures<'a>(ids: impl IntoIterator<Item = &'a String>) -> InvocationOutcome {
    let entries: Vec<Value> = ids
        .into_iter()
        .map(|id| serde_json::json!({ "itemIdentifier": id }))
        .collect();
    InvocationOutcome::Response(serde_json::json!({ "batchItemFailures": entries }).to_string())
}

pub(super) fn success() -> InvocationOutcome {
    InvocationOutcome::Response("null".to_owned())
}

pub(super) fn error() -> InvocationOutcome {
    InvocationOutcome::FunctionError("Unhandled".to_owned())
}

/// A standard queue with this visibility timeout and default settings.
pub(super) fn standard(visibility_timeout: Millis) -> QueueSettings {
    QueueSettings {
        visibility_timeout,
        ..QueueSettings::standard()
    }
}

/// A FIFO queue with this visibility timeout and default settings.
pub(super) fn fifo(visibility_timeout: Millis) -> QueueSettings {
    QueueSettings {
        visibility_timeout,
        ..QueueSettings::fifo()
    }
}

impl Harness {
    /// Creates a harness whose poller is not enabled yet.
    pub(super) fn new(
        queue: QueueSettings,
        settings: Value,
        choices: Choices,
        function: impl FnMut(Millis, &Event) -> (InvocationOutcome, Millis) + 'static,
    ) -> Self {
        let mapping = mapping(queue.fifo, settings);
        Self::over(queue, mapping, 3, choices, function)
    }

    /// Creates a harness from a whole mapping.
    pub(super) fn over(
        queue: QueueSettings,
        mapping: SqsMapping,
        function_timeout_seconds: u32,
        choices: Choices,
        function: impl FnMut(Millis, &Event) -> (InvocationOutcome, Millis) + 'static,
    ) -> Self {
        let facts = QueueInfo {
            arn: queue.arn.clone(),
            region: "us-east-1".to_owned(),
            fifo: queue.fifo,
            visibility_timeout_seconds: (queue.visibility_timeout / SECOND) as u32,
            function_timeout_seconds,
        };
        Self {
            now: START,
            poller: SqsPoller::new(mapping, facts, choices),
            queue: Queue::new(queue),
            seen: Vec::new(),
            findings: Vec::new(),
            deleted: Vec::new(),
            receives: Vec::new(),
            hidden_until: BTreeMap::new(),
            peak: 0,
            faults: None,
            waiting: Vec::new(),
            running: BTreeMap::new(),
            function: Box::new(function),
        }
    }

    /// Creates a harness with the default choices and a function that ends at once.
    pub(super) fn instant(
        queue: QueueSettings,
        settings: Value,
        mut function: impl FnMut(&Event) -> InvocationOutcome + 'static,
    ) -> Self {
        Self::new(
            queue,
            settings,
            Choices::default_outcomes(),
            move |_, event| (function(event), 0),
        )
    }

    /// Sends these bodies and returns their message ids.
    pub(super) fn send(&mut self, bodies: &[&str]) -> Vec<String> {
        bodies
            .iter()
            .map(|body| self.send_one(NewMessage::new(*body)))
            .collect()
    }

    /// Sends these bodies to one message group and returns their message ids.
    pub(super) fn send_group(&mut self, group: &str, bodies: &[&str]) -> Vec<String> {
        bodies
            .iter()
            .map(|body| self.send_one(NewMessage::in_group(group, *body)))
            .collect()
    }

    pub(super) fn send_one(&mut self, outgoing: NewMessage) -> String {
        self.queue.send(self.now, outgoing).unwrap().message_id
    }

    /// Changes the visibility of a message that the function has received, as the function would.
    pub(super) fn change_visibility(&mut self, body: &str, timeout: Millis) {
        let mut records = self.seen.iter().flat_map(|seen| &seen.event.records);
        let latest = records.rfind(|record| record["body"] == body);
        let handle = latest.unwrap()["receiptHandle"].as_str().unwrap();
        self.queue
            .change_visibility(self.now, handle, timeout)
            .unwrap();
    }

    pub(super) fn enable(&mut self) {
        self.input(Input::Enable);
    }

    /// Enables the poller and advances the clock.
    pub(super) fn run(&mut self, time: Millis) {
        self.enable();
        self.pass(time);
    }

    pub(super) fn input(&mut self, input: Input) {
        let actions = self.poller.handle(self.now, input);
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Receive {
                call,
                max_messages,
                wait_seconds,
                visibility_timeout_seconds,
            } => {
                self.waiting.push(Waiting {
                    call,
                    max: max_messages,
                    visibility_timeout: Millis::from(visibility_timeout_seconds) * SECOND,
                    until: self.now + Millis::from(wait_seconds) * SECOND,
                });
                self.receives.push(action);
            }
            Action::Invoke {
                invocation,
                payload,
                message_ids,
            } => {
                let event = Event::read(&payload);
                assert_eq!(event.message_ids(), message_ids);
                let (outcome, takes) = (self.function)(self.now, &event);
                let until = self.now + takes;
                self.running.insert(invocation, (until, outcome));
                self.peak = self.peak.max(self.running.len());
                let dead_letters = self.queue.dead_letter_queue();
                self.seen.push(ObservedInvocation {
                    at: self.now,
                    until,
                    event,
                    after_dead_letter: dead_letters.is_some_and(|queue| !queue.is_empty()),
                });
            }
            Action::Delete { call, entries } => {
                assert!(entries.len() <= 10, "a delete takes ten messages");
                let mut failed = Vec::new();
                for entry in entries {
                    self.deleted.push((self.now, entry.message_id.clone()));
                    let lost = self.fault() && self.fault();
                    if lost
                        || self.queue.delete(self.now, &entry.receipt_handle)
                            == DeleteResult::Rejected
                        || self.fault()
                    {
                        failed.push(entry.message_id);
                    }
                }
                if failed.is_empty() {
                    self.input(Input::Deleted { call });
                } else {
                    self.input(Input::DeleteFailed {
                        call,
                        message_ids: failed,
                    });
                }
            }
            Action::Report(finding) => self.findings.push((self.now, finding)),
        }
    }

    /// Advances the clock.
    pub(super) fn pass(&mut self, time: Millis) {
        let end = self.now + time;
        self.pass_until(time, |_| false);
        self.now = end;
        self.input(Input::Wake);
        while self.step() {}
    }

    /// Advances the clock until something is true. Returns whether that is so before the time has passed.
    pub(super) fn pass_until(&mut self, time: Millis, reached: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        loop {
            while self.step() {}
            if reached(self) {
                return true;
            }
            match self.next_event() {
                Some(next) if next <= end => self.now = next,
                _ => return false,
            }
            self.input(Input::Wake);
        }
    }

    /// Performs one step that is due now.
    fn step(&mut self) -> bool {
        let ended = self
            .running
            .iter()
            .find(|(_, (until, _))| *until <= self.now)
            .map(|(id, _)| *id);
        if let Some(invocation) = ended {
            let (_, outcome) = self.running.remove(&invocation).unwrap();
            self.input(Input::Invoked {
                invocation,
                outcome,
            });
            return true;
        }
        for index in 0..self.waiting.len() {
            let Waiting {
                call,
                max,
                visibility_timeout,
                until,
            } = self.waiting[index];
            let messages = self.queue.receive_for(self.now, max, visibility_timeout);
            if messages.is_empty() && self.now < until {
                continue;
            }
            self.waiting.remove(index);
            if self.fault() {
                self.input(Input::ReceiveFailed { call });
                return true;
            }
            for message in &messages {
                self.hidden_until.insert(
                    message.receipt_handle.clone(),
                    self.now + visibility_timeout,
                );
            }
            self.input(Input::Received { call, messages });
            return true;
        }
        false
    }

    fn fault(&mut self) -> bool {
        self.faults.as_mut().is_some_and(|mixer| mixer.one_in(8))
    }

    fn next_event(&self) -> Option<Millis> {
        let visible = self
            .queue
            .next_visible(self.now)
            .filter(|_| !self.waiting.is_empty());
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        let running = self.running.values().map(|(until, _)| *until);
        waiting
            .chain(running)
            .chain(visible)
            .chain(self.poller.next_wakeup())
            .min()
    }

    /// The number of running invocations.
    pub(super) fn concurrent(&self) -> usize {
        self.running.len()
    }

    /// The bodies of each event, in the order of the invocations.
    pub(super) fn batches(&self) -> Vec<Vec<String>> {
        self.seen.iter().map(ObservedInvocation::bodies).collect()
    }

    pub(super) fn batch_sizes(&self) -> Vec<usize> {
        self.seen
            .iter()
            .map(|seen| seen.event.records.len())
            .collect()
    }

    /// Start times since the start of the harness.
    pub(super) fn times(&self) -> Vec<Millis> {
        self.seen.iter().map(|seen| seen.at - START).collect()
    }

    pub(super) fn deleted_ids(&self) -> BTreeSet<String> {
        self.deleted.iter().map(|(_, id)| id.clone()).collect()
    }

    pub(super) fn dead_letters(&self) -> Vec<String> {
        self.queue
            .dead_letter_queue()
            .unwrap()
            .message_ids()
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn found(&self, wanted: impl Fn(&Finding) -> bool) -> usize {
        self.findings
            .iter()
            .filter(|(_, finding)| wanted(finding))
            .count()
    }
}

pub(super) fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

/// A body of a million bytes; six of them fill an event.
pub(super) fn megabyte(digit: u32) -> String {
    digit.to_string() + &"x".repeat(999_999)
}

pub(super) fn with_dead_letters(visibility_timeout: u64, max_receive_count: u32) -> QueueSettings {
    let retention = QueueSettings::standard().retention;
    QueueSettings {
        redrive: Some(Redrive {
            max_receive_count,
            retention,
        }),
        ..standard(visibility_timeout)
    }
}

pub(super) fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

pub(super) fn send_numbered(harness: &mut Harness, count: usize) -> Vec<String> {
    harness.send(
        &numbered(count)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    )
}

/// Is throttled at first, then succeeds.
pub(super) fn throttled_times(times: usize) -> impl FnMut(&Event) -> InvocationOutcome {
    let mut left = times;
    move |_| {
        if left == 0 {
            return success();
        }
        left -= 1;
        InvocationOutcome::Throttled
    }
}
