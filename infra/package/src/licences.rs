//! The licences of all crates that are linked into the programs, with the texts that the crates contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::crates::{Crate, CrateId};
use crate::error::{PackageError, Result, read};

/// Beginnings of the names of files with licences or notices, in lower case.
const NAMES: [&str; 6] = [
    "licen",
    "copying",
    "copyright",
    "notice",
    "unlicense",
    "authors",
];

/// Rust's standard library is part of every program, and not of `Cargo.lock`.
const STANDARD_LIBRARY: &str = "\
The programs also contain the Rust standard library: MIT OR Apache-2.0, Copyright (c) The Rust Project Contributors,
https://github.com/rust-lang/rust.
";

/// Returns the licences of these crates, with each text once. `root` is the workspace.
///
/// # Errors
/// [`PackageError::File`].
pub fn of_crates<'a>(root: &Path, crates: impl IntoIterator<Item = &'a Crate>) -> Result<String> {
    let crates: BTreeMap<&CrateId, &Crate> = crates.into_iter().map(|one| (&one.id, one)).collect();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut listed =
        String::from("Licences of the programs of onewrite and of all crates in them.\n\n");
    for (id, one) in crates {
        let CrateId { name, version } = id;
        let licence = one.licence.as_deref().unwrap_or("see its text");
        let files = match one.is_registered {
            true => files(&one.directory)?,
            false => files(root)?,
        };
        let note = if files.is_empty() {
            " (no text in its archive)"
        } else {
            ""
        };
        let _ = writeln!(listed, "{name} {version}: {licence}{note}");
        for file in files {
            let text = read(&file)?.replace("\r\n", "\n");
            let users = texts.entry(text.trim().to_owned()).or_default();
            users.insert(format!("{name} {version}"));
        }
    }
    let _ = writeln!(listed, "\n{STANDARD_LIBRARY}");
    // In the order of their users, so that a new text moves no other.
    let mut sections: Vec<(Vec<String>, String)> = texts
        .into_iter()
        .map(|(text, users)| (users.into_iter().collect(), text))
        .collect();
    sections.sort();
    let line = "-".repeat(80);
    for (users, text) in sections {
        let _ = writeln!(listed, "{line}\n{}\n{line}\n\n{text}\n", users.join(", "));
    }
    Ok(listed)
}

/// Returns the files with licences in a directory, in the order of their names.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| PackageError::file(directory, source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let path = entry.path();
        let is_source = Path::new(&name)
            .extension()
            .is_some_and(|ending| ending == "rs");
        if NAMES.iter().any(|start| name.starts_with(start)) && path.is_file() && !is_source {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, directory: &Path, is_registered: bool) -> Crate {
        Crate {
            id: CrateId {
                name: name.into(),
                version: "1.0.0".into(),
            },
            licence: Some("MIT".into()),
            description: None,
            repository: None,
            directory: directory.to_path_buf(),
            is_registered,
            checksum: None,
        }
    }

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    #[test]
    fn has_each_text_once_with_the_crates_that_contain_it() {
        let root = directory(&[("LICENSE", "ours")]);
        let first = directory(&[
            ("LICENSE-MIT", "mit\r\ntext\n"),
            ("license.rs", "code"),
            ("lib.rs", "code"),
        ]);
        let second = directory(&[("license.txt", "mit\ntext"), ("NOTICE", "notice")]);
        let third = directory(&[]);
        let crates = [
            one("c", third.path(), true),
            one("b", second.path(), true),
            one("a", first.path(), true),
            one("own", third.path(), false),
        ];
        let text = of_crates(root.path(), &crates).unwrap();
        assert_eq!(text.matches("mit\ntext").count(), 1, "{text}");
        assert!(text.contains("\na 1.0.0, b 1.0.0\n"), "{text}");
        assert!(
            text.contains("c 1.0.0: MIT (no text in its archive)"),
            "{text}"
        );
        assert!(
            text.contains("own 1.0.0: MIT\n") && text.contains("\nours\n"),
            "{text}"
        );
        assert!(
            text.contains("\nnotice\n") && !text.contains("code"),
            "{text}"
        );
        let mut reversed = crates;
        reversed.reverse();
        assert_eq!(of_crates(root.path(), &reversed).unwrap(), text);
    }
}
