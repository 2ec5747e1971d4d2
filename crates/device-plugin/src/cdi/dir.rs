//! The directory where readers look for specifications.

use super::{
    claim::claims,
    dir_error::DirError,
    name::{EXTENSION, UNFINISHED, file_name, unfinished_name},
    spec::Spec,
};
use crate::resource_name::ResourceName;
use rustix::{
    fs::{FlockOperation, flock},
    io::retry_on_intr,
};
use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Everybody may read, as runtimes do; we write.
const MODE: u32 = 0o644;
/// How much of somebody else's file is looked at. Generated ones have some hundred KiB.
const MAX_READ: u64 = 16 << 20;

/// A directory where readers look for specifications, and one writer of files in it.
///
/// Of the directories that runtimes read by default, `/var/run/cdi` is for files that are generated;
/// it prevails over `/etc/cdi`. The call that writes or removes takes a lock (flock(2)) on the
/// directory for so long, so that several of these, in whatever process, do not disturb each other.
/// All of it blocks the thread, for some milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpecDir {
    path: PathBuf,
    /// The first line of our files.
    mark: String,
}

/// What is on the path of a file.
enum Found {
    Nothing,
    /// A file of ours, with that text.
    Ours(Vec<u8>),
    /// Anything else.
    Foreign,
}

impl SpecDir {
    /// Names the directory, and the writer whose files these are: the name of the plugin, which
    /// stays the same over its versions. Touches nothing.
    pub fn new(path: impl Into<PathBuf>, writer: &str) -> Self {
        // This sentence is how files of earlier versions are known. It stays as it is.
        let mark = format!(
            "# Written by {}, which replaces and removes this file. Changes are lost.\n",
            writer.escape_debug()
        );
        let path = path.into();
        Self { path, mark }
    }

    /// Where the file of a resource is, there or not.
    #[must_use]
    pub fn file(&self, kind: &ResourceName) -> PathBuf {
        self.path.join(file_name(kind))
    }

    /// Writes the file of a resource, and returns whether it had to.
    ///
    /// The new file takes the place of the old one at once (rename(2)), after its content is on
    /// the disk. A file that says the same already is left as it is.
    ///
    /// # Errors
    ///
    /// [`DirError::Foreign`] and [`DirError::Claimed`] when somebody else describes the resource;
    /// [`DirError::Missing`], [`DirError::ReadOnly`], [`DirError::Full`] and [`DirError::Io`] when
    /// the file system is in the way.
    pub fn write(&self, spec: &Spec) -> Result<bool, DirError> {
        let Some(dir) = self.lock()? else {
            let path = self.path.clone();
            return Err(DirError::Missing { path });
        };
        let path = self.file(spec.kind());
        let text = format!("{}{spec}\n", self.mark);
        let found = self.look(&path)?;
        if matches!(found, Found::Foreign) {
            return Err(DirError::Foreign { path });
        }
        let files = self.files()?;
        if let Some(claimant) = claimant(&files, &path, spec.kind()) {
            return Err(DirError::Claimed {
                path: claimant.clone(),
                kind: spec.kind().clone(),
            });
        }
        self.sweep(&files)?;
        if matches!(found, Found::Ours(old) if old == text.as_bytes()) {
            return Ok(false);
        }
        let unfinished = self.path.join(unfinished_name(spec.kind()));
        self.replace(&unfinished, &path, &text).inspect_err(|_| {
            // The error says what is wrong. If this fails too, the next call tries again.
            let _swept_later = fs::remove_file(&unfinished);
        })?;
        dir.sync_all().map_err(self.failed("sync", &self.path))?;
        Ok(true)
    }

    /// Removes the file of a resource, if we wrote it, and returns whether it was there.
    ///
    /// # Errors
    ///
    /// [`DirError::ReadOnly`] and [`DirError::Io`].
    pub fn remove(&self, kind: &ResourceName) -> Result<bool, DirError> {
        let path = self.file(kind);
        let removed = self.remove_if(|file| *file == path)?;
        Ok(!removed.is_empty())
    }

    /// Removes those files of ours that do not belong to one of these resources, and returns their
    /// paths. At the start of a plugin this is what is left of resources that it no longer has.
    ///
    /// # Errors
    ///
    /// [`DirError::ReadOnly`] and [`DirError::Io`].
    pub fn retain(&self, kinds: &[ResourceName]) -> Result<Vec<PathBuf>, DirError> {
        let kept = kinds.iter().map(|kind| self.file(kind));
        let kept: Vec<PathBuf> = kept.collect();
        self.remove_if(|file| !kept.contains(file))
    }

    /// The files that we wrote, by whatever version. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`DirError::Io`].
    pub fn written(&self) -> Result<Vec<PathBuf>, DirError> {
        if self.lock()?.is_none() {
            return Ok(Vec::new());
        }
        let mut written = Vec::new();
        for path in self.files()? {
            let named = path.extension() == Some(OsStr::new(EXTENSION));
            if named && matches!(self.look(&path)?, Found::Ours(_)) {
                written.push(path);
            }
        }
        Ok(written)
    }

    fn remove_if(&self, unwanted: impl Fn(&PathBuf) -> bool) -> Result<Vec<PathBuf>, DirError> {
        let Some(dir) = self.lock()? else {
            return Ok(Vec::new());
        };
        let files = self.files()?;
        self.sweep(&files)?;
        let mut removed = Vec::new();
        for path in files {
            let candidate = path.extension() == Some(OsStr::new(EXTENSION)) && unwanted(&path);
            if candidate && matches!(self.look(&path)?, Found::Ours(_)) {
                fs::remove_file(&path).map_err(self.failed("remove", &path))?;
                removed.push(path);
            }
        }
        if !removed.is_empty() {
            dir.sync_all().map_err(self.failed("sync", &self.path))?;
        }
        Ok(removed)
    }

    /// Opens the directory and locks it until the file is closed. None if it does not exist.
    fn lock(&self) -> Result<Option<File>, DirError> {
        let dir = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(self.failed("open", &self.path))?,
        };
        retry_on_intr(|| flock(&dir, FlockOperation::LockExclusive))
            .map_err(|errno| self.failed("lock", &self.path)(errno.into()))?;
        Ok(Some(dir))
    }

    fn look(&self, path: &Path) -> Result<Found, DirError> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(self.failed("look at", path)(error)),
            Ok(metadata) if !metadata.is_file() => return Ok(Found::Foreign),
            Ok(_) => {}
        }
        let text = fs::read(path).map_err(self.failed("read", path))?;
        if text.starts_with(self.mark.as_bytes()) {
            Ok(Found::Ours(text))
        } else {
            Ok(Found::Foreign)
        }
    }

    /// What is in the directory, sorted.
    fn files(&self) -> Result<Vec<PathBuf>, DirError> {
        let failed = || self.failed("list", &self.path);
        let mut files = fs::read_dir(&self.path)
            .map_err(failed())?
            .map(|entry| Ok(entry.map_err(failed())?.path()))
            .collect::<Result<Vec<_>, _>>()?;
        files.sort_unstable();
        Ok(files)
    }

    /// Removes what a crash left half-written. Nobody is writing now, since we have the lock.
    fn sweep(&self, files: &[PathBuf]) -> Result<(), DirError> {
        let unfinished = files
            .iter()
            .filter(|file| file.extension() == Some(OsStr::new(UNFINISHED)));
        for path in unfinished {
            fs::remove_file(path).map_err(self.failed("remove", path))?;
        }
        Ok(())
    }

    fn replace(&self, unfinished: &Path, path: &Path, text: &str) -> Result<(), DirError> {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(unfinished);
        let mut file = file.map_err(self.failed("make", unfinished))?;
        // The mode of `open` is less the umask.
        file.set_permissions(Permissions::from_mode(MODE))
            .map_err(self.failed("set the mode of", unfinished))?;
        file.write_all(text.as_bytes())
            .map_err(self.failed("write", unfinished))?;
        file.sync_all().map_err(self.failed("sync", unfinished))?;
        fs::rename(unfinished, path).map_err(self.failed("replace", path))
    }

    fn failed(&self, operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirError {
        let (dir, path) = (self.path.clone(), path.to_owned());
        move |source| DirError::new(operation, &dir, &path, source)
    }
}

/// The first file other than `own` that readers would read and that speaks of `kind`. What cannot
/// be read is passed over: it is not for us to complain about.
fn claimant<'a>(files: &'a [PathBuf], own: &Path, kind: &ResourceName) -> Option<&'a PathBuf> {
    files.iter().find(|path| {
        let read_by_runtimes = ["json", "yaml"]
            .iter()
            .any(|extension| path.extension() == Some(OsStr::new(extension)));
        let is_file = || fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        *path != own
            && read_by_runtimes
            && is_file()
            && read_start(path).is_ok_and(|text| claims(&text, kind.as_str()))
    })
}

fn read_start(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_READ).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
