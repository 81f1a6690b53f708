//! `cargo benchmark`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use hyper::body::Bytes;
use onewrite_bench::{
    cost,
    cpu_share::{CpuShare, SIZES_MB},
    events::{self, Ids},
    figures::Figures,
    goals,
    measure::{Bench, MEMORY_MB, PAYLOAD},
    peer::{self, Job, Peer},
    report,
    stub::Stub,
};
use onewrite_local::{progress::Progress, workspace::Workspace};

/// Compare the functions with alternatives. The exit code is 1 if a ratio is worse than the gate allows.
#[derive(Debug, Parser)]
#[command(name = "cargo benchmark", bin_name = "cargo benchmark")]
struct Arguments {
    /// Number of runs of each measurement.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Measure only what the gate checks: the functions and the bare SDK calls.
    #[arg(long)]
    short: bool,
    /// Only build the programs that would be measured.
    #[arg(long)]
    build_only: bool,
    /// Also measure another build of the functions: a directory with ingest/bootstrap and so on, such as
    /// target/local/binaries.
    #[arg(long, value_name = "DIRECTORY")]
    beside: Option<PathBuf>,
    /// Directory for index.html and results.json [default: target/bench/report].
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[allow(clippy::print_stdout)]
async fn run(arguments: Arguments) -> Result<ExitCode> {
    let workspace = Workspace::here();
    let home = workspace.root().join("target").join("bench");
    let logs = home.join("logs");
    std::fs::create_dir_all(&logs)?;
    // Checked before the build, so that a missing function is reported at once.
    let other = arguments.beside.as_deref().map(peer::other_build);
    let other = other.transpose()?.unwrap_or_default();
    let mut peers = build_peers(&workspace, arguments.short).await?;
    if arguments.build_only {
        return Ok(ExitCode::SUCCESS);
    }
    peers.extend(other);
    let stub = Stub::start(&home).await?;
    let mut bench = Bench {
        stub: &stub,
        logs: &logs,
        runs: arguments.runs.into(),
        figures: Figures::default(),
        report: |step| eprintln!("Measuring {step}"),
    };
    measure(&mut bench, &peers, arguments.short).await?;
    let mut figures = bench.figures;
    cost::calculate(&mut figures)?;
    let results: Vec<_> = goals::all()
        .iter()
        .filter_map(|goal| goal.evaluate(&figures))
        .collect();
    let about = format!(
        "{} cores, {}; medians of {} runs (minimum and maximum), with peers in turns. Payloads have {PAYLOAD} bytes unless stated \
         otherwise. Services are stubs on the loopback interface with TLS that respond immediately.",
        std::thread::available_parallelism()?,
        std::env::consts::ARCH,
        arguments.runs,
    );
    let output = arguments.output.unwrap_or_else(|| home.join("report"));
    report::write(&output, &figures, &results, &about)?;
    println!("{}", report::tables(&figures));
    println!("{}", report::goals(&results));
    println!("{about}\n{}", output.join("index.html").display());
    let failed = results.iter().any(|result| result.passes == Some(false));
    Ok(ExitCode::from(u8::from(failed)))
}

async fn build_peers(workspace: &Workspace, short: bool) -> Result<Vec<Peer>> {
    use peer::{RAW, SAMPLE, SAMPLE_ALL, SAMPLE_FORWARD};
    let progress = Progress::detect();
    let mut all = peer::functions(workspace, progress).await?;
    all.extend(peer::bare(workspace, progress).await?);
    if !short {
        let raw = [("raw-ingest", RAW, Job::Ingest)];
        all.extend(peer::rust(workspace, "raw", &raw, progress).await?);
        let sample = [
            ("sample-ingest", SAMPLE, Job::Ingest),
            ("sample-ingest-all", SAMPLE_ALL, Job::Ingest),
            ("sample-forward", SAMPLE_FORWARD, Job::Forward),
        ];
        all.extend(peer::rust(workspace, "sample", &sample, progress).await?);
        for others in [
            peer::python(workspace, progress).await,
            peer::node(workspace, progress).await,
        ] {
            match others {
                Ok(others) => all.extend(others),
                Err(error) => eprintln!("Skipping peers: {error:#}"),
            }
        }
    }
    Ok(all)
}

/// Whether the peer represents its language in measurements in which a start takes seconds.
fn is_representative(peer: &Peer) -> bool {
    use peer::{DOUBLE_WRITE, NODE_PLAIN, PYTHON_ALL, PYTHON_PLAIN, SAMPLE_ALL};
    let variants = [
        SAMPLE_ALL,
        PYTHON_PLAIN,
        PYTHON_ALL,
        NODE_PLAIN,
        DOUBLE_WRITE,
    ];
    !variants.contains(&peer.name)
}

/// The peers by job.
struct Jobs<'a> {
    ingest: Vec<&'a Peer>,
    forward: Vec<&'a Peer>,
    complete: Vec<&'a Peer>,
}

impl<'a> Jobs<'a> {
    fn new(peers: &'a [Peer]) -> Self {
        let with = |job| peers.iter().filter(|peer| peer.job == job).collect();
        Self {
            ingest: with(Job::Ingest),
            forward: with(Job::Forward),
            complete: with(Job::Complete),
        }
    }
}

async fn measure(bench: &mut Bench<'_>, peers: &[Peer], short: bool) -> Result<()> {
    let jobs = Jobs::new(peers);
    bench.programs(peers);
    bench.cold(&jobs.ingest, None, one_message).await?;
    if !short {
        let one_change = || events::stream(1, Ids::Distinct, PAYLOAD);
        let one_event = || events::kinesis(1, PAYLOAD);
        bench.cold(&jobs.forward, None, one_change).await?;
        bench.cold(&jobs.complete, None, one_event).await?;
        match CpuShare::for_memory(MEMORY_MB) {
            Ok(share) => {
                drop(share);
                measure_with_cpu_share(bench, &jobs).await?;
            }
            Err(error) => {
                eprintln!("Skipping measurements with CPU shares, and so the cost: {error:#}");
            }
        }
    }
    measure_cpu(bench, &jobs, short).await
}

fn one_message() -> Bytes {
    events::sqs(1, PAYLOAD)
}

async fn measure_with_cpu_share(bench: &mut Bench<'_>, jobs: &Jobs<'_>) -> Result<()> {
    let representative = |peer: &&Peer| is_representative(peer);
    let ingest: Vec<_> = jobs.ingest.iter().copied().filter(representative).collect();
    for size in SIZES_MB {
        bench.cold(&ingest, Some(size), one_message).await?;
    }
    let stream = |changes, bytes| events::stream(changes, Ids::Distinct, bytes);
    bench
        .billed(&jobs.ingest, cost::INGEST_BATCH, events::sqs)
        .await?;
    bench
        .billed(&jobs.forward, cost::FORWARD_BATCH, stream)
        .await?;
    bench
        .billed(&jobs.complete, cost::COMPLETE_BATCH, events::kinesis)
        .await
}

async fn measure_cpu(bench: &mut Bench<'_>, jobs: &Jobs<'_>, short: bool) -> Result<()> {
    use peer::{BARE_FORWARD, FORWARD, FORWARD_OTHER};
    let batches: &[usize] = if short {
        &[10, 1_000]
    } else {
        &[1, 10, 100, 1_000]
    };
    for messages in batches {
        bench.ingest_cpu(&jobs.ingest, *messages).await?;
    }
    if !short {
        bench.ingest_wall(&jobs.ingest).await?;
    }
    bench.forward_rate(&jobs.forward).await?;
    let growth: &[usize] = if short {
        &[1_000, 10_000]
    } else {
        &[1, 10, 100, 1_000, 10_000]
    };
    // Peers with a call for each record would take long and show nothing about growth.
    let named = |names: &[&str]| -> Vec<_> {
        let is_named = |peer: &&Peer| names.contains(&peer.name);
        jobs.forward.iter().copied().filter(is_named).collect()
    };
    let distinct = named(&[FORWARD, FORWARD_OTHER, BARE_FORWARD]);
    for changes in growth {
        bench
            .forward_cpu(&distinct, *changes, Ids::Distinct)
            .await?;
    }
    let own = named(&[FORWARD, FORWARD_OTHER]);
    for changes in growth {
        bench.forward_cpu(&own, *changes, Ids::One).await?;
    }
    for events in batches {
        bench.complete_cpu(&jobs.complete, *events).await?;
    }
    Ok(())
}
