//! What the end-to-end tests share.
//!
//! - [`kinesis_proxy`]: stands between `forward` and Kinesis and lets chosen records fail

pub mod kinesis_proxy;
