//! What this process holds.

use std::{fmt, fs, time::Duration};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

/// How often to look whether things have come to rest.
const LOOK: Duration = Duration::from_millis(20);
/// So many equal looks in a row are rest.
const REST: usize = 10;
const LIMIT: Duration = Duration::from_secs(15);

/// What this process holds at a moment of rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// tokio's tasks that have not ended.
    tasks: usize,
    /// Open file descriptors.
    descriptors: usize,
    /// Resident memory, in KiB.
    memory: u64,
}

impl Holdings {
    /// Waits until the counts rest.
    pub(crate) async fn at_rest() -> Self {
        let deadline = Instant::now() + LIMIT;
        let (mut last, mut equal) = (Self::now(), 0);
        while equal < REST {
            assert!(Instant::now() < deadline, "no rest: {last}");
            sleep(LOOK).await;
            let now = Self::now();
            let same = (now.tasks, now.descriptors) == (last.tasks, last.descriptors);
            equal = if same { equal + 1 } else { 0 };
            last = now;
        }
        last
    }

    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.unwrap().trim_end_matches("kB").trim();
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            memory: kibibytes.parse().unwrap(),
        }
    }

    /// Fails if there is more than `before`. Memory may be more by `allowed`, because an
    /// allocator does not give back all that it has.
    pub(crate) fn compare(&self, before: &Self, allowed: u64) -> Result<(), String> {
        let more = self.tasks > before.tasks
            || self.descriptors > before.descriptors
            || self.memory > before.memory + allowed;
        if more {
            return Err(format!("a leak: from {before} to {self}"));
        }
        Ok(())
    }
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tasks,
            descriptors,
            memory,
        } = self;
        write!(f, "{tasks} tasks, {descriptors} descriptors, {memory} KiB")
    }
}
