use std::sync::atomic::{AtomicU32, Ordering};

use futures::StreamExt as _;
use tokio::time::{Instant, advance};

use super::*;

fn hub() -> (Arc<Hub>, watch::Sender<bool>) {
    let (end, ended) = watch::channel(false);
    (Arc::new(Hub::new(ended)), end)
}

fn text(event: &Bytes) -> String {
    String::from_utf8(event.to_vec()).unwrap()
}

/// Polls a counter in the background: the first reading is 1.
fn poll_counter(hub: &Arc<Hub>, interval: Duration) -> Arc<AtomicU32> {
    let readings = Arc::new(AtomicU32::new(0));
    let (hub, counter) = (Arc::clone(hub), Arc::clone(&readings));
    tokio::spawn(async move {
        let read = || async { Ok(counter.fetch_add(1, Ordering::SeqCst) + 1) };
        poll(&hub, Topic::Overview, interval, read).await;
    });
    readings
}

#[tokio::test(start_paused = true)]
async fn reads_only_while_a_page_listens() {
    let (hub, _end) = hub();
    let readings = poll_counter(&hub, Duration::from_secs(1));
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(readings.load(Ordering::SeqCst), 0);
    let page = hub.listen().unwrap();
    sleep(Duration::from_millis(5_500)).await;
    assert_eq!(readings.load(Ordering::SeqCst), 6);
    drop(page);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(readings.load(Ordering::SeqCst), 6);
    // What was read before is an hour old, so the next page does not get it.
    let mut page = Box::pin(hub.listen().unwrap());
    assert_eq!(
        text(&page.next().await.unwrap().unwrap()),
        ": connected\n\n"
    );
    let event = page.next().await.unwrap().unwrap();
    assert_eq!(text(&event), "event: overview\ndata: 7\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_second_page_causes_no_reading_and_gets_the_newest_event() {
    let (hub, _end) = hub();
    let readings = poll_counter(&hub, Duration::from_secs(10));
    let _first = hub.listen().unwrap();
    sleep(Duration::from_secs(1)).await;
    let mut second = Box::pin(hub.listen().unwrap());
    second.next().await;
    let event = second.next().await.unwrap().unwrap();
    assert_eq!(text(&event), "event: overview\ndata: 1\n\n");
    assert_eq!(readings.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_read_at_once() {
    let (hub, _end) = hub();
    let readings = poll_counter(&hub, Duration::from_secs(60));
    let _page = hub.listen().unwrap();
    sleep(Duration::from_secs(1)).await;
    hub.refresh();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(readings.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_page_skips_events_and_then_gets_the_newest() {
    let (hub, _end) = hub();
    let mut page = Box::pin(hub.listen().unwrap());
    page.next().await;
    let last = 10 * WAITING_EVENTS;
    for number in 0..=last {
        hub.publish(Topic::Charts, Ok(encode("charts", &number)));
    }
    let event = page.next().await.unwrap().unwrap();
    assert_eq!(text(&event), format!("event: charts\ndata: {last}\n\n"));
}

#[tokio::test(start_paused = true)]
async fn equal_readings_are_sent_once() {
    let (hub, _end) = hub();
    let mut page = Box::pin(hub.listen().unwrap());
    page.next().await;
    for number in [1, 1, 1, 2] {
        hub.publish(Topic::Lab, Ok(encode("lab", &number)));
    }
    for number in [1, 2] {
        let event = page.next().await.unwrap().unwrap();
        assert_eq!(text(&event), format!("event: lab\ndata: {number}\n\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_problem_is_an_event_and_the_last_data_stay() {
    let (hub, _end) = hub();
    let failure = || Err(PipelineError::Failed("no answer".to_owned()));
    hub.publish(Topic::Overview, Ok(encode("overview", &1)));
    hub.publish(Topic::Overview, failure());
    let problem = "event: problem\ndata: {\"of\":\"overview\",\"error\":\"no answer\"}\n\n";
    let newest: Vec<String> = hub.newest().iter().map(text).collect();
    assert_eq!(newest, ["event: overview\ndata: 1\n\n", problem]);
    // The same data again end the problem.
    let mut page = Box::pin(hub.listen().unwrap());
    for _ in 0..3 {
        page.next().await;
    }
    hub.publish(Topic::Overview, Ok(encode("overview", &1)));
    let event = page.next().await.unwrap().unwrap();
    assert_eq!(text(&event), "event: overview\ndata: 1\n\n");
    assert_eq!(hub.newest().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reading_without_an_end_becomes_a_problem() {
    let (hub, _end) = hub();
    let own = Arc::clone(&hub);
    tokio::spawn(async move {
        let read = std::future::pending::<Result<u32, PipelineError>>;
        poll(&own, Topic::Charts, Duration::from_secs(1), read).await;
    });
    let mut page = Box::pin(hub.listen().unwrap());
    let begin = Instant::now();
    loop {
        let event = text(&page.next().await.unwrap().unwrap());
        if event.starts_with("event: problem") {
            break;
        }
        assert!(begin.elapsed() < 2 * READ_TIMEOUT, "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_interrupted_by_a_comment() {
    let (hub, _end) = hub();
    let mut page = Box::pin(hub.listen().unwrap());
    page.next().await;
    let begin = Instant::now();
    assert!(text(&page.next().await.unwrap().unwrap()).starts_with(": "));
    assert_eq!(begin.elapsed(), LONGEST_SILENCE);
}

#[tokio::test(start_paused = true)]
async fn events_end_with_the_server() {
    let (hub, end) = hub();
    let mut page = Box::pin(hub.listen().unwrap());
    page.next().await;
    end.send_replace(true);
    advance(Duration::from_millis(1)).await;
    assert!(page.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_closed_page_makes_room_for_another() {
    let (hub, _end) = hub();
    let mut pages: Vec<_> = (0..MAX_PAGES).map(|_| hub.listen().unwrap()).collect();
    assert!(hub.listen().is_none());
    pages.pop();
    assert!(hub.listen().is_some());
}
