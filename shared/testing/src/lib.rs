//! Replaces AWS in tests: in-memory models of the ports, injected faults, and the contract that every model and adapter
//! must meet.
//!
//! - [`InMemoryTable`], [`InMemoryStream`]: in-memory models of DynamoDB and Kinesis, without faults. A clone shares
//!   the same table or stream, as a cloned client does.
//! - [`FaultyTable`], [`FaultyStream`]: wrap any adapter and inject a fault per call
//! - [`Accepting`]: a downstream that accepts every notification and does nothing
//! - [`lambda_event`]: builds Lambda events from changes and records
//! - [`Log`]: captures log lines
//! - [`settings`]: the environment variables of a function
//! - [`contract`]: checks what the ports guarantee; each function panics on a violation
//!
//! This crate does not depend on a handler, and no production code depends on this crate.

mod change;
pub mod contract;
mod downstream;
mod faults;
pub mod lambda_event;
mod lock;
mod log;
pub mod settings;
mod stream;
mod table;

pub use change::Change;
pub use downstream::Accepting;
pub use faults::{EntryFault, Fault, FaultyStream, FaultyTable, SlowPath, StreamFault, TableCall};
pub use log::Log;
pub use stream::{InMemoryStream, Shard, StoredRecord};
pub use table::InMemoryTable;

#[cfg(test)]
mod tests;
