//! The commands: one module each.

pub mod conform;
pub mod console;
pub mod cost;
pub mod doctor;
pub mod erase;
pub mod pause;
pub mod reconcile;
pub mod redrive;
pub mod status;
pub mod trace;
pub mod try_message;
