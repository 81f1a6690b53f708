//! How a case is run: on a small stack, by a clock that stands, with an ear on what is logged.

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

/// Half a megabyte, where a function's thread has eight: what recurses with its input does not fit.
const STACK_BYTES: usize = 512 * 1024;

/// A line of the log: its fields as text, the sentence as `message`.
pub(crate) type Line = BTreeMap<String, String>;

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// What was logged on this thread since this was asked last.
pub(crate) fn lines() -> Vec<Line> {
    LINES.take()
}

struct Ear;

impl<S: Subscriber> Layer<S> for Ear {
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

/// Time enough for any case, by the clock that stands.
pub(crate) fn budget() -> Budget {
    Budget::from_remaining(None, Duration::from_secs(600))
}

/// Runs every case, each told by its name, and panics with the names of all that are not as they must be.
pub(crate) fn all<C: Send + 'static>(
    cases: Vec<(String, C)>,
    check: impl AsyncFn(&C) -> Result<(), String> + Send + 'static,
) {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| tracing_subscriber::registry().with(Ear).init());
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let mut wrong = Vec::new();
        for (name, case) in &cases {
            let checked = AssertUnwindSafe(|| runtime.block_on(check(case)));
            let checked = catch_unwind(checked).unwrap_or_else(|_| Err("it panics".to_owned()));
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

/// `Err` with both where they differ.
pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    is: T,
    must_be: T,
) -> Result<(), String> {
    if is == must_be {
        return Ok(());
    }
    let short = |value: T| format!("{value:?}").chars().take(300).collect::<String>();
    Err(format!(
        "{what} is {}, must be {}",
        short(is),
        short(must_be)
    ))
}
