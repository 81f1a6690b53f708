//! The command line. Data goes to standard output, everything else to standard error.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};

use onewrite_cost::prices::Prices;

use crate::{
    limits::{BATCH, MAXIMUM_POLLERS, PARALLELIZATION_FACTOR},
    preset::Preset,
    report::Run,
    settings::{Load, Polling, Profile, Settings, Speed, Stream},
};

/// Simulate the pipeline under a load and the documented limits of AWS: backlogs, the first limit, and the cost per hour.
///
/// Nothing is deployed, and AWS is not called. Options override the preset. Without a preset, the simulation uses the
/// template's defaults in a new account. Exit codes: 0 if the pipeline keeps up, 1 if it does not, 2 for wrong usage or an
/// error.
#[derive(Debug, Parser)]
#[command(name = "cargo scale", bin_name = "cargo scale")]
pub struct Cli {
    /// Use the load and the settings that docs/scaling.md recommends for this many messages a second.
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Seconds per simulation step.
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = positive)]
    step: f64,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Write an HTML page with plots to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Read prices from a file in the format of `onewrite cost --print-prices`.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    speed: SpeedArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Text for people.
    Table,
    /// One JSON document for programs.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// The same rate all the time.
    Constant,
    /// A linear increase from --from to --rate.
    Ramp,
    /// --rate during the burst, --from before and after it.
    Burst,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Load")]
struct LoadArgs {
    /// Messages a second in all stacks.
    #[arg(long, value_name = "N", value_parser = number)]
    rate: Option<f64>,
    /// Rate over time.
    #[arg(long, value_enum, default_value_t = Shape::Constant)]
    profile: Shape,
    /// Messages a second at the start of a ramp, and before and after a burst.
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = number)]
    from: f64,
    /// Start of a burst in seconds.
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = number)]
    burst_at: f64,
    /// Duration of a burst in seconds.
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = positive)]
    burst_seconds: f64,
    /// Simulated seconds.
    #[arg(long, value_name = "S", value_parser = positive)]
    seconds: Option<f64>,
    /// Payload size in bytes.
    #[arg(long, value_name = "B", value_parser = number)]
    bytes: Option<f64>,
    /// Copies of each message: 0.01 means one copy for every hundred messages.
    #[arg(long, value_name = "R", value_parser = number)]
    duplicates: Option<f64>,
    /// Fraction of the messages that are copies of one id.
    #[arg(long, value_name = "R", value_parser = fraction)]
    hot_share: Option<f64>,
    /// Redrives a second of one id, which are events with one partition key.
    #[arg(long, value_name = "N", value_parser = number)]
    hot_redrives: Option<f64>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Configuration (parameters of the template, and the account)")]
struct SettingsArgs {
    /// Number of stacks that share the load and the account.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    stacks: Option<u32>,
    /// IngestBatchSize.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH)))]
    ingest_batch: Option<u32>,
    /// BatchingWindowSeconds, of ingest.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(0..=60))]
    ingest_window: Option<u32>,
    /// IngestConcurrency; replaces provisioned pollers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000),
        conflicts_with_all = ["minimum_pollers", "maximum_pollers"])]
    maximum_concurrency: Option<u32>,
    /// Minimum of provisioned pollers, as in IngestConcurrency; replaces the maximum concurrency.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=200))]
    minimum_pollers: Option<u32>,
    /// Maximum of provisioned pollers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(MAXIMUM_POLLERS)))]
    maximum_pollers: Option<u32>,
    /// MAX_IN_FLIGHT of ingest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    ingest_max_in_flight: Option<u32>,
    /// FunctionMemoryMegabytes of ingest.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    ingest_memory: Option<u32>,
    /// Visibility timeout of the queue: six times IngestTimeoutSeconds plus the window.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=43_200))]
    visibility_seconds: Option<u32>,
    /// FunctionMemoryMegabytes of forward and complete.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    stream_memory: Option<u32>,
    /// Batch size of forward, 500 in the template.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH)))]
    forward_batch: Option<u32>,
    /// StreamParallelizationFactor, of forward.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PARALLELIZATION_FACTOR)))]
    forward_parallelization: Option<u32>,
    /// Batch size of complete.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH)))]
    complete_batch: Option<u32>,
    /// StreamParallelizationFactor, of complete.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PARALLELIZATION_FACTOR)))]
    complete_parallelization: Option<u32>,
    /// DownstreamMaxConcurrency.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    complete_max_in_flight: Option<u32>,
    /// ShardCount; 0 is an on-demand stream.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    shards: Option<u32>,
    /// Capacity of an on-demand stream at the start in MB/s.
    #[arg(long, value_name = "MB", value_parser = positive)]
    on_demand_megabytes: Option<f64>,
    /// Maximum capacity of an on-demand stream in MB/s: the account's quota.
    #[arg(long, value_name = "MB", value_parser = positive)]
    on_demand_quota: Option<f64>,
    /// Write units a second of the table at the start: its warm throughput.
    #[arg(long, value_name = "N", value_parser = positive)]
    table_warm: Option<f64>,
    /// Maximum write units a second of the table: the account's quota for a table.
    #[arg(long, value_name = "N", value_parser = positive)]
    table_quota: Option<f64>,
    /// Shards of the table's stream [default: one for each partition].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    table_stream_shards: Option<u32>,
    /// Concurrent executions quota of the account.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=10_000_000))]
    account_concurrency: Option<u32>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Speed (assumptions: replace them with your own measurements)")]
struct SpeedArgs {
    /// CPU milliseconds per invocation.
    #[arg(long, value_name = "MS", value_parser = number)]
    cpu_invocation_ms: Option<f64>,
    /// CPU milliseconds per message, change or event.
    #[arg(long, value_name = "MS", value_parser = number)]
    cpu_message_ms: Option<f64>,
    /// Milliseconds of a write to DynamoDB.
    #[arg(long, value_name = "MS", value_parser = number)]
    dynamodb_ms: Option<f64>,
    /// Milliseconds of a call to Kinesis.
    #[arg(long, value_name = "MS", value_parser = number)]
    kinesis_ms: Option<f64>,
    /// Milliseconds in which the downstream handles a notification.
    #[arg(long, value_name = "MS", value_parser = number)]
    downstream_ms: Option<f64>,
    /// Factor by which 1 % of the calls are slower.
    #[arg(long, value_name = "N", value_parser = positive)]
    tail: Option<f64>,
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..=1e9).contains(&number) => Ok(number),
        _ => Err("must be a number between 0 and 1000000000".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match number(text) {
        Ok(number) if number >= 1e-3 => Ok(number),
        _ => Err("must be a number between 0.001 and 1000000000".to_owned()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match number(text) {
        Ok(number) if number <= 1.0 => Ok(number),
        _ => Err("must be a number between 0 and 1".to_owned()),
    }
}

/// Overrides fields with the options that were given.
macro_rules! override_fields {
    ($target:expr, $args:expr, $($field:ident = $arg:ident),* $(,)?) => {
        $(if let Some(value) = $args.$arg { $target.$field = value; })*
    };
}

/// Maximum number of steps.
const MAXIMUM_STEPS: f64 = 1e6;

impl Cli {
    /// Simulates and prints the results.
    ///
    /// # Errors
    /// If options contradict each other, or a file cannot be read or written.
    pub fn run(&self) -> Result<ExitCode> {
        let run = self.simulate(&self.prices()?)?;
        if let Some(file) = &self.html {
            std::fs::write(file, run.html()?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let output = match self.output {
            Output::Table => run.text(),
            Output::Json => serde_json::to_string_pretty(&run)? + "\n",
        };
        // The reader may have closed the pipe.
        let _ = std::io::stdout().write_all(output.as_bytes());
        Ok(ExitCode::from(u8::from(!run.keeps_up)))
    }

    fn prices(&self) -> Result<Prices> {
        let Some(file) = &self.prices else {
            return Ok(Prices::built_in()?);
        };
        let json = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Prices::parse(&json).with_context(|| format!("invalid price table {}", file.display()))
    }

    /// Simulates the load and the configuration of the options.
    ///
    /// # Errors
    /// If options contradict each other.
    pub fn simulate(&self, prices: &Prices) -> Result<Run> {
        let load = self.load()?;
        let settings = self.settings()?;
        let steps = load.seconds / self.step;
        ensure!(
            steps <= MAXIMUM_STEPS,
            "{steps:.0} steps are too many: use a larger --step or fewer --seconds"
        );
        Ok(Run::simulate(
            &load,
            &settings,
            &self.speed(),
            self.step,
            prices,
        ))
    }

    fn load(&self) -> Result<Load> {
        let args = &self.load;
        let mut load = Load::constant(self.preset.unwrap_or(Preset::Hundred).rate());
        override_fields!(
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
            "an item can have at most 400 KB: use fewer --bytes"
        );
        Ok(load)
    }

    fn settings(&self) -> Result<Settings> {
        let args = &self.settings;
        let mut settings = self.preset.map_or_else(Settings::default, Preset::settings);
        override_fields!(
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
        self.override_polling(&mut settings.polling)?;
        self.override_stream(&mut settings.stream)?;
        ensure!(
            settings.ingest_batch <= 10 || settings.ingest_window > 0,
            "an --ingest-batch above 10 needs an --ingest-window"
        );
        Ok(settings)
    }

    fn override_polling(&self, polling: &mut Polling) -> Result<()> {
        let args = &self.settings;
        if let Some(maximum_concurrency) = args.maximum_concurrency {
            *polling = Polling::Standard {
                maximum_concurrency,
            };
        }
        if args.minimum_pollers.is_some() || args.maximum_pollers.is_some() {
            let (least, most) = match *polling {
                Polling::Provisioned { minimum, maximum } => (minimum, maximum),
                Polling::Standard { .. } => (2, 200),
            };
            let (minimum, maximum) = (
                args.minimum_pollers.unwrap_or(least),
                args.maximum_pollers.unwrap_or(most),
            );
            ensure!(
                minimum <= maximum,
                "--minimum-pollers must not be greater than --maximum-pollers"
            );
            *polling = Polling::Provisioned { minimum, maximum };
        }
        Ok(())
    }

    fn override_stream(&self, stream: &mut Stream) -> Result<()> {
        let args = &self.settings;
        let has_on_demand_options =
            args.on_demand_megabytes.is_some() || args.on_demand_quota.is_some();
        match args.shards {
            Some(0) => *stream = Settings::default().stream,
            Some(shards) => *stream = Stream::Provisioned { shards },
            None => {}
        }
        match stream {
            Stream::OnDemand { first, quota } => {
                *first = args.on_demand_megabytes.unwrap_or(*first);
                *quota = args.on_demand_quota.unwrap_or(*quota);
            }
            Stream::Provisioned { .. } => ensure!(
                !has_on_demand_options,
                "on-demand options need an on-demand stream: add --shards 0"
            ),
        }
        Ok(())
    }

    fn speed(&self) -> Speed {
        let args = &self.speed;
        let mut speed = Speed::default();
        override_fields!(
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
