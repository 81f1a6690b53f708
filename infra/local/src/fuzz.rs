//! `cargo local fuzz`: installs cargo-fuzz and runs the targets of `tests/fuzz` in parallel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::{LocalError, Result};
use crate::process::Program;
use crate::progress::Progress;
use crate::python::Interpreter;
use crate::tools;
use crate::workspace::{FileLock, Workspace};

pub const TARGETS: [&str; 5] = ["event", "fingerprint", "forward", "ingest", "pointer"];
/// Coverage instrumentation is an unstable feature of the compiler.
const TOOLCHAIN: &str = "nightly";
/// Hand-written events, as the first inputs.
const SAMPLES: &str = "infra/events";
/// Size limit of an input.
const MAX_INPUT_BYTES: usize = 8_192;
/// Size limit of an input that is kept in the repository.
const MAX_KEPT_BYTES: usize = 512;
/// The prefix of libFuzzer's line with the number of inputs it ran.
const EXECUTIONS: &str = "stat::number_of_executed_units:";

/// The result of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FuzzResult {
    pub target: &'static str,
    /// Number of inputs it ran.
    pub executions: u64,
    /// The input that crashed the target.
    pub crash: Option<PathBuf>,
    pub log: PathBuf,
}

/// Runs each target for `time`, as many in parallel as there are cores.
///
/// New inputs are collected below `target/local/fuzz`, where the next run starts from. With `keep`, the inputs that
/// increase coverage are written to `tests/fuzz/corpus`, one per line.
///
/// # Errors
/// A failed build, or a target that does not run. A crash is part of the result.
pub async fn fuzz(
    workspace: &Workspace,
    targets: &[&'static str],
    time: Duration,
    keep: bool,
    progress: Progress,
) -> Result<Vec<FuzzResult>> {
    let fuzzer = Fuzzer::new(workspace, progress).await?;
    let _lock = FileLock::acquire(&fuzzer.directory.join("lock"), progress).await?;
    let log = fuzzer.directory.join("build.log");
    let name = "Building the fuzz targets (cargo fuzz build)";
    let step = progress.long_step(name, "3 minutes the first time", Some(&log));
    let build = fuzzer.cargo_fuzz("build", "build.log");
    build.run("cargo fuzz build").await?;
    step.done();
    let step = progress.step(format!("Fuzzing for {} s each", time.as_secs()));
    let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
    let results = stream::iter(targets.iter().map(|target| fuzzer.run(target, time)))
        .buffered(parallelism)
        .try_collect()
        .await?;
    step.done();
    if keep {
        let step = progress.step("Choosing the inputs to keep");
        for target in targets {
            fuzzer.keep(target).await?;
        }
        step.done();
    }
    Ok(results)
}

struct Fuzzer {
    workspace: Workspace,
    interpreter: Interpreter,
    cargo_fuzz: PathBuf,
    directory: PathBuf,
}

impl Fuzzer {
    /// Checks that nightly Rust is installed and installs cargo-fuzz.
    async fn new(workspace: &Workspace, progress: Progress) -> Result<Self> {
        let interpreter = Interpreter::find().await?;
        let mut fuzzer = Self {
            workspace: workspace.clone(),
            interpreter,
            cargo_fuzz: PathBuf::new(),
            directory: workspace.local().join("fuzz"),
        };
        let version = fuzzer.program("rustc", "nightly.log").arg("--version");
        version
            .run("rustc of the nightly toolchain")
            .await
            .map_err(|_| LocalError::NightlyMissing)?;
        fuzzer.cargo_fuzz = tools::FUZZ
            .install(workspace, &fuzzer.interpreter, progress)
            .await?;
        Ok(fuzzer)
    }

    fn program(&self, program: impl AsRef<Path>, log: &str) -> Program {
        let log = self.directory.join(log);
        let _ = std::fs::remove_file(&log);
        Program::new(self.interpreter.path(), program.as_ref(), log)
            .current_dir(self.workspace.root())
            .env("RUSTUP_TOOLCHAIN", TOOLCHAIN)
    }

    /// Without a sanitizer, because the code has no `unsafe` and inputs then run several times as fast.
    fn cargo_fuzz(&self, command: &str, log: &str) -> Program {
        self.program(&self.cargo_fuzz, log)
            .args([command, "--sanitizer", "none", "--fuzz-dir", "tests/fuzz"])
            .args(["--target-dir", "target/fuzz"])
    }

    /// Returns `cargo fuzz run` of a target. The caller adds the corpora.
    fn cargo_fuzz_run(&self, target: &str, log: &str) -> Program {
        self.cargo_fuzz("run", log).arg(target)
    }

    async fn run(&self, target: &'static str, time: Duration) -> Result<FuzzResult> {
        let found = new_directory(&self.directory.join("corpus").join(target))?;
        let crashes = new_directory(&self.directory.join("crashes").join(target))?;
        let name = format!("{target}.log");
        let log = self.directory.join(&name);
        let mut running = self
            .cargo_fuzz_run(target, &name)
            .arg(&found)
            .arg(self.unpack(target)?)
            .arg(SAMPLES)
            .arg("--")
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(format!("-max_len={MAX_INPUT_BYTES}"))
            .args(["-print_final_stats=1", "-timeout=10"])
            .spawn()?;
        let status = running.exited().await?;
        let output =
            std::fs::read_to_string(&log).map_err(|source| LocalError::file(&log, source))?;
        let crash = crash(&output);
        if !status.success() && crash.is_none() {
            return Err(running.failure(&format!("cargo fuzz run {target}")));
        }
        Ok(FuzzResult {
            target,
            executions: executions(&output),
            crash,
            log,
        })
    }

    /// Writes each input of the repository's corpus to its own file, as libFuzzer needs it.
    fn unpack(&self, target: &str) -> Result<PathBuf> {
        let kept = self.directory.join("kept").join(target);
        let _ = std::fs::remove_dir_all(&kept);
        let kept = new_directory(&kept)?;
        let file = corpus(&self.workspace, target);
        let text =
            std::fs::read_to_string(&file).map_err(|source| LocalError::file(&file, source))?;
        for (number, input) in lines(&text).enumerate() {
            let path = kept.join(number.to_string());
            std::fs::write(&path, input).map_err(|source| LocalError::file(&path, source))?;
        }
        Ok(kept)
    }

    /// Writes the smallest set of inputs with the full coverage to the repository's corpus.
    async fn keep(&self, target: &str) -> Result<()> {
        let merged = self.directory.join("merged").join(target);
        let _ = std::fs::remove_dir_all(&merged);
        let merged = new_directory(&merged)?;
        self.cargo_fuzz_run(target, &format!("{target}-merge.log"))
            .arg(&merged)
            .arg(self.directory.join("corpus").join(target))
            .arg(self.unpack(target)?)
            .arg("--")
            .arg(format!("-max_len={MAX_KEPT_BYTES}"))
            .arg("-merge=1")
            .run(&format!("cargo fuzz run {target} -merge=1"))
            .await?;
        let mut inputs = BTreeSet::new();
        let entries =
            std::fs::read_dir(&merged).map_err(|source| LocalError::file(&merged, source))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let input = std::fs::read(&path).map_err(|source| LocalError::file(&path, source))?;
            inputs.insert((input.len(), input));
        }
        let lines = inputs
            .into_iter()
            .map(|(_, input)| BASE64_STANDARD.encode(input) + "\n");
        let file = corpus(&self.workspace, target);
        std::fs::write(&file, lines.collect::<String>())
            .map_err(|source| LocalError::file(&file, source))
    }
}

fn corpus(workspace: &Workspace, target: &str) -> PathBuf {
    let name = format!("tests/fuzz/corpus/{target}.txt");
    workspace.root().join(name)
}

/// Returns the inputs of a corpus. Each line is one input in base64.
fn lines(text: &str) -> impl Iterator<Item = Vec<u8>> {
    text.lines()
        .filter_map(|line| BASE64_STANDARD.decode(line).ok())
}

fn new_directory(path: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(path).map_err(|source| LocalError::file(path, source))?;
    Ok(path.to_owned())
}

/// Reads the number of inputs from libFuzzer's output.
fn executions(output: &str) -> u64 {
    let count = output
        .lines()
        .find_map(|line| line.strip_prefix(EXECUTIONS));
    count
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// Reads the path of the input that crashed the target from libFuzzer's output.
fn crash(output: &str) -> Option<PathBuf> {
    let mut lines = output.lines();
    lines.find_map(|line| Some(line.split_once("Test unit written to ")?.1.trim().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_executions_and_crash_from_libfuzzer_output() {
        let output = "Done 12 runs in 1 second(s)\nstat::number_of_executed_units: 12\nstat::peak_rss_mb: 3\n";
        assert_eq!((executions(output), crash(output)), (12, None));
        let output = "artifact_prefix='/t/'; Test unit written to /t/crash-0\nBase64: AA==\n";
        assert_eq!(crash(output), Some("/t/crash-0".into()));
    }

    #[test]
    fn every_fuzz_target_is_listed_and_has_a_corpus() {
        let workspace = Workspace::here();
        let manifest = workspace.root().join("tests/fuzz/Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let paths = manifest.lines().filter_map(|line| {
            let path = line.strip_prefix("path = \"targets/")?;
            path.strip_suffix(".rs\"")
        });
        assert_eq!(paths.collect::<BTreeSet<_>>(), BTreeSet::from(TARGETS));
        for target in TARGETS {
            let text = std::fs::read_to_string(corpus(&workspace, target)).unwrap();
            let inputs: Vec<Vec<u8>> = lines(&text).collect();
            assert_eq!(inputs.len(), text.lines().count(), "{target}: base64");
            assert!(inputs.len() > 100, "{target}");
        }
    }
}
