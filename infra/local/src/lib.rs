//! The pipeline on this machine: an emulator, the very template deployed to it, and event sources that keep AWS's
//! documented rules.
#![deny(missing_docs)]

pub mod clients;
pub mod deploy;
pub mod emulator;
pub mod error;
pub mod oracle;
pub mod process;
pub mod progress;
pub mod python;
pub mod sample;
pub mod workspace;
