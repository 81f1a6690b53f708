//! `cargo local`: see [`onewrite_local::cli`].

use std::process::ExitCode;

use clap::Parser;
use onewrite_local::cli::Cli;
use onewrite_local::error::LocalError;
use tracing_subscriber::EnvFilter;

/// What could not be done, as opposed to a promise that was not kept.
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
            tell(&error);
            ExitCode::from(FAILED)
        }
    }
}

fn tell(error: &LocalError) {
    eprintln!("error: {error}");
    if let Some(help) = error.help() {
        eprintln!("help: {help}");
    }
}
