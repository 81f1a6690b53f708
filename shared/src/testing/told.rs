//! What code says of itself while a test looks: its log lines.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::LevelFilter;

use super::lock;

/// The log of this thread, from its making until it is dropped.
pub struct Log {
    bytes: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

impl Log {
    /// Begins to listen, at DEBUG and above.
    #[must_use]
    pub fn listen() -> Self {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = {
            let bytes = Arc::clone(&bytes);
            move || Writer(Arc::clone(&bytes))
        };
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(LevelFilter::DEBUG)
            .with_writer(writer)
            .finish();
        Self {
            bytes,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The lines so far, each a JSON object with `level`, `message` and its fields.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let bytes = lock(&self.bytes);
        let lines = bytes.split(|byte| *byte == b'\n');
        lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
