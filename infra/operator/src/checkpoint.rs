//! How far a reconcile is, in a file: one that was interrupted goes on where it was, and nothing is skipped.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::OperatorError;

/// What makes a run what it is. Another one has a checkpoint of its own: a dry run's would have an applied one skip what
/// was only looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The table's ARN.
    pub table: String,
    /// The segments of the scan.
    pub segments: u32,
    /// How long an item is in INIT at least.
    pub pending_older_than_seconds: i64,
    /// Whether items are touched.
    pub apply: bool,
}

/// How far a segment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// Everything up to this key is dealt with: the last evaluated key of a page.
    After(String),
    /// All of it is.
    End,
}

/// What a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Items that were read.
    pub read: u64,
    /// Of these, items that were in INIT for too long.
    pub pending: u64,
    /// Of these, items that were touched.
    pub touched: u64,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Which run.
    pub run: Run,
    /// Items that were written after this are too young.
    pub before: Timestamp,
    /// The segments that were begun.
    pub reached: BTreeMap<u32, Reached>,
    /// What it has done until here.
    pub tally: Tally,
}

impl Checkpoint {
    /// The start of a run.
    #[must_use]
    pub fn start(run: Run, before: Timestamp) -> Self {
        Self {
            run,
            before,
            reached: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Reads the checkpoint of a run; none where there is no file yet.
    ///
    /// # Errors
    /// [`OperatorError::File`], or [`OperatorError::OtherRun`] where the file is of a run with other arguments.
    pub fn read(path: &Path, run: &Run) -> Result<Option<Self>, OperatorError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file(path, &error)),
        };
        let read: Self = serde_json::from_slice(&bytes).map_err(|error| file(path, &error))?;
        match difference(&read.run, run) {
            None => Ok(Some(read)),
            Some(what) => Err(OperatorError::OtherRun {
                path: path.display().to_string(),
                what,
            }),
        }
    }

    /// Writes it in one step: a reader, and whoever is killed meanwhile, has the old one or the new one whole.
    ///
    /// # Errors
    /// [`OperatorError::File`].
    pub fn write(&self, path: &Path) -> Result<(), OperatorError> {
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
        written.map_err(|error| file(path, &error))
    }

    /// Takes the file away: the run is at its end, and the next one begins anew.
    ///
    /// # Errors
    /// [`OperatorError::File`].
    pub fn remove(path: &Path) -> Result<(), OperatorError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(file(path, &error)),
            _ => Ok(()),
        }
    }
}

fn difference(theirs: &Run, ours: &Run) -> Option<String> {
    let mode = |run: &Run| if run.apply { "applied" } else { "a dry run" };
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
        Some(format!("it is for items pending for {seconds}s"))
    } else {
        None
    }
}

fn file(path: &Path, error: &impl ToString) -> OperatorError {
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
            apply: true,
        }
    }

    #[test]
    fn a_run_goes_on_from_what_it_wrote_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.json");
        assert_eq!(Checkpoint::read(&path, &run()).unwrap(), None);
        let mut checkpoint = Checkpoint::start(run(), Timestamp::UNIX_EPOCH);
        for (segment, reached) in [
            (0, Reached::After("rf_8841".to_owned())),
            (3, Reached::After("x".to_owned())),
            (3, Reached::End),
        ] {
            checkpoint.reached.insert(segment, reached);
            checkpoint.tally.read += 1;
            checkpoint.write(&path).unwrap();
            let read = Checkpoint::read(&path, &run()).unwrap();
            assert_eq!(read.as_ref(), Some(&checkpoint));
        }
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1, "nothing is left beside it");
        Checkpoint::remove(&path).unwrap();
        assert_eq!(Checkpoint::read(&path, &run()).unwrap(), None);
        Checkpoint::remove(&path).unwrap();
    }

    #[test]
    fn the_checkpoint_of_another_run_is_refused_and_a_broken_one_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.json");
        let checkpoint = Checkpoint::start(run(), Timestamp::UNIX_EPOCH);
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
                "it is applied, this one is a dry run",
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
