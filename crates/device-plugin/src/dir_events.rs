//! What comes and goes in directories.

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use std::{
    ffi::CStr,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Says that something came or went in a directory: a hint to look, which tells nothing more (inotify(7)).
///
/// For plugins whose devices are nodes in `/dev`, where the kernel's own changes are seen; in `/sys` they are not.
/// Look from time to time without a hint too.
///
/// ```
/// # use device_plugin::DirEvents;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let events = DirEvents::new()?;
/// events.watch(dir.path())?;
/// std::fs::write(dir.path().join("ttyX0"), "")?;
/// events.next(|name| name.is_none_or(|name| name.starts_with(b"ttyX"))).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DirEvents(AsyncFd<OwnedFd>);

impl DirEvents {
    /// Starts to listen, to nothing yet. Within a tokio runtime.
    ///
    /// # Errors
    ///
    /// `EMFILE` when this user has no more instances of inotify (`fs.inotify.max_user_instances`).
    pub fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, because a descriptor might not be owned; an \
                      `OwnedFd` is, until it is dropped with this"
        )]
        AsyncFd::with_interest(inotify, Interest::READABLE).map(Self)
    }

    /// Watches the names in a directory, and the directory itself. To do so again changes nothing, unless the
    /// directory was made anew.
    ///
    /// # Errors
    ///
    /// `ENOENT` and `ENOTDIR` when there is no such directory, `ENOSPC` when this user may watch no more
    /// (`fs.inotify.max_user_watches`).
    pub fn watch(&self, path: &Path) -> io::Result<()> {
        let interest = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(self.0.get_ref(), path, interest)?;
        Ok(())
    }

    /// Returns when a name that `matters` came or went, a directory itself did (it has no name), or events were lost.
    ///
    /// # Errors
    ///
    /// What the kernel says when it is asked for events.
    pub async fn next(&self, matters: impl Fn(Option<&[u8]>) -> bool) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| drain(fd.get_ref(), &matters)) {
                Ok(Ok(true)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    }
}

/// Reads all events that there are. Returns whether one of them matters.
fn drain(inotify: impl AsFd, matters: impl Fn(Option<&[u8]>) -> bool) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(inotify.as_fd(), &mut buffer);
    let (mut any, mut news) = (false, false);
    loop {
        match reader.next() {
            Ok(event) => {
                any = true;
                let lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                news |= lost || matters(event.file_name().map(CStr::to_bytes));
            }
            Err(Errno::INTR) => {}
            // Only an empty queue clears tokio's readiness.
            Err(Errno::WOULDBLOCK) if any => return Ok(news),
            Err(errno) => return Err(errno.into()),
        }
    }
}
