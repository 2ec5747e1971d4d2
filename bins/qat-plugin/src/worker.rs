//! Commands that may block, in a process of their own.

use std::path::PathBuf;

use sysfs_pci::SysfsRoot;
use vfio_host::worker::{Patience, WorkerCommand, serve};

use crate::args::Places;

/// The program that runs, even after an upgrade has replaced its file.
const SELF: &str = "/proc/self/exe";

/// How this program is started as a worker.
pub(crate) fn command(sysfs: &SysfsRoot) -> WorkerCommand {
    let root = sysfs.path().as_os_str().to_owned();
    WorkerCommand {
        program: PathBuf::from(SELF),
        args: vec!["worker".into(), "--sysfs-root".into(), root],
        sysfs: sysfs.clone(),
        patience: Patience::default(),
    }
}

/// Serves as a worker until the caller hangs up.
pub(crate) fn run(places: &Places) -> anyhow::Result<()> {
    let root = places.sysfs_root.as_ref();
    let root = root.map_or_else(SysfsRoot::default, SysfsRoot::new);
    Ok(serve(&root)?)
}
