//! The clock of a handler, and where its metrics and spans go.

use jiff::Timestamp;

use crate::{
    spans::{self, Span},
    telemetry::Metrics,
};

/// The clock, the metrics output and the trace output that a handler uses.
///
/// The default reads the system clock, writes metrics to standard output and sends spans to the X-Ray daemon. Tests
/// replace single parts.
#[derive(Debug, Clone, Copy)]
pub struct Observer {
    clock: fn() -> Timestamp,
    emit_metrics: fn(&Metrics),
    send_spans: fn(&[Span]),
}

impl Default for Observer {
    fn default() -> Self {
        Self {
            clock: Timestamp::now,
            emit_metrics: Metrics::emit,
            send_spans: spans::send,
        }
    }
}

impl Observer {
    /// Reads this clock instead of the system clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// Passes metrics to `emit` instead of standard output.
    #[must_use]
    pub fn with_metrics(self, emit: fn(&Metrics)) -> Self {
        Self {
            emit_metrics: emit,
            ..self
        }
    }

    /// Passes spans to `send` instead of the X-Ray daemon.
    #[must_use]
    pub fn with_spans(self, send: fn(&[Span])) -> Self {
        Self {
            send_spans: send,
            ..self
        }
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Emits the metrics and the spans of one invocation.
    pub fn report(&self, metrics: &Metrics, spans: &[Span]) {
        (self.emit_metrics)(metrics);
        (self.send_spans)(spans);
    }
}
