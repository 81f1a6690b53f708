//! The lab of `cargo local up`: what its own process counts, the switches that break the pipeline, and the double write beside it.
//!
//! - `observer` counts what the pollers see, `series` keeps it over time, `watcher` reads queues and checks acknowledged messages.
//! - `actions` sends messages, pauses and resumes.
//! - `api` serves all of it on the loopback interface, for the console.
//! - `faults`: `Faults` (a cheap clone of shared state) with `prepare(&Stack)` before the event sources start, `redirect(&Stack)`
//!   after another deployment, `arm(Fault, count)`, `disarm(Fault)` and `left() -> BTreeMap<Fault, u32>`.
//! - `double_write`: `DoubleWrite::start(Faults)`, `send(&[Sample])` for copies of what the console sends, and
//!   `comparison() -> Ledger`. It ends when it is dropped.
//! - `guided`: `GuidedRun::start(Arc<dyn Lab>, seed)`, which presses the buttons of the port, and `state() -> Guided`. It ends
//!   when it is dropped.
//!
//! No module below imports this one.
