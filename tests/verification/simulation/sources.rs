//! Executes the requests of the pollers (receive, delete, list, read, invoke) and reports the results to them.

use std::time::Duration;

use futures::FutureExt as _;
use onewrite_event_sources::Millis;
use onewrite_event_sources::failure_record::FailureRecord;
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_event_sources::queue::DeleteResult;
use onewrite_event_sources::report::{self, Report};
use onewrite_event_sources::sqs;
use onewrite_event_sources::stream::{self, KinesisRecord, Position, ShardDescription};
use onewrite_testing::{Change, lambda_event};
use serde_json::Value;

use crate::bugs::Bug;
use crate::clock;
use crate::fault_plan::FaultKind;
use crate::functions::{Call, Response, Variant};
use crate::invariants::{CheckResult, Consumer, Violation};
use crate::pending::{Due, Job, JobTarget, Receive, end, tail};
use crate::process::{self, InvocationEnd};
use crate::settings::{self, CALL_TIME, FUNCTION_TIMEOUT, VISIBILITY};
use crate::world::{World, short};

/// Index of the mapping of `forward` in `World::sources`. Two consumers of Kinesis follow it.
const FORWARD: usize = 0;

/// One invocation as the poller passes it to the service.
struct Invocation {
    target: JobTarget,
    event: String,
    /// The name of an item's identifier in the event, and the JSON pointer to it.
    identifier: &'static str,
}

impl World {
    /// Answers one receive request that has messages or has waited long enough. Returns false if there is none.
    pub(crate) fn receive(&mut self, now: Millis) -> Result<bool, Violation> {
        let receivable = self.queue.has_receivable(now);
        let mut receives = self.receives.iter();
        let Some(index) = receives.position(|receive| receivable || receive.until <= now) else {
            return Ok(false);
        };
        let receive = &self.receives[index];
        let (call, is_over) = (receive.call, receive.until <= now);
        let messages = self.queue.receive_for(now, receive.max, receive.visibility);
        if is_over || !messages.is_empty() {
            self.receives.remove(index);
            self.handle_queue_input(sqs::Input::Received { call, messages })?;
        }
        Ok(true)
    }

    pub(crate) fn handle_queue_input(&mut self, input: sqs::Input) -> CheckResult {
        let now = clock::now();
        for action in self.queue_poller.handle(now, input) {
            match action {
                sqs::Action::Receive { call, .. }
                    if self.fault_plan.occurs(FaultKind::QueueReceiveFails) =>
                {
                    self.schedule(now, Due::Queue(sqs::Input::ReceiveFailed { call }));
                }
                sqs::Action::Receive {
                    call,
                    max_messages,
                    wait_seconds,
                    visibility_timeout_seconds,
                } => self.receives.push(Receive {
                    call,
                    max: max_messages,
                    visibility: Millis::from(visibility_timeout_seconds) * 1_000,
                    until: now + Millis::from(wait_seconds) * 1_000,
                }),
                sqs::Action::Invoke {
                    invocation,
                    payload,
                    message_ids,
                } => {
                    self.invoke(Invocation {
                        target: JobTarget::Queue {
                            invocation,
                            message_ids,
                        },
                        event: payload,
                        identifier: "/messageId",
                    });
                }
                sqs::Action::Delete { call, entries } => {
                    let mut message_ids = Vec::new();
                    for entry in entries {
                        self.invariants.check_deleted(&entry.message_id)?;
                        let fails = self.fault_plan.occurs(FaultKind::QueueDeleteFails);
                        if fails
                            || self.queue.delete(now, &entry.receipt_handle)
                                == DeleteResult::Rejected
                        {
                            message_ids.push(entry.message_id);
                        }
                    }
                    let response = if message_ids.is_empty() {
                        sqs::Input::Deleted { call }
                    } else {
                        sqs::Input::DeleteFailed { call, message_ids }
                    };
                    self.schedule(now, Due::Queue(response));
                }
                sqs::Action::Report(_) => {}
            }
        }
        Ok(())
    }

    pub(crate) fn handle_source_input(
        &mut self,
        which: usize,
        input: stream::Input,
    ) -> CheckResult {
        let now = clock::now();
        for action in self.sources[which].poller.handle(now, input) {
            match action {
                stream::Action::ListShards { call } => {
                    let response = if self.fault_plan.occurs(FaultKind::StreamReadFails) {
                        stream::Input::ListFailed { call }
                    } else {
                        let shards = self.list(which);
                        stream::Input::Shards { call, shards }
                    };
                    self.schedule(now, Due::Source(which, response));
                }
                stream::Action::Read {
                    call,
                    shard,
                    position,
                    limit,
                } => {
                    let response = if self.fault_plan.occurs(FaultKind::StreamReadFails) {
                        stream::Input::ReadFailed { call }
                    } else {
                        self.read(which, call, &shard, &position, limit as usize)
                    };
                    self.schedule(now, Due::Source(which, response));
                }
                stream::Action::Invoke {
                    invocation,
                    payload,
                    sequence_numbers,
                    ..
                } => {
                    let identifier = if which == FORWARD {
                        "/dynamodb/SequenceNumber"
                    } else {
                        "/kinesis/sequenceNumber"
                    };
                    self.invoke(Invocation {
                        target: JobTarget::Source {
                            which,
                            invocation,
                            numbers: sequence_numbers,
                        },
                        event: payload,
                        identifier,
                    });
                }
                stream::Action::SendFailureRecord {
                    call,
                    failure_record,
                    event,
                    ..
                } => {
                    self.discard(which, &failure_record, &event);
                    let delivered = stream::Input::FailureRecordDelivered { call };
                    self.schedule(now, Due::Source(which, delivered));
                }
                stream::Action::Report(_) => {}
            }
        }
        Ok(())
    }

    /// Notes that a mapping gave up on a batch and sent it to its failure destination.
    fn discard(&mut self, which: usize, failure_record: &FailureRecord, event: &str) {
        self.failures.push(failure_record.object(event));
        let (first, last) = (
            &failure_record.start_sequence_number,
            &failure_record.end_sequence_number,
        );
        self.note(None, || {
            let (first, last) = (tail(Some(first)), tail(Some(last)));
            format!(
                "{} discards a batch of {}, {first} to {last}",
                name(which),
                failure_record.shard_id
            )
        });
        self.invariants
            .record_discarded(consumer(which), &failure_record.shard_id, first, last);
    }

    fn list(&self, which: usize) -> Vec<ShardDescription> {
        let mut shards = if which == FORWARD {
            self.table_stream.list(clock::now())
        } else {
            let shards = self.parts.stream.describe();
            let shard = |(id, parent): (String, Option<String>)| ShardDescription {
                id,
                parents: parent.into_iter().collect(),
            };
            shards.into_iter().map(shard).collect()
        };
        if self.bug == Some(Bug::ChildBeforeParent) {
            shards.iter_mut().for_each(|shard| shard.parents.clear());
        }
        shards
    }

    fn read(
        &mut self,
        which: usize,
        call: stream::CallId,
        shard: &str,
        position: &Position,
        limit: usize,
    ) -> stream::Input {
        let now = clock::now();
        if which == FORWARD {
            let iterator = self.table_stream.iterator(now, shard, position);
            let read = iterator.and_then(|iterator| self.table_stream.read(now, &iterator, limit));
            return match read {
                Ok(read) => stream::Input::Records {
                    call,
                    records: read.records,
                    end_of_shard: read.next.is_none(),
                },
                Err(_trimmed) => stream::Input::Trimmed { call },
            };
        }
        let after = match position {
            Position::After(number) => Some(number.as_str()),
            _ => None,
        };
        let (records, end_of_shard) = self.parts.stream.read(shard, after, limit).unwrap();
        let source = settings::kinesis_facts();
        let records = records.into_iter().map(|stored| {
            KinesisRecord {
                partition_key: stored.record.id.to_string(),
                sequence_number: stored.sequence_number,
                data: stored.record.data,
                arrived: now,
            }
            .encode(&source, shard)
        });
        stream::Input::Records {
            call,
            records: records.collect(),
            end_of_shard,
        }
    }

    /// Appends a change to the table's stream. Returns its shard and its sequence number.
    pub(crate) fn stream_change(&mut self, change: &Change) -> (String, String) {
        let changes = std::slice::from_ref(change);
        let mut record: Value = lambda_event::dynamodb_json(changes)["Records"][0].take();
        self.table_stream
            .put(clock::now(), &change.id, |_, number| {
                record["dynamodb"]["SequenceNumber"] = number.into();
                record.to_string()
            })
    }

    /// Invokes a function as the service does: the invocation is throttled, completes, or crashes.
    fn invoke(&mut self, invocation: Invocation) {
        let Invocation {
            target,
            mut event,
            identifier,
        } = invocation;
        self.note_batch(&target, "gets");
        let fault_plan = &self.fault_plan;
        let not_run = if fault_plan.occurs(FaultKind::FunctionThrottled) {
            Some(InvocationOutcome::Throttled)
        } else if fault_plan.occurs(FaultKind::FunctionInvocationError) {
            Some(InvocationOutcome::InvocationError("503".to_owned()))
        } else {
            None
        };
        if let Some(outcome) = not_run {
            let due = result_input(&target, outcome);
            return self.schedule(clock::now() + 5, due);
        }
        let crash_at = fault_plan
            .occurs(FaultKind::FunctionCrashes)
            .then(|| fault_plan.draw(FaultKind::FunctionCrashes, 8));
        let time = self.time_of(&target);
        let is_incomplete = fault_plan.occurs(FaultKind::IdentifierMissing);
        if is_incomplete {
            let place = fault_plan.draw(FaultKind::IdentifierMissing, 100) as usize;
            event = without_identifier(&event, identifier, place);
        }
        let call = Call {
            event,
            time,
            variant: Variant {
                is_other_version: fault_plan.occurs(FaultKind::FunctionOtherVersion),
                mapping: target.mapping(),
            },
        };
        let function = match &target {
            JobTarget::Queue { .. } => &self.functions.ingest,
            JobTarget::Source { which, .. } if *which == FORWARD => &self.functions.forward,
            JobTarget::Source { .. } => &self.functions.complete,
        };
        let handled = function(call);
        let poller = self.pollers[target.mapping()];
        let job = Job { target, poller };
        let run = async move {
            let ended = process::run(handled, time, crash_at).await;
            let ended = match ended {
                // If an identifier is missing, the function cannot report failed items, so an error is the right response.
                InvocationEnd::Responded(Err(_)) if is_incomplete => InvocationEnd::Crashed,
                ended => ended,
            };
            (job, ended)
        };
        self.running.push(run.boxed_local());
    }

    /// The time that an invocation has left when it starts.
    fn time_of(&self, target: &JobTarget) -> Duration {
        let fault_plan = &self.fault_plan;
        let draw = |bound| fault_plan.draw(FaultKind::FunctionTimeShort, bound);
        let is_short = fault_plan.occurs(FaultKind::FunctionTimeShort);
        let time = match target {
            JobTarget::Queue { .. } if is_short => 501 + draw(300),
            JobTarget::Queue { .. } => FUNCTION_TIMEOUT,
            // There may be too little time to begin a call of a target, or just enough.
            JobTarget::Source { .. } if is_short => 501 + draw(2) * CALL_TIME + draw(300),
            JobTarget::Source { .. } => self.stream_function_timeout,
        };
        Duration::from_millis(time)
    }

    /// Adds an entry to the history of every notification in a batch.
    fn note_batch(&mut self, target: &JobTarget, what: &str) {
        if !self.keeps_history {
            return;
        }
        let function = name(target.mapping());
        let (ids, batch) = match target {
            JobTarget::Queue { message_ids, .. } => {
                let ids = self.invariants.ids_of_messages(message_ids);
                let short: Vec<&str> = message_ids.iter().map(|id| short(id)).collect();
                (ids, short.join(" "))
            }
            JobTarget::Source { which, numbers, .. } => {
                let ids = self.invariants.ids_of_records(consumer(*which), numbers);
                let (first, last) = (tail(numbers.first()), tail(numbers.last()));
                (ids, format!("{first} to {last}"))
            }
        };
        self.note_for(ids, format!("{function}, {batch}: {what}"));
    }

    /// Handles the end of an invocation.
    pub(crate) fn handle_end(&mut self, job: Job, ended: InvocationEnd<Response>) -> CheckResult {
        let Job { target, poller } = job;
        let function = name(target.mapping());
        let is_awaited = self.pollers[target.mapping()] == poller;
        self.note_batch(&target, &describe(&ended));
        let failed = || InvocationOutcome::FunctionError("Unhandled".to_owned());
        let now = clock::now();
        let (outcome, at) = match ended {
            InvocationEnd::Panicked => {
                let what = format!("{function}: a panic failed the whole batch");
                return Err(Violation::without_id("Isolation", what));
            }
            InvocationEnd::TimedOut => {
                let what = format!("{function}: no response before the deadline");
                return Err(Violation::without_id("Totality", what));
            }
            InvocationEnd::Responded(Err(error)) => {
                let what = format!("{function} returned an error without a fault: {error}");
                return Err(Violation::without_id("Totality", what));
            }
            InvocationEnd::Crashed => (failed(), now),
            InvocationEnd::Responded(Ok(_))
                if self.fault_plan.occurs(FaultKind::FunctionResponseLost) =>
            {
                (failed(), now)
            }
            InvocationEnd::Responded(Ok(response)) => {
                if let JobTarget::Source { which, numbers, .. } = &target {
                    self.check_isolation(*which, numbers)?;
                    self.invariants
                        .check_confirmed(consumer(*which), confirmed(&response, numbers))?;
                }
                let is_late = matches!(target, JobTarget::Queue { .. })
                    && self.fault_plan.occurs(FaultKind::FunctionResponseLate);
                let delay = Millis::from(is_late) * (VISIBILITY + 1_000);
                (InvocationOutcome::Response(response), now + delay)
            }
        };
        if is_awaited {
            self.schedule(at, result_input(&target, outcome));
        }
        Ok(())
    }
}

fn result_input(target: &JobTarget, outcome: InvocationOutcome) -> Due {
    match target {
        JobTarget::Queue { invocation, .. } => Due::Queue(sqs::Input::Invoked {
            invocation: *invocation,
            outcome,
        }),
        JobTarget::Source {
            which, invocation, ..
        } => Due::Source(
            *which,
            stream::Input::Invoked {
                invocation: *invocation,
                request_id: None,
                outcome,
            },
        ),
    }
}

/// The part of a batch that the response confirms.
fn confirmed<'a>(response: &str, numbers: &'a [String]) -> &'a [String] {
    match report::read(response, true, numbers) {
        Report::AllSucceeded => numbers,
        Report::WholeBatchFailed(_) => &[],
        Report::Partial(failures) => {
            let lowest = failures.lowest_sequence_number();
            let end = numbers.iter().position(|number| number == lowest);
            &numbers[..end.unwrap_or(0)]
        }
    }
}

/// Removes one identifier from the event.
fn without_identifier(event: &str, pointer: &str, place: usize) -> String {
    let mut event: Value = serde_json::from_str(event).unwrap();
    let records = event["Records"].as_array_mut().unwrap();
    let place = place % records.len();
    if let Some(identifier) = records[place].pointer_mut(pointer) {
        *identifier = if place.is_multiple_of(2) {
            Value::Null
        } else {
            "".into()
        };
    }
    event.to_string()
}

fn consumer(which: usize) -> Consumer {
    if which == FORWARD {
        Consumer::Forward
    } else {
        Consumer::Complete
    }
}

fn name(which: usize) -> &'static str {
    ["forward", "complete", "another complete", "ingest"][which]
}

/// Describes the end of an invocation for the history.
fn describe(ended: &InvocationEnd<Response>) -> String {
    match ended {
        InvocationEnd::Responded(Ok(response)) => {
            let response: Value = serde_json::from_str(response).unwrap_or_default();
            let failures = response["batchItemFailures"]
                .as_array()
                .into_iter()
                .flatten();
            let failed: Vec<String> = failures
                .filter_map(|failure| failure["itemIdentifier"].as_str())
                .map(|id| {
                    let end = if id.contains('-') { short(id) } else { end(id) };
                    end.to_owned()
                })
                .collect();
            if failed.is_empty() {
                "succeeds".to_owned()
            } else {
                format!("fails {}", failed.join(" "))
            }
        }
        InvocationEnd::Responded(Err(error)) => format!("an error: {error}"),
        InvocationEnd::Crashed => "crashes".to_owned(),
        InvocationEnd::TimedOut => "times out".to_owned(),
        InvocationEnd::Panicked => "panics".to_owned(),
    }
}
