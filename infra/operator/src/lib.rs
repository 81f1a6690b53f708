//! `onewrite`: where a notification is, and what became of it. Looking changes nothing.
//!
//! - [`cli`]: the commands, their options and exit codes; [`error`]: what keeps them from an answer
//! - [`trace`]: one notification's life, from what was [seen](trace::Seen) to a sentence. Pure.
//! - [`redrive`]: has events come again
//! - [`status`]: how the whole stack stands
//! - [`doctor`]: what of it would break a promise
//! - [`cost`]: what notifications cost, by a table of prices
//! - [`look`]: what can be seen of it in each place of a stack; [`stack`]: where these are
#![deny(missing_docs)]

pub mod cli;
pub mod cost;
pub mod doctor;
pub mod error;
pub mod look;
pub mod redrive;
pub mod stack;
pub mod status;
pub mod trace;
