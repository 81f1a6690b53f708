//! Silence: a payload with a marker goes down every path of every function, success and failure, at TRACE. Each function
//! is a process with the product's own log settings, over the AWS SDK and Lambda's own runtime, and all it writes or
//! tells Lambda is searched: the marker is in none of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod cloud;
mod complete;
mod forward;
mod function;
mod ingest;
mod marker;
mod watched;
