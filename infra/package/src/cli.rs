//! The command line.

use std::path::PathBuf;

use clap::Parser;
use onewrite_local::binaries::Architecture;
use onewrite_local::progress::Progress;
use onewrite_local::workspace::Workspace;

use crate::build::workspace_version;
use crate::error::Result;
use crate::package::{self, Package, Request};

/// Build the release package: programs, template, checksums, SBOMs and licences.
#[derive(Debug, Parser)]
#[command(name = "cargo local package", bin_name = "cargo local package")]
pub struct Cli {
    /// Version of the package, for example 1.2.3. It is part of the names of the template and of the code in its bucket.
    #[arg(long, value_parser = parse_version)]
    version: String,
    /// Build the functions for this architecture only, and fail if this machine does not support it.
    #[arg(long)]
    architecture: Option<Architecture>,
    /// Empty or new directory for the files. Default: target/package/onewrite-VERSION, whose files are replaced.
    #[arg(long, alias = "output", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Package files that are not committed. Nobody can build the same package then.
    #[arg(long)]
    allow_dirty: bool,
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The reason the package was not made.
    pub async fn run(self) -> Result<()> {
        let workspace = Workspace::here();
        let own = workspace_version(workspace.root())?;
        if own != self.version {
            eprintln!("note: the programs report their version as {own}, that of Cargo.toml");
        }
        let request = Request {
            version: self.version,
            architecture: self.architecture,
            out: self.out,
            allow_dirty: self.allow_dirty,
        };
        let package = package::package(&workspace, &request, Progress::detect()).await?;
        print(&package);
        Ok(())
    }
}

/// Prints a line for each file, and for each architecture that is skipped because this machine does not support it.
#[allow(clippy::print_stdout)]
fn print(package: &Package) {
    for (architecture, reason) in &package.skipped {
        println!("skipped: {}: {reason}", architecture.name());
    }
    for (name, bytes) in &package.files {
        println!(
            "{bytes:>12} bytes  {}",
            package.directory.join(name).display()
        );
    }
}

/// Parses a version that may be part of a file name and of a key of S3, so without build metadata.
fn parse_version(text: &str) -> std::result::Result<String, &'static str> {
    let (numbers, suffix) = match text.split_once('-') {
        Some((numbers, suffix)) => (numbers, Some(suffix)),
        None => (text, None),
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let has_numbers = numbers.split('.').count() == 3 && numbers.split('.').all(is_number);
    if has_numbers && suffix.is_none_or(|suffix| suffix.split('.').all(is_word)) {
        Ok(text.to_owned())
    } else {
        Err("write it as 1.2.3 or 1.2.3-rc.1")
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn accepts_versions_that_are_safe_in_names() {
        for version in ["1.2.3", "0.10.0-rc.1", "1.0.0-x-y"] {
            assert_eq!(parse_version(version), Ok(version.to_owned()));
        }
        for version in [
            "",
            "1.2",
            "v1.2.3",
            "1.2.3.4",
            "1.2.3+5",
            "1.2.3-",
            "1.2.3-../x",
            "1..3",
        ] {
            assert!(parse_version(version).is_err(), "{version}");
        }
    }
}
