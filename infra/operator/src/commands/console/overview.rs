//! The whole pipeline at one time, from what `onewrite status` reads, the metrics and the lab. No I/O.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use onewrite_console::{
    lab::LabState,
    sentence::grouped,
    view::{Alarm, Count, Overview, Stage, Totals},
};
use onewrite_stack::{
    alarms,
    downstream::{ARNS, URL},
    error::StackError,
    function_errors::FunctionErrors,
    mappings::Mapping,
    metrics::{
        RecentCount,
        series::{MetricHistory, MetricSeries, SERIES_HOURS, names},
    },
    queue::QueueDepth,
    scan::{ItemCounts, PendingItems, TableSize},
    stack::Stack,
};

use crate::commands::status::{StatusParts, count_text, depth_text, mapping_texts};

/// What is read less often than [`StatusParts`], because it costs more.
#[derive(Debug, Default)]
pub(super) struct SlowParts {
    pub errors: Vec<FunctionErrors>,
    /// `None` on a local stack.
    pub recent: Option<Result<Vec<RecentCount>, StackError>>,
    /// `None` on a local stack.
    pub history: Option<Result<MetricHistory, StackError>>,
    pub pending: Option<Result<Option<PendingItems>, StackError>>,
    pub table: Option<Result<TableSize, StackError>>,
    /// The items by status, on a local stack without a lab.
    pub items: Option<Result<Option<ItemCounts>, StackError>>,
}

/// Everything that an overview is made of.
pub(super) struct Reading<'a> {
    pub stack: &'a Stack,
    pub parts: &'a StatusParts,
    pub slow: &'a SlowParts,
    /// `None` without a lab; an error if the lab does not answer.
    pub lab: Option<Result<LabState, String>>,
}

/// How long after an error in its log a function is shown as failing. Only errors are read, so nothing shows an earlier end.
const FAILING_FOR: SignedDuration = SignedDuration::from_mins(5);

/// The alarms of each stage, by the end of their names.
const ALARMS: [(&str, &[&str]); 6] = [
    ("queue", &["DeadLetters", "OldestMessage"]),
    (
        "ingest",
        &[
            "Rejected",
            "Conflict",
            "IngestFailed",
            "IngestErrors",
            "Throttles",
        ],
    ),
    ("table", &["Pending"]),
    (
        "forward",
        &[
            "ForwardErrors",
            "Unpublished",
            "Unreadable",
            "ForwardIteratorAge",
            "Throttles",
        ],
    ),
    (
        "complete",
        &[
            "CompleteErrors",
            "CompleteFailed",
            "CompleteIteratorAge",
            "GivenUp",
            "FailureBucket",
            "Dropped",
            "Throttles",
        ],
    ),
    ("targets", &["Refused", "Contradicted"]),
];

/// Whether an event source mapping with this state invokes its function no longer.
fn is_paused(mappings: &[Mapping]) -> bool {
    let is_off = |mapping: &Mapping| matches!(mapping.state.as_str(), "Disabled" | "Disabling");
    !mappings.is_empty() && mappings.iter().all(is_off)
}

fn count(count: usize) -> Option<Count> {
    Some(Count(count as u64))
}

impl Reading<'_> {
    pub(super) fn overview(self) -> Overview {
        let mut not_read = self.not_read();
        let own = self.stages();
        let (lab_totals, lab_stages) = match self.lab.as_ref() {
            Some(Ok(state)) => (Some(state.totals.clone()), state.stages.clone()),
            Some(Err(reason)) => {
                not_read.push(format!("the lab of `cargo local up`: {reason}"));
                (None, Vec::new())
            }
            None => (None, Vec::new()),
        };
        let stages = own.into_iter().map(|own| {
            let of_lab = lab_stages.iter().find(|stage| stage.name == own.name);
            match of_lab {
                Some(of_lab) => merged(of_lab.clone(), own),
                None => own,
            }
        });
        let (totals, sentence) = self.totals(lab_totals);
        Overview {
            at: self.parts.looked_at.to_string(),
            sentence,
            totals,
            stages: stages.collect(),
            alarms: self.alarms().iter().map(alarm_view).collect(),
            not_read,
        }
    }

    fn history(&self) -> Option<&MetricHistory> {
        self.slow.history.as_ref()?.as_ref().ok()
    }

    fn series(&self, name: &str) -> Option<&MetricSeries> {
        self.history()?.find(name)
    }

    fn sum(&self, name: &str) -> Option<Count> {
        let sum = self.series(name)?.sum();
        Some(Count(sum.round().max(0.0) as u64))
    }

    /// The events of the newest whole minute, per second.
    fn rate(&self, name: &str) -> Option<f64> {
        let last = self.series(name)?.last()?;
        Some(last / f64::from(MetricHistory::PERIOD_SECONDS))
    }

    fn alarms(&self) -> &[alarms::Alarm] {
        self.parts.alarms.as_deref().unwrap_or_default()
    }

    fn not_read(&self) -> Vec<String> {
        let parts = self.parts;
        let slow = self.slow;
        let read = [
            ("the queue", parts.queue.as_ref().err()),
            ("the dead-letter queue", parts.dead_letters.as_ref().err()),
            ("the failure bucket", parts.failures.as_ref().err()),
            ("the event source mappings", parts.mappings.as_ref().err()),
            ("the alarms", parts.alarms.as_ref().err()),
            ("the recent failures", failure(slow.recent.as_ref())),
            ("the metrics", failure(slow.history.as_ref())),
            ("the items in INIT", failure(slow.pending.as_ref())),
            ("the size of the table", failure(slow.table.as_ref())),
            ("the items", failure(slow.items.as_ref())),
        ];
        let read = read.into_iter();
        let mut texts: Vec<String> = read
            .filter_map(|(what, error)| Some(format!("{what}: {}", error?)))
            .collect();
        for errors in &slow.errors {
            if let Some(reason) = &errors.not_read {
                texts.push(format!("the log of {}: {reason}", errors.function));
            }
        }
        texts
    }

    fn totals(&self, of_lab: Option<Totals>) -> (Totals, String) {
        let depth = |depth: &Result<QueueDepth, StackError>| {
            depth.as_ref().ok().and_then(|depth| count(depth.total()))
        };
        let waiting = depth(&self.parts.queue);
        let dead_letters = depth(&self.parts.dead_letters);
        let failures = self.parts.failures.as_ref().ok();
        let failures = failures.and_then(|failures| count(*failures));
        if let Some(mut totals) = of_lab {
            totals.waiting = totals.waiting.or(waiting);
            totals.dead_letters = totals.dead_letters.or(dead_letters);
            totals.failures = totals.failures.or(failures);
            let sentence = totals.sentence();
            return (totals, sentence);
        }
        let mut totals = Totals {
            waiting,
            dead_letters,
            failures,
            ..Totals::default()
        };
        if self.stack.is_local {
            "in the table now".clone_into(&mut totals.period);
            let items = self.slow.items.as_ref();
            if let Some(items) = items.and_then(|items| items.as_ref().ok()?.as_ref()) {
                let of = |status: &str| items.by_status.get(status).copied().unwrap_or(0);
                totals.created = count(items.by_status.values().sum());
                totals.done = count(of("DONE"));
                totals.refused = count(of("REFUSED"));
            }
        } else {
            totals.period = format!("in the last {SERIES_HOURS} hours");
            totals.sent = self.sum(names::SENT);
            totals.created = self.sum(names::CREATED);
            totals.done = self.sum(names::DONE);
            totals.refused = self.sum(names::REFUSED);
        }
        let sentence = counted_sentence(&totals);
        (totals, sentence)
    }

    /// The stages as the stack itself shows them.
    fn stages(&self) -> Vec<Stage> {
        let mut stages = vec![
            self.queue_stage(),
            self.ingest_stage(),
            self.table_stage(),
            self.forward_stage(),
            self.stream_stage(),
            self.complete_stage(),
            self.targets_stage(),
        ];
        for stage in &mut stages {
            stage.alarms = self.alarms_of(&stage.name);
        }
        stages
    }

    fn alarms_of(&self, stage: &str) -> Vec<String> {
        let of_stage = ALARMS.iter().find(|(name, _)| *name == stage);
        let ends = of_stage.map_or(&[][..], |(_, ends)| *ends);
        let is_of_stage = |alarm: &&alarms::Alarm| {
            let end = alarm.name.rsplit('-').next().unwrap_or_default();
            ends.contains(&end)
        };
        let alarms = self.alarms().iter().filter(is_of_stage);
        alarms.map(|alarm| alarm.name.clone()).collect()
    }

    fn queue_stage(&self) -> Stage {
        let depth = self.parts.queue.as_ref().ok();
        let url = &self.stack.outputs.queue_url;
        let oldest = self.series(names::OLDEST_MESSAGE);
        let oldest = oldest.and_then(MetricSeries::last);
        Stage {
            name: "queue".to_owned(),
            resource: last_part(url, '/').to_owned(),
            count: depth.and_then(|depth| count(depth.total())),
            count_of: "waiting".to_owned(),
            rate: self.rate(names::SENT),
            oldest_millis: oldest.map(|seconds| Count((seconds * 1_000.0) as u64)),
            details: depth.map(|depth| depth_text(*depth)).into_iter().collect(),
            ..Stage::default()
        }
    }

    fn ingest_stage(&self) -> Stage {
        Stage {
            resource: self.stack.outputs.ingest.clone(),
            count: self.sum(names::CREATED),
            count_of: "created".to_owned(),
            rate: self.rate(names::CREATED),
            ..self.function_stage("ingest")
        }
    }

    fn table_stage(&self) -> Stage {
        let size = self.slow.table.as_ref().and_then(|size| size.as_ref().ok());
        let items = self.slow.items.as_ref();
        let items = items.and_then(|items| items.as_ref().ok()?.as_ref());
        let mut details: Vec<String> = items
            .into_iter()
            .flat_map(|items| &items.by_status)
            .map(|(status, count)| format!("{status}: {count} items"))
            .collect();
        let (count, count_of) = match (items, size) {
            (Some(items), _) => (count(items.by_status.values().sum()), "items"),
            (None, Some(size)) => {
                details.push("DynamoDB counts items about every six hours".to_owned());
                (Some(Count(size.items)), "items")
            }
            (None, None) => (None, ""),
        };
        Stage {
            name: "table".to_owned(),
            resource: self.stack.outputs.table.clone(),
            count,
            count_of: count_of.to_owned(),
            details,
            ..Stage::default()
        }
    }

    fn forward_stage(&self) -> Stage {
        Stage {
            resource: self.stack.outputs.forward.clone(),
            oldest_millis: self.age(names::FORWARD_AGE),
            ..self.function_stage("forward")
        }
    }

    fn stream_stage(&self) -> Stage {
        let records = self.sum(names::RECORDS);
        let count_of = records.map_or("", |_| "records");
        Stage {
            name: "stream".to_owned(),
            resource: self.stack.outputs.stream.clone(),
            count: records,
            count_of: count_of.to_owned(),
            rate: self.rate(names::RECORDS),
            ..Stage::default()
        }
    }

    fn complete_stage(&self) -> Stage {
        Stage {
            resource: self.stack.outputs.complete.clone(),
            count: self.sum(names::DONE),
            count_of: "done".to_owned(),
            rate: self.rate(names::DONE),
            oldest_millis: self.age(names::COMPLETE_AGE),
            ..self.function_stage("complete")
        }
    }

    fn targets_stage(&self) -> Stage {
        let targets = target_names(&self.stack.parameters);
        let refused = self.sum(names::REFUSED);
        let count_of = refused.map_or("", |_| "refused");
        let details = if self.stack.has_downstream() {
            targets.iter().skip(1).cloned().collect()
        } else {
            vec!["no downstream configured".to_owned()]
        };
        Stage {
            name: "targets".to_owned(),
            resource: targets.first().cloned().unwrap_or_default(),
            count: refused,
            count_of: count_of.to_owned(),
            details,
            ..Stage::default()
        }
    }

    /// The iterator age, the newest that is known.
    fn age(&self, name: &str) -> Option<Count> {
        let millis = self.series(name)?.last()?;
        Some(Count(millis.max(0.0) as u64))
    }

    /// What the mappings, the logs and the metrics say of a function.
    fn function_stage(&self, function: &'static str) -> Stage {
        let mappings = self.parts.mappings.as_ref().ok();
        let mappings = mappings.and_then(|all| all.get(function));
        let pending = self.slow.pending.as_ref();
        let pending = pending.and_then(|pending| pending.as_ref().ok()?.as_ref());
        let pending = pending.filter(|_| function == "complete");
        let (is_local, now) = (self.stack.is_local, self.parts.looked_at);
        let texts = mappings.map(|mappings| mapping_texts(mappings, pending, is_local, now));
        let mut details = texts.unwrap_or_default();
        let recent = self.slow.recent.as_ref();
        let recent = recent.and_then(|recent| recent.as_ref().ok());
        let recent = recent.into_iter().flatten();
        let own = recent.filter(|one| one.function == function);
        details
            .extend(own.map(|one| format!("{}: {}", one.metric.to_lowercase(), count_text(one))));
        let errors = self.slow.errors.iter();
        let mut errors = errors.filter(|errors| errors.function == function);
        let last = errors.find_map(|errors| errors.kinds.first());
        Stage {
            name: function.to_owned(),
            is_paused: mappings.is_some_and(|mappings| is_paused(mappings)),
            is_failing: last.is_some_and(|kind| now.duration_since(kind.last.at) < FAILING_FOR),
            last_failure: last.map(|kind| format!("{}, at {}", kind.last.text(), kind.last.at)),
            details,
            ..Stage::default()
        }
    }
}

fn failure<T>(read: Option<&Result<T, StackError>>) -> Option<&StackError> {
    read?.as_ref().err()
}

fn alarm_view(alarm: &alarms::Alarm) -> Alarm {
    Alarm {
        name: alarm.name.clone(),
        since: alarm.since.map(|at| at.to_string()),
        description: alarm.description.clone(),
    }
}

/// The stage as the event sources count it, with what only the stack shows.
fn merged(of_lab: Stage, own: Stage) -> Stage {
    let mut details = of_lab.details;
    for detail in own.details {
        if !details.contains(&detail) {
            details.push(detail);
        }
    }
    let (count, count_of) = match of_lab.count {
        Some(_) => (of_lab.count, of_lab.count_of),
        None => (own.count, own.count_of),
    };
    let resource = if of_lab.resource.is_empty() {
        own.resource
    } else {
        of_lab.resource
    };
    let mut alarms = own.alarms;
    for alarm in of_lab.alarms {
        if !alarms.contains(&alarm) {
            alarms.push(alarm);
        }
    }
    Stage {
        name: own.name,
        resource,
        count,
        count_of,
        rate: of_lab.rate.or(own.rate),
        oldest_millis: of_lab.oldest_millis.or(own.oldest_millis),
        in_retry: of_lab.in_retry.or(own.in_retry),
        is_paused: of_lab.is_paused || own.is_paused,
        alarms,
        is_failing: of_lab.is_failing,
        // The logs have the reason. The event sources only see that a batch failed.
        last_failure: own.last_failure.or(of_lab.last_failure),
        details,
    }
}

/// The sentence of a stack whose messages nobody counts one by one: it claims only what is in the totals, and never that
/// nothing is lost.
fn counted_sentence(totals: &Totals) -> String {
    let text = |count: Option<Count>, what: &str| {
        count.map(|Count(count)| format!("{} {what}", grouped(count)))
    };
    let settled = totals.done.map(|Count(done)| {
        let refused = totals.refused.unwrap_or_default().0;
        Count(done + refused)
    });
    let flow = [
        text(totals.sent, "sent"),
        text(totals.created, "created"),
        text(settled, "settled"),
    ];
    let now = [
        text(totals.waiting, "waiting"),
        text(totals.dead_letters, "dead letters"),
    ];
    let joined = |parts: [Option<String>; 2]| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(", ")
    };
    let flow: Vec<String> = flow.into_iter().flatten().collect();
    let now = joined(now);
    let period = capitalized(&totals.period);
    match (flow.is_empty(), now.is_empty()) {
        (true, true) => format!("{period}: nothing could be counted."),
        (true, false) => format!("Now: {now}."),
        (false, true) => format!("{period}: {}.", flow.join(", ")),
        (false, false) => format!("{period}: {}. Now: {now}.", flow.join(", ")),
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

fn last_part(text: &str, separator: char) -> &str {
    text.rsplit(separator).next().unwrap_or_default()
}

/// The names of the targets. Of a URL only scheme, host and port: its path can be a secret.
fn target_names(parameters: &BTreeMap<String, String>) -> Vec<String> {
    let arns = parameters.get(ARNS).map_or("", String::as_str);
    let arns = arns.split(',').map(str::trim).filter(|arn| !arn.is_empty());
    let arns = arns.map(|arn| last_part(last_part(arn, ':'), '/').to_owned());
    let url = parameters.get(URL).filter(|url| !url.is_empty());
    let origin = url.map(|url| {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = last_part(authority, '@');
        format!("{scheme}://{host}")
    });
    arns.chain(origin).collect()
}

#[cfg(test)]
mod tests;
