//! The socket on which a resource is served.

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use std::{
    fs::{self, Metadata, Permissions},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener as StdListener,
    },
    path::{Path, PathBuf},
};
use tokio::net::{UnixListener, UnixStream};

/// The most bytes of a socket's path: `sun_path` has 108, with a NUL at the end (unix(7)).
pub(crate) const MAX_PATH: usize = 107;
/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;
/// Only the owner may connect. The kubelet is root.
const MODE: u32 = 0o600;

/// Why there is no socket to serve on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The path is longer than a unix socket's may be.
    #[error(
        "socket path `{}` has {length} bytes, and a unix socket may have {MAX_PATH}; \
         use a shorter directory or resource name",
        path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// Another process serves on the path. It is left alone.
    #[error(
        "socket `{}` is in use by another process; only one plugin may serve a resource",
        path.display()
    )]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// There is a file on the path that is not a socket. It is left alone.
    #[error("`{}` is not a socket; move it away", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Something could not be done.
    #[error("cannot {operation} socket `{}`", path.display())]
    Io {
        /// What could not be done.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What makes a file the same file. An inode number alone is given again to the next file, so
/// the time of its making counts too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl FileIdentity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Returns the identity of the socket at `path`, behind links too, if there is one.
    pub(crate) fn of_socket(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        metadata
            .file_type()
            .is_socket()
            .then(|| Self::of(&metadata))
    }
}

/// A socket of ours. It is unlinked when this is dropped, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct OwnSocket {
    path: PathBuf,
    identity: FileIdentity,
}

impl OwnSocket {
    /// Binds `path` and listens there. What a dead process left on the path is replaced.
    pub(crate) async fn bind(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        check_length(path)?;
        make_room(path).await?;
        let failed = |operation: &'static str| {
            move |source: io::Error| SocketError::Io {
                operation,
                path: path.to_owned(),
                source,
            }
        };
        let address = SocketAddrUnix::new(path).map_err(|errno| failed("name")(errno.into()))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|errno| failed("make")(errno.into()))?;
        bind(&socket, &address).map_err(|errno| match errno.into() {
            error if io::Error::kind(&error) == io::ErrorKind::AddrInUse => {
                let path = path.to_owned();
                SocketError::InUse { path }
            }
            error => failed("bind")(error),
        })?;
        // Nobody can connect before `listen`, so the mode comes in time.
        let metadata = fs::symlink_metadata(path).map_err(failed("look at"))?;
        let own = Self {
            path: path.to_owned(),
            identity: FileIdentity::of(&metadata),
        };
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed("protect"))?;
        listen(&socket, BACKLOG).map_err(|errno| failed("listen on")(errno.into()))?;
        let listener =
            UnixListener::from_std(StdListener::from(socket)).map_err(failed("listen on"))?;
        Ok((own, listener))
    }

    /// Whether the file on the path is still the one that we made.
    pub(crate) fn stands(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| FileIdentity::of(&metadata) == self.identity)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        if !self.stands() {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove our socket");
        }
    }
}

/// Refuses a path that is too long for a socket.
pub(crate) fn check_length(path: &Path) -> Result<(), SocketError> {
    let length = path.as_os_str().len();
    if length > MAX_PATH {
        let path = path.to_owned();
        return Err(SocketError::PathTooLong { path, length });
    }
    Ok(())
}

/// Removes a socket that nobody listens on. Refuses anything else that is in the way.
async fn make_room(path: &Path) -> Result<(), SocketError> {
    let io_error = |operation, source| SocketError::Io {
        operation,
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("look at", error)),
    };
    if !metadata.file_type().is_socket() {
        let path = path.to_owned();
        return Err(SocketError::NotASocket { path });
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(io_error("connect to", error));
        }
        // A listener, or one so busy that it has no room for us.
        Ok(_) | Err(_) => {
            let path = path.to_owned();
            return Err(SocketError::InUse { path });
        }
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node_sim::scratch;
    use std::os::unix::fs::symlink;

    #[tokio::test]
    async fn a_socket_comes_and_goes() {
        let dir = scratch().unwrap();
        let path = dir.path().join("a.sock");
        let (own, _listener) = OwnSocket::bind(&path).await.unwrap();
        assert!(own.stands());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        UnixStream::connect(&path).await.unwrap();
        drop(own);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let dir = scratch().unwrap();
        let path = dir.path().join("a.sock");
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists());
        let (own, _listener) = OwnSocket::bind(&path).await.unwrap();
        assert!(own.stands());
    }

    #[tokio::test]
    async fn a_live_socket_is_left_alone() {
        let dir = scratch().unwrap();
        let path = dir.path().join("a.sock");
        let (own, listener) = OwnSocket::bind(&path).await.unwrap();
        let error = OwnSocket::bind(&path).await.unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        assert!(own.stands());
        drop(listener);
    }

    #[tokio::test]
    async fn a_file_and_a_link_are_left_alone() {
        let dir = scratch().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        let link = dir.path().join("link");
        symlink(&file, &link).unwrap();
        for path in [&file, &link, &dir.path().to_owned()] {
            let error = OwnSocket::bind(path).await.unwrap_err();
            assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[tokio::test]
    async fn another_socket_on_our_path_is_not_removed() {
        let dir = scratch().unwrap();
        let path = dir.path().join("a.sock");
        let (own, _listener) = OwnSocket::bind(&path).await.unwrap();
        fs::rename(&path, dir.path().join("moved")).unwrap();
        let (other, _other_listener) = OwnSocket::bind(&path).await.unwrap();
        assert!(!own.stands());
        drop(own);
        assert!(other.stands());
    }

    #[tokio::test]
    async fn a_path_is_checked_for_its_length() {
        let long = Path::new("/").join("a".repeat(107));
        let error = OwnSocket::bind(&long).await.unwrap_err();
        assert!(
            matches!(error, SocketError::PathTooLong { length: 108, .. }),
            "{error}"
        );
        assert!(check_length(&Path::new("/").join("a".repeat(106))).is_ok());
    }
}
