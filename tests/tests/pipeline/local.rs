//! The tool behind these stacks, `cargo local`: emulator, event sources and their pauses, checks of the template, and deployments
//! of changed parameters and changed code.

mod check;
mod emulator;
mod event_sources;
mod guided;
mod lab;
mod page;
mod pause;
mod policy;
mod redeploy;
mod traffic;
mod watch;
