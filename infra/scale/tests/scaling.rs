//! Compares the tables in docs/scaling.md with constants, presets and simulations.
#![allow(clippy::unwrap_used)]

use onewrite_cost::prices::Prices;
use onewrite_scale::{
    format::short,
    limits,
    preset::Preset,
    report::Run,
    settings::{Load, Polling, Profile, Settings, Speed, Stream},
};

const GUIDE: &str = include_str!("../../../docs/scaling.md");

fn run(load: &Load, settings: &Settings) -> Run {
    let prices = Prices::built_in().unwrap();
    Run::simulate(load, settings, &Speed::default(), 1.0, &prices)
}

/// Formats a whole number with commas.
fn commas(value: f64) -> String {
    let digits = format!("{value:.0}");
    let bytes = digits.as_bytes().rchunks(3).rev();
    let groups = bytes.map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(",")
}

/// A number with decimals below 10, and a whole number otherwise.
fn short_or_whole(value: f64) -> String {
    if value < 10.0 {
        short(value)
    } else {
        commas(value)
    }
}

fn row(name: &str, of: impl Fn(Preset) -> String) -> String {
    let cells = Preset::ALL.map(of).join(" | ");
    format!("| {name} | {cells} |")
}

#[track_caller]
fn assert_has(rows: &[String]) {
    let missing: Vec<_> = rows.iter().filter(|row| !GUIDE.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "docs/scaling.md lacks:\n{}",
        missing
            .iter()
            .map(|row| format!("{row}\n"))
            .collect::<String>()
    );
}

/// Limits of event source mappings and Lambda, as the guide describes them.
fn lambda_limits() -> Vec<(&'static str, f64)> {
    use limits::*;
    vec![
        ("concurrent invocations at the start", SQS_FIRST_CONCURRENCY),
        ("more each minute", SQS_CONCURRENCY_PER_MINUTE),
        ("at most", SQS_MAXIMUM_CONCURRENCY),
        ("invocations of one poller", POLLER_CONCURRENCY),
        (
            "receives of one poller a second, of 10 messages",
            POLLER_RECEIVES,
        ),
        (
            "more concurrency each minute",
            POLLER_CONCURRENCY_PER_MINUTE,
        ),
        (
            "minimum of `IngestConcurrency` at most",
            MINIMUM_POLLERS.1.into(),
        ),
        (
            "maximum of `IngestConcurrency` at most",
            MAXIMUM_POLLERS.into(),
        ),
        ("messages in flight", SQS_IN_FLIGHT),
        (
            "receives before a message is a dead letter",
            RECEIVES.into(),
        ),
        (
            "concurrent executions of an account",
            ACCOUNT_CONCURRENCY.into(),
        ),
        (
            "requests a second for each of them",
            REQUESTS_PER_CONCURRENCY,
        ),
        (
            "environments more in 10 s, of one function",
            ENVIRONMENTS_PER_PERIOD,
        ),
        ("messages or records of a batch", BATCH.into()),
        (
            "megabytes of an invocation's payload",
            INVOCATION_BYTES / 1e6,
        ),
        (
            "`ParallelizationFactor` at most",
            PARALLELIZATION_FACTOR.into(),
        ),
    ]
}

/// Limits of DynamoDB and Kinesis, as the guide describes them.
fn table_and_stream_limits() -> Vec<(&'static str, f64)> {
    use limits::*;
    vec![
        ("write units a second of a new table", TABLE_FIRST_UNITS),
        (
            "minutes in which it may throttle more than twice its peak",
            TABLE_GROWTH_SECONDS / 60.0,
        ),
        (
            "write units a second of a table, unless raised",
            TABLE_QUOTA_UNITS,
        ),
        ("write units a second of a partition", PARTITION_UNITS),
        ("readers of a shard", TABLE_STREAM_READERS.into()),
        ("hours that it keeps changes", TABLE_STREAM_HOURS.into()),
        ("records a second into a shard", SHARD_RECORDS),
        ("megabytes a second into a shard", SHARD_BYTES / 1e6),
        ("megabytes a second out of a shard", SHARD_READ_BYTES / 1e6),
        (
            "megabytes a second into a new on-demand stream",
            ON_DEMAND_FIRST_SHARDS,
        ),
        (
            "minutes in which it may throttle more than twice its 30-day peak",
            ON_DEMAND_GROWTH_SECONDS / 60.0,
        ),
        ("megabytes a second of it at most", ON_DEMAND_QUOTA_SHARDS),
        (
            "the same in us-east-1, us-west-2, eu-west-1",
            ON_DEMAND_QUOTA_SHARDS_LARGE,
        ),
        ("shards of an account there", SHARD_QUOTA.into()),
        ("records of one `PutRecords`", PUT_RECORDS),
    ]
}

#[test]
fn guide_has_the_limits_of_the_simulation() {
    let figures = lambda_limits().into_iter().chain(table_and_stream_limits());
    let rows: Vec<_> = figures
        .map(|(what, figure)| format!("| {what} | {} |", commas(figure)))
        .collect();
    assert_has(&rows);
}

fn ingest_rows() -> Vec<String> {
    vec![
        row("stacks", |preset| commas(preset.settings().stacks.into())),
        row("`IngestBatchSize`", |preset| {
            commas(preset.settings().ingest_batch.into())
        }),
        row("`BatchingWindowSeconds`", |preset| {
            commas(preset.settings().ingest_window.into())
        }),
        row("`IngestConcurrency`", |preset| {
            match preset.settings().polling {
                Polling::Standard {
                    maximum_concurrency,
                } => commas(maximum_concurrency.into()),
                Polling::Provisioned { minimum, maximum } => format!("{minimum}-{maximum}"),
            }
        }),
    ]
}

fn stream_rows() -> Vec<String> {
    vec![
        row("`StreamParallelizationFactor`", |preset| {
            let settings = preset.settings();
            let factor = settings.forward_parallelization;
            assert_eq!(settings.complete_parallelization, factor);
            commas(factor.into())
        }),
        row("`ShardCount`", |preset| match preset.settings().stream {
            Stream::Provisioned { shards } => commas(shards.into()),
            Stream::OnDemand { .. } => "0".to_owned(),
        }),
        row("warm write units of the table", |preset| {
            commas(preset.settings().table_warm_units)
        }),
        row("quota of write units of a table", |preset| {
            commas(preset.settings().table_quota_units)
        }),
        row("quota of concurrent executions, of all stacks", |preset| {
            commas(preset.settings().account_concurrency.into())
        }),
    ]
}

#[test]
fn guide_has_the_settings_of_the_presets() {
    assert_has(&ingest_rows());
    assert_has(&stream_rows());
    for preset in Preset::ALL {
        if let Stream::Provisioned { shards } = preset.settings().stream {
            assert!(shards <= limits::TEMPLATE_SHARDS);
            assert!(shards * preset.settings().stacks <= limits::SHARD_QUOTA);
        }
    }
}

/// A run of each preset at its own rate.
type Runs = [(Preset, Run)];

/// A figure of the run of each preset.
fn of(runs: &Runs, get: fn(&Run) -> String) -> impl Fn(Preset) -> String {
    move |preset| {
        let run = runs.iter().find(|(of, _)| *of == preset);
        run.map_or_else(String::new, |(_, run)| get(run))
    }
}

fn steady(run: &Run) -> &onewrite_scale::sample::Sample {
    run.samples.last().unwrap()
}

fn stacks(run: &Run) -> f64 {
    run.settings.stacks.into()
}

fn throughput_rows(runs: &Runs) -> Vec<String> {
    vec![
        row(
            "invocations at once: `ingest`, `forward`, `complete`",
            of(runs, |run| {
                let sample = steady(run);
                let each = [
                    sample.ingest_concurrency,
                    sample.forward_concurrency,
                    sample.complete_concurrency,
                ];
                each.map(|value| commas((value * stacks(run)).ceil()))
                    .join(", ")
            }),
        ),
        row(
            "write units a second",
            of(runs, |run| commas(steady(run).units * stacks(run))),
        ),
        row(
            "records a second into Kinesis",
            of(runs, |run| commas(steady(run).published * stacks(run))),
        ),
        row(
            "megabytes a second into Kinesis",
            of(runs, |run| {
                let megabytes = steady(run).published * stacks(run) * run.load.record_bytes() / 1e6;
                short_or_whole(megabytes)
            }),
        ),
    ]
}

fn backlog_and_cost_rows(runs: &Runs) -> Vec<String> {
    vec![
        row(
            "most messages in a queue",
            of(runs, |run| commas(run.peak.queue)),
        ),
        row(
            "oldest message at most, seconds",
            of(runs, |run| short(run.peak.oldest)),
        ),
        row(
            "seconds to DONE: half, 99 in a hundred",
            of(runs, |run| {
                format!("{:.1}, {:.1}", steady(run).p50, steady(run).p99)
            }),
        ),
        row("USD an hour", of(runs, |run| short_or_whole(run.cost.usd))),
        row(
            "USD an hour for DynamoDB alone",
            of(runs, |run| {
                let positions = run.cost.line_items.iter();
                let of_table = positions.filter(|position| position.service == "DynamoDB");
                short_or_whole(of_table.map(|position| position.usd).sum())
            }),
        ),
    ]
}

#[test]
fn guide_has_the_results_of_the_presets() {
    let runs = Preset::ALL.map(|preset| {
        (
            preset,
            run(&Load::constant(preset.rate()), &preset.settings()),
        )
    });
    assert!(runs.iter().all(|(_, run)| run.keeps_up));
    assert_has(&throughput_rows(&runs));
    assert_has(&backlog_and_cost_rows(&runs));
}

#[test]
fn guide_has_the_first_limit_of_each_preset() {
    let rows = [
        (Preset::Hundred, 5_000.0),
        (Preset::TenThousand, 40_000.0),
        (Preset::Million, 4_000_000.0),
    ]
    .map(|(preset, rate)| {
        let load = Load {
            profile: Profile::Ramp { from: 0.0 },
            ..Load::constant(rate)
        };
        let first = run(&load, &preset.settings()).met_first.unwrap();
        format!(
            "| `--preset {} --profile ramp --rate {rate:.0}` | {} | {} |",
            preset.rate(),
            commas(load.rate_at(first.first.unwrap())),
            first.limit.description()
        )
    });
    assert_has(&rows);
}

#[test]
fn guide_has_the_assumptions_of_the_simulation() {
    let speed = Speed::default();
    let rows = [
        ("--cpu-invocation-ms", speed.cpu_of_invocation_ms),
        ("--cpu-message-ms", speed.cpu_of_record_ms),
        ("--dynamodb-ms", speed.dynamodb_ms),
        ("--kinesis-ms", speed.kinesis_ms),
        ("--downstream-ms", speed.downstream_ms),
        ("--tail", speed.tail),
    ]
    .map(|(option, value)| format!("| `{option}` | {value} |"));
    assert_has(&rows);
}
