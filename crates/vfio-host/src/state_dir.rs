//! What must survive a crash: records of changes, and locks.
//!
//! Whoever changes the drivers of functions writes down first what was there, or nobody could restore it
//! after a crash. And two that change the functions of one device at a time would each record what
//! the other left half done. So there is a directory with
//!
//! ```text
//! <state>/<kind>/<address>.json     what was found before the first change, and in which boot
//! <state>/locks/<address>           one lock per physical function
//! ```
//!
//! A file is there as a whole or not at all: it is written beside, synchronised, renamed, and the
//! directory is synchronised. Locks are `flock(2)`, so that they end with their holders, which are the
//! process that took the lock and the [`worker`](crate::worker) that gives its commands: while a command
//! is stuck in the kernel, the lock is held.

use std::fs::{DirBuilder, File, OpenOptions, read_dir, read_to_string, remove_file, rename};
use std::io::{Error as IoError, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sysfs_pci::PciAddress;
use thiserror::Error;

/// Where the kernel tells its boots apart (`Documentation/admin-guide/sysctl/kernel.rst`).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The pause between two tries to take a lock.
const PAUSE: Duration = Duration::from_millis(20);

/// The directory for locks.
const LOCKS: &str = "locks";

/// A directory for what must survive a crash.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
    boot: String,
}

/// The lock of a physical function, held until it is dropped and the workers that have it have ended.
#[derive(Debug)]
pub struct DeviceLock {
    address: PciAddress,
    file: File,
}

/// Why the state directory cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The kernel's number of this boot cannot be read.
    #[error("cannot read `{BOOT_ID}`, so records of this boot cannot be told from older ones")]
    Boot {
        /// What the kernel answered.
        #[source]
        source: IoError,
    },
    /// A file or directory cannot be made, read or written.
    #[error(
        "cannot {action} `{}`; the state directory must be writable and keep its files when the process \
         ends, so mount a host path there",
        path.display()
    )]
    Io {
        /// What was tried: `write`, `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: IoError,
    },
    /// A record is not one, or one of a newer version.
    #[error(
        "`{}` is no record that this version can read; keep a copy, put the function back by hand, and \
         remove the file",
        path.display()
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Somebody else changes this device now, or has a command in the kernel that does not return.
    #[error("another process changes {address} now ({holder}); wait until it has ended")]
    Locked {
        /// The physical function.
        address: PciAddress,
        /// Who took the lock, as it said itself.
        holder: String,
    },
}

/// A record as it is in its file.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    boot: String,
    record: T,
}

/// The boot that runs (`/proc/sys/kernel/random/boot_id`), the same in every container.
///
/// # Errors
///
/// [`StateError::Boot`].
pub fn boot_id() -> Result<String, StateError> {
    let boot = read_to_string(BOOT_ID).map_err(|source| StateError::Boot { source })?;
    Ok(boot.trim().to_owned())
}

// === impl StateDir ===

impl StateDir {
    /// Opens a state directory of this boot, and makes it if it is missing (mode 0700). The directory
    /// that it is in must be there: one that is not mounted is not to be made by chance.
    ///
    /// # Errors
    ///
    /// [`StateError::Boot`] or [`StateError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        Self::of_boot(path, &boot_id()?)
    }

    /// The same for a boot of the caller's choice: another boot's records count as none.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`].
    pub fn of_boot(path: impl Into<PathBuf>, boot: &str) -> Result<Self, StateError> {
        let directory = Self {
            path: path.into(),
            boot: boot.to_owned(),
        };
        make(&directory.path)?;
        make(&directory.path.join(LOCKS))?;
        Ok(directory)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock of a physical function; of a function that has none its own.
    ///
    /// `who` is what others are told about the holder.
    ///
    /// # Errors
    ///
    /// [`StateError::Locked`] at once if somebody has it, [`StateError::Io`] if it cannot be taken.
    pub fn lock(&self, address: PciAddress, who: &str) -> Result<DeviceLock, StateError> {
        let path = self.path.join(LOCKS).join(address.to_string());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed("open", &path, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(StateError::Locked {
                    address,
                    holder: holder(&mut file),
                });
            }
            Err(errno) => return Err(failed("lock", &path, errno.into())),
        }
        let line = format!("{who}, process {}\n", process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(line.as_bytes()))
            .map_err(|source| failed("write", &path, source))?;
        Ok(DeviceLock { address, file })
    }

    /// Takes the lock as [`lock`](Self::lock) does, and waits for so long while somebody has it: the worker of
    /// a process that was killed has it until its command has returned.
    ///
    /// # Errors
    ///
    /// [`StateError`].
    pub fn lock_within(
        &self,
        address: PciAddress,
        who: &str,
        within: Duration,
    ) -> Result<DeviceLock, StateError> {
        let deadline = Instant::now() + within;
        loop {
            match self.lock(address, who) {
                Err(StateError::Locked { .. }) if Instant::now() < deadline => sleep(PAUSE),
                taken => return taken,
            }
        }
    }

    /// Writes a record so that it survives a crash.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]: the record is not there, or the one before still is.
    pub fn write<T: Serialize>(
        &self,
        kind: &str,
        address: PciAddress,
        record: &T,
    ) -> Result<(), StateError> {
        let path = self.file(kind, address);
        let directory = self.path.join(kind);
        make(&directory)?;
        let boot = self.boot.clone();
        let text = serde_json::to_vec(&Envelope { boot, record })
            .map_err(|source| failed("write", &path, source.into()))?;
        let beside = path.with_extension("new");
        File::create(&beside)
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.sync_all()
            })
            .and_then(|()| rename(&beside, &path))
            .and_then(|()| File::open(&directory)?.sync_all())
            .map_err(|source| failed("write", &path, source))
    }

    /// Reads the record of a function; `None` if there is none of this boot.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] or [`StateError::Invalid`].
    pub fn read<T: DeserializeOwned>(
        &self,
        kind: &str,
        address: PciAddress,
    ) -> Result<Option<T>, StateError> {
        let path = self.file(kind, address);
        let text = match read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("read", &path, source)),
        };
        match serde_json::from_str::<Envelope<T>>(&text) {
            Ok(envelope) if envelope.boot == self.boot => Ok(Some(envelope.record)),
            Ok(_of_another_boot) => Ok(None),
            Err(source) => Err(StateError::Invalid { path, source }),
        }
    }

    /// The functions that have a file of this kind, of whatever boot, by address.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`].
    pub fn addresses(&self, kind: &str) -> Result<Vec<PciAddress>, StateError> {
        let path = self.path.join(kind);
        let entries = match read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed("list", &path, source)),
        };
        let mut addresses = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| failed("list", &path, source))?;
            let name = entry.file_name();
            let address = name.to_str().and_then(|name| name.strip_suffix(".json"));
            addresses.extend(address.and_then(|address| address.parse::<PciAddress>().ok()));
        }
        addresses.sort_unstable();
        Ok(addresses)
    }

    /// Removes the record of a function, if there is one.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`].
    pub fn remove(&self, kind: &str, address: PciAddress) -> Result<(), StateError> {
        let path = self.file(kind, address);
        match remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed("remove", &path, source)),
        }
    }

    fn file(&self, kind: &str, address: PciAddress) -> PathBuf {
        self.path.join(kind).join(format!("{address}.json"))
    }
}

// === impl DeviceLock ===

impl DeviceLock {
    /// The physical function.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// The open file of the lock, for a process that is to hold it as well.
    pub(crate) fn share(&self) -> Result<File, IoError> {
        self.file.try_clone()
    }
}

fn make(path: &Path) -> Result<(), StateError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(_) if path.is_dir() => Ok(()),
        made => made.map_err(|source| failed("make", path, source)),
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(200).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().escape_debug().to_string(),
        _ => "it has not said who it is".to_owned(),
    }
}

fn failed(action: &'static str, path: &Path, source: IoError) -> StateError {
    StateError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn address() -> PciAddress {
        "0000:17:00.0".parse().unwrap()
    }

    #[test]
    fn a_record_is_there_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::of_boot(dir.path().join("a"), "one").unwrap();
        assert_eq!(state.read::<String>("binds", address()).unwrap(), None);
        state.write("binds", address(), &"first").unwrap();
        state.write("binds", address(), &"second").unwrap();
        let read = state.read::<String>("binds", address()).unwrap();
        assert_eq!(read.as_deref(), Some("second"));
        assert_eq!(state.addresses("binds").unwrap(), [address()]);
        state.remove("binds", address()).unwrap();
        state.remove("binds", address()).unwrap();
        assert_eq!(state.addresses("binds").unwrap(), []);
    }

    #[test]
    fn a_directory_that_is_not_mounted_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let error = StateDir::of_boot(dir.path().join("a/b"), "one").unwrap_err();
        assert!(error.to_string().starts_with("cannot make `"), "{error}");
        assert!(!dir.path().join("a").exists());
    }

    #[test]
    fn what_another_boot_recorded_counts_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let before = StateDir::of_boot(dir.path(), "one").unwrap();
        before.write("binds", address(), &7).unwrap();
        let after = StateDir::of_boot(dir.path(), "two").unwrap();
        assert_eq!(after.read::<u8>("binds", address()).unwrap(), None);
        assert_eq!(after.addresses("binds").unwrap(), [address()]);
    }

    #[test]
    fn a_file_that_is_no_record_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::of_boot(dir.path(), "one").unwrap();
        state.write("binds", address(), &7).unwrap();
        fs::write(dir.path().join("binds/0000:17:00.0.json"), "{").unwrap();
        let error = state.read::<u8>("binds", address()).unwrap_err();
        assert!(
            error.to_string().contains("binds/0000:17:00.0.json"),
            "{error}"
        );
    }

    #[test]
    fn a_device_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::of_boot(dir.path(), "one").unwrap();
        let lock = state.lock(address(), "the first").unwrap();
        let error = state.lock(address(), "the second").unwrap_err();
        assert!(
            error.to_string().contains("(the first, process "),
            "{error}"
        );
        let shared = lock.share().unwrap();
        drop(lock);
        let patience = Duration::from_millis(50);
        let error = state
            .lock_within(address(), "the second", patience)
            .unwrap_err();
        assert!(matches!(error, StateError::Locked { .. }), "{error}");
        assert!(
            state.lock(address(), "the second").is_err(),
            "a worker has it"
        );
        drop(shared);
        assert_eq!(
            state.lock(address(), "the third").unwrap().address(),
            address()
        );
    }
}
