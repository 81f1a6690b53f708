//! What the end-to-end tests share.
//!
//! - [`kinesis_proxy`]: stands between `forward` and Kinesis and lets chosen records fail
//! - [`recorder`]: keeps what every function was given and what it answered

pub mod kinesis_proxy;
pub mod recorder;
