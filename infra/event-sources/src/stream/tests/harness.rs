//! A poller with the model of its stream, a function, a destination and virtual time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::Millis;
use crate::choices::Choices;
use crate::failure_record::FailureRecord;
use crate::invocation::InvocationOutcome;
use crate::mapping::{StreamKind, StreamMapping};
use crate::shards::{Iterator, ReadError, Stream, StreamSettings};
use crate::stream::{Action, CallId, Finding, Input, InvocationId, Position, StreamPoller};

/// The start of virtual time; not 0, so that ages do not underflow.
pub(super) const START: Millis = 1_700_000_000_000;

/// One invocation with the labels of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) at: Millis,
    pub(super) shard: String,
    pub(super) labels: Vec<String>,
    pub(super) numbers: Vec<String>,
    pub(super) bytes: usize,
}

impl Invocation {
    pub(super) fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|l| l == label)
    }

    /// The response that these records failed.
    pub(super) fn failing(&self, labels: &[&str]) -> InvocationOutcome {
        let failed = self.labels.iter().zip(&self.numbers);
        let entries: Vec<Value> = failed
            .filter(|(label, _)| labels.contains(&label.as_str()))
            .map(|(_, number)| json!({"itemIdentifier": number}))
            .collect();
        InvocationOutcome::Response(json!({"batchItemFailures": entries}).to_string())
    }
}

pub(super) fn ok() -> InvocationOutcome {
    InvocationOutcome::Response("{}".to_owned())
}

pub(super) fn error() -> InvocationOutcome {
    InvocationOutcome::FunctionError("Unhandled".to_owned())
}

type Function = Rc<RefCell<dyn FnMut(&Invocation) -> InvocationOutcome>>;

pub(super) struct Harness {
    pub(super) now: Millis,
    pub(super) stream: Stream,
    pub(super) poller: StreamPoller,
    pub(super) invocations: Vec<Invocation>,
    pub(super) failure_records: Vec<(FailureRecord, String)>,
    pub(super) findings: Vec<Finding>,
    /// The reads of the poller: time, shard, position and limit.
    pub(super) reads: Vec<(Millis, String, Position, u32)>,
    pub(super) lists: Vec<Millis>,
    /// The duration of an invocation.
    pub(super) run: Millis,
    pub(super) destination_refuses: bool,
    pub(super) destination_is_silent: bool,
    /// How many of the next listings and reads fail.
    pub(super) failing_lists: usize,
    pub(super) failing_reads: usize,
    function: Function,
    iterators: BTreeMap<String, (Position, Iterator)>,
    under_way: Vec<(Millis, Input)>,
    pub(super) most_at_once: usize,
}

/// A mapping whose batches contain everything that is read at once, unless the settings say otherwise.
#[allow(clippy::needless_pass_by_value)]
pub(super) fn mapping(kind: StreamKind, settings: Value) -> StreamMapping {
    let arn = match kind {
        StreamKind::DynamoDb => "arn:aws:dynamodb:eu-west-1:111111111111:table/t/stream/2026",
        StreamKind::Kinesis => "arn:aws:kinesis:eu-west-1:111111111111:stream/s",
    };
    let mut json = json!({
        "UUID": "u-1",
        "FunctionArn": "arn:aws:lambda:eu-west-1:111111111111:function:f",
        "EventSourceArn": arn,
        "StartingPosition": "TRIM_HORIZON",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    });
    for (name, value) in settings.as_object().unwrap() {
        json[name] = value.clone();
    }
    StreamMapping::from_json(&json.to_string()).unwrap()
}

pub(super) fn to_queue(mut settings: Value) -> Value {
    settings["DestinationConfig"] =
        json!({"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:111111111111:dlq"}});
    settings
}

impl Harness {
    /// A stream of one shard and a function that always succeeds.
    pub(super) fn new(kind: StreamKind, settings: Value) -> Self {
        Self::with(kind, settings, Choices::default_outcomes())
    }

    pub(super) fn with(kind: StreamKind, settings: Value, choices: Choices) -> Self {
        let mapping = mapping(kind, settings);
        let stream = Stream::new(StreamSettings::new(kind), 1, choices.seed);
        Self::over(stream, StreamPoller::new(mapping, choices))
    }

    pub(super) fn over(stream: Stream, poller: StreamPoller) -> Self {
        Self {
            now: START,
            stream,
            poller,
            invocations: Vec::new(),
            failure_records: Vec::new(),
            findings: Vec::new(),
            reads: Vec::new(),
            lists: Vec::new(),
            run: 10,
            destination_refuses: false,
            destination_is_silent: false,
            failing_lists: 0,
            failing_reads: 0,
            function: Rc::new(RefCell::new(|_: &Invocation| ok())),
            iterators: BTreeMap::new(),
            under_way: Vec::new(),
            most_at_once: 0,
        }
    }

    pub(super) fn function(
        mut self,
        f: impl FnMut(&Invocation) -> InvocationOutcome + 'static,
    ) -> Self {
        self.function = Rc::new(RefCell::new(f));
        self
    }

    /// Puts a record with this label, which is also its key.
    pub(super) fn put(&mut self, label: &str) -> (String, String) {
        self.put_keyed(label, label)
    }

    pub(super) fn put_keyed(&mut self, key: &str, label: &str) -> (String, String) {
        self.put_padded(key, label, 0)
    }

    pub(super) fn put_padded(&mut self, key: &str, label: &str, pad: usize) -> (String, String) {
        let event = |_: &str, number: &str| {
            json!({"label": label, "number": number, "eventName": "INSERT", "pad": "x".repeat(pad)})
                .to_string()
        };
        self.stream.put(self.now, key, event)
    }

    pub(super) fn put_all(&mut self, labels: &[&str]) {
        for label in labels {
            self.put(label);
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        let actions = self.poller.handle(self.now, input);
        for action in actions {
            self.perform(action);
        }
        self.most_at_once = self.most_at_once.max(self.poller.in_flight().invocations);
    }

    pub(super) fn enable(&mut self) {
        self.input(Input::Enable);
    }

    /// Advances the clock.
    pub(super) fn pass(&mut self, millis: Millis) {
        let until = self.now + millis;
        for _ in 0..1_000_000 {
            let answer = self.under_way.iter().map(|(at, _)| *at).min();
            let Some(next) = answer.into_iter().chain(self.poller.next_wakeup()).min() else {
                break;
            };
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            self.stream.trim(self.now);
            match self.under_way.iter().position(|(at, _)| *at <= self.now) {
                Some(index) => {
                    let (_, input) = self.under_way.remove(index);
                    self.input(input);
                }
                None => self.input(Input::Wake),
            }
        }
        self.now = until;
    }

    /// Loses the poller and everything it has in flight.
    pub(super) fn lose_poller(&mut self, mapping: StreamMapping, choices: Choices) {
        self.under_way.clear();
        self.iterators.clear();
        self.poller = StreamPoller::resume(mapping, choices, &self.poller.checkpoints());
    }

    pub(super) fn batches(&self) -> Vec<String> {
        let join = |invocation: &Invocation| invocation.labels.join("");
        self.invocations.iter().map(join).collect()
    }

    pub(super) fn times(&self) -> Vec<Millis> {
        self.invocations
            .iter()
            .map(|invocation| invocation.at - START)
            .collect()
    }

    /// The condition, number of invocations and labels of each failure record.
    pub(super) fn failure_records_sent(&self) -> Vec<(String, u64, String)> {
        let read = |(failure_record, event): &(FailureRecord, String)| {
            let condition = failure_record.body()["requestContext"]["condition"].clone();
            let condition = condition.as_str().unwrap().to_owned();
            let labels = labels(event).into_iter().map(|(label, _)| label);
            (
                condition,
                failure_record.approximate_invoke_count,
                labels.collect(),
            )
        };
        self.failure_records.iter().map(read).collect()
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::ListShards { call } => self.list(call),
            Action::Read {
                call,
                shard,
                position,
                limit,
            } => {
                let read = (self.now, shard.clone(), position.clone(), limit);
                self.reads.push(read);
                let failed = self.failing_reads > 0;
                self.failing_reads = self.failing_reads.saturating_sub(1);
                let answer = match self.read(&shard, position, limit) {
                    _ if failed => Input::ReadFailed { call },
                    Ok((records, end_of_shard)) => Input::Records {
                        call,
                        records,
                        end_of_shard,
                    },
                    Err(ReadError::Trimmed) => Input::Trimmed { call },
                    Err(_) => Input::ReadFailed { call },
                };
                self.under_way.push((self.now, answer));
            }
            Action::Invoke {
                invocation,
                payload,
                shard,
                sequence_numbers,
            } => self.invoke(invocation, &payload, shard, &sequence_numbers),
            Action::SendFailureRecord {
                call,
                failure_record,
                event,
                destination: _,
            } => {
                self.failure_records.push((*failure_record, event));
                let answer = if self.destination_refuses {
                    Input::FailureRecordRejected { call }
                } else {
                    Input::FailureRecordDelivered { call }
                };
                if !self.destination_is_silent {
                    self.under_way.push((self.now, answer));
                }
            }
            Action::Report(finding) => self.findings.push(finding),
        }
    }

    fn list(&mut self, call: CallId) {
        self.lists.push(self.now);
        let failed = self.failing_lists > 0;
        self.failing_lists = self.failing_lists.saturating_sub(1);
        let answer = if failed {
            Input::ListFailed { call }
        } else {
            let shards = self.stream.list(self.now);
            Input::Shards { call, shards }
        };
        self.under_way.push((self.now, answer));
    }

    fn invoke(
        &mut self,
        invocation: InvocationId,
        payload: &str,
        shard: String,
        sequence_numbers: &[String],
    ) {
        let labels = labels(payload);
        let numbers: Vec<String> = labels.iter().map(|(_, n)| n.clone()).collect();
        assert_eq!(numbers, sequence_numbers, "the event is of these records");
        let seen = Invocation {
            at: self.now,
            shard,
            labels: labels.into_iter().map(|(label, _)| label).collect(),
            numbers,
            bytes: payload.len(),
        };
        let outcome = (self.function.borrow_mut())(&seen);
        self.invocations.push(seen);
        let request_id = Some(format!("request-{}", self.invocations.len()));
        let answer = Input::Invoked {
            invocation,
            request_id,
            outcome,
        };
        self.under_way.push((self.now + self.run, answer));
    }

    /// Continues with the current iterator unless it has expired, as a driver must.
    fn read(
        &mut self,
        shard: &str,
        position: Position,
        limit: u32,
    ) -> Result<(Vec<crate::stream::StreamRecord>, bool), ReadError> {
        let kept = self.iterators.remove(shard);
        let kept = kept.filter(|(at, _)| *at == position).map(|(_, kept)| kept);
        let limit = limit as usize;
        let read = match kept.map(|kept| self.stream.read(self.now, &kept, limit)) {
            Some(Ok(read)) => read,
            Some(Err(ReadError::Trimmed)) => return Err(ReadError::Trimmed),
            Some(Err(_)) | None => {
                let iterator = self.stream.iterator(self.now, shard, &position)?;
                self.stream.read(self.now, &iterator, limit)?
            }
        };
        let last = read.records.last();
        let end = last.map_or(position, |last| {
            Position::After(last.sequence_number.clone())
        });
        let end_of_shard = read.next.is_none();
        if let Some(next) = read.next {
            self.iterators.insert(shard.to_owned(), (end, next));
        }
        Ok((read.records, end_of_shard))
    }
}

fn labels(event: &str) -> Vec<(String, String)> {
    let event: Value = serde_json::from_str(event).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let records = event["Records"].as_array().unwrap();
    records
        .iter()
        .map(|record| (text(&record["label"]), text(&record["number"])))
        .collect()
}
