//! The bench on a function whose behaviour is known.
#![allow(clippy::unwrap_used)]

use std::{path::Path, time::Duration};

use onewrite_bench::{
    contender::{Contender, Job},
    cost::MEMORY_MB,
    events::{self, Ids},
    figures::{
        BILLED, COLD_START, COMPLETE_CALLS, FORWARD_CALLS, Figures, INGEST_CALLS, INGEST_CPU,
        INGEST_WALL, INITIALISATION, MEMORY,
    },
    measure::{Bench, LATENCY, WHOLE_CORE, batch_of},
    process::Process,
    share::Share,
    stub::Stub,
};
use onewrite_local::python::Interpreter;

const NAME: &str = "one call for each record";

async fn contender(settings: &[(&str, &str)]) -> Contender {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Contender {
        name: NAME,
        job: Job::Ingest,
        program: Interpreter::find().await.unwrap().path().to_path_buf(),
        arguments: vec!["function.py".to_owned()],
        directory,
        environment: settings.iter().map(own).collect(),
        bytes: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_does_is_what_is_measured() {
    let home = tempfile::tempdir().unwrap();
    let stub = Stub::start(home.path()).await.unwrap();
    let mut bench = Bench {
        stub: &stub,
        logs: home.path(),
        runs: 2,
        figures: Figures::default(),
        tell: |_| (),
    };
    let contender = contender(&[]).await;
    let contenders = [&contender];
    let event = || events::sqs(1, 100);
    bench.cold(&contenders, None, event).await.unwrap();
    bench.ingest_cpu(&contenders, 10).await.unwrap();
    bench.ingest_wall(&contenders).await.unwrap();
    let distinct = bench.forward_cpu(&contenders, 7, Ids::Distinct);
    distinct.await.unwrap();
    bench.complete_cpu(&contenders, 3).await.unwrap();
    let has_shares = Share::of_memory(MEMORY_MB).is_ok();
    if has_shares {
        bench.billed(&contenders, 4, events::sqs).await.unwrap();
    }

    let figures = bench.figures;
    let of = |figure, case: &str| figures.get(figure, case, NAME).unwrap();
    let (cold, ready) = (of(COLD_START, WHOLE_CORE), of(INITIALISATION, WHOLE_CORE));
    assert_eq!(cold.runs, 2);
    assert!(0.0 < ready.minimum && ready.median < cold.median);
    // An interpreter has some megabytes, and no gigabyte.
    let memory = of(MEMORY, "one message").median;
    assert!((2.0..1_000.0).contains(&memory), "{memory} MiB");
    assert!(of(INGEST_CPU, &batch_of(10)).minimum > 0.0);
    assert_eq!(of(INGEST_CALLS, &batch_of(10)).median, 1.0);
    assert_eq!(of(FORWARD_CALLS, "7").median, 1.0);
    assert_eq!(of(COMPLETE_CALLS, &batch_of(3)).median, 1.0);
    if has_shares {
        let billed = of(BILLED, &batch_of(4)).minimum;
        assert!(billed >= 4.0 * LATENCY.as_secs_f64() * 1e3, "{billed} ms");
    }
    // Ten calls one after the other, and no call waits less than it should.
    let wall = of(INGEST_WALL, "warm").minimum;
    assert!(wall >= 10.0 * LATENCY.as_secs_f64() * 1e3, "{wall} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_is_that_of_the_function_and_not_of_the_bench() {
    let home = tempfile::tempdir().unwrap();
    let stub = Stub::start(home.path()).await.unwrap();
    let contender = contender(&[]).await;
    let process = Process::start(&contender, &stub, None, home.path());
    let mut process = process.await.unwrap();
    stub.set_latency(Duration::from_millis(50));
    process.invoke(events::sqs(1, 100)).await.unwrap();
    let before = process.cpu().unwrap();
    let took = process.invoke(events::sqs(5, 100)).await.unwrap();
    let used = process.cpu().unwrap() - before;
    assert!(took >= Duration::from_millis(250), "{took:?}");
    assert!(used < took, "it waits: {used:?} of {took:?}");
    assert_eq!(stub.take_calls()["PutItem"], 6);
    assert!(stub.take_calls().is_empty());
    assert!(stub.connections() >= 6);
    process.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_or_ends_is_no_figure() {
    let home = tempfile::tempdir().unwrap();
    let stub = Stub::start(home.path()).await.unwrap();
    for (settings, expected) in [
        ([("FAILS", "1")], "not all was done"),
        ([("ENDS", "1")], "it has ended"),
    ] {
        let contender = contender(&settings).await;
        let process = Process::start(&contender, &stub, None, home.path());
        let mut process = process.await.unwrap();
        let error = process.invoke(events::sqs(1, 100)).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
