//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::binaries::{self, Architecture, Binary};
use crate::demo::PageOptions;
use crate::downstream::{Downstream, Function, Table, Targets};
use crate::error::{LocalError, Result};
use crate::fuzz::{self, FuzzResult};
use crate::profile::Profile;
use crate::progress::Progress;
use crate::sample::{self, Sample};
use crate::stack::StackOptions;
use crate::up::UpOptions;
use crate::workspace::Workspace;
use crate::{check, demo, messages, parameters, redeploy, tools, up};

/// Run and check the whole pipeline on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send messages through a new pipeline and check every guarantee. Exit code 1 if one is broken.
    Demo(DemoOptions),
    /// Start the pipeline and its console, and run them until Ctrl-C. target/local/stack.json describes the pipeline.
    Up(UpArguments),
    /// Change parameters of the pipeline that `up` runs, while messages flow. The others keep their values.
    Deploy {
        /// A template parameter (docs/settings.md). Can be repeated.
        #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameters::parse, required = true)]
        parameters: Vec<(String, String)>,
    },
    /// Send messages to the pipeline that `up` runs, one per line.
    Send {
        /// File with the messages, or `-` for standard input.
        file: PathBuf,
    },
    /// Check template.yaml with cfn-lint, `sam validate --lint`, checkov and the policy. Exit code 1 on findings.
    Check,
    /// Build the functions for deployment, for each architecture that this machine supports, and print their sizes.
    Build {
        /// Build for this architecture only, and fail if this machine does not support it.
        #[arg(long)]
        architecture: Option<Architecture>,
    },
    /// Build the release package: programs, template, checksums, SBOMs and licences (docs/deploying.md).
    #[command(disable_help_flag = true)]
    Package(ToolOptions),
    /// Change the deployed code in one place at a time and list the changes that no test detects (cargo-mutants).
    #[command(disable_help_flag = true)]
    Mutants(ToolOptions),
    /// Measure which lines of the deployed code its own tests cover (cargo-llvm-cov).
    #[command(disable_help_flag = true)]
    Coverage(ToolOptions),
    /// Fuzz the entry points of the functions (cargo-fuzz, nightly Rust). Exit code 1 if an input crashes one.
    Fuzz(FuzzOptions),
}

#[derive(Debug, Args)]
struct DemoOptions {
    /// Messages to send, one per line. Default: a sample of new, duplicate, conflicting and malformed messages.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["messages", "seed"])]
    file: Option<PathBuf>,
    /// Number of messages in the sample. A third of them are duplicate, conflicting or malformed.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    messages: u32,
    /// Seed of the sample. The same seed gives the same messages.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    stack: StackArguments,
    /// Use this deployed stack, in the account and region of the environment, instead of a new local one. Nothing else
    /// may send to it meanwhile. Its dead-letter queue is emptied.
    #[arg(long = "stack", value_name = "NAME", conflicts_with_all = ["watch", "release", "package", "port", "shards", "fifo", "parameters", "downstream_url", "downstream_queues", "downstream_function"])]
    deployed: Option<String>,
    /// How long a deployed stack must look idle before it counts as idle. SQS's counts lag by up to a minute.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "deployed", value_parser = clap::value_parser!(u32).range(1..))]
    settle: u32,
    /// Make calls fail and kill functions, and write a page about the run to this file: what onewrite kept, and what the double
    /// write loses and repeats on the same messages and faults.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["deployed", "downstream_url", "downstream_queues", "downstream_function"])]
    html: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct UpArguments {
    #[command(flatten)]
    stack: StackArguments,
    /// Deliver to nothing: notifications stay in INIT for your own consumer.
    #[arg(long, conflicts_with_all = ["downstream_url", "downstream_queues", "downstream_function"])]
    no_downstream: bool,
    /// Do not build and serve the console.
    #[arg(long)]
    no_console: bool,
    /// Write table, stream, queues and ledger, with all payloads, to files in target/local/kept at the end.
    #[arg(long)]
    keep: bool,
}

impl UpArguments {
    fn options(&self) -> UpOptions {
        let default = if self.no_downstream {
            Downstream::None
        } else {
            Downstream::Ledger
        };
        UpOptions {
            stack: self.stack.options("up", default),
            console: !self.no_console,
            keep: self.keep,
        }
    }
}

#[derive(Debug, Args)]
struct FuzzOptions {
    /// How long each target runs, in seconds.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Run this target only.
    #[arg(long, value_parser = PossibleValuesParser::new(fuzz::TARGETS))]
    target: Option<String>,
    /// Write the inputs that increase coverage to tests/fuzz/corpus.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct ToolOptions {
    /// Options of the tool.
    #[arg(
        value_name = "OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    options: Vec<OsString>,
}

#[derive(Debug, Args)]
struct StackArguments {
    /// Rebuild the functions when a source file is saved, and restart every running instance.
    #[arg(long)]
    watch: bool,
    /// Build and deploy as for AWS: release profile, `sam build`, `sam deploy`. Takes ten minutes the first time.
    #[arg(long, conflicts_with = "watch")]
    release: bool,
    /// Deploy the release package in this directory instead of building anything (`cargo local package`).
    #[arg(long, value_name = "DIR", conflicts_with_all = ["watch", "release"])]
    package: Option<PathBuf>,
    /// Port of the emulator on 127.0.0.1. Default: a free port.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Number of shards of the Kinesis stream.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    shards: u32,
    /// Use a FIFO queue. The message group is the notification id.
    #[arg(long)]
    fifo: bool,
    /// Set a template parameter (docs/settings.md). Can be repeated. Wins over the other options.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameters::parse)]
    parameters: Vec<(String, String)>,
    #[command(flatten)]
    downstream: DownstreamArguments,
}

#[derive(Debug, Args)]
struct DownstreamArguments {
    /// Deliver notifications to this URL: https, or http on this machine.
    #[arg(long, value_name = "URL")]
    downstream_url: Option<String>,
    /// Create this queue in the emulator and deliver notifications to it. Can be repeated.
    #[arg(long = "downstream-queue", value_name = "NAME")]
    downstream_queues: Vec<String>,
    /// Create a function of this file (.py, .mjs, .js), which exports `handler`, and deliver notifications to it.
    #[arg(long, value_name = "FILE")]
    downstream_function: Option<PathBuf>,
    /// Create this table, with this partition key, for the writes of the function.
    #[arg(long, value_name = "NAME:KEY", default_value = "ledger:entry_id", requires = "downstream_function", value_parser = Table::parse)]
    downstream_table: Table,
}

impl DownstreamArguments {
    /// The given targets, or `default` if there are none.
    fn downstream_or(&self, default: Downstream) -> Downstream {
        let function = self.downstream_function.clone().map(|file| Function {
            file,
            table: self.downstream_table.clone(),
        });
        let targets = Targets {
            url: self.downstream_url.clone(),
            queues: self.downstream_queues.clone(),
            function,
        };
        if targets == Targets::default() {
            default
        } else {
            Downstream::Targets(targets)
        }
    }
}

impl StackArguments {
    fn options(&self, name: &str, default: Downstream) -> StackOptions {
        let queue_type = if self.fifo { "fifo" } else { "standard" };
        let mut options = StackOptions::new(name)
            .parameter("QueueType", queue_type)
            .parameter("ShardCount", &self.shards.to_string());
        options.parameters.extend(self.parameters.iter().cloned());
        StackOptions {
            port: self.port,
            package: self.package.clone(),
            downstream: self.downstream.downstream_or(default),
            profile: if self.release {
                Profile::Release
            } else {
                Profile::Dev
            },
            watch: self.watch,
            progress: Progress::detect(),
            ..options
        }
    }
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// Any failure but a broken guarantee, which is exit code 1.
    pub async fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Demo(options) => Box::pin(options.run()).await,
            Command::Up(arguments) => {
                let mut interruptions = Interruptions::new();
                let interrupted = async || interruptions.next().await;
                Box::pin(up::up(arguments.options(), interrupted)).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Deploy { parameters } => {
                let changed = parameters.into_iter().collect();
                redeploy::request(&Workspace::here(), &changed, Progress::detect()).await?;
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
                Ok(exit_code(!findings.is_empty()))
            }
            Command::Build { architecture } => build(architecture).await,
            Command::Package(ToolOptions { options }) => {
                match tools::package(&Workspace::here(), &options)? {}
            }
            Command::Mutants(ToolOptions { options }) => {
                match tools::mutants(&Workspace::here(), &options).await? {}
            }
            Command::Coverage(ToolOptions { options }) => {
                match tools::coverage(&Workspace::here(), &options).await? {}
            }
            Command::Fuzz(options) => options.run().await,
        }
    }
}

impl DemoOptions {
    async fn run(self) -> Result<ExitCode> {
        // A deployed table has items of earlier runs too, so the ids need a name that is new.
        let name = match &self.deployed {
            Some(_) => format!("demo-{:08x}", rand::random::<u32>()),
            None => sample::ID_PREFIX.to_owned(),
        };
        let page = self.page();
        let sample = read_or_generate(self.file, &name, self.messages, self.seed)?;
        let is_kept = match self.deployed {
            Some(stack) => {
                let settle = Duration::from_secs(self.settle.into());
                let progress = Progress::detect();
                demo::run_deployed(&stack, settle, &sample, progress, interrupted()).await?
            }
            None => {
                let options = self.stack.options("demo", Downstream::Ledger);
                Box::pin(demo::run(options, &sample, page, interrupted())).await?
            }
        };
        Ok(exit_code(!is_kept))
    }

    /// The page that `--html` asks for.
    fn page(&self) -> Option<PageOptions> {
        let messages = match self.file {
            Some(_) => "--file FILE".to_owned(),
            None => format!("--messages {} --seed {}", self.messages, self.seed),
        };
        let fifo = if self.stack.fifo { " --fifo" } else { "" };
        let shards = self.stack.shards;
        let parameters = self.stack.parameters.iter();
        let parameters: String = parameters
            .map(|(name, value)| format!(" --parameter {}", quoted(&format!("{name}={value}"))))
            .collect();
        self.html.as_ref().map(|path| PageOptions {
            path: path.clone(),
            seed: self.seed,
            command: format!(
                "cargo local demo {messages} --shards {shards}{fifo}{parameters} --html run.html"
            ),
        })
    }
}

/// A word of a command for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=./:,".contains(letter);
    if word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

impl FuzzOptions {
    async fn run(self) -> Result<ExitCode> {
        let is_chosen = |name: &&str| self.target.as_ref().is_none_or(|target| target == name);
        let targets: Vec<_> = fuzz::TARGETS.into_iter().filter(is_chosen).collect();
        let time = Duration::from_secs(self.seconds.into());
        let (workspace, progress) = (Workspace::here(), Progress::detect());
        let results = fuzz::fuzz(&workspace, &targets, time, self.keep, progress).await?;
        results.iter().for_each(print_fuzz_result);
        Ok(exit_code(
            results.iter().any(|result| result.crash.is_some()),
        ))
    }
}

fn exit_code(is_negative: bool) -> ExitCode {
    ExitCode::from(u8::from(is_negative))
}

/// Prints a line for each binary, and for each architecture that is skipped because this machine does not support it.
#[allow(clippy::print_stdout)]
async fn build(requested: Option<Architecture>) -> Result<ExitCode> {
    let (workspace, progress) = (Workspace::here(), Progress::detect());
    let architectures = requested.map_or(Architecture::ALL.to_vec(), |one| vec![one]);
    for architecture in architectures {
        match binaries::build(&workspace, architecture, progress).await {
            Ok(built) => built.iter().for_each(print_binary),
            Err(error @ LocalError::TargetMissing { .. }) if requested.is_none() => {
                let help = error.help().unwrap_or_default();
                println!("skipped: {}: {error}; {help}", architecture.name());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout)]
fn print_binary(binary: &Binary) {
    println!(
        "{:>12} bytes  {:<6}  {:<8}  {}",
        binary.bytes,
        binary.architecture.name(),
        binary.function,
        binary.path.display()
    );
}

#[allow(clippy::print_stdout)]
fn print_fuzz_result(result: &FuzzResult) {
    println!("{:>12} inputs  {}", result.executions, result.target);
    if let Some(input) = &result.crash {
        let (input, log) = (input.display(), result.log.display());
        println!("{} crashed on {input}; see {log}", result.target);
    }
}

fn read_or_generate(
    file: Option<PathBuf>,
    name: &str,
    count: u32,
    seed: u64,
) -> Result<Vec<Sample>> {
    match file {
        Some(file) => Ok(messages::classify(messages::read(&file)?)),
        None => Ok(sample::messages_with_prefix(
            name,
            usize::try_from(count).unwrap_or(usize::MAX),
            seed,
        )),
    }
}

/// Waits for Ctrl-C, SIGTERM, or the end of the terminal.
async fn interrupted() {
    Interruptions::new().next().await;
}

/// Ctrl-C, SIGTERM, and the end of the terminal. None is missed between two waits.
struct Interruptions {
    signals: Vec<Signal>,
    terminal: Option<Signal>,
}

impl Interruptions {
    fn new() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self {
            signals: kinds
                .into_iter()
                .filter_map(|kind| signal(kind).ok())
                .collect(),
            terminal: signal(SignalKind::hangup()).ok(),
        }
    }

    /// Waits for the next one. The end of the terminal counts only as the first one, because a shell can report it again.
    async fn next(&mut self) {
        let signals = self.signals.iter_mut().chain(&mut self.terminal);
        let waits = signals.map(|signal| Box::pin(signal.recv()));
        futures::future::select_all(waits).await;
        self.terminal = None;
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rejects_invalid_options() {
        for invalid in [
            &["demo", "--messages", "0"][..],
            &["demo", "--messages", "many"],
            &["demo", "--file", "x", "--seed", "1"],
            &["demo", "--stack", "x", "--shards", "3"],
            &["demo", "--stack", "x", "--release"],
            &["demo", "--settle", "3"],
            &["demo", "--html"],
            &["demo", "--stack", "x", "--html", "f"],
            &["demo", "--html", "f", "--downstream-queue", "q"],
            &["demo", "--stack", "x", "--downstream-url", "http://[::1]/"],
            &["demo", "--stack", "x", "--downstream-queue", "q"],
            &["demo", "--stack", "x", "--downstream-function", "f.py"],
            &["up", "--downstream-table", "ledger:id"],
            &[
                "up",
                "--downstream-function",
                "f.py",
                "--downstream-table",
                "ledger",
            ],
            &["build", "--architecture", "mips"],
            &["up", "--port", "0"],
            &["up", "--no-downstream", "--downstream-queue", "q"],
            &["demo", "--no-console"],
            &["up", "--shards", "0"],
            &["up", "--watch", "--release"],
            &["up", "--watch", "--package", "x"],
            &["demo", "--stack", "x", "--package", "x"],
            &["up", "--parameter", "ShardCount"],
            &["deploy"],
            &["send"],
        ] {
            assert!(
                Cli::try_parse_from(["cargo local"].iter().chain(invalid)).is_err(),
                "{invalid:?}"
            );
        }
    }

    fn downstream(line: &[&str]) -> Downstream {
        let cli = Cli::try_parse_from(["cargo local"].iter().chain(line)).unwrap();
        match cli.command {
            Command::Up(arguments) => arguments.options().stack.downstream,
            Command::Demo(options) => options.stack.options("demo", Downstream::Ledger).downstream,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_ledger_is_the_target_unless_another_or_none_is_wanted() {
        assert_eq!(downstream(&["up"]), Downstream::Ledger);
        assert_eq!(downstream(&["demo"]), Downstream::Ledger);
        assert_eq!(downstream(&["up", "--no-downstream"]), Downstream::None);
    }

    #[test]
    fn up_serves_the_page_and_keeps_nothing_unless_told_otherwise() {
        let options = |line: &[&str]| {
            let line = ["cargo local", "up"].iter().chain(line);
            match Cli::try_parse_from(line).unwrap().command {
                Command::Up(arguments) => {
                    let options = arguments.options();
                    (options.console, options.keep)
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(options(&[]), (true, false));
        assert_eq!(options(&["--no-console", "--keep"]), (false, true));
    }

    #[test]
    fn the_command_of_the_page_has_the_parameters() {
        let line = "cargo local|demo|--html|f|--parameter|A=1|--parameter|B=it's *";
        match Cli::try_parse_from(line.split('|')).unwrap().command {
            Command::Demo(options) => {
                let command = options.page().unwrap().command;
                let parameters = r" --parameter A=1 --parameter 'B=it'\''s *' --html run.html";
                assert!(command.ends_with(parameters), "{command}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_name_the_targets_of_a_stack() {
        let url = "http://127.0.0.1:9000/";
        let queues = ["--downstream-queue", "a", "--downstream-queue", "b.fifo"];
        let mut line = vec![
            "demo",
            "--downstream-url",
            url,
            "--downstream-function",
            "f.py",
        ];
        line.extend(queues);
        let table = |name: &str, key: &str| Table {
            name: name.into(),
            key: key.into(),
        };
        let targets = |table| {
            Downstream::Targets(Targets {
                url: Some(url.into()),
                queues: vec!["a".into(), "b.fifo".into()],
                function: Some(Function {
                    file: "f.py".into(),
                    table,
                }),
            })
        };
        assert_eq!(downstream(&line), targets(table("ledger", "entry_id")));
        line.extend(["--downstream-table", "book:id"]);
        assert_eq!(downstream(&line), targets(table("book", "id")));
    }
}
