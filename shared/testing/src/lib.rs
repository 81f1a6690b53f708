//! What tests use in place of AWS: reference models of the ports, the faults they can have, and the contract that
//! models and adapters alike must keep.
//!
//! - [`InMemoryTable`], [`InMemoryStream`]: how DynamoDB and Kinesis behave, without faults, in memory. A clone is
//!   another handle to the same table or stream, as a client is.
//! - [`FaultyTable`], [`FaultyStream`]: any adapter with faults in front of it, told call by call
//! - [`lambda_event`]: what a table or stream holds, as the events that Lambda hands to a function
//! - [`Log`]: what code says of itself
//! - [`contract`]: what the ports promise, as functions that fail loudly
//!
//! Nothing here knows a handler, and no production code knows this module.

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

/// A test that panics while it holds the lock has failed already; the others may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
