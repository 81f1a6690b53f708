//! The contract for consumers that read the notification stream themselves: its files are what the code does, and the
//! helpers in Python and JavaScript follow them.

mod batches;
mod competition;
mod conformance;
mod events;
mod examples;
mod fixtures;
mod helpers;
mod item_format;
mod schema;
mod settlements;
mod vectors;
mod wire;
mod wrong_helpers;
