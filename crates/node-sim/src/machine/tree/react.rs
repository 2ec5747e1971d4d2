//! Files that others write to, as a reactor finds and leaves them.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Read, Seek},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::super::{Attribute, SimError};
use super::{Tree, files};

/// Where a command file is while it is read, below the root.
const TAKEN: &str = ".taken";

/// The file of an attribute, and what it held when it was opened.
#[derive(Debug)]
pub(in super::super) struct Found {
    file: File,
    pub(in super::super) bytes: Vec<u8>,
}

impl Found {
    /// What the same file holds by now, be it in its place or not.
    pub(in super::super) fn again(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.rewind()?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn is_at(&self, path: &Path) -> bool {
        let here = self.file.metadata();
        let there = path.symlink_metadata();
        here.is_ok_and(|here| there.is_ok_and(|there| there.ino() == here.ino()))
    }
}

impl Tree {
    /// Reads an attribute; nothing if it is gone.
    pub(in super::super) fn find(&self, path: &Path) -> Option<Found> {
        let mut file = open(&self.sys(path)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        Some(Found { file, bytes })
    }

    /// Makes an attribute hold what it should. True if another file is in its place by now, to which
    /// those do not write who had it open.
    pub(in super::super) fn restate(
        &self,
        path: &Path,
        found: &Found,
        attribute: &Attribute,
    ) -> Result<bool, SimError> {
        let path = self.sys(path);
        let in_place = found.is_at(&path);
        if in_place && found.bytes != attribute.bytes {
            files::replace(self.root(), &path, attribute)?;
            return Ok(true);
        }
        Ok(!in_place)
    }

    /// Takes a command that was written. Empty if somebody else had it.
    pub(in super::super) fn take_command(&self, path: &Path) -> Result<Vec<u8>, SimError> {
        match self.next_command(path)? {
            Some(command) => Ok(command),
            None => self.take_content(path),
        }
    }

    /// Takes what was written to a command file that is no pipe, and leaves it empty. Its mode lets
    /// nobody but root read it, so it is the old file that is read, after a new one has come to its place.
    fn take_content(&self, path: &Path) -> Result<Vec<u8>, SimError> {
        let path = self.sys(path);
        let taken = self.root().join(TAKEN);
        files::remove(&taken)?;
        if fs::hard_link(&path, &taken).is_err() {
            // It is gone, and so is what was written.
            return Ok(Vec::new());
        }
        files::replace(self.root(), &path, &Attribute::write_only())?;
        files::set_mode(&taken, 0o600)?;
        let bytes = fs::read(&taken).map_err(|source| SimError::Io {
            operation: "read",
            path,
            source,
        })?;
        files::remove(&taken)?;
        Ok(bytes)
    }
}

/// Opens a file for reading, whatever its mode. An ordinary user who owns a file of mode 0200 has to change that for a moment.
fn open(path: &Path) -> io::Result<File> {
    File::open(path).or_else(|error| {
        if error.kind() != ErrorKind::PermissionDenied {
            return Err(error);
        }
        let before = path.metadata()?.permissions();
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let file = File::open(path);
        fs::set_permissions(path, before)?;
        file
    })
}
