//! Ctrl-C: while a command has something to clean up, the first one lets it, and the second one ends it.

use std::{
    process::exit,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a process that Ctrl-C ended, as shells report it: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// The flag of the work that cleans up after itself. Without one, Ctrl-C ends the process.
static CURRENT: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

/// Returns a flag that the first Ctrl-C sets. The caller then ends its work in order.
#[must_use]
pub fn on_ctrl_c() -> Arc<AtomicBool> {
    static LISTENER: Once = Once::new();
    let flag = Arc::new(AtomicBool::new(false));
    set_current(Some(Arc::clone(&flag)));
    // A thread of its own, because a question blocks the runtime of the command.
    LISTENER.call_once(|| {
        thread::spawn(listen);
    });
    flag
}

/// The work of this flag has cleaned up. Ends the process if the flag is set; from now on, Ctrl-C ends it at once.
pub fn cleaned_up(flag: &AtomicBool) {
    set_current(None);
    if flag.load(Ordering::Relaxed) {
        exit(INTERRUPTED);
    }
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
            let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
            match &*current {
                Some(flag) if !flag.swap(true, Ordering::Relaxed) => {
                    eprintln!("stopping; press Ctrl-C again to end at once");
                }
                _ => exit(INTERRUPTED),
            }
        }
    });
}
