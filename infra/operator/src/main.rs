//! The binary `onewrite`; see `onewrite --help`.

use std::process::ExitCode;

use clap::Parser;
use onewrite_operator::cli::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(help) = error.help() {
                eprintln!("help: {help}");
            }
            error.exit_code()
        }
    }
}
