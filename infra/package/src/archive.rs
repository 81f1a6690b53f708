//! Zip files whose bytes depend on their content only.

use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::error::{PackageError, Result};

/// Read and run for everyone: Lambda runs a function as a user that does not own the file.
const MODE: u32 = 0o755;

/// The best compression of deflate. A package is written once and downloaded often.
const LEVEL: i64 = 9;

/// Returns a zip file with one executable file. Its time is the beginning of 1980, the earliest of the format.
///
/// # Errors
/// [`PackageError::Unexpected`] if the file is larger than the format allows.
pub fn of_program(name: &str, program: &[u8]) -> Result<Vec<u8>> {
    let failed = |error| PackageError::Unexpected(format!("zip file of {name}: {error}"));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(MODE);
    archive.start_file(name, options).map_err(failed)?;
    archive
        .write_all(program)
        .map_err(|source| PackageError::file(name, source))?;
    Ok(archive.finish().map_err(failed)?.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn holds_one_executable_file_with_a_fixed_time() {
        let content = b"program ".repeat(1000);
        let bytes = of_program("bootstrap", &content).unwrap();
        assert!(bytes.len() < content.len() / 2, "{}", bytes.len());
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(archive.len(), 1);
        let mut file = archive.by_index(0).unwrap();
        assert_eq!(file.name(), "bootstrap");
        assert_eq!(file.unix_mode(), Some(0o100_755));
        assert_eq!(file.last_modified(), Some(DateTime::DEFAULT));
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(read, content);
    }

    #[test]
    fn same_content_gives_same_bytes() {
        let of = |content: &[u8]| of_program("bootstrap", content).unwrap();
        assert_eq!(of(b"one"), of(b"one"));
        assert_ne!(of(b"one"), of(b"two"));
    }
}
