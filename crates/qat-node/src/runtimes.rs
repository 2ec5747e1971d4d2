//! Container runtimes that run here, and how much memory their containers may lock.
//!
//! VFIO pins the memory that a device may reach, and the kernel counts that against the limit of locked memory (`RLIMIT_MEMLOCK`)
//! of whoever maps it, unless it has `CAP_IPC_LOCK`. A container has the limit of the runtime that starts it, if nobody sets
//! another one, and a service of systemd has 8 MiB by default.

use std::path::Path;

use sysfs_pci::{decimal, fs};

/// The names of their processes (`/proc/<pid>/comm`).
const NAMES: [&str; 3] = ["containerd", "crio", "dockerd"];

/// The line of `/proc/<pid>/limits`, before its soft and its hard limit in bytes (`man 5 proc_pid_limits`).
const LINE: &str = "Max locked memory";

/// A container runtime that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Its process, as this one sees it.
    pub pid: u32,
    /// Its name: `containerd`, `crio` or `dockerd`.
    pub name: String,
    /// How many bytes of memory it may lock, which is what its containers inherit. Without a limit: [`u64::MAX`], the
    /// kernel's own `RLIM_INFINITY`.
    pub locked_memory: u64,
}

/// The container runtimes among the processes below `proc` (`/proc`), by number. One whose limits cannot be read is left out.
///
/// A process sees those of its own PID namespace only, so none found in a pod says nothing. Costs a call for each process.
#[must_use]
pub fn runtimes(proc: &Path) -> Vec<Runtime> {
    let processes = fs::list(proc).unwrap_or_default();
    let runtimes = processes.into_iter().filter_map(|entry| {
        let pid = decimal(&entry.name)?;
        let process = proc.join(&entry.name);
        let name = fs::read_text(&process.join("comm")).ok()?;
        let name = name.trim();
        if !NAMES.contains(&name) {
            return None;
        }
        let limits = fs::read_text(&process.join("limits")).ok()?;
        Some(Runtime {
            pid,
            name: name.to_owned(),
            locked_memory: soft(&limits)?,
        })
    });
    let mut runtimes: Vec<Runtime> = runtimes.collect();
    runtimes.sort_unstable_by_key(|runtime| runtime.pid);
    runtimes
}

/// The soft limit of locked memory.
fn soft(limits: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(LINE))?;
    match rest.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        bytes => decimal(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};

    use super::*;

    fn limits(soft: &str) -> String {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max open files            1024                 524288               files     \n\
             Max locked memory         {soft:<20} unlimited            bytes     \n"
        )
    }

    #[test]
    fn runtimes_are_found_by_name_with_their_soft_limit() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, comm, text) in [
            ("812", "containerd\n", limits("8388608")),
            ("40", "crio\n", limits("unlimited")),
            ("41", "containerd-shim\n", limits("8388608")),
            ("42", "dockerd\n", limits("many")),
            ("43", "dockerd\n", String::new()),
            ("self", "containerd\n", limits("8388608")),
        ] {
            let process = dir.path().join(pid);
            create_dir(&process).unwrap();
            write(process.join("comm"), comm).unwrap();
            write(process.join("limits"), text).unwrap();
        }
        create_dir(dir.path().join("44")).unwrap();
        let runtime = |pid, name: &str, locked_memory| Runtime {
            pid,
            name: name.to_owned(),
            locked_memory,
        };
        let expected = [
            runtime(40, "crio", u64::MAX),
            runtime(812, "containerd", 8 << 20),
        ];
        assert_eq!(runtimes(dir.path()), expected);
        assert_eq!(runtimes(&dir.path().join("absent")), []);
    }
}
