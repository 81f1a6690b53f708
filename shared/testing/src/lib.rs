//! Replaces AWS in tests: in-memory models of the ports, injected faults, and the contract that every model and adapter
//! must meet.
//!
//! - [`InMemoryTable`], [`InMemoryStream`]: in-memory models of DynamoDB and Kinesis, without faults. A clone shares
//!   the same table or stream, as a cloned client does.
//! - [`FaultyTable`], [`FaultyStream`]: wrap any adapter and inject a fault per call
//! - [`lambda_event`]: builds Lambda events from changes and records
//! - [`Log`]: captures log lines
//! - [`contract`]: checks what the ports guarantee; each function panics on a violation
//!
//! This crate does not depend on a handler, and no production code depends on this crate.

pub mod contract;
mod faults;
pub mod lambda_event;
mod log;
mod stream;
mod table;

pub use faults::{EntryFault, Fault, FaultyStream, FaultyTable, StreamFault, TableCall};
pub use log::Log;
pub use stream::{InMemoryStream, Shard, StoredRecord};
pub use table::{Change, InMemoryTable};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ignores lock poisoning: the test that panicked has already failed, and the others can continue.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
