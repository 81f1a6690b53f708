//! The clock of a handler, and where its metrics and spans go.

use jiff::Timestamp;

use crate::{
    spans::{self, Span},
    telemetry::{MetricSelection, Metrics},
};

/// The clock, the metrics output and the trace output that a handler uses.
///
/// The default reads the system clock, writes metrics to standard output and sends spans to the X-Ray daemon. Tests
/// replace single parts.
#[derive(Debug, Clone, Copy)]
pub struct Observer {
    clock: fn() -> Timestamp,
    emit_metrics: fn(&Metrics),
    /// The names of the metrics to emit. `None`: all.
    selected: Option<&'static [&'static str]>,
    send_spans: fn(&[Span]),
}

impl Default for Observer {
    fn default() -> Self {
        Self {
            clock: Timestamp::now,
            emit_metrics: Metrics::emit,
            selected: None,
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

    /// Emits only the selected metrics. `essential` are the names of those that [`MetricSelection::Essential`] selects.
    #[must_use]
    pub fn with_selection(
        self,
        selection: MetricSelection,
        essential: &'static [&'static str],
    ) -> Self {
        let selected = match selection {
            MetricSelection::Essential => Some(essential),
            MetricSelection::All => None,
        };
        Self { selected, ..self }
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
        match self.selected {
            Some(names) => (self.emit_metrics)(&metrics.only(names)),
            None => (self.emit_metrics)(metrics),
        }
        (self.send_spans)(spans);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static EMITTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn emits_the_selected_metrics() {
        let observer = Observer::default().with_metrics(|metrics| {
            EMITTED.set(metrics.names().map(ToOwned::to_owned).collect());
        });
        let mut metrics = Metrics::new("f");
        metrics.add("Done", 1);
        metrics.add("Received", 1);
        for (selection, names) in [
            (MetricSelection::Essential, &["Done"][..]),
            (MetricSelection::All, &["Done", "Received"]),
        ] {
            let observer = observer.with_selection(selection, &["Done", "Failed"]);
            observer.report(&metrics, &[]);
            assert_eq!(EMITTED.take(), names);
        }
    }
}
