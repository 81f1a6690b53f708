//! Limits a function to the share of a core that Lambda gives it for its memory, with a control group. Lambda gives a full
//! core at 1,769 MB (Lambda developer guide, "Configure Lambda function memory"), and less in proportion.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail};

/// Memory with which a function has one core.
pub const CORE_MB: u64 = 1_769;

/// The memory sizes that are measured.
pub const SIZES_MB: [u64; 5] = [128, 256, 512, 1_024, CORE_MB];

/// Period of the CPU quota in microseconds.
const PERIOD: u64 = 20_000;

/// A control group. Dropping it removes the group, so its process must end first.
#[derive(Debug)]
pub struct CpuShare {
    directory: PathBuf,
}

impl CpuShare {
    /// Creates a group with the share of a function with this memory.
    ///
    /// # Errors
    /// If the machine has no control groups for CPU, or does not allow this user to create one.
    pub fn for_memory(megabytes: u64) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("onewrite-bench-{}-{number}", std::process::id());
        let quota = PERIOD * megabytes / CORE_MB;
        let (version_1, version_2) = (Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup"));
        let share = if version_1.is_dir() {
            let share = Self::create(version_1.join(name))?;
            share.set("cpu.cfs_period_us", &PERIOD.to_string())?;
            share.set("cpu.cfs_quota_us", &quota.to_string())?;
            share
        } else {
            let share = Self::create(version_2.join(name))?;
            share.set("cpu.max", &format!("{quota} {PERIOD}"))?;
            share
        };
        Ok(share)
    }

    fn create(directory: PathBuf) -> Result<Self> {
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!("this user is not allowed to create control groups")
            }
            result => result.with_context(|| directory.display().to_string())?,
        }
        Ok(Self { directory })
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let file = self.directory.join(name);
        fs::write(&file, value).with_context(|| file.display().to_string())
    }

    /// The file to which a process writes its id to join the group.
    #[must_use]
    pub fn processes(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // The kernel releases an ended process shortly after it was waited for.
        for _ in 0..100 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}
