//! Somewhere to put a node.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};
use tempfile::{Builder, TempDir};

/// Where Linux has a file system in memory for everybody (`shm_overview(7)`).
const MEMORY: &str = "/dev/shm";

/// Where everybody may write, should `TMPDIR` be longer than [`SHORT`].
const USUAL: &str = "/tmp";

/// The longest directory in which the sockets of a node still have room.
const SHORT: usize = 40;

/// As much must be free there: a machine with 4096 VFs is a few hundred MiB.
const ENOUGH: u64 = 1 << 30;

/// Makes a temporary directory for a node, removed when it is dropped.
///
/// A machine is thousands of small files. In memory they are written in milliseconds, on some disks
/// in seconds, so the directory is in `/dev/shm` if that can be written and has a gibibyte free, else
/// where temporary files go, but in `/tmp` if `TMPDIR` is long: the path of a socket has at most 107 bytes.
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
    let writable = |dir: &Path| access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if writable(memory) && room >= ENOUGH {
        return memory.to_path_buf();
    }
    let chosen = env::temp_dir();
    let usual = Path::new(USUAL);
    if chosen.as_os_str().len() > SHORT && writable(usual) {
        usual.to_path_buf()
    } else {
        chosen
    }
}
