//! What code says of itself while a test looks: its log lines.

use std::{cell::RefCell, io, marker::PhantomData, sync::Once};

use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;

thread_local! {
    /// What this thread has said, where somebody listens to it.
    static SAID: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// The log of this thread, from its making until it is dropped.
///
/// One subscriber serves the whole process and asks each thread whether it is listened to. A subscriber of one thread
/// alone would miss lines: while there is a single one, `tracing` asks the thread that meets a call site first
/// whether it is of interest, and keeps a "never" of a thread without a subscriber for every other thread.
pub struct Log {
    /// It speaks of the thread that made it, so it stays there.
    _of_this_thread: PhantomData<*const ()>,
}

impl Log {
    /// Begins to listen, at DEBUG and above.
    ///
    /// # Panics
    ///
    /// Where the process has a subscriber of its own already, or this thread is listened to already.
    #[must_use]
    pub fn listen() -> Self {
        subscribe();
        let before = SAID.replace(Some(Vec::new()));
        assert!(before.is_none(), "this thread is listened to already");
        Self {
            _of_this_thread: PhantomData,
        }
    }

    /// The lines so far, each a JSON object with `level`, `message` and its fields.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        SAID.with_borrow(|said| {
            let lines = said
                .iter()
                .flat_map(|said| said.split(|byte| *byte == b'\n'));
            lines
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect()
        })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        SAID.set(None);
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
        assert!(set.is_ok(), "this process has a subscriber of its own");
    });
    // Call sites that were met while the subscriber was being set are asked again.
    tracing::callsite::rebuild_interest_cache();
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SAID.with_borrow_mut(|said| {
            if let Some(said) = said {
                said.extend_from_slice(bytes);
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
    fn a_call_site_met_first_by_a_thread_without_a_listener_is_heard() {
        let say = || tracing::info!(said = "here");
        let log = Log::listen();
        assert!(std::thread::spawn(say).join().is_ok());
        assert_eq!(log.lines().len(), 0, "another thread's line");
        say();
        assert_eq!(log.lines().len(), 1);
        assert_eq!(log.lines()[0]["said"], "here");
    }
}
