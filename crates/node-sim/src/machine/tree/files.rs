//! Files, directories and links, with errors that name them.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::super::{Attribute, SimError};

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SimError {
    move |source| SimError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

pub(super) fn make_dir(path: &Path) -> Result<(), SimError> {
    fs::create_dir_all(path).map_err(io_error("make directory", path))
}

pub(super) fn link(path: &Path, text: &Path) -> Result<(), SimError> {
    symlink(text, path).map_err(io_error("make link", path))
}

/// The inode number of a file or link.
pub(super) fn inode(path: &Path) -> Result<u64, SimError> {
    let meta = path.symlink_metadata();
    meta.map(|meta| meta.ino())
        .map_err(io_error("look at", path))
}

/// Makes a link whose inode number is none of `spent`. `root` is a directory of the same file
/// system.
///
/// Some file systems give a number away again at once. Links that get one of those are kept
/// until there is one that has another, which then is moved to its place.
pub(super) fn link_anew(
    root: &Path,
    path: &Path,
    text: &Path,
    spent: &BTreeSet<u64>,
) -> Result<(), SimError> {
    let mut kept = Vec::new();
    let made = loop {
        let fresh = root.join(format!(".fresh-{}", kept.len()));
        if let Err(error) = link(&fresh, text) {
            break Err(error);
        }
        match inode(&fresh) {
            Ok(inode) if spent.contains(&inode) => kept.push(fresh),
            Ok(_) => break fs::rename(&fresh, path).map_err(io_error("make link", path)),
            Err(error) => break Err(error),
        }
    };
    for link in kept {
        remove(&link)?;
    }
    made
}

/// Makes a file with exactly this mode, whatever the umask.
pub(super) fn create(path: &Path, attribute: &Attribute) -> Result<(), SimError> {
    let write = || -> io::Result<()> {
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(attribute.mode)
            .open(path)?;
        file.write_all(&attribute.bytes)?;
        file.set_permissions(Permissions::from_mode(attribute.mode))
    };
    write().map_err(io_error("make file", path))
}

/// Puts a new file in the place of another, in one step. `root` is a directory of the same file system.
pub(super) fn replace(root: &Path, path: &Path, attribute: &Attribute) -> Result<(), SimError> {
    let fresh = root.join(".fresh");
    create(&fresh, attribute)?;
    fs::rename(&fresh, path).map_err(io_error("replace", path))
}

/// Removes a file or link; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), SimError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

pub(super) fn remove_tree(path: &Path) -> Result<(), SimError> {
    fs::remove_dir_all(path).map_err(io_error("remove directory", path))
}

/// Whether the directory was empty and is gone.
pub(super) fn remove_dir_if_empty(path: &Path) -> bool {
    fs::remove_dir(path).is_ok()
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), SimError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io_error("set mode of", path))
}

/// Whether there is an entry of this name, be it a link that leads nowhere.
pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Where equal things are already, while a tree is written.
///
/// A new name for an inode is much cheaper than a new inode, and a tree holds
/// few different attributes. Only what nobody may write is shared; a replaced
/// file is a new inode, so a change stays where it is made.
#[derive(Debug, Default)]
pub(super) struct Shared {
    files: HashMap<Attribute, PathBuf>,
    links: HashMap<PathBuf, PathBuf>,
}

impl Shared {
    pub(super) fn create(&mut self, path: &Path, attribute: &Attribute) -> Result<(), SimError> {
        if attribute.mode & 0o222 != 0 {
            return create(path, attribute);
        }
        if let Some(first) = self.files.get(attribute)
            && fs::hard_link(first, path).is_ok()
        {
            return Ok(());
        }
        create(path, attribute)?;
        self.files.insert(attribute.clone(), path.to_owned());
        Ok(())
    }

    pub(super) fn link(&mut self, path: &Path, text: &Path) -> Result<(), SimError> {
        if let Some(first) = self.links.get(text)
            && fs::hard_link(first, path).is_ok()
        {
            return Ok(());
        }
        link(path, text)?;
        self.links.insert(text.to_owned(), path.to_owned());
        Ok(())
    }
}
