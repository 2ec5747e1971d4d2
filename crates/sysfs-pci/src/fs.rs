//! The one funnel for file system calls, which counts them.
//!
//! A daemon that watches hundreds of functions should know what its looking costs. Every read of
//! this crate goes through the functions here, and so should the reads of those who build on it.
//! Each makes a fixed number of system calls, stated in its documentation; [`calls`] tells how many
//! this thread has made. A call that is interrupted by a signal is made again and counted again.
//!
//! Reads are bounded: one `read` of at most 4096 bytes, which is all that sysfs ever returns for a
//! text attribute. A file that holds more is cut there.

mod base;

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat as RawStat, major, minor,
    openat, openat2, readlinkat_raw, statat,
};
use rustix::io::{Errno, read, write};

pub(crate) use self::base::{Base, Dir};
use crate::error::AttrError;
use crate::text::decimal;

/// Most bytes that one read returns: one page, as in sysfs.
const PAGE: usize = 4096;

/// How often the kernel may lose track of a path before it is resolved in another way.
const RACES: u32 = 32;

/// Room for directory entries: more than a thousand PCI functions for one `getdents64`.
const LISTING: usize = 64 * 1024;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// An entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name. Bytes that are not UTF-8 are replaced by U+FFFD, so such a name parses as nothing.
    pub name: String,
    /// The inode number of the entry itself, not of what a link points to.
    pub inode: u64,
}

/// What `stat` says about a path, links followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// Whether it is a character device.
    pub is_char_device: bool,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Major and minor number of the device that the node stands for; (0, 0) for other files.
    pub device_numbers: (u32, u32),
    /// The inode number.
    pub inode: u64,
    /// File type and permission bits, as in `st_mode`.
    pub mode: u32,
}

/// A file that counts its `close`.
struct Open(OwnedFd);

impl Drop for Open {
    fn drop(&mut self) {
        count();
    }
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How many file system calls this thread has made through this module so far.
///
/// ```
/// use std::path::Path;
/// use sysfs_pci::fs;
///
/// let before = fs::calls();
/// fs::stat(Path::new("/"))?;
/// assert_eq!(fs::calls() - before, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn calls() -> u64 {
    CALLS.get()
}

/// Reads a text attribute: at most 4096 bytes, without the line ends, NULs and blanks at its end.
///
/// Costs three calls: open, read, close. One if it cannot be opened.
///
/// # Errors
///
/// [`AttrError::Missing`], [`AttrError::Vanished`] or [`AttrError::Read`] as the kernel answers;
/// [`AttrError::NotText`] if the content is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, AttrError> {
    read_text_at(Base::cwd(), path)
}

/// Reads an attribute that need not be text: at most 4096 bytes.
///
/// Costs three calls: open, read, close. One if it cannot be opened.
///
/// # Errors
///
/// [`AttrError::Missing`], [`AttrError::Vanished`] or [`AttrError::Read`] as the kernel answers.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, AttrError> {
    read_bytes_at(Base::cwd(), path)
}

fn read_bytes_at(base: Base<'_>, path: &Path) -> Result<Vec<u8>, AttrError> {
    let mut page = [MaybeUninit::<u8>::uninit(); PAGE];
    open(base, path, OFlags::empty())
        .and_then(|file| call(|| read(&file, &mut page[..]).map(|(bytes, _)| bytes.to_vec())))
        .map_err(|errno| base.refused(path, errno))
}

/// [`read_text`] from a base.
pub(crate) fn read_text_at(base: Base<'_>, path: &Path) -> Result<String, AttrError> {
    let bytes = read_bytes_at(base, path)?;
    let mut text = String::from_utf8(bytes).map_err(|_not_utf8| AttrError::NotText {
        path: base.full(path),
    })?;
    let end = text
        .trim_end_matches(|c: char| c == '\0' || c.is_ascii_whitespace())
        .len();
    text.truncate(end);
    Ok(text)
}

/// Reads an attribute that holds a decimal number without a sign.
///
/// Costs three calls: open, read, close. One if it cannot be opened.
///
/// # Errors
///
/// As [`read_text`]; [`AttrError::Invalid`] if the content is not such a number or does not fit.
pub fn read_number<T: FromStr>(path: &Path) -> Result<T, AttrError> {
    let text = read_text(path)?;
    decimal(&text).ok_or_else(|| AttrError::invalid(path, &text, "a decimal number in range"))
}

/// The target of a symbolic link, as its text stands. The target need not exist.
///
/// Costs one call: readlink.
///
/// # Errors
///
/// What the kernel answers; `EINVAL` if `path` is not a link.
pub fn link_target(path: &Path) -> IoResult<PathBuf> {
    read_link(Base::cwd(), path).map_err(IoError::from)
}

/// The last component of a link's target: the name of what it points to.
///
/// Costs one call: readlink. Bytes that are not UTF-8 are replaced by U+FFFD.
///
/// # Errors
///
/// As [`link_target`]; [`ErrorKind::InvalidData`] if the target has no last component (`..`, `/`).
pub fn link_name(path: &Path) -> IoResult<String> {
    let target = link_target(path)?;
    match target.file_name() {
        Some(name) => Ok(name.to_string_lossy().into_owned()),
        None => Err(IoError::new(
            ErrorKind::InvalidData,
            "the target of the link names nothing",
        )),
    }
}

/// Reads what the last component of a link's target says; `None` if there is no such link.
pub(crate) fn link_value<T: FromStr>(
    base: Base<'_>,
    path: &Path,
    expected: &'static str,
) -> Result<Option<T>, AttrError> {
    let target = match read_link(base, path) {
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(base.refused(path, errno)),
        Ok(target) => target,
    };
    target
        .file_name()
        .and_then(OsStr::to_str)
        .and_then(|name| name.parse().ok())
        .map(Some)
        .ok_or_else(|| AttrError::invalid(&base.full(path), &target.to_string_lossy(), expected))
}

/// The entries of a directory without `.` and `..`, in the order in which the kernel gives them.
///
/// Costs four calls for up to about 1500 entries: open, two getdents (the last one is empty),
/// close. One more for each further 64 KiB of entries. One call if it cannot be opened.
///
/// # Errors
///
/// [`AttrError::Missing`], [`AttrError::Vanished`] or [`AttrError::Read`] as the kernel answers.
pub fn list(path: &Path) -> Result<Vec<Entry>, AttrError> {
    list_at(Base::cwd(), path)
}

/// [`list`] from a base.
pub(crate) fn list_at(base: Base<'_>, path: &Path) -> Result<Vec<Entry>, AttrError> {
    open(base, path, OFlags::DIRECTORY)
        .and_then(|directory| entries(&directory))
        .map_err(|errno| base.refused(path, errno))
}

/// Says what kind of file is at `path`, links followed.
///
/// Costs one call.
///
/// # Errors
///
/// What the kernel answers.
pub fn stat(path: &Path) -> IoResult<Stat> {
    stat_at(Base::cwd(), path).map_err(IoError::from)
}

/// [`stat`] from a base.
pub(crate) fn stat_at(base: Base<'_>, path: &Path) -> Result<Stat, Errno> {
    let raw: RawStat = call(|| statat(base.fd, path, AtFlags::empty()))?;
    let kind = FileType::from_raw_mode(raw.st_mode);
    Ok(Stat {
        is_char_device: kind == FileType::CharacterDevice,
        is_dir: kind == FileType::Directory,
        device_numbers: (major(raw.st_rdev), minor(raw.st_rdev)),
        inode: raw.st_ino,
        mode: raw.st_mode,
    })
}

/// The entry itself, links not followed, as a listing of its directory would have it. Costs one call.
pub(crate) fn entry_at(base: Base<'_>, name: &str) -> Result<Entry, Errno> {
    let raw: RawStat = call(|| statat(base.fd, name, AtFlags::SYMLINK_NOFOLLOW))?;
    Ok(Entry {
        name: name.to_owned(),
        inode: raw.st_ino,
    })
}

/// Checks that something is at `path`, links followed. Costs one call.
pub(crate) fn require(base: Base<'_>, path: &Path) -> Result<(), AttrError> {
    stat_at(base, path)
        .map(drop)
        .map_err(|errno| base.refused(path, errno))
}

fn read_link(base: Base<'_>, path: &Path) -> Result<PathBuf, Errno> {
    let mut page = [MaybeUninit::<u8>::uninit(); PAGE];
    let bytes =
        call(|| readlinkat_raw(base.fd, path, &mut page[..]).map(|(bytes, _)| bytes.to_vec()))?;
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

fn entries(directory: &Open) -> Result<Vec<Entry>, Errno> {
    let mut room = Vec::with_capacity(LISTING);
    let mut listing = RawDir::new(directory, room.spare_capacity_mut());
    let mut entries = Vec::new();
    loop {
        if listing.is_buffer_empty() {
            count();
        }
        match listing.next() {
            None => return Ok(entries),
            Some(Err(Errno::INTR)) => {}
            Some(Err(errno)) => return Err(errno),
            Some(Ok(entry)) => {
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    entries.push(Entry {
                        name: OsStr::from_bytes(name).to_string_lossy().into_owned(),
                        inode: entry.ino(),
                    });
                }
            }
        }
    }
}

/// Writes to a file below `root` in one call. Costs four calls: open of the root and of the file,
/// write, and the two closes as one each.
///
/// The file must exist, and no link on the way to it may lead out of the root.
pub(crate) fn write_below(root: &Path, relative: &Path, bytes: &[u8]) -> Result<(), Errno> {
    let file = open_below(root, relative)?;
    match call(|| write(&file, bytes))? {
        written if written == bytes.len() => Ok(()),
        _part => Err(Errno::IO),
    }
}

fn open_below(root: &Path, relative: &Path) -> Result<Open, Errno> {
    // Neither created nor truncated: on a file that is not there `O_CREAT` would turn ENOENT into
    // EACCES.
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let base = open(Base::cwd(), root, OFlags::DIRECTORY | OFlags::PATH)?;
    for _ in 0..RACES {
        let beneath = ResolveFlags::BENEATH;
        match call(|| openat2(&base, relative, flags, Mode::empty(), beneath)) {
            // Somebody renamed or mounted something, anywhere on the machine, while the kernel went up
            // the tree: it cannot tell any more whether it stayed below the root (`openat2(2)`).
            Err(Errno::AGAIN) => {}
            // Linux before 5.6, and sandboxes that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => break,
            result => return result.map(Open),
        }
    }
    let canonical = |path: &Path| {
        count();
        path.canonicalize()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    };
    let path = canonical(&root.join(relative))?;
    if !path.starts_with(canonical(root)?) {
        return Err(Errno::XDEV);
    }
    call(|| openat(CWD, &path, flags, Mode::empty())).map(Open)
}

fn open(base: Base<'_>, path: &Path, flags: OFlags) -> Result<Open, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    call(|| openat(base.fd, path, flags, Mode::empty())).map(Open)
}

/// Makes a system call, again if a signal interrupts it, and counts each attempt.
fn call<T>(mut attempt: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        count();
        match attempt() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

fn count() {
    CALLS.set(CALLS.get().wrapping_add(1));
}
