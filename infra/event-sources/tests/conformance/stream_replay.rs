//! Replays the case of a table or of a Kinesis stream in virtual time: the table, the model of the stream, the poller,
//! and the function of the case.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Choices;
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_event_sources::mapping::{
    Change, DestinationKind, Lifecycle, ProcessingResult, StreamKind, StreamMapping,
};
use onewrite_event_sources::shards::{self, ReadError, Stream, StreamSettings};
use onewrite_event_sources::stream::{
    Action, DynamoDbRecord, Input, InvocationId, KinesisRecord, Position, SourceInfo, StreamPoller,
    StreamRecord,
};
use serde_json::{Map, Value, json};

use crate::case::{Case, Function, Step, TableSpec};
use crate::log::{
    EPOCH, Invocation, Log, MAPPING_UUID, OBSERVATION, REGION, RUN, SentFailureRecord,
    sequence_number,
};

pub(crate) fn replay(case: &Case, mapping: StreamMapping) -> Result<Log, String> {
    let mut world = World::new(case, mapping)?;
    for step in &case.input {
        world.step(step)?;
    }
    // A case has no defined end, so it is observed until everything that must not happen would have happened.
    world.run_until(world.now + OBSERVATION)?;
    Ok(world.log)
}

type Item = Map<String, Value>;

struct World<'a> {
    now: Millis,
    /// Missing for a Kinesis stream.
    table: Option<&'a TableSpec>,
    kind: StreamKind,
    function: &'a Function,
    facts: SourceInfo,
    items: BTreeMap<String, Item>,
    stream: Stream,
    iterators: BTreeMap<String, (Position, shards::Iterator)>,
    poller: StreamPoller,
    /// The state of the mapping as the API returns it.
    lifecycle: Lifecycle,
    runs: Vec<Run>,
    log: Log,
}

struct Run {
    invocation: InvocationId,
    request_id: String,
    outcome: InvocationOutcome,
    ends: Millis,
}

impl<'a> World<'a> {
    fn new(case: &'a Case, mapping: StreamMapping) -> Result<Self, String> {
        // A case without a function must never invoke one.
        static NONE: Function = Function::NONE;
        let settings = StreamSettings::new(mapping.kind);
        Ok(Self {
            now: EPOCH,
            table: case.table.as_ref(),
            kind: mapping.kind,
            function: case.function.as_ref().unwrap_or(&NONE),
            facts: SourceInfo {
                arn: mapping.event_source_arn.clone(),
                region: REGION.to_owned(),
                invoke_identity_arn: "arn:aws:iam::111111111111:role/execution".to_owned(),
            },
            items: BTreeMap::new(),
            stream: Stream::new(settings, 1, 0),
            iterators: BTreeMap::new(),
            lifecycle: Lifecycle::new(mapping.enabled),
            poller: StreamPoller::new(mapping, Choices::default_outcomes()),
            runs: Vec::new(),
            log: Log::default(),
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Put { id, item, event } => self.put(id, item, event.as_deref())?,
            Step::PutRecord {
                id,
                data,
                partition_key,
            } => self.put_record(id, data, partition_key),
            Step::CreateMapping { .. }
            | Step::ListMappings {}
            | Step::GetMapping {}
            | Step::DeleteTable {} => {}
            Step::UpdateMapping { set } => {
                self.change(Change::Update {
                    enabled: set.enabled,
                })?;
                if set.enabled == Some(false) {
                    self.handle(Input::Disable)?;
                }
            }
            Step::Wait { seconds } => self.run_until(self.now + (seconds * 1_000.0) as Millis)?,
            Step::WaitUntilEnabled {} => {
                self.change(Change::Settle)?;
                self.handle(Input::Enable)?;
            }
            Step::WaitUntilInvocations { count } => {
                let end = self.now + OBSERVATION;
                while self.log.invocations.len() < *count || !self.runs.is_empty() {
                    let next = self.next().filter(|next| *next <= end);
                    self.advance(next.ok_or("the case waits for something that never happens")?)?;
                }
            }
            Step::Send(_) | Step::PublishVersion { .. } | Step::WaitUntilQueueSize { .. } => {
                return Err(format!("{} is no step of a stream", step.name()));
            }
        }
        let reason = Lifecycle::state_transition_reason(Some(self.kind));
        self.log.note_state(step.name(), self.lifecycle, reason);
        Ok(())
    }

    fn change(&mut self, change: Change) -> Result<(), String> {
        let next = self.lifecycle.apply(change).map_err(|e| e.to_string())?;
        self.lifecycle = next.ok_or("the mapping is gone")?;
        Ok(())
    }

    /// Writes an item. A write without a change creates no record (D5).
    fn put(&mut self, input: &str, item: &Item, recorded: Option<&str>) -> Result<(), String> {
        let table = self.table.ok_or("the case has no table")?;
        let name = &table.partition_key.name;
        let value = item.get(name).ok_or("an item without its key")?;
        let keys = Map::from_iter([(name.clone(), value.clone())]);
        let key = value.to_string();
        let old = self.items.insert(key.clone(), item.clone());
        let event_name = match &old {
            None => "INSERT",
            Some(old) if old == item => return Ok(()),
            Some(_) => "MODIFY",
        };
        if recorded.is_some_and(|recorded| recorded != event_name) {
            return Err(format!("{input} is a {event_name}"));
        }
        let view = table.stream_view_type.as_str();
        let new_image = Some(item.clone()).filter(|_| view.starts_with("NEW"));
        let old_image = old.filter(|_| view.ends_with("OLD_IMAGES") || view == "OLD_IMAGE");
        let images = [Some(&keys), new_image.as_ref(), old_image.as_ref()];
        let size: usize = images.into_iter().flatten().map(size_of_item).sum();
        let (facts, now) = (&self.facts, self.now);
        let (_, number) = self.stream.put(now, &key, |_, number| {
            let record = DynamoDbRecord {
                event_id: format!("{:032x}", now + size as u64),
                event_name: event_name.to_owned(),
                event_version: "1.1".to_owned(),
                created_seconds: now / 1_000,
                keys: Value::Object(keys.clone()),
                new_image: new_image.clone().map(Value::Object),
                old_image: old_image.clone().map(Value::Object),
                sequence_number: number.to_owned(),
                size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
                stream_view_type: view.to_owned(),
                user_identity: None,
            };
            record.encode(facts).event
        });
        self.log.inputs.insert(number, input.to_owned());
        Ok(())
    }

    fn put_record(&mut self, input: &str, data: &str, partition_key: &str) {
        let (facts, now) = (&self.facts, self.now);
        let (_, number) = self.stream.put(now, partition_key, |shard, number| {
            let record = KinesisRecord {
                partition_key: partition_key.to_owned(),
                sequence_number: number.to_owned(),
                data: data.as_bytes().to_vec(),
                arrived: now,
            };
            record.encode(facts, shard).event
        });
        self.log.inputs.insert(number, input.to_owned());
    }

    fn handle(&mut self, input: Input) -> Result<(), String> {
        for action in self.poller.handle(self.now, input) {
            match action {
                Action::ListShards { call } => {
                    let shards = self.stream.list(self.now);
                    self.handle(Input::Shards { call, shards })?;
                }
                Action::Read {
                    call,
                    shard,
                    position,
                    limit,
                } => {
                    let answer = match self.read(&shard, position, limit as usize) {
                        Ok((records, end_of_shard)) => Input::Records {
                            call,
                            records,
                            end_of_shard,
                        },
                        Err(ReadError::Trimmed) => Input::Trimmed { call },
                        Err(_) => Input::ReadFailed { call },
                    };
                    self.handle(answer)?;
                }
                Action::Invoke {
                    invocation,
                    payload,
                    shard: _,
                    sequence_numbers,
                } => self.invoke(invocation, &payload, &sequence_numbers)?,
                Action::SendFailureRecord {
                    call,
                    destination,
                    failure_record,
                    event,
                } => {
                    let key = || failure_record.object_key(MAPPING_UUID, "4f8a9d3e");
                    let (destination, body, object_key) = match destination.kind {
                        DestinationKind::Sqs => ("sqs", failure_record.body(), None),
                        DestinationKind::Sns => ("sns", failure_record.body(), None),
                        DestinationKind::S3 => ("s3", failure_record.object(&event), Some(key())),
                        DestinationKind::Kafka => return Err("no case has Kafka".to_owned()),
                    };
                    self.log.failure_records.push(SentFailureRecord {
                        destination,
                        body,
                        object_key,
                    });
                    self.handle(Input::FailureRecordDelivered { call })?;
                }
                Action::Report(_) => {}
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        shard: &str,
        position: Position,
        limit: usize,
    ) -> Result<(Vec<StreamRecord>, bool), ReadError> {
        let kept = self.iterators.remove(shard);
        let kept = kept.filter(|(at, _)| *at == position).map(|(_, kept)| kept);
        let read = match kept.map(|kept| self.stream.read(self.now, &kept, limit)) {
            Some(Ok(read)) => read,
            Some(Err(_)) | None => {
                let iterator = self.stream.iterator(self.now, shard, &position)?;
                self.stream.read(self.now, &iterator, limit)?
            }
        };
        let end = read.records.last().map_or(position, |last| {
            Position::After(last.sequence_number.clone())
        });
        let end_of_shard = read.next.is_none();
        if let Some(next) = read.next {
            self.iterators.insert(shard.to_owned(), (end, next));
        }
        Ok((read.records, end_of_shard))
    }

    fn invoke(
        &mut self,
        invocation: InvocationId,
        payload: &str,
        sequence_numbers: &[String],
    ) -> Result<(), String> {
        let event: Value = serde_json::from_str(payload).map_err(|e| e.to_string())?;
        let mut records = Vec::new();
        for record in event["Records"]
            .as_array()
            .ok_or("an event without Records")?
        {
            let number = sequence_number(record).as_str();
            let input = self.log.inputs.get(number.unwrap_or_default());
            let input = input.ok_or("a record that was not put")?;
            records.push((input.clone(), record.clone()));
        }
        let delivered: Vec<&str> = records
            .iter()
            .filter_map(|(_, record)| sequence_number(record).as_str())
            .collect();
        if delivered != sequence_numbers {
            return Err("the event and its list of sequence numbers differ".to_owned());
        }
        let run = self.function.run(&event, &records)?;
        self.log.invocations.push(Invocation {
            at: self.now,
            records,
            outcome: run.name,
            response: run.response,
            function_version: None,
            function_setting: None,
        });
        self.runs.push(Run {
            invocation,
            request_id: format!("00000000-0000-4000-8000-{:012}", invocation.0),
            outcome: run.outcome,
            ends: self.now + RUN + self.function.sleep_s * 1_000,
        });
        self.log.most_concurrent = self.log.most_concurrent.max(self.runs.len());
        Ok(())
    }

    /// The next time at which something happens.
    fn next(&self) -> Option<Millis> {
        let runs = self.runs.iter().map(|run| run.ends);
        runs.chain(self.poller.next_wakeup()).min()
    }

    fn run_until(&mut self, end: Millis) -> Result<(), String> {
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.advance(next)?;
        }
        self.now = end;
        Ok(())
    }

    fn advance(&mut self, to: Millis) -> Result<(), String> {
        self.now = self.now.max(to);
        if let Some(n) = self.runs.iter().position(|run| run.ends <= self.now) {
            let Run {
                invocation,
                request_id,
                outcome,
                ends: _,
            } = self.runs.remove(n);
            self.log.last_result = Some(match outcome {
                InvocationOutcome::Response(_) => ProcessingResult::Ok,
                _ => ProcessingResult::Problem,
            });
            return self.handle(Input::Invoked {
                invocation,
                request_id: Some(request_id),
                outcome,
            });
        }
        self.handle(Input::Wake)
    }
}

/// The size of the names and values of an item (DynamoDB developer guide, "Item sizes and formats").
fn size_of_item(item: &Item) -> usize {
    let attributes = item.iter();
    attributes
        .map(|(name, value)| name.len() + size_of(value))
        .sum()
}

fn size_of(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|typed| typed.iter().next()) else {
        return 0;
    };
    let text = value.as_str().unwrap_or_default();
    match kind.as_str() {
        "S" => text.len(),
        "B" => BASE64_STANDARD.decode(text).map_or(0, |bytes| bytes.len()),
        // Two digits per byte, and one byte for sign and exponent.
        "N" => text.trim_start_matches('-').len().div_ceil(2) + 1,
        "BOOL" | "NULL" => 1,
        _ => json!(value).to_string().len(),
    }
}
