//! Locks of the in-memory models.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ignores lock poisoning: the test that panicked has already failed, and the others can continue.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
