//! Measures a function with known calls, waits and CPU time.
#![allow(clippy::unwrap_used)]

use std::{path::Path, time::Duration};

use onewrite_bench::{
    cpu_share::CpuShare,
    events::{self, Ids},
    figures::{
        BILLED, COLD_START, COMPLETE_CALLS, CONNECTIONS, FORWARD_CALLS, Figures, INGEST_CALLS,
        INGEST_CPU, INGEST_WALL, INITIALISATION, MEMORY, WARM_MEMORY,
    },
    measure::{BY_FIRST_EVENT, Bench, LATENCY, MEMORY_MB, WHOLE_CORE, batch_of, memory_of},
    payloads::{ONE_KB, Payloads},
    peer::{Job, Peer},
    process::Process,
    stub::Stub,
};
use onewrite_local::python::Interpreter;

const NAME: &str = "one call for each record";

async fn python_peer(settings: &[(&str, &str)]) -> Peer {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Peer {
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
async fn measures_what_the_function_does() {
    let home = tempfile::tempdir().unwrap();
    let stub = Stub::start(home.path()).await.unwrap();
    let payloads = Payloads::synthetic(ONE_KB, 1_024);
    let mut bench = Bench {
        stub: &stub,
        logs: home.path(),
        runs: 2,
        figures: Figures::default(),
        report: |_| (),
    };
    let peer = python_peer(&[]).await;
    let peers = [&peer];
    let event = || events::sqs(1, &payloads);
    bench.cold(&peers, None, event).await.unwrap();
    bench.ingest_cpu(&peers, 10, &payloads).await.unwrap();
    bench.ingest_wall(&peers, None, &payloads).await.unwrap();
    let distinct = bench.forward_cpu(&peers, 7, Ids::Distinct, &payloads);
    distinct.await.unwrap();
    bench.complete_cpu(&peers, 3, &payloads).await.unwrap();
    let has_shares = CpuShare::for_memory(MEMORY_MB).is_ok();
    if has_shares {
        let event = || events::sqs(4, &payloads);
        bench.billed(&peers, "4", event).await.unwrap();
    }

    let figures = bench.figures;
    let of = |figure, case: &str| figures.get(figure, case, NAME).unwrap();
    let (cold, ready) = (of(COLD_START, WHOLE_CORE), of(INITIALISATION, WHOLE_CORE));
    assert_eq!(cold.runs, 2);
    assert!(0.0 < ready.minimum && ready.median < cold.median);
    // An interpreter uses some megabytes, but not a gigabyte.
    let memory = of(MEMORY, "one message").median;
    assert!((2.0..1_000.0).contains(&memory), "{memory} MiB");
    assert!(of(INGEST_CPU, &batch_of(10)).minimum > 0.0);
    assert_eq!(of(INGEST_CALLS, &batch_of(10)).median, 1.0);
    assert_eq!(of(FORWARD_CALLS, "7").median, 1.0);
    assert_eq!(of(COMPLETE_CALLS, &batch_of(3)).median, 1.0);
    if has_shares {
        let billed = of(BILLED, "4").minimum;
        assert!(billed >= 4.0 * LATENCY.as_secs_f64() * 1e3, "{billed} ms");
    }
    // Ten sequential calls, each with at least the configured latency.
    let wall = of(INGEST_WALL, "warm").minimum;
    assert!(wall >= 10.0 * LATENCY.as_secs_f64() * 1e3, "{wall} ms");
    // It opens no connection before the first event, and one for each call.
    assert_eq!(of(CONNECTIONS, "in the initialisation").maximum, 0.0);
    assert_eq!(of(CONNECTIONS, BY_FIRST_EVENT).minimum, 10.0);
    let warm_memory = of(WARM_MEMORY, &memory_of(INGEST_CPU, &batch_of(10))).median;
    assert!(
        warm_memory >= memory,
        "{warm_memory} MiB after {memory} MiB"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_time_excludes_the_benchmark_itself() {
    let home = tempfile::tempdir().unwrap();
    let stub = Stub::start(home.path()).await.unwrap();
    let payloads = Payloads::synthetic(ONE_KB, 1_024);
    let peer = python_peer(&[]).await;
    let process = Process::start(&peer, &stub, None, home.path());
    let mut process = process.await.unwrap();
    stub.set_latency(Duration::from_millis(50));
    process.invoke(events::sqs(1, &payloads)).await.unwrap();
    let before = process.cpu().unwrap();
    let took = process.invoke(events::sqs(5, &payloads)).await.unwrap();
    let used = process.cpu().unwrap() - before;
    assert!(took >= Duration::from_millis(250), "{took:?}");
    assert!(used < took, "used {used:?} of CPU in {took:?}");
    assert_eq!(stub.reset_calls()["PutItem"], 6);
    assert!(stub.reset_calls().is_empty());
    assert!(stub.connections() >= 6);
    process.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_functions_that_fail_or_exit() {
    let home = tempfile::tempdir().unwrap();
    let stub = Stub::start(home.path()).await.unwrap();
    let payloads = Payloads::synthetic(ONE_KB, 1_024);
    for (settings, expected) in [
        ([("FAILS", "1")], "some records failed"),
        ([("ENDS", "1")], "the process has ended"),
    ] {
        let peer = python_peer(&settings).await;
        let process = Process::start(&peer, &stub, None, home.path());
        let mut process = process.await.unwrap();
        let error = process.invoke(events::sqs(1, &payloads)).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
