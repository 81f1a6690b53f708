//! Captures the log lines that code writes during a test.

use std::{cell::RefCell, io, marker::PhantomData, sync::Once};

use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;

thread_local! {
    /// The captured output of this thread, if a [`Log`] exists.
    static CAPTURED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Captures the log of the current thread until it is dropped.
///
/// One subscriber serves the whole process and checks whether the current thread captures its log. A subscriber
/// per thread would miss lines: with a single subscriber, `tracing` asks the thread that first reaches a call site whether
/// it is interested, and caches a "never" from a thread without a subscriber for all threads.
pub struct Log {
    /// Captures logs of the current thread, so it is not `Send`.
    _not_send: PhantomData<*const ()>,
}

impl Log {
    /// Starts capturing lines of level DEBUG and above.
    ///
    /// # Panics
    ///
    /// Panics if the process already has another subscriber, or if this thread is already captured.
    #[must_use]
    pub fn capture() -> Self {
        subscribe();
        let before = CAPTURED.replace(Some(Vec::new()));
        assert!(before.is_none(), "this thread is already captured");
        Self {
            _not_send: PhantomData,
        }
    }

    /// Returns the lines captured so far, each a JSON object with `level`, `message` and its fields.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        CAPTURED.with_borrow(|captured| {
            let lines = captured
                .iter()
                .flat_map(|captured| captured.split(|byte| *byte == b'\n'));
            lines
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect()
        })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        CAPTURED.set(None);
    }
}

fn subscribe() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(LevelFilter::DEBUG)
            .with_writer(|| Writer)
            .finish();
        let set = tracing::subscriber::set_global_default(subscriber);
        assert!(set.is_ok(), "this process already has another subscriber");
    });
    // Re-evaluates call sites that were reached while the subscriber was being set.
    tracing::callsite::rebuild_interest_cache();
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        CAPTURED.with_borrow_mut(|captured| {
            if let Some(captured) = captured {
                captured.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_a_call_site_first_reached_by_an_uncaptured_thread() {
        let write = || tracing::info!(place = "here");
        let log = Log::capture();
        assert!(std::thread::spawn(write).join().is_ok());
        assert_eq!(log.lines().len(), 0, "another thread's line");
        write();
        assert_eq!(log.lines().len(), 1);
        assert_eq!(log.lines()[0]["place"], "here");
    }
}
