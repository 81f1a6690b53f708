//! `cargo local`: see [`onewrite_local::cli`].

use std::process::ExitCode;

use clap::Parser;
use onewrite_local::cli::Cli;
use onewrite_local::error::LocalError;
use tracing_subscriber::EnvFilter;

/// The exit code of an error. A broken guarantee has the exit code 1.
const FAILED: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            print(&error);
            ExitCode::from(FAILED)
        }
    }
}

fn print(error: &LocalError) {
    eprintln!("error: {error}");
    if let Some(help) = error.help() {
        eprintln!("help: {help}");
    }
}
