//! Ctrl-C: while a command has something to clean up, the first one lets it, and the second one ends it.

use std::{
    io::Write as _,
    process::exit,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use onewrite_stack::error::StackError;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{INTERRUPTED, OperatorError};

/// The flag of the work that cleans up after itself. Without one, Ctrl-C ends the process.
static CURRENT: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

/// Returns a flag that the first Ctrl-C sets. The caller then ends its work in order.
#[must_use]
pub fn on_ctrl_c() -> Arc<AtomicBool> {
    static LISTENER: Once = Once::new();
    let flag = Arc::new(AtomicBool::new(false));
    set_current(Some(Arc::clone(&flag)));
    // A separate thread: while a command asks a question, its runtime is blocked.
    LISTENER.call_once(|| {
        thread::spawn(listen);
    });
    flag
}

/// The work of this flag has ended with this result, and has cleaned up. From now on, Ctrl-C ends the process at once.
///
/// # Errors
/// The error of the work, or [`OperatorError::Interrupted`] if the flag is set.
pub fn cleaned_up<T>(flag: &AtomicBool, result: Result<T, StackError>) -> Result<T, OperatorError> {
    set_current(None);
    let result = result?;
    if flag.load(Ordering::Relaxed) {
        return Err(OperatorError::Interrupted);
    }
    Ok(result)
}

fn set_current(flag: Option<Arc<AtomicBool>>) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = flag;
}

fn listen() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok(mut signals) = signal(SignalKind::interrupt()) else {
            return;
        };
        while signals.recv().await.is_some() {
            if !interrupt_current() {
                exit(INTERRUPTED.into());
            }
            // Not `eprintln`, which panics if nobody reads standard error any more.
            let hint = "stopping; press Ctrl-C again to end at once";
            let _ = writeln!(std::io::stderr(), "{hint}");
        }
    });
}

/// Whether there is work that is interrupted only now.
fn interrupt_current() -> bool {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let flag = current.as_ref();
    flag.is_some_and(|flag| !flag.swap(true, Ordering::Relaxed))
}
