//! A value that is read again only after a while, however many ask for it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

/// The last value and when it was read.
pub(super) struct Cached<T> {
    keep: Duration,
    last: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Cached<T> {
    /// Keeps a value for `keep`.
    pub(super) fn new(keep: Duration) -> Self {
        Self {
            keep,
            last: Mutex::new(None),
        }
    }

    /// Returns the last value, or reads it again if it is too old. Callers that ask meanwhile wait and get the same value.
    pub(super) async fn get<F: Future<Output = T> + Send>(
        &self,
        read: impl FnOnce() -> F + Send,
    ) -> Arc<T> {
        let mut last = self.last.lock().await;
        if let Some((at, value)) = last.as_ref()
            && at.elapsed() < self.keep
        {
            return Arc::clone(value);
        }
        let value = Arc::new(read().await);
        *last = Some((Instant::now(), Arc::clone(&value)));
        value
    }

    /// Forgets the value, so that the next caller reads it again.
    pub(super) async fn clear(&self) {
        *self.last.lock().await = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reads_once_for_all_until_the_value_is_old() {
        let reads = AtomicU32::new(0);
        let cached = Cached::new(Duration::from_secs(10));
        let get = || {
            cached.get(|| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                reads.fetch_add(1, Ordering::Relaxed)
            })
        };
        let (first, second) = tokio::join!(get(), get());
        assert_eq!((*first, *second), (0, 0));
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(*get().await, 0);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(*get().await, 1);
        cached.clear().await;
        assert_eq!(*get().await, 2);
    }
}
