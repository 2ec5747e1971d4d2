//! What only one process of a node does.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::Path;
use std::process;

/// Takes a lock, for as long as the file is kept, and writes into it who has it.
pub(crate) fn lock(path: &Path) -> Result<File, TryLockError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let mut file = options.open(path).map_err(TryLockError::Error)?;
    file.try_lock()?;
    // For people only.
    let _written = writeln!(file, "qat-plugin, process {}", process::id());
    Ok(file)
}
