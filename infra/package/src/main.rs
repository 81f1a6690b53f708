//! `cargo local package`.

use std::process::ExitCode;

use clap::Parser as _;
use onewrite_package::cli::Cli;
use onewrite_package::error::PackageError;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let PackageError::Local(error) = &error
                && let Some(help) = error.help()
            {
                eprintln!("  {help}");
            }
            ExitCode::from(2)
        }
    }
}
