//! The share of a core that Lambda gives a function by its memory, by a control group. Lambda gives a whole core at
//! 1,769 MB (Lambda developer guide, "Configure Lambda function memory"), and less in proportion.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail};

/// At this much memory a function has one core.
pub const CORE_MB: u64 = 1_769;

/// The sizes whose shares are measured.
pub const SIZES_MB: [u64; 5] = [128, 256, 512, 1_024, CORE_MB];

/// Microseconds in which the share is given out.
const PERIOD: u64 = 20_000;

/// A control group; it is removed when it is dropped, which its process must not outlive.
#[derive(Debug)]
pub struct Share {
    directory: PathBuf,
}

impl Share {
    /// A group with the share of a function of this memory.
    ///
    /// # Errors
    /// This machine has no control groups for CPU, or does not let this user make one.
    pub fn of_memory(megabytes: u64) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("onewrite-bench-{}-{number}", std::process::id());
        let quota = PERIOD * megabytes / CORE_MB;
        let (first, second) = (Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup"));
        let share = if first.is_dir() {
            let share = Self::make(first.join(name))?;
            share.set("cpu.cfs_period_us", &PERIOD.to_string())?;
            share.set("cpu.cfs_quota_us", &quota.to_string())?;
            share
        } else {
            let share = Self::make(second.join(name))?;
            share.set("cpu.max", &format!("{quota} {PERIOD}"))?;
            share
        };
        Ok(share)
    }

    fn make(directory: PathBuf) -> Result<Self> {
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!("this user may not make control groups")
            }
            made => made.with_context(|| directory.display().to_string())?,
        }
        Ok(Self { directory })
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let file = self.directory.join(name);
        fs::write(&file, value).with_context(|| file.display().to_string())
    }

    /// Where a process writes its id to be in the group.
    #[must_use]
    pub fn processes(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // The kernel lets go of an ended process a moment after it was waited for.
        for _ in 0..100 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}
