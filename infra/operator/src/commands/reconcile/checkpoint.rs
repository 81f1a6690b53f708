//! The checkpoint of a reconcile run, in a file. An interrupted run resumes from it and skips nothing.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::OperatorError;

/// The arguments that identify a run. Runs with different arguments need different checkpoints: with the checkpoint of a
/// preview, an applied run would skip items that were not redriven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// The ARN of the table.
    pub table: String,
    /// The number of segments of the scan.
    pub segments: u32,
    /// The minimum time that an item has been in INIT.
    pub pending_older_than_seconds: i64,
    /// Whether items that were settled since this time are included.
    #[serde(default)]
    pub settled_since: Option<Timestamp>,
    /// Whether items are redriven.
    pub apply: bool,
}

/// The progress of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SegmentProgress {
    /// Done up to and including this key, the last evaluated key of a page.
    After(String),
    /// Done.
    End,
}

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Items read.
    pub read: u64,
    /// Items that have been in INIT for too long, or whose settlement is published again.
    pub pending: u64,
    /// Items that somebody edited, and that cannot be read.
    #[serde(default)]
    pub unreadable: u64,
    /// Items that were redriven.
    #[serde(rename = "touched")]
    pub redriven: u64,
}

/// The progress of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub run: Run,
    /// Items created at or after this time are too young.
    #[serde(rename = "before")]
    pub created_before: Timestamp,
    /// The segments that were started.
    #[serde(rename = "reached")]
    pub segments: BTreeMap<u32, SegmentProgress>,
    pub tally: Tally,
}

impl Checkpoint {
    /// Creates the checkpoint of a run that has not read anything.
    #[must_use]
    pub(super) fn new(run: Run, created_before: Timestamp) -> Self {
        Self {
            run,
            created_before,
            segments: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Reads the checkpoint of a run; `None` if the file does not exist.
    ///
    /// # Errors
    /// [`OperatorError::File`], or [`OperatorError::OtherRun`] if the checkpoint belongs to a run with other arguments.
    pub(super) fn read(path: &Path, run: &Run) -> Result<Option<Self>, OperatorError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error(path, &error)),
        };
        let read: Self =
            serde_json::from_slice(&bytes).map_err(|error| file_error(path, &error))?;
        match difference(&read.run, run) {
            None => Ok(Some(read)),
            Some(difference) => Err(OperatorError::OtherRun {
                path: path.display().to_string(),
                difference,
            }),
        }
    }

    /// Writes the file atomically: after a crash, the file holds the old or the new checkpoint, never a part of one.
    ///
    /// # Errors
    /// [`OperatorError::File`].
    pub(super) fn write(&self, path: &Path) -> Result<(), OperatorError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = Path::new(&name);
        let written = serde_json::to_vec_pretty(self)
            .map_err(std::io::Error::from)
            .and_then(|bytes| {
                let mut file = File::create(new)?;
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(new, path));
        written.map_err(|error| file_error(path, &error))
    }

    /// Deletes the file: the run is complete, and the next one starts from the beginning.
    ///
    /// # Errors
    /// [`OperatorError::File`].
    pub(super) fn remove(path: &Path) -> Result<(), OperatorError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(file_error(path, &error)),
            _ => Ok(()),
        }
    }
}

fn difference(theirs: &Run, ours: &Run) -> Option<String> {
    let mode = |run: &Run| if run.apply { "applied" } else { "a preview" };
    if theirs.table != ours.table {
        Some(format!("its table is {}", theirs.table))
    } else if theirs.apply != ours.apply {
        Some(format!(
            "it is {}, this one is {}",
            mode(theirs),
            mode(ours)
        ))
    } else if theirs.segments != ours.segments {
        Some(format!("it has {} segments", theirs.segments))
    } else if theirs.pending_older_than_seconds != ours.pending_older_than_seconds {
        let seconds = theirs.pending_older_than_seconds;
        Some(format!("it is for items pending for {seconds}s or longer"))
    } else if theirs.settled_since != ours.settled_since {
        Some(match theirs.settled_since {
            Some(since) => format!("it includes items settled since {since}"),
            None => "it includes no settled items".to_owned(),
        })
    } else {
        None
    }
}

fn file_error(path: &Path, error: &impl ToString) -> OperatorError {
    OperatorError::File {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            table: "arn:aws:dynamodb:us-east-1:1:table/t".to_owned(),
            segments: 4,
            pending_older_than_seconds: 3_600,
            settled_since: None,
            apply: true,
        }
    }

    #[test]
    fn resumes_from_the_last_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.json");
        assert_eq!(Checkpoint::read(&path, &run()).unwrap(), None);
        let mut checkpoint = Checkpoint::new(run(), Timestamp::UNIX_EPOCH);
        for (segment, progress) in [
            (0, SegmentProgress::After("rf_8841".to_owned())),
            (3, SegmentProgress::After("x".to_owned())),
            (3, SegmentProgress::End),
        ] {
            checkpoint.segments.insert(segment, progress);
            checkpoint.tally.read += 1;
            checkpoint.write(&path).unwrap();
            let read = Checkpoint::read(&path, &run()).unwrap();
            assert_eq!(read.as_ref(), Some(&checkpoint));
        }
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1, "no temporary file is left");
        Checkpoint::remove(&path).unwrap();
        assert_eq!(Checkpoint::read(&path, &run()).unwrap(), None);
        Checkpoint::remove(&path).unwrap();
    }

    #[test]
    fn rejects_checkpoints_of_other_runs_and_broken_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.json");
        let checkpoint = Checkpoint::new(run(), Timestamp::UNIX_EPOCH);
        checkpoint.write(&path).unwrap();
        for (other, what) in [
            (
                Run {
                    table: "arn:other".to_owned(),
                    ..run()
                },
                "its table",
            ),
            (
                Run {
                    apply: false,
                    ..run()
                },
                "it is applied, this one is a preview",
            ),
            (
                Run {
                    segments: 5,
                    ..run()
                },
                "4 segments",
            ),
            (
                Run {
                    pending_older_than_seconds: 1,
                    ..run()
                },
                "3600s",
            ),
            (
                Run {
                    settled_since: Some(Timestamp::UNIX_EPOCH),
                    ..run()
                },
                "no settled items",
            ),
        ] {
            let error = Checkpoint::read(&path, &other).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        fs::write(&path, "{").unwrap();
        assert!(matches!(
            Checkpoint::read(&path, &run()),
            Err(OperatorError::File { .. })
        ));
    }
}
