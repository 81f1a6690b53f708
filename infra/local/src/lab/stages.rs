//! The stages of a local stack, as its event sources see them.

use onewrite_console::view::{Count, Stage, Totals};
use onewrite_event_sources::Millis;
use onewrite_stack::outputs::StackOutputs;

use super::series::Event;
use super::tally::Tally;

/// What the stages need besides the tally.
pub(super) struct Sources<'a> {
    pub(super) outputs: &'a StackOutputs,
    pub(super) has_downstream: bool,
    /// Whether the mappings of a function are polled.
    pub(super) is_polling: &'a dyn Fn(&str) -> bool,
}

/// The stages from left to right.
pub(super) fn stages(
    tally: &mut Tally,
    now: Millis,
    totals: &Totals,
    sources: &Sources<'_>,
) -> Vec<Stage> {
    let outputs = sources.outputs;
    let name = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
    let mut queue = stage(
        "queue",
        &name(&outputs.queue_url),
        totals.waiting,
        "waiting",
    );
    queue.rate = Some(tally.rate(now, Event::Received));
    queue.oldest_millis = tally.oldest(now).map(Count);
    queue.in_retry = Some(Count(tally.in_retry()));
    let mut ingest = function(tally, now, sources, &outputs.ingest, Event::Ingested);
    (ingest.name, ingest.count_of) = ("ingest".to_owned(), "acknowledged".to_owned());
    ingest.count = Some(Count(tally.acknowledged()));
    let mut table = stage("table", &outputs.table, totals.created, "created");
    table.rate = Some(tally.rate(now, Event::Created));
    let mut forward = function(tally, now, sources, &outputs.forward, Event::Forwarded);
    (forward.name, forward.count_of) = ("forward".to_owned(), "changes".to_owned());
    forward.count = Some(Count(tally.total(Event::Forwarded)));
    let mut all = vec![queue, ingest, table, forward];
    all.push(stream(tally, now, sources));
    if sources.has_downstream {
        let mut complete = function(tally, now, sources, &outputs.complete, Event::Completed);
        (complete.name, complete.count_of) = ("complete".to_owned(), "done".to_owned());
        complete.count = totals.done;
        all.push(complete);
        let mut targets = stage("targets", "the built-in ledger", totals.effects, "effects");
        if totals.effects.is_none() {
            targets.resource = "your targets".to_owned();
        }
        targets.rate = Some(tally.rate(now, Event::Settled));
        all.push(targets);
    }
    all
}

fn stage(name: &str, resource: &str, count: Option<Count>, count_of: &str) -> Stage {
    Stage {
        name: name.to_owned(),
        resource: resource.to_owned(),
        count,
        count_of: count_of.to_owned(),
        ..Stage::default()
    }
}

fn function(
    tally: &mut Tally,
    now: Millis,
    sources: &Sources<'_>,
    function: &str,
    event: Event,
) -> Stage {
    let state = tally.function(function);
    Stage {
        resource: function.to_owned(),
        rate: Some(tally.rate(now, event)),
        in_retry: Some(Count(u64::from(state.is_failing(now)))),
        is_paused: !(sources.is_polling)(function),
        is_failing: state.is_failing(now),
        last_failure: state.last_failure(),
        details: match state.running() {
            0 => Vec::new(),
            running => vec![format!("{running} running")],
        },
        ..Stage::default()
    }
}

/// Without a downstream nothing reads the stream here, so nothing is counted.
fn stream(tally: &mut Tally, now: Millis, sources: &Sources<'_>) -> Stage {
    let mut stream = stage("stream", &sources.outputs.stream, None, "records");
    if sources.has_downstream {
        stream.rate = Some(tally.rate(now, Event::Published));
        let shards = tally.published_by_shard();
        stream.count = Some(Count(shards.values().sum()));
        let details = shards
            .iter()
            .map(|(shard, records)| format!("{shard}: {records} records"));
        stream.details = details.collect();
    }
    stream
}
