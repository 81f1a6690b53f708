//! The release package: everything that a deployment needs, without a Rust toolchain and without the SAM CLI.
//!
//! - [`package`] is the command: it builds the programs ([`build`]) and writes the files ([`contents`]).
//! - [`template`] translates `template.yaml` to a template whose functions are in a bucket. [`archive`] writes the zip files.
//! - [`crates`] finds the crates that are linked into a program. [`sbom`] and [`licences`] list them, and [`audit`] compares
//!   them with the list inside the program.
//!
//! The same commit and the same Rust toolchain give the same bytes, wherever the repository and cargo's home are.

pub mod archive;
pub mod audit;
pub mod build;
pub mod cli;
pub mod contents;
pub mod crates;
pub mod error;
pub mod licences;
pub mod package;
pub mod sbom;
pub mod template;
