//! Checks that the functions never log payloads. A payload with a marker passes through every path of every function,
//! success and failure, at TRACE level. Each function is a process with the product's log settings, the AWS SDK and
//! Lambda's runtime. The marker must not appear in its output or in what it sends to Lambda.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod complete;
mod fake_aws;
mod forward;
mod function;
mod function_process;
mod ingest;
mod marker;
