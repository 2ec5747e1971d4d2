//! The device plugin directory and `kubelet.sock`.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    path::Path,
};

use kubelet_api::deviceplugin::v1beta1::KUBELET_SOCKET;
use tokio::net::UnixListener;

use super::options::Restart;

/// Makes the directory and removes the sockets that are to go. Returns their names, sorted.
///
/// Only sockets are removed, as since Kubernetes 1.33. Sub-directories are not entered.
pub(super) fn prepare(dir: &Path, sockets: Restart) -> io::Result<Vec<String>> {
    make(dir)?;
    let mut removed = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let goes = sockets == Restart::WipeSockets || name == KUBELET_SOCKET;
        if goes && entry.file_type()?.is_socket() && remove(&entry.path())? {
            removed.push(name);
        }
    }
    removed.sort_unstable();
    Ok(removed)
}

fn make(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o755);
    builder
        .create(dir)
        .map_err(|error| at("make directory", dir, &error))
}

/// Removes a socket. `false`: its plugin was faster.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at("remove", path, &error)),
    }
}

/// Listens on `kubelet.sock`. The real one's mode comes from a umask of 022: only the owner may
/// connect.
pub(super) fn listen(dir: &Path) -> io::Result<UnixListener> {
    let path = dir.join(KUBELET_SOCKET);
    let listener = UnixListener::bind(&path).map_err(|error| at("listen on", &path, &error))?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(listener)
}

/// Listens on `kubelet.sock` in another directory. The socket is renamed into its place, so a
/// watcher sees it moved there, and an old one is replaced in one step.
pub(super) fn listen_renamed(dir: &Path) -> io::Result<UnixListener> {
    make(dir)?;
    let path = dir.join(KUBELET_SOCKET);
    let draft = dir.join(format!(".{KUBELET_SOCKET}"));
    remove(&draft)?;
    let listener = UnixListener::bind(&draft).map_err(|error| at("listen on", &draft, &error))?;
    fs::rename(&draft, &path).map_err(|error| at("rename to", &path, &error))?;
    Ok(listener)
}

fn at(what: &str, path: &Path, error: &io::Error) -> io::Error {
    let text = format!("cannot {what} `{}`: {error}", path.display());
    io::Error::new(error.kind(), text)
}
