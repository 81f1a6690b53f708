//! `onewrite`: where a notification is, and what became of it. Looking changes nothing.
//!
//! - [`cli`]: the commands, their options and exit codes; [`error`]: what keeps them from an answer
//! - [`trace`]: one notification's life, from what was [seen](trace::Seen) to a sentence. Pure.
//! - [`redrive`]: has what the failure bucket holds come again; [`dlq`]: what is in the dead-letter queue; [`reconcile`]: what
//!   stays in INIT, and how far it is, a [`checkpoint`]
//! - [`consent`]: nothing is changed without it; [`touch`]: the one write to the table
//! - [`status`]: how the whole stack stands
//! - [`dead_letters`]: looking into the dead-letter queue, and moving out of it
//! - [`pace`], [`progress`]: how fast, and how far
//! - [`doctor`]: what of it would break a promise
//! - [`cost`]: what notifications cost, by a table of prices
//! - [`look`]: what can be seen of it in each place of a stack; [`stack`]: where these are
#![deny(missing_docs)]

pub mod checkpoint;
pub mod cli;
pub mod consent;
pub mod cost;
pub mod dead_letters;
pub mod dlq;
pub mod doctor;
pub mod error;
pub mod look;
pub mod pace;
pub mod progress;
pub mod reconcile;
pub mod redrive;
pub mod stack;
pub mod status;
pub mod touch;
pub mod trace;
