//! `cargo scale`: see [`onewrite_scale::cli`].

use std::process::ExitCode;

use clap::Parser;
use onewrite_scale::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
