//! Somewhere to put a node.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};
use tempfile::{Builder, TempDir};

/// Where Linux has a file system in memory for everybody (`shm_overview(7)`).
const MEMORY: &str = "/dev/shm";

/// As much must be free there: a machine with 4096 VFs is a few hundred MiB.
const ENOUGH: u64 = 1 << 30;

/// Makes a temporary directory for a node, removed when it is dropped.
///
/// A machine is thousands of small files. In memory they are written in milliseconds, on some disks
/// in seconds, so the directory is in `/dev/shm` if that can be written and has a gibibyte free, else
/// where temporary files go. Its name is short, because a socket's path has at most 107 bytes.
///
/// # Errors
///
/// When no directory can be made.
pub fn scratch() -> io::Result<TempDir> {
    Builder::new().prefix("node").tempdir_in(parent())
}

fn parent() -> PathBuf {
    let memory = Path::new(MEMORY);
    let room = statvfs(memory).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let writable = access(memory, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if writable && room >= ENOUGH {
        memory.to_path_buf()
    } else {
        env::temp_dir()
    }
}
