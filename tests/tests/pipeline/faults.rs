//! Nothing is lost when calls fail on the wire, TLS is misconfigured, functions are killed or event sources stop.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use onewrite::limits::MAX_ATTEMPTS;
use onewrite_local::{
    inspect, messages,
    oracle::{self, SentMessage},
    sample::Sample,
    stack::Stack,
};
use onewrite_tests::{
    fault_proxy::{FaultProxy, WireFault},
    random_faults::{FaultRates, RandomFaults},
    recorder::Invocation,
    settings::redirect,
};

use super::support::{
    assert_no_violations, options, settle, start, start_event_sources, valid, wait_until,
};

/// Each fault once, which a retry of the SDK or of `forward` hides, and then as often as the SDK tries, which its retries do not
/// hide.
fn wire_faults(of_operation: &[WireFault]) -> Vec<WireFault> {
    let common = [
        WireFault::CutBefore,
        WireFault::CutAfter,
        WireFault::Late(300),
        WireFault::Silent,
        WireFault::InternalError,
        WireFault::Unavailable,
        WireFault::Throttled,
    ];
    let faults = common.iter().chain(of_operation);
    let once_and_persistent = |fault: &WireFault| {
        let once = [*fault, WireFault::None];
        let run = std::iter::repeat_n(*fault, MAX_ATTEMPTS as usize);
        once.into_iter().chain(run).chain([WireFault::None])
    };
    faults.flat_map(once_and_persistent).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_through_any_fault_on_the_wire() {
    let mut stack = Stack::start(options("wire")).await.unwrap();
    let proxies = start_proxies(&stack).await;
    start_event_sources(&mut stack).await;
    let sent = send_until_every_fault_happened(&stack, &proxies).await;
    settle(&mut stack, sent.len()).await;
    let found = inspect::read_final_state(stack.clients(), stack.outputs()).await;
    let report = oracle::verify(&sent, &found.unwrap());
    assert_no_violations(&report);
    assert!(
        report.counts.repeated > 0,
        "a lost response must repeat an event"
    );
    for proxy in &proxies {
        let injected = proxy.injected();
        assert!(
            injected[&WireFault::Silent] > MAX_ATTEMPTS as usize,
            "{injected:?}"
        );
    }
    stack.stop().await;
}

/// Puts a scripted proxy between each function and its service.
async fn start_proxies(stack: &Stack) -> Vec<FaultProxy> {
    let outputs = stack.outputs();
    let emulator = stack.endpoint();
    let emulator = emulator.trim_start_matches("http://").parse().unwrap();
    // Some of the calls take longer than their time-out.
    let of_put_records = [WireFault::PartlyFailed, WireFault::Slow(2_000)];
    let mut proxies = Vec::new();
    for (function, service, operation, faults) in [
        (&outputs.ingest, "DYNAMODB", "PutItem", &[][..]),
        (&outputs.forward, "KINESIS", "PutRecords", &of_put_records),
        (&outputs.complete, "DYNAMODB", "UpdateItem", &[]),
    ] {
        let proxy = FaultProxy::start(emulator).await.unwrap();
        proxy.script(operation, wire_faults(faults));
        redirect(stack.clients(), function, service, &proxy.endpoint())
            .await
            .unwrap();
        proxies.push(proxy);
    }
    proxies
}

/// Sends waves of messages with duplicates and conflicts.
async fn send_until_every_fault_happened(
    stack: &Stack,
    proxies: &[FaultProxy],
) -> Vec<SentMessage> {
    /// More than any run needs: a script that does not end has a fault that does not happen.
    const WAVES: usize = 200;
    let scripted = || proxies.iter().map(FaultProxy::scripted).sum::<usize>();
    let mut sent = Vec::new();
    for wave in 0..WAVES {
        let mut messages: Vec<Sample> = (0..3)
            .map(|n| valid(&format!("w{wave}-{n}"), "{\"n\": 1.0}"))
            .collect();
        messages.extend([messages[0].clone(), valid(&format!("w{wave}-1"), "2")]);
        let queue_url = &stack.outputs().queue_url;
        let accepted = messages::send(stack.clients(), queue_url, &messages, |_| {});
        sent.extend(accepted.await.unwrap());
        let before = scripted();
        if before == 0 {
            break;
        }
        wait_until("the next fault happens", async || scripted() < before).await;
    }
    let left: Vec<usize> = proxies.iter().map(FaultProxy::scripted).collect();
    assert_eq!(left, [0, 0, 0], "every fault must happen");
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_if_endpoints_do_not_speak_tls() {
    let (mut stack, recorder) = start(options("tls")).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let consumers = [
        (&outputs.ingest, "DYNAMODB", "/messageId"),
        (&outputs.forward, "KINESIS", "/eventID"),
        (&outputs.complete, "DYNAMODB", "/eventID"),
    ];
    let endpoint = stack.endpoint();
    let tls_endpoint = endpoint.replace("http://", "https://");
    let mut sent = Vec::new();
    for (function, service, record) in consumers {
        redirect(&clients, function, service, &tls_endpoint)
            .await
            .unwrap();
        let message = [valid(&format!("tls-{}", sent.len()), "1.0")];
        let accepted = messages::send(&clients, &outputs.queue_url, &message, |_| {}).await;
        sent.extend(accepted.unwrap());
        // The function responds and reports the failed records for a retry.
        wait_until("the function reports batch item failures", async || {
            let invocations = recorder.invocations(function);
            let reports = |i: &Invocation| !i.failed().is_empty() && !i.texts(record).is_empty();
            invocations.iter().any(reports)
        })
        .await;
        redirect(&clients, function, service, &endpoint)
            .await
            .unwrap();
        settle(&mut stack, sent.len()).await;
    }
    let found = inspect::read_final_state(&clients, &outputs).await.unwrap();
    assert_no_violations(&oracle::verify(&sent, &found));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_if_functions_are_killed_and_event_sources_stop() {
    const KILLS: usize = 5;
    const STOPS: usize = 2;
    let rates = FaultRates {
        writes: 20,
        puts: 5,
        kill: Duration::from_secs(1),
        stop: Duration::from_secs(5),
    };
    let mut stack = Stack::start(options("killed")).await.unwrap();
    let mut faults = RandomFaults::prepare(&stack, rates, 1).await.unwrap();
    start_event_sources(&mut stack).await;

    let is_enough = AtomicBool::new(false);
    let injecting = async {
        let injected = faults.inject_until(&stack, |counts| {
            counts.killed >= KILLS && counts.stopped >= STOPS
        });
        injected.await.unwrap();
        is_enough.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(send_until(&stack, &is_enough), injecting);
    settle(&mut stack, sent.len()).await;
    let found = inspect::read_final_state(stack.clients(), stack.outputs()).await;
    let report = oracle::verify(&sent, &found.unwrap());
    assert_no_violations(&report);
    assert!(report.counts.duplicates > 0 && report.counts.repeated > 0);
    stack.stop().await;
}

/// Sends messages until enough faults happened. Every fifth message is a copy of the one before it.
async fn send_until(stack: &Stack, is_enough: &AtomicBool) -> Vec<SentMessage> {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let mut sent = Vec::new();
    while !is_enough.load(Ordering::Relaxed) {
        let numbers = (sent.len()..sent.len() + 20).map(|n| n - usize::from(n % 5 == 4));
        let wave: Vec<Sample> = numbers.map(|n| valid(&format!("k-{n}"), "1.0")).collect();
        let accepted = messages::send(clients, &outputs.queue_url, &wave, |_| {}).await;
        sent.extend(accepted.unwrap());
        // Bounds the backlog.
        wait_until("few messages are waiting", async || {
            let depth = inspect::read_queue_depth(clients, &outputs.queue_url).await;
            depth.unwrap().waiting < 40
        })
        .await;
    }
    sent
}
