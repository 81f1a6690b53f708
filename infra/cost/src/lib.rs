//! What the pipeline costs. Nothing here calls AWS: prices come from a table, quantities from the pricing rules of each
//! service.
//!
//! - [`prices`]: the price table
//! - [`sizes`]: how large a message is as an item and as a record
//! - [`billing`]: from quantities to the line items of a bill
//! - [`fixed`]: what a stack costs without any message
//! - [`traffic`]: the messages, and what is assumed about the stack
//! - [`estimate`]: the bill for a number of messages
//! - [`alternatives`]: what parts of AWS would cost in place of parts of the pipeline

pub mod alternatives;
pub mod billing;
pub mod estimate;
pub mod fixed;
pub mod prices;
pub mod sizes;
pub mod traffic;
