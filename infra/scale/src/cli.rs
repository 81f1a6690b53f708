//! The command line. Data goes to standard output, everything else to standard error.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};

use crate::{
    cost::{BUILT_IN, Prices},
    limits::{BATCH, MAXIMUM_POLLERS, PARALLELIZATION_FACTOR},
    preset::{Preset, load},
    report::Run,
    settings::{Load, Polling, Profile, Settings, Speed, Stream},
};

/// How the pipeline would fare under a load, by AWS's documented limits: what waits where and for how long, which limit is
/// met first, what an hour costs. Nothing is run, and AWS is not asked.
///
/// What is not given is the preset's, and without a preset the template's default in a new account. Exit codes: 0 it keeps
/// up, 1 it does not, 2 wrong usage or no answer.
#[derive(Debug, Parser)]
#[command(name = "cargo local scale", bin_name = "cargo local scale")]
pub struct Cli {
    /// Messages a second, with the settings that infra/SCALING.md advises for them.
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Seconds of a step.
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = positive)]
    step: f64,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Where to write a page with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Another table of prices, as `onewrite cost --print-prices` writes one.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    speed: SpeedArgs,
}

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs: one JSON document.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    Constant,
    Ramp,
    Burst,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What comes")]
struct LoadArgs {
    /// Messages a second, of all stacks.
    #[arg(long, value_name = "N", value_parser = number)]
    rate: Option<f64>,
    /// How they come: all the time, more and more, or for a while.
    #[arg(long, value_enum, default_value_t = Shape::Constant)]
    profile: Shape,
    /// Messages a second at the start of a ramp, and outside of a burst.
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = number)]
    from: f64,
    /// When a burst begins, in seconds.
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = number)]
    burst_at: f64,
    /// How long it lasts.
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = positive)]
    burst_seconds: f64,
    /// How long to look at it, in seconds.
    #[arg(long, value_name = "S", value_parser = positive)]
    seconds: Option<f64>,
    /// Bytes of a payload.
    #[arg(long, value_name = "B", value_parser = number)]
    bytes: Option<f64>,
    /// Copies of each message that come beside it.
    #[arg(long, value_name = "R", value_parser = number)]
    duplicates: Option<f64>,
    /// Share of the messages that are copies of one id.
    #[arg(long, value_name = "R", value_parser = share)]
    hot_share: Option<f64>,
    /// Redrives a second of one id, so events of one partition key.
    #[arg(long, value_name = "N", value_parser = number)]
    hot_redrives: Option<f64>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How it is set up (the template's parameters, and the account)")]
struct SettingsArgs {
    /// Stacks that share the load and the account.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    stacks: Option<u32>,
    /// IngestBatchSize.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH)))]
    ingest_batch: Option<u32>,
    /// IngestBatchingWindowSeconds.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(0..=60))]
    ingest_window: Option<u32>,
    /// IngestMaximumConcurrency; takes the place of provisioned pollers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000),
        conflicts_with_all = ["minimum_pollers", "maximum_pollers"])]
    maximum_concurrency: Option<u32>,
    /// IngestMinimumPollers; takes the place of IngestMaximumConcurrency.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=200))]
    minimum_pollers: Option<u32>,
    /// IngestMaximumPollers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(MAXIMUM_POLLERS)))]
    maximum_pollers: Option<u32>,
    /// IngestMaxInFlight.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    ingest_max_in_flight: Option<u32>,
    /// IngestMemoryMegabytes.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    ingest_memory: Option<u32>,
    /// The queue's visibility timeout: six times IngestTimeoutSeconds, and the window.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=43_200))]
    visibility_seconds: Option<u32>,
    /// StreamFunctionMemoryMegabytes.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    stream_memory: Option<u32>,
    /// ForwardBatchSize.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH)))]
    forward_batch: Option<u32>,
    /// ForwardParallelizationFactor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PARALLELIZATION_FACTOR)))]
    forward_parallelization: Option<u32>,
    /// CompleteBatchSize.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH)))]
    complete_batch: Option<u32>,
    /// CompleteParallelizationFactor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PARALLELIZATION_FACTOR)))]
    complete_parallelization: Option<u32>,
    /// CompleteMaxInFlight.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    complete_max_in_flight: Option<u32>,
    /// ShardCount; 0 is an on-demand stream.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    shards: Option<u32>,
    /// MB/s that an on-demand stream takes at the start.
    #[arg(long, value_name = "MB", value_parser = positive)]
    on_demand_megabytes: Option<f64>,
    /// MB/s that an on-demand stream takes at most: the account's quota.
    #[arg(long, value_name = "MB", value_parser = positive)]
    on_demand_quota: Option<f64>,
    /// Write units a second that the table takes at the start: its warm throughput.
    #[arg(long, value_name = "N", value_parser = positive)]
    table_warm: Option<f64>,
    /// Write units a second that it takes at most: the account's quota for a table.
    #[arg(long, value_name = "N", value_parser = positive)]
    table_quota: Option<f64>,
    /// Shards of the table's stream; one for each partition if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    table_stream_shards: Option<u32>,
    /// Concurrent executions of the account.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=10_000_000))]
    account_concurrency: Option<u32>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How fast it is (assumptions: take your own measurements)")]
struct SpeedArgs {
    /// CPU milliseconds of an invocation.
    #[arg(long, value_name = "MS", value_parser = number)]
    cpu_invocation_ms: Option<f64>,
    /// CPU milliseconds of each message, change or event.
    #[arg(long, value_name = "MS", value_parser = number)]
    cpu_message_ms: Option<f64>,
    /// Milliseconds of a write to DynamoDB.
    #[arg(long, value_name = "MS", value_parser = number)]
    dynamodb_ms: Option<f64>,
    /// Milliseconds of a call of Kinesis.
    #[arg(long, value_name = "MS", value_parser = number)]
    kinesis_ms: Option<f64>,
    /// Milliseconds in which the downstream accepts a notification.
    #[arg(long, value_name = "MS", value_parser = number)]
    downstream_ms: Option<f64>,
    /// How many times longer one in a hundred calls takes.
    #[arg(long, value_name = "N", value_parser = positive)]
    tail: Option<f64>,
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..=1e9).contains(&number) => Ok(number),
        _ => Err("not a number between 0 and 1000000000".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match number(text) {
        Ok(number) if number >= 1e-3 => Ok(number),
        _ => Err("not a number between 0.001 and 1000000000".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match number(text) {
        Ok(number) if number <= 1.0 => Ok(number),
        _ => Err("not a number between 0 and 1".to_owned()),
    }
}

/// Puts what was given in the place of what was there.
macro_rules! replace {
    ($target:expr, $args:expr, $($field:ident = $arg:ident),* $(,)?) => {
        $(if let Some(value) = $args.$arg { $target.$field = value; })*
    };
}

/// Most steps of a run.
const MOST_STEPS: f64 = 1e6;

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// There is no answer.
    pub fn run(&self) -> Result<ExitCode> {
        let prices = match &self.prices {
            None => BUILT_IN.to_owned(),
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?,
        };
        let run = self.simulate(&Prices::parse(&prices)?)?;
        if let Some(file) = &self.html {
            std::fs::write(file, run.html()?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let answer = match self.output {
            Output::Table => run.text(),
            Output::Json => serde_json::to_string_pretty(&run)? + "\n",
        };
        // Who does not read on has read enough.
        let _ = std::io::stdout().write_all(answer.as_bytes());
        Ok(ExitCode::from(u8::from(!run.keeps_up)))
    }

    /// What came of what was asked.
    ///
    /// # Errors
    /// What was asked cannot be.
    pub fn simulate(&self, prices: &Prices) -> Result<Run> {
        let load = self.load()?;
        let settings = self.settings()?;
        let steps = load.seconds / self.step;
        ensure!(
            steps <= MOST_STEPS,
            "{steps:.0} steps are too many: give --step or fewer --seconds"
        );
        Ok(Run::of(&load, &settings, &self.speed(), self.step, prices))
    }

    fn load(&self) -> Result<Load> {
        let args = &self.load;
        let mut load = load(self.preset.unwrap_or(Preset::Hundred).rate());
        replace!(
            load,
            args,
            rate = rate,
            seconds = seconds,
            payload_bytes = bytes,
            duplicates = duplicates,
            hot_share = hot_share,
            hot_redrives = hot_redrives
        );
        load.profile = match args.profile {
            Shape::Constant => Profile::Constant,
            Shape::Ramp => Profile::Ramp { from: args.from },
            Shape::Burst => Profile::Burst {
                from: args.from,
                at: args.burst_at,
                seconds: args.burst_seconds,
            },
        };
        ensure!(
            load.item_bytes() <= 400.0 * 1_024.0,
            "an item has at most 400 KB"
        );
        Ok(load)
    }

    fn settings(&self) -> Result<Settings> {
        let args = &self.settings;
        let mut settings = self.preset.map_or_else(Settings::default, Preset::settings);
        replace!(
            settings,
            args,
            stacks = stacks,
            ingest_batch = ingest_batch,
            ingest_window = ingest_window,
            ingest_max_in_flight = ingest_max_in_flight,
            ingest_memory = ingest_memory,
            visibility_seconds = visibility_seconds,
            stream_memory = stream_memory,
            forward_batch = forward_batch,
            forward_parallelization = forward_parallelization,
            complete_batch = complete_batch,
            complete_parallelization = complete_parallelization,
            complete_max_in_flight = complete_max_in_flight,
            table_warm_units = table_warm,
            table_quota_units = table_quota,
            account_concurrency = account_concurrency
        );
        settings.table_stream_shards = args.table_stream_shards.or(settings.table_stream_shards);
        if let Some(maximum_concurrency) = args.maximum_concurrency {
            settings.polling = Polling::Standard {
                maximum_concurrency,
            };
        }
        if args.minimum_pollers.is_some() || args.maximum_pollers.is_some() {
            let (least, most) = match settings.polling {
                Polling::Provisioned { minimum, maximum } => (minimum, maximum),
                Polling::Standard { .. } => (2, 200),
            };
            let (minimum, maximum) = (
                args.minimum_pollers.unwrap_or(least),
                args.maximum_pollers.unwrap_or(most),
            );
            ensure!(minimum <= maximum, "more pollers at least than at most");
            settings.polling = Polling::Provisioned { minimum, maximum };
        }
        let asks_on_demand = args.on_demand_megabytes.is_some() || args.on_demand_quota.is_some();
        match args.shards {
            Some(0) => settings.stream = Settings::default().stream,
            Some(shards) => settings.stream = Stream::Provisioned { shards },
            None => {}
        }
        match &mut settings.stream {
            Stream::OnDemand { first, quota } => {
                *first = args.on_demand_megabytes.unwrap_or(*first);
                *quota = args.on_demand_quota.unwrap_or(*quota);
            }
            Stream::Provisioned { .. } => ensure!(
                !asks_on_demand,
                "the stream is provisioned: give --shards 0 as well"
            ),
        }
        ensure!(
            settings.ingest_batch <= 10 || settings.ingest_window > 0,
            "above 10 messages an ingest batch needs a window (--ingest-window)"
        );
        Ok(settings)
    }

    fn speed(&self) -> Speed {
        let args = &self.speed;
        let mut speed = Speed::default();
        replace!(
            speed,
            args,
            cpu_of_invocation_ms = cpu_invocation_ms,
            cpu_of_record_ms = cpu_message_ms,
            dynamodb_ms = dynamodb_ms,
            kinesis_ms = kinesis_ms,
            downstream_ms = downstream_ms,
            tail = tail
        );
        speed
    }
}
