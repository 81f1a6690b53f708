use std::{sync::Mutex, task::Poll, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::join_all, poll, stream::FuturesUnordered};
use onewrite::completion::DownstreamError;
use tokio::sync::Semaphore;

use crate::targets::batcher::{Batcher, Delivery, SendBatch, TooLarge};

/// Records batches. Each needs a permit to be answered; odd numbers fail.
struct Recorder {
    batches: Mutex<Vec<Vec<u32>>>,
    permits: Semaphore,
    answers_are_missing: bool,
    /// A batch whose numbers have a larger sum is refused.
    max_sum: u32,
}

impl SendBatch for std::sync::Arc<Recorder> {
    type Entry = u32;

    async fn send(&self, entries: &[u32]) -> Result<Vec<Delivery>, TooLarge> {
        self.batches.lock().unwrap().push(entries.to_vec());
        self.permits.acquire().await.unwrap().forget();
        if self.answers_are_missing {
            return Ok(Vec::new());
        }
        if entries.iter().sum::<u32>() > self.max_sum {
            return Err(TooLarge(DownstreamError::permanent("too large")));
        }
        let answer = |entry: u32| match entry % 2 {
            0 => Ok(()),
            _ => Err(DownstreamError::new(entry.to_string())),
        };
        Ok(entries.iter().copied().map(answer).collect())
    }
}

struct World {
    recorder: std::sync::Arc<Recorder>,
    batcher: Batcher<std::sync::Arc<Recorder>>,
}

impl World {
    fn new(permits: usize, max_bytes: usize, answers_are_missing: bool) -> Self {
        Self::with_recorder(max_bytes, permits, answers_are_missing, u32::MAX)
    }

    /// The service refuses a batch whose numbers have a larger sum.
    fn refusing_above(max_sum: u32, permits: usize) -> Self {
        Self::with_recorder(usize::MAX, permits, false, max_sum)
    }

    fn with_recorder(
        max_bytes: usize,
        permits: usize,
        answers_are_missing: bool,
        max_sum: u32,
    ) -> Self {
        let recorder = std::sync::Arc::new(Recorder {
            batches: Mutex::default(),
            permits: Semaphore::new(permits),
            answers_are_missing,
            max_sum,
        });
        Self {
            batcher: Batcher::new(recorder.clone(), max_bytes),
            recorder,
        }
    }

    async fn deliver(&self, entry: u32) -> Delivery {
        self.batcher.deliver(entry, 1).await
    }

    fn batches(&self) -> Vec<Vec<u32>> {
        self.recorder.batches.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn sends_concurrent_entries_in_batches_of_ten_and_answers_each() {
    let world = World::new(10, usize::MAX, false);
    let results = join_all((0..23).map(|entry| world.deliver(entry))).await;
    for (entry, result) in results.into_iter().enumerate() {
        let expected = match entry % 2 {
            0 => Ok(()),
            _ => Err(DownstreamError::new(entry.to_string())),
        };
        assert_eq!(result, expected);
    }
    let mut batches = world.batches();
    batches.sort();
    let expected = [(0..10).collect(), (10..20).collect(), vec![20, 21, 22]];
    assert_eq!(batches, expected);
}

#[tokio::test(start_paused = true)]
async fn sends_a_full_batch_at_once_and_others_after_a_short_time() {
    let world = World::new(10, usize::MAX, false);
    let start = tokio::time::Instant::now();
    join_all((0..10).map(|entry| world.deliver(entry))).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    world.deliver(0).await.unwrap();
    assert!((4..=10).contains(&start.elapsed().as_millis()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_at_most_the_allowed_bytes() {
    let world = World::new(10, 100, false);
    let sizes = [60, 40, 1, 99, 500, 100];
    let sends = sizes.map(|bytes| world.batcher.deliver(bytes as u32, bytes));
    join_all(sends).await;
    let mut batches = world.batches();
    batches.sort();
    assert_eq!(batches, [vec![1, 99], vec![60, 40], vec![100], vec![500]]);
}

#[tokio::test(start_paused = true)]
async fn entries_of_a_batch_that_is_too_large_are_sent_alone() {
    let world = World::refusing_above(100, 10);
    let results = join_all([60, 8, 200, 40, 7].map(|entry| world.deliver(entry))).await;
    let too_large = Err(DownstreamError::permanent("too large"));
    let odd = Err(DownstreamError::new("7"));
    assert_eq!(results, [Ok(()), Ok(()), too_large.clone(), Ok(()), odd]);
    assert_eq!(world.batches()[1..], [[60], [8], [200], [40], [7]]);

    // One that is alone is sent once.
    assert_eq!(world.deliver(102).await, too_large);
    assert_eq!(world.batches().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn no_entry_of_a_refused_batch_waits_for_another_one() {
    // There are permits for the batch and for two entries.
    let world = World::refusing_above(100, 3);
    let calls = [60, 40, 42].map(|entry| world.deliver(entry));
    let mut calls: FuturesUnordered<_> = calls.into_iter().collect();
    assert_eq!(calls.next().await, Some(Ok(())));
    assert_eq!(calls.next().await, Some(Ok(())));
    assert_eq!(poll!(calls.next()), Poll::Pending);
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_are_not_sent_and_the_others_are() {
    let world = World::new(10, usize::MAX, false);
    let mut calls: Vec<_> = (0..4).map(|entry| world.deliver(entry).boxed()).collect();
    for call in &mut calls {
        assert_eq!(poll!(call), Poll::Pending);
    }
    // The first call is the one that drives the batch.
    drop(calls.remove(0));
    drop(calls.remove(1));
    let results = join_all(calls).await;
    assert_eq!(
        results,
        [
            Err(DownstreamError::new("1")),
            Err(DownstreamError::new("3"))
        ]
    );
    assert_eq!(world.batches(), [[1, 3]]);
}

#[tokio::test(start_paused = true)]
async fn entries_of_calls_that_were_all_dropped_do_not_join_a_later_batch() {
    let world = World::new(10, usize::MAX, false);
    {
        let call = world.deliver(0).boxed();
        assert_eq!(poll!(call), Poll::Pending);
    }
    world.deliver(2).await.unwrap();
    assert_eq!(world.batches(), [[2]]);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_its_batch_is_sent_does_not_stop_the_others() {
    let world = World::new(0, usize::MAX, false);
    let mut first = world.deliver(0).boxed();
    let mut second = world.deliver(2).boxed();
    assert_eq!(poll!(&mut first), Poll::Pending);
    assert_eq!(poll!(&mut second), Poll::Pending);
    tokio::time::advance(Duration::from_millis(20)).await;
    assert_eq!(poll!(&mut first), Poll::Pending);
    assert_eq!(world.batches(), [[0, 2]]);
    // A call that comes now opens another batch.
    let third = world.deliver(4);
    drop(first);
    world.recorder.permits.add_permits(2);
    assert_eq!(futures::join!(second, third), (Ok(()), Ok(())));
    assert_eq!(world.batches(), [vec![0, 2], vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_without_an_answer_is_not_delivered() {
    let world = World::new(10, usize::MAX, true);
    let error = world.deliver(0).await.unwrap_err();
    assert!(error.is_busy());
}
