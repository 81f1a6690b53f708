//! `cargo benchmark`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use onewrite::item::PayloadCompression;
use onewrite_bench::{
    cost,
    cpu_share::{CpuShare, SIZES_MB},
    events::{self, Ids},
    figures::Figures,
    goals,
    measure::{Bench, COMPLETE_BATCH, FORWARD_BATCH, INGEST_BATCH, MEMORY_MB, batch_with, stored},
    payloads::{EIGHT_KB, ONE_KB, PayloadSets, Payloads},
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
    let payloads = PayloadSets::new(webhooks(&workspace).await);
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
    measure(&mut bench, &Jobs::new(&peers), &payloads, arguments.short).await?;
    let mut figures = bench.figures;
    cost::calculate(&mut figures, &payloads)?;
    let results: Vec<_> = goals::all()
        .iter()
        .filter_map(|goal| goal.evaluate(&figures))
        .collect();
    let about = format!(
        "{} cores, {}; medians of {} runs (minimum and maximum), with peers in turns. Payloads are refunds of 1 KB unless stated \
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

/// The bodies of real webhooks. Without them, everything else is measured.
async fn webhooks(workspace: &Workspace) -> Option<Payloads> {
    let webhooks = Payloads::webhooks(workspace, Progress::detect()).await;
    webhooks
        .inspect_err(|error| eprintln!("Skipping real webhooks: {error:#}"))
        .ok()
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

    fn forward_named(&self, names: &[&str]) -> Vec<&'a Peer> {
        let is_named = |peer: &&Peer| names.contains(&peer.name);
        self.forward.iter().copied().filter(is_named).collect()
    }

    fn all(&self) -> Vec<&'a Peer> {
        [&self.ingest[..], &self.forward, &self.complete].concat()
    }

    /// The programs that can decompress. The bare call publishes the item as it is.
    fn own_forward(&self) -> Vec<&'a Peer> {
        self.forward_named(&[peer::FORWARD, peer::FORWARD_OTHER, peer::BARE_FORWARD])
    }
}

async fn measure(
    bench: &mut Bench<'_>,
    jobs: &Jobs<'_>,
    payloads: &PayloadSets,
    short: bool,
) -> Result<()> {
    let one_kb = payloads.get(ONE_KB);
    let one_message = || events::sqs(1, one_kb);
    bench.programs(&jobs.all());
    bench.cold(&jobs.ingest, None, one_message).await?;
    bench.ingest_wall(&jobs.ingest, None, one_kb).await?;
    if !short {
        let one_change = || events::stream(1, Ids::Distinct, one_kb, PayloadCompression::Never);
        let one_event = || events::kinesis(1, one_kb);
        bench.cold(&jobs.forward, None, one_change).await?;
        bench.cold(&jobs.complete, None, one_event).await?;
        match CpuShare::for_memory(MEMORY_MB) {
            Ok(share) => {
                drop(share);
                measure_with_cpu_share(bench, jobs, payloads).await?;
            }
            Err(error) => {
                eprintln!("Skipping measurements with CPU shares, and so the cost: {error:#}");
            }
        }
    }
    measure_cpu(bench, jobs, payloads, short).await?;
    measure_growth(bench, jobs, &payloads.small, short).await
}

async fn measure_with_cpu_share(
    bench: &mut Bench<'_>,
    jobs: &Jobs<'_>,
    payloads: &PayloadSets,
) -> Result<()> {
    let one_kb = payloads.get(ONE_KB);
    let representative = |peer: &&Peer| is_representative(peer);
    let ingest: Vec<_> = jobs.ingest.iter().copied().filter(representative).collect();
    for size in SIZES_MB {
        bench
            .cold(&ingest, Some(size), || events::sqs(1, one_kb))
            .await?;
    }
    bench.ingest_wall(&ingest, Some(MEMORY_MB), one_kb).await?;
    let webhooks = payloads.webhooks.as_ref().map(Payloads::selection);
    for payloads in [one_kb, payloads.get(EIGHT_KB)]
        .into_iter()
        .chain(&webhooks)
    {
        let case = batch_with(INGEST_BATCH, payloads.name);
        let event = || events::sqs(INGEST_BATCH, payloads);
        bench.billed(&jobs.ingest, &case, event).await?;
        for (peers, compression) in [
            (&jobs.forward, PayloadCompression::Never),
            (&jobs.own_forward(), PayloadCompression::Auto),
        ] {
            let case = stored(&batch_with(FORWARD_BATCH, payloads.name), compression);
            let event = || events::stream(FORWARD_BATCH, Ids::Distinct, payloads, compression);
            bench.billed(peers, &case, event).await?;
        }
        let case = batch_with(COMPLETE_BATCH, payloads.name);
        let event = || events::kinesis(COMPLETE_BATCH, payloads);
        bench.billed(&jobs.complete, &case, event).await?;
    }
    Ok(())
}

async fn measure_cpu(
    bench: &mut Bench<'_>,
    jobs: &Jobs<'_>,
    payloads: &PayloadSets,
    short: bool,
) -> Result<()> {
    let (one_kb, eight_kb) = (payloads.get(ONE_KB), payloads.get(EIGHT_KB));
    let batches: &[usize] = if short {
        &[10, 1_000]
    } else {
        &[1, 10, 100, 1_000]
    };
    for messages in batches {
        bench.ingest_cpu(&jobs.ingest, *messages, one_kb).await?;
    }
    let webhooks = payloads.webhooks.as_ref().map(Payloads::selection);
    for payloads in [eight_kb].into_iter().chain(&webhooks) {
        bench
            .ingest_cpu(&jobs.ingest, INGEST_BATCH, payloads)
            .await?;
    }
    for payloads in [one_kb, eight_kb].into_iter().chain(&webhooks) {
        bench
            .forward_batch_cpu(&jobs.forward, &jobs.own_forward(), payloads)
            .await?;
    }
    for events in batches {
        bench.complete_cpu(&jobs.complete, *events, one_kb).await?;
    }
    Ok(())
}

/// How the CPU time of `forward` grows with the batch.
async fn measure_growth(
    bench: &mut Bench<'_>,
    jobs: &Jobs<'_>,
    small: &Payloads,
    short: bool,
) -> Result<()> {
    use peer::{BARE_FORWARD, FORWARD, FORWARD_OTHER};
    let batches: &[usize] = if short {
        &[1_000, 10_000]
    } else {
        &[1, 10, 100, 1_000, 10_000]
    };
    // Peers with a call for each record would take long and show nothing about growth.
    for (peers, ids) in [
        (
            jobs.forward_named(&[FORWARD, FORWARD_OTHER, BARE_FORWARD]),
            Ids::Distinct,
        ),
        (jobs.forward_named(&[FORWARD, FORWARD_OTHER]), Ids::One),
    ] {
        for changes in batches {
            bench.forward_cpu(&peers, *changes, ids, small).await?;
        }
    }
    Ok(())
}
