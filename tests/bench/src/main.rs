//! `cargo local bench`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use onewrite_bench::{
    contender::{self, Contender, Job},
    cost::{self, MEMORY_MB},
    events::{self, Ids},
    figures::Figures,
    goals,
    measure::{Bench, PAYLOAD},
    report,
    share::{SIZES_MB, Share},
    stub::Stub,
};
use onewrite_local::{progress::Progress, workspace::Workspace};

/// Measure the functions beside what people would use instead. Exit code 1 if a ratio is worse than the gate allows.
#[derive(Debug, Parser)]
#[command(name = "cargo local bench", bin_name = "cargo local bench")]
struct Arguments {
    /// Runs of each contender in each figure.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Only what the gate judges: the functions and the bare SDK calls.
    #[arg(long)]
    short: bool,
    /// Another build of the functions, to measure a change or an option: a folder with ingest/bootstrap and so on, as
    /// target/local/binaries has it.
    #[arg(long, value_name = "DIRECTORY")]
    beside: Option<PathBuf>,
    /// Where to write index.html and results.json; target/bench/report if left out.
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
    // Looked at before anything is built: what is missing there is told at once.
    let other = arguments.beside.as_deref().map(contender::other_build);
    let other = other.transpose()?.unwrap_or_default();
    let mut contenders = contenders(&workspace, arguments.short).await?;
    contenders.extend(other);
    let stub = Stub::start(&home).await?;
    let mut bench = Bench {
        stub: &stub,
        logs: &logs,
        runs: arguments.runs.into(),
        figures: Figures::default(),
        tell: |step| eprintln!("Measuring {step}"),
    };
    measure(&mut bench, &contenders, arguments.short).await?;
    let mut figures = bench.figures;
    cost::reckon(&mut figures)?;
    let judged: Vec<_> = goals::all()
        .iter()
        .filter_map(|goal| goal.judge(&figures))
        .collect();
    let about = format!(
        "{} cores, {}; medians of {} runs (least and most), contenders taking turns. Payloads of {PAYLOAD} bytes where \
         nothing else is said; services on the loopback, over TLS, that answer at once.",
        std::thread::available_parallelism()?,
        std::env::consts::ARCH,
        arguments.runs,
    );
    let output = arguments.output.unwrap_or_else(|| home.join("report"));
    report::write(&output, &figures, &judged, &about)?;
    println!("{}", report::tables(&figures));
    println!("{}", report::goals(&judged));
    println!("{about}\n{}", output.join("index.html").display());
    let failed = judged.iter().any(|judged| judged.passes == Some(false));
    Ok(ExitCode::from(u8::from(failed)))
}

async fn contenders(workspace: &Workspace, short: bool) -> Result<Vec<Contender>> {
    use contender::{BARE, BARE_FORWARD, RAW, SAMPLE, SAMPLE_ALL, SAMPLE_FORWARD};
    let progress = Progress::detect();
    let mut all = contender::functions(workspace, progress).await?;
    let bare = [
        ("bare-ingest", BARE, Job::Ingest),
        ("bare-forward", BARE_FORWARD, Job::Forward),
    ];
    all.extend(contender::rust(workspace, "bare", &bare, progress).await?);
    if !short {
        let raw = [("raw-ingest", RAW, Job::Ingest)];
        all.extend(contender::rust(workspace, "raw", &raw, progress).await?);
        let sample = [
            ("sample-ingest", SAMPLE, Job::Ingest),
            ("sample-ingest-all", SAMPLE_ALL, Job::Ingest),
            ("sample-forward", SAMPLE_FORWARD, Job::Forward),
        ];
        all.extend(contender::rust(workspace, "sample", &sample, progress).await?);
        for others in [
            contender::python(workspace, progress).await,
            contender::node(workspace, progress).await,
        ] {
            match others {
                Ok(others) => all.extend(others),
                Err(error) => eprintln!("left out: {error:#}"),
            }
        }
    }
    Ok(all)
}

/// Whether it stands for its kind where starting takes seconds.
fn is_of_its_kind(contender: &Contender) -> bool {
    use contender::{
        DOUBLE_WRITE, INGEST_BATCHED, INGEST_BATCHED_OTHER, NODE_PLAIN, PYTHON_ALL, PYTHON_PLAIN,
        SAMPLE_ALL,
    };
    let others = [
        INGEST_BATCHED,
        INGEST_BATCHED_OTHER,
        SAMPLE_ALL,
        PYTHON_PLAIN,
        PYTHON_ALL,
        NODE_PLAIN,
        DOUBLE_WRITE,
    ];
    !others.contains(&contender.name)
}

async fn measure(bench: &mut Bench<'_>, contenders: &[Contender], short: bool) -> Result<()> {
    use contender::{BARE_FORWARD, FORWARD, FORWARD_OTHER};
    let one_message = || events::sqs(1, PAYLOAD);
    let one_change = || events::stream(1, Ids::Distinct, PAYLOAD);
    let one_event = || events::kinesis(1, PAYLOAD);
    let doing = |job| contenders.iter().filter(move |one| one.job == job);
    let ingest: Vec<_> = doing(Job::Ingest).collect();
    let forward: Vec<_> = doing(Job::Forward).collect();
    let complete: Vec<_> = doing(Job::Complete).collect();
    bench.programs(contenders);
    bench.cold(&ingest, None, one_message).await?;
    if !short {
        bench.cold(&forward, None, one_change).await?;
        bench.cold(&complete, None, one_event).await?;
        match Share::of_memory(MEMORY_MB) {
            Ok(share) => {
                drop(share);
                let some: Vec<_> = doing(Job::Ingest)
                    .filter(|one| is_of_its_kind(one))
                    .collect();
                for size in SIZES_MB {
                    bench.cold(&some, Some(size), one_message).await?;
                }
                bench
                    .billed(&ingest, cost::INGEST_BATCH, events::sqs)
                    .await?;
                let stream = |changes, bytes| events::stream(changes, Ids::Distinct, bytes);
                bench.billed(&forward, cost::FORWARD_BATCH, stream).await?;
                bench
                    .billed(&complete, cost::COMPLETE_BATCH, events::kinesis)
                    .await?;
            }
            Err(error) => eprintln!("left out: shares of a core, and so what it costs; {error:#}"),
        }
    }
    let batches: &[usize] = if short {
        &[10, 1_000]
    } else {
        &[1, 10, 100, 1_000]
    };
    for messages in batches {
        bench.ingest_cpu(&ingest, *messages).await?;
    }
    if !short {
        bench.ingest_wall(&ingest).await?;
    }
    bench.forward_rate(&forward).await?;
    let growth: &[usize] = if short {
        &[1_000, 10_000]
    } else {
        &[1, 10, 100, 1_000, 10_000]
    };
    // Peers that make a call for each record say nothing of growth, and take long to say it.
    let those = |names: &[&str]| -> Vec<_> {
        let named = |one: &&Contender| names.contains(&one.name);
        forward.iter().copied().filter(named).collect()
    };
    let distinct = those(&[FORWARD, FORWARD_OTHER, BARE_FORWARD]);
    for changes in growth {
        bench
            .forward_cpu(&distinct, *changes, Ids::Distinct)
            .await?;
    }
    let of_one = those(&[FORWARD, FORWARD_OTHER]);
    for changes in growth {
        bench.forward_cpu(&of_one, *changes, Ids::One).await?;
    }
    for events in batches {
        bench.complete_cpu(&complete, *events).await?;
    }
    Ok(())
}
