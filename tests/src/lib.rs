//! What the tests share.
//!
//! - [`kinesis_proxy`]: stands between `forward` and Kinesis and lets chosen records fail
//! - [`template`]: `template.yaml` as it is written, for the tests that hold it to the code
//! - [`recorder`]: keeps what every function was given and what it answered

pub mod kinesis_proxy;
pub mod recorder;
pub mod template;
