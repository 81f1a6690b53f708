//! Ctrl-C: the first one lets a command clean up, the second one ends it.

use std::{
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The exit code of a process that Ctrl-C ended, as shells report it: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Returns a flag that the first Ctrl-C sets. Call it after all questions: it also catches Ctrl-C at a prompt.
#[must_use]
pub fn on_ctrl_c() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let is_interrupted = Arc::clone(&flag);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            is_interrupted.store(true, Ordering::Relaxed);
            eprintln!("stopping; press Ctrl-C again to end at once");
            if tokio::signal::ctrl_c().await.is_ok() {
                exit(INTERRUPTED);
            }
        }
    });
    flag
}
