//! The command line: what can be asked for, and what each command does with it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::alarms::TimeScale;
use crate::binaries::{self, Architecture, Binary};
use crate::error::{LocalError, Result};
use crate::fuzz::{self, Fuzzed};
use crate::progress::Progress;
use crate::proof::{self, Proof};
use crate::sample::{self, Sample};
use crate::stack::StackOptions;
use crate::workspace::Workspace;
use crate::{check, demo, messages, up};

/// In `up`, what takes minutes until an alarm goes off takes seconds.
const UP_TIME_SCALE: TimeScale = TimeScale(20);

/// The whole pipeline on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run messages through a pipeline of their own and check every promise. Exit code 1 if one was broken.
    Demo {
        /// Messages to send, one a line; without it, a built-in sample of new, duplicate, conflicting and malformed ones.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["messages", "seed"])]
        file: Option<PathBuf>,
        /// How many messages the built-in sample has; a third of them are duplicates or bad.
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        messages: u32,
        /// Draws the built-in sample; the same seed, the same messages.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        stack: StackArguments,
        /// Use the stack of this name that is deployed in the account and region (and at the endpoint) that the
        /// environment names, instead of one of its own. Nobody else may send to it meanwhile; its dead letters are taken.
        #[arg(long = "stack", value_name = "NAME", conflicts_with_all = ["watch", "port", "shards", "fifo"])]
        deployed: Option<String>,
        /// The deployed stack is at rest when it looked so for this long: SQS's counts lag behind, by a minute at most.
        #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "deployed", value_parser = clap::value_parser!(u32).range(1..))]
        settle: u32,
    },
    /// Start the pipeline and keep it running until Ctrl-C; target/local/stack.json tells where it is.
    Up {
        #[command(flatten)]
        stack: StackArguments,
    },
    /// Send messages to the running pipeline, one a line.
    Send {
        /// The file of messages, or `-` for standard input.
        file: PathBuf,
    },
    /// Check template.yaml with cfn-lint, `sam validate --lint`, checkov and the policy. Exit code 1 if there is a finding.
    Check,
    /// Build the functions as they are deployed, for each architecture that this machine can build for, and tell their sizes.
    Build {
        /// This one alone; it is an error if this machine cannot.
        #[arg(long)]
        architecture: Option<Architecture>,
    },
    /// Run handlers and event sources in simulated worlds with everything failing that can; see `--help` for more.
    #[command(disable_help_flag = true)]
    Simulate(ProofOptions),
    /// Plant one bug after the other and say which guarantee catches it, and after how many simulated worlds.
    #[command(disable_help_flag = true)]
    Bugs(ProofOptions),
    /// Visit every state of a model of the protocol within bounds, and check its promises in each.
    #[command(disable_help_flag = true)]
    Model(ProofOptions),
    /// Run the very pipeline under load for minutes, with faults on the wire and killed functions, then look for losses.
    #[command(disable_help_flag = true)]
    Soak(ProofOptions),
    /// Measure the functions beside what people would use instead, in ratios; see `--help` for more.
    #[command(disable_help_flag = true)]
    Bench(ProofOptions),
    /// Tell how a load goes through the pipeline over time: backlogs, concurrency, ages, the limit that is met first.
    #[command(disable_help_flag = true)]
    Scale(ProofOptions),
    /// Change the code in one place after the other and tell which changes no test sees (cargo-mutants).
    #[command(disable_help_flag = true)]
    Mutants(ProofOptions),
    /// Tell which lines of the deployed code its own tests run through (cargo-llvm-cov).
    #[command(disable_help_flag = true)]
    Coverage(ProofOptions),
    /// Give the entries of the functions any bytes (cargo-fuzz; needs nightly Rust). Exit code 1 if an input breaks one.
    Fuzz {
        /// How long each target runs, in seconds.
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// One target alone.
        #[arg(long, value_parser = PossibleValuesParser::new(fuzz::TARGETS))]
        target: Option<String>,
        /// Afterwards writes the inputs that reach something of their own into tests/fuzz/corpus.
        #[arg(long)]
        keep: bool,
    },
}

/// Handed on as they are.
#[derive(Debug, Args)]
struct ProofOptions {
    #[arg(
        value_name = "OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    options: Vec<OsString>,
}

impl ProofOptions {
    fn run(&self, proof: Proof) -> Result<ExitCode> {
        match proof.run(&Workspace::here(), &self.options)? {}
    }
}

#[derive(Debug, Args)]
struct StackArguments {
    /// Serve the functions by `cargo lambda watch`, so that saved code is built and used at once.
    #[arg(long)]
    watch: bool,
    /// The emulator's port on 127.0.0.1; a free one if left out.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Shards of the Kinesis stream.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    shards: u32,
    /// A FIFO queue; the message group is the notification id.
    #[arg(long)]
    fifo: bool,
}

impl StackArguments {
    fn options(&self, name: &str) -> StackOptions {
        let queue_type = if self.fifo { "fifo" } else { "standard" };
        let options = StackOptions::named(name)
            .parameter("QueueType", queue_type)
            .parameter("ShardCount", &self.shards.to_string());
        StackOptions {
            port: self.port,
            watch: self.watch,
            progress: Progress::detect(),
            ..options
        }
    }
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever kept it from being done; a broken obligation is the exit code 1 instead.
    pub async fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Demo {
                file,
                messages,
                seed,
                stack,
                deployed,
                settle,
            } => {
                // A deployed table has other notifications, of earlier runs too.
                let name = match &deployed {
                    Some(_) => format!("demo-{:08x}", rand::random::<u32>()),
                    None => sample::NAME.to_owned(),
                };
                let sample = sample(file, &name, messages, seed)?;
                let kept = match deployed {
                    Some(deployed) => {
                        let settle = Duration::from_secs(settle.into());
                        let progress = Progress::detect();
                        demo::run_deployed(&deployed, settle, &sample, progress, interrupted())
                            .await?
                    }
                    None => demo::run(stack.options("demo"), &sample, interrupted()).await?,
                };
                Ok(if kept {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(1)
                })
            }
            Command::Up { stack } => {
                let options = StackOptions {
                    alarms: Some(UP_TIME_SCALE),
                    ..stack.options("up")
                };
                up::up(options, interrupted()).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Send { file } => {
                let sent = up::send(&Workspace::here(), &file, Progress::detect()).await?;
                eprintln!("{sent} messages sent");
                Ok(ExitCode::SUCCESS)
            }
            Command::Check => {
                let workspace = Workspace::here();
                let template = workspace.root().join("template.yaml");
                let findings = check::check(&workspace, &template, Progress::detect()).await?;
                findings.iter().for_each(|finding| eprintln!("{finding}"));
                Ok(ExitCode::from(u8::from(!findings.is_empty())))
            }
            Command::Build { architecture } => build(architecture).await,
            Command::Simulate(options) => options.run(proof::SIMULATE),
            Command::Bugs(options) => options.run(proof::BUGS),
            Command::Model(options) => options.run(proof::MODEL),
            Command::Soak(options) => options.run(proof::SOAK),
            Command::Bench(options) => options.run(proof::BENCH),
            Command::Scale(options) => options.run(proof::SCALE),
            Command::Mutants(ProofOptions { options }) => {
                match proof::mutants(&Workspace::here(), &options).await? {}
            }
            Command::Coverage(ProofOptions { options }) => {
                match proof::coverage(&Workspace::here(), &options).await? {}
            }
            Command::Fuzz {
                seconds,
                target,
                keep,
            } => {
                let is_chosen = |name: &&str| target.as_ref().is_none_or(|target| target == name);
                let targets: Vec<_> = fuzz::TARGETS.into_iter().filter(is_chosen).collect();
                let time = Duration::from_secs(seconds.into());
                let (workspace, progress) = (Workspace::here(), Progress::detect());
                let fuzzed = fuzz::fuzz(&workspace, &targets, time, keep, progress).await?;
                Ok(tell(&fuzzed))
            }
        }
    }
}

/// A line for each binary, and one for each architecture that cannot be built for, unless it was asked for.
#[allow(clippy::print_stdout)]
async fn build(asked: Option<Architecture>) -> Result<ExitCode> {
    let (workspace, progress) = (Workspace::here(), Progress::detect());
    let wanted = asked.map_or(Architecture::ALL.to_vec(), |asked| vec![asked]);
    for architecture in wanted {
        match binaries::build(&workspace, architecture, progress).await {
            Ok(built) => built.iter().for_each(tell_binary),
            Err(error @ LocalError::TargetMissing { .. }) if asked.is_none() => {
                let help = error.help().unwrap_or_default();
                println!("skipped: {}: {error}; {help}", architecture.name());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout)]
fn tell_binary(binary: &Binary) {
    println!(
        "{:>12} bytes  {:<6}  {:<8}  {}",
        binary.bytes,
        binary.architecture.name(),
        binary.function,
        binary.path.display()
    );
}

/// A line for each target, and where the inputs are that broke one.
#[allow(clippy::print_stdout)]
fn tell(fuzzed: &[Fuzzed]) -> ExitCode {
    let mut crashed = false;
    for fuzzed in fuzzed {
        println!("{:>12} inputs  {}", fuzzed.executions, fuzzed.target);
        if let Some(input) = &fuzzed.crash {
            crashed = true;
            let log = fuzzed.log.display();
            println!(
                "{} was broken by {}; {log} tells how",
                fuzzed.target,
                input.display()
            );
        }
    }
    ExitCode::from(u8::from(crashed))
}

fn sample(file: Option<PathBuf>, name: &str, count: u32, seed: u64) -> Result<Vec<Sample>> {
    match file {
        Some(file) => Ok(messages::classify(messages::read(&file)?)),
        None => Ok(sample::messages_named(
            name,
            usize::try_from(count).unwrap_or(usize::MAX),
            seed,
        )),
    }
}

/// Ends with Ctrl-C, SIGTERM, or a closed terminal.
async fn interrupted() {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let waits = kinds
        .into_iter()
        .filter_map(|kind| signal(kind).ok())
        .map(|mut signal| {
            Box::pin(async move {
                signal.recv().await;
            })
        });
    futures::future::select_all(waits).await;
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_setting_is_refused() {
        for wrong in [
            &["demo", "--messages", "0"][..],
            &["demo", "--messages", "many"],
            &["demo", "--file", "x", "--seed", "1"],
            &["demo", "--stack", "x", "--shards", "3"],
            &["demo", "--settle", "3"],
            &["build", "--architecture", "mips"],
            &["up", "--port", "0"],
            &["up", "--shards", "0"],
            &["send"],
        ] {
            assert!(
                Cli::try_parse_from(["cargo local"].iter().chain(wrong)).is_err(),
                "{wrong:?}"
            );
        }
    }
}
