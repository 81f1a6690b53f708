//! Sends entries of concurrent calls together.
//!
//! Calls that wait for the same batch drive one future together, so each of them can be dropped at any time: the others
//! continue, and an entry whose call was dropped before the batch was sent is not sent.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Either, Shared, WeakShared, join_all, select},
};
use onewrite::completion::DownstreamError;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use super::limits::{BATCH_LINGER, MAX_BATCH_ENTRIES};

/// Whether one entry was delivered.
pub(super) type Delivery = Result<(), DownstreamError>;

/// A call that the service refused only because of its size. It delivered nothing. The error is that of an entry which is
/// refused alone.
pub(super) struct TooLarge(pub(super) DownstreamError);

/// Sends a batch.
pub(super) trait SendBatch: Send + Sync + 'static {
    /// What is sent for one event.
    type Entry: Send + Sync + 'static;

    /// Sends 1 to [`MAX_BATCH_ENTRIES`] entries in one call and returns one result for each of them, in the same order.
    fn send(
        &self,
        entries: &[Self::Entry],
    ) -> impl Future<Output = Result<Vec<Delivery>, TooLarge>> + Send;
}

/// Collects entries and sends them.
pub(super) struct Batcher<S: SendBatch> {
    sender: Arc<S>,
    max_bytes: usize,
    /// The batch that is being collected, as long as a call waits for it.
    open: Mutex<Option<Open<S::Entry>>>,
}

type Driver = Shared<BoxFuture<'static, ()>>;

struct Open<E> {
    batch: Arc<Batch<E>>,
    driver: WeakShared<BoxFuture<'static, ()>>,
}

struct Batch<E> {
    /// `None` as soon as the batch is sent.
    waiting: Mutex<Option<Vec<Waiting<E>>>>,
    full: Notify,
}

struct Waiting<E> {
    entry: E,
    bytes: usize,
    answer: oneshot::Sender<Delivery>,
}

impl<S: SendBatch> Batcher<S> {
    /// Batches have at most [`MAX_BATCH_ENTRIES`] entries, and at most `max_bytes` unless one entry has more.
    pub(super) fn new(sender: S, max_bytes: usize) -> Self {
        Self {
            sender: Arc::new(sender),
            max_bytes,
            open: Mutex::default(),
        }
    }

    /// Delivers an entry of this size.
    pub(super) async fn deliver(&self, entry: S::Entry, bytes: usize) -> Delivery {
        let (answer, delivery) = oneshot::channel();
        let waiting = Waiting {
            entry,
            bytes,
            answer,
        };
        // The answer can come before the end of the batch, whose other calls may still wait.
        let delivery = match select(delivery, self.join(waiting)).await {
            Either::Left((delivery, _)) => delivery,
            Either::Right(((), delivery)) => delivery.await,
        };
        let lost = |_| Err(DownstreamError::retry_later("the answer was lost", None));
        delivery.unwrap_or_else(lost)
    }

    /// Adds an entry to the open batch, or opens another one.
    fn join(&self, waiting: Waiting<S::Entry>) -> Driver {
        let mut open = lock(&self.open);
        let mut waiting = Some(waiting);
        if let Some(current) = &*open
            && let Some(driver) = current.driver.upgrade()
        {
            waiting = waiting.and_then(|waiting| current.batch.add(waiting, self.max_bytes));
            if waiting.is_none() {
                return driver;
            }
        }
        let batch = Arc::new(Batch {
            waiting: Mutex::new(Some(waiting.into_iter().collect())),
            full: Notify::new(),
        });
        let sending = send(Arc::clone(&self.sender), Arc::clone(&batch));
        let driver = sending.boxed().shared();
        *open = driver.downgrade().map(|driver| Open { batch, driver });
        driver
    }
}

impl<S: SendBatch> fmt::Debug for Batcher<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}

impl<E> Batch<E> {
    /// Adds an entry, or returns it if the batch is full or sent.
    fn add(&self, new: Waiting<E>, max_bytes: usize) -> Option<Waiting<E>> {
        let mut waiting = lock(&self.waiting);
        let Some(waiting) = &mut *waiting else {
            return Some(new);
        };
        let bytes: usize = waiting.iter().map(|waiting| waiting.bytes).sum();
        let fits = waiting.len() < MAX_BATCH_ENTRIES && bytes + new.bytes <= max_bytes;
        let rest = if fits {
            waiting.push(new);
            None
        } else {
            Some(new)
        };
        if rest.is_some() || waiting.len() == MAX_BATCH_ENTRIES {
            self.full.notify_one();
        }
        rest
    }
}

async fn send<S: SendBatch>(sender: Arc<S>, batch: Arc<Batch<S::Entry>>) {
    // An elapsed time is the usual end of the collection, not an error.
    let _ = timeout(BATCH_LINGER, batch.full.notified()).await;
    let waiting = lock(&batch.waiting).take().unwrap_or_default();
    let (entries, answers): (Vec<_>, Vec<_>) = waiting
        .into_iter()
        .filter(|waiting| !waiting.answer.is_closed())
        .map(|waiting| (waiting.entry, waiting.answer))
        .unzip();
    if entries.is_empty() {
        return;
    }
    match sender.send(&entries).await {
        Ok(deliveries) => {
            for (answer, delivery) in answers.into_iter().zip(deliveries) {
                // It fails if the call was dropped.
                let _ = answer.send(delivery);
            }
        }
        Err(TooLarge(error)) if entries.len() == 1 => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
        // A queue or a topic can have a lower limit than the service, and only its owner knows it.
        Err(_) => {
            let entries = entries.chunks(1).zip(answers);
            join_all(entries.map(|(entry, answer)| send_alone(&*sender, entry, answer))).await;
        }
    }
}

/// Sends one entry of a refused batch alone. The calls of all its entries run concurrently.
async fn send_alone<S: SendBatch>(
    sender: &S,
    entry: &[S::Entry],
    answer: oneshot::Sender<Delivery>,
) {
    if answer.is_closed() {
        return;
    }
    let delivery = match sender.send(entry).await {
        Ok(deliveries) => deliveries.into_iter().next(),
        Err(TooLarge(error)) => Some(Err(error)),
    };
    if let Some(delivery) = delivery {
        let _ = answer.send(delivery);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
