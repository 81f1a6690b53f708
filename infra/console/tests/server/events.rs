//! Events for several pages, slow ones among them, and the end of the server.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use hyper::StatusCode;
use onewrite_console::memory::Model;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    client::{Events, PATIENCE, Server},
    gated::Gated,
};

/// The server must end within this time.
const END: Duration = Duration::from_secs(1);

/// The size of an event, and how many of them fill the buffers of a connection on this machine and the events that the server
/// keeps.
const LARGE_BYTES: usize = 256 * 1024;
const FULL: u64 = 250;

/// Sends a request for events and leaves the answer unread.
async fn open_unread(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let (host, token) = (server.address, server.token.as_str());
    let request = format!(
        "GET /api/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Moves the model on, so that each reading differs.
fn keep_moving(model: &Model) -> tokio::task::JoinHandle<()> {
    let model = model.clone();
    tokio::spawn(async move {
        loop {
            model.advance();
            sleep(Duration::from_millis(1)).await;
        }
    })
}

#[tokio::test]
async fn sends_overview_charts_and_lab() {
    let server = Server::start(&Model::with_rich_data()).await;
    let mut events = Events::open(&server).await;
    let mut open = BTreeSet::from(["overview", "charts", "lab"]);
    while !open.is_empty() {
        let event = events.next().await.unwrap();
        open.remove(event.name.as_str());
        if event.name == "overview" {
            assert!(event.data["sentence"].as_str().unwrap().contains("0 lost"));
        }
    }
}

#[tokio::test]
async fn two_pages_share_one_poller() {
    let model = Model::with_rich_data();
    let server = Server::start(&model).await;
    let (mut one, mut other) = (Events::open(&server).await, Events::open(&server).await);
    let mut times = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..20 {
        for (events, times) in [&mut one, &mut other].into_iter().zip(&mut times) {
            let overview = events.next_of("overview").await;
            times.insert(overview["at"].as_str().unwrap().to_owned());
        }
    }
    // With a poller for each page, they would see readings of different times.
    let common = times[0].intersection(&times[1]).count();
    assert!(common >= 15, "{common}");
}

#[tokio::test]
async fn nothing_is_read_before_a_page_listens() {
    let model = Model::with_rich_data();
    let server = Server::start(&model).await;
    let answer = server.get("/api/about").send().await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(model.overviews(), 0);
}

#[tokio::test]
async fn a_reading_that_fails_is_an_event_and_the_next_success_too() {
    let model = Model::with_rich_data();
    let server = Server::start(&model).await;
    let mut events = Events::open(&server).await;
    events.next_of("overview").await;
    model.set_failure(Some("DescribeTable: throttled"));
    let problem = events.next_of("problem").await;
    assert_eq!(problem["error"], "DescribeTable: throttled");
    model.set_failure(None);
    events.next_of("overview").await;
}

/// The number of an overview of [`Gated`].
fn number(overview: &Value) -> u64 {
    overview["sentence"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_page_that_does_not_read_blocks_no_other_and_skips_events() {
    let gated = Arc::new(Gated::new());
    gated.padding.store(LARGE_BYTES, Ordering::SeqCst);
    let server = Server::start_with(gated.clone(), None).await;
    let mut slow = Events::open(&server).await;
    let mut other = Events::open(&server).await;
    let mut newest = 0;
    while newest < FULL {
        newest = number(&other.next_of("overview").await);
    }
    gated.padding.store(0, Ordering::SeqCst);
    let mut before = number(&slow.next_of("overview").await);
    let mut skipped = 0;
    while before < newest {
        let next = number(&slow.next_of("overview").await);
        assert!(next > before);
        skipped += next - before - 1;
        before = next;
    }
    assert!(skipped > 0);
}

#[tokio::test]
async fn ends_within_a_second_and_ends_open_events() {
    let server = Server::start(&Model::with_rich_data()).await;
    let (mut one, mut other) = (Events::open(&server).await, Events::open(&server).await);
    one.next().await;
    let duration = server.stop().await;
    assert!(duration < END, "{duration:?}");
    for events in [&mut one, &mut other] {
        while events.next().await.is_some() {}
    }
}

#[tokio::test]
async fn ends_within_a_second_with_unread_idle_and_half_sent_requests() {
    let model = Model::with_rich_data();
    let moving = keep_moving(&model);
    let server = Server::start(&model).await;
    let address = server.address;
    let mut unread = open_unread(&server).await;
    let _idle = TcpStream::connect(address).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"POST /api/lab HTTP/1.1\r\nHost: ")
        .await
        .unwrap();
    // Both are accepted when a later one is answered.
    let mut events = Events::open(&server).await;
    events.next_of("overview").await;
    let duration = server.stop().await;
    moving.abort();
    assert!(duration < END, "{duration:?}");
    assert!(TcpStream::connect(address).await.is_err());
    let begin = Instant::now();
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, unread.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(begin.elapsed() < PATIENCE);
}
