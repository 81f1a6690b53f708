//! A pipeline in memory, for tests of the server and of the page.
//!
//! It models what the page shows, not how the pipeline works: messages move from stage to stage with each [`Model::advance`].

mod data;
mod lab;
mod model;
mod motion;
mod state;

pub use data::{EXACT, HOSTILE};
pub use model::Model;
