//! Runs each case on a small stack, with a paused clock, and captures its log.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
    thread,
    time::Duration,
};

use onewrite_runtime::budget::Budget;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// Half a megabyte; the thread of a function has eight. Recursion that grows with the input overflows it.
const STACK_BYTES: usize = 512 * 1024;

/// A log line: its fields as text, with the text as `message`.
pub(crate) type Line = BTreeMap<String, String>;

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Returns what this thread logged since the last call.
pub(crate) fn lines() -> Vec<Line> {
    LINES.take()
}

struct LogCapture;

impl<S: Subscriber> Layer<S> for LogCapture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(Line::new());
        event.record(&mut fields);
        LINES.with_borrow_mut(|lines| lines.push(fields.0));
    }
}

struct Fields(Line);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

/// Enough time for any case with the paused clock.
pub(crate) fn budget() -> Budget {
    Budget::from_remaining(None, Duration::from_secs(600))
}

/// Runs every case by its name, and panics with the names of all that fail.
pub(crate) fn all<C: Send + 'static>(
    cases: Vec<(String, C)>,
    check: impl AsyncFn(&C) -> Result<(), String> + Send + 'static,
) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| tracing_subscriber::registry().with(LogCapture).init());
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let mut wrong = Vec::new();
        for (name, case) in &cases {
            let checked = AssertUnwindSafe(|| runtime.block_on(check(case)));
            let checked =
                catch_unwind(checked).unwrap_or_else(|_| Err("the case panics".to_owned()));
            if let Err(reason) = checked {
                wrong.push(format!("{name}: {reason}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    };
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(run);
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

/// Returns `Err` with both values if they differ.
pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    is: T,
    expected: T,
) -> Result<(), String> {
    if is == expected {
        return Ok(());
    }
    let short = |value: T| format!("{value:?}").chars().take(300).collect::<String>();
    Err(format!(
        "{what} is {}, must be {}",
        short(is),
        short(expected)
    ))
}
