//! From an archive to trees on disk.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::{Archive, ArchiveError, Entry};
use crate::Roots;

/// The roots that an archive can have.
const ROOTS: [&str; 4] = ["dev", "proc", "state", "sys"];

/// No archive has more entries.
const MOST: usize = 200_000;

/// No path is deeper.
const DEEPEST: usize = 24;

/// The numbers of `/dev/null`, to which device nodes are linked.
const NULL: &str = "1:3\n";

/// Trees that look like the machine of an archive.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// sysfs, debugfs and `/dev`. There is no kubelet in it.
    pub roots: Roots,
    /// `/proc`.
    pub proc: PathBuf,
    /// The plugin's state directory.
    pub state_dir: PathBuf,
}

impl Archive {
    /// Makes trees of it in an empty directory.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unsafe`], before anything is written, when an entry is none of ours; [`ArchiveError::Io`].
    pub fn unpack(&self, directory: &Path) -> Result<Unpacked, ArchiveError> {
        self.check()?;
        for root in ROOTS {
            make(&directory.join(root))?;
        }
        // Links come last, so that nothing is written through one.
        for (name, entry) in &self.entries {
            let path = directory.join(name);
            match entry {
                Entry::Dir => make(&path)?,
                Entry::Text(text) => {
                    make_parent(&path)?;
                    let text = if numbers_of_a_node(name) { NULL } else { text };
                    fs::write(&path, text).map_err(|source| failed("write", &path, source))?;
                }
                Entry::Link(_) | Entry::Node(..) => {}
            }
        }
        for (name, entry) in &self.entries {
            let target = match entry {
                Entry::Link(target) => target,
                Entry::Node(..) => "/dev/null",
                Entry::Dir | Entry::Text(_) => continue,
            };
            let path = directory.join(name);
            make_parent(&path)?;
            symlink(target, &path).map_err(|source| failed("link", &path, source))?;
        }
        Ok(Unpacked {
            roots: Roots::new(directory.join("sys"), directory.join("dev"))
                .with_kubelet(directory.join("kubelet"))
                .with_cdi(directory.join("cdi")),
            proc: directory.join("proc"),
            state_dir: directory.join("state"),
        })
    }

    fn check(&self) -> Result<(), ArchiveError> {
        let refused = |entry: &str, problem| {
            Err(ArchiveError::Unsafe {
                entry: entry
                    .chars()
                    .take(200)
                    .flat_map(char::escape_debug)
                    .collect(),
                problem,
            })
        };
        if self.entries.len() > MOST {
            return refused("", "is one too many");
        }
        for (name, entry) in &self.entries {
            let path = Path::new(name);
            let mut components = path.components();
            let plain = |component: &Component<'_>| matches!(component, Component::Normal(_));
            let canonical = components.clone().collect::<PathBuf>().as_os_str() == path.as_os_str();
            if !canonical
                || !components.clone().all(|component| plain(&component))
                || name.contains('\0')
            {
                return refused(name, "has a name that leads elsewhere");
            }
            let root = components.next().and_then(|root| root.as_os_str().to_str());
            let depth = path.components().count();
            if !root.is_some_and(|root| ROOTS.contains(&root)) || !(2..=DEEPEST).contains(&depth) {
                return refused(name, "is in none of the trees");
            }
            for above in path.ancestors().skip(1) {
                let above = above.to_str().and_then(|above| self.entries.get(above));
                if above.is_some_and(|above| *above != Entry::Dir) {
                    return refused(name, "is below something that is no directory");
                }
            }
            if let Entry::Link(target) = entry
                && !leads_down(target, depth - 1)
            {
                return refused(name, "leads out of its tree");
            }
        }
        Ok(())
    }
}

/// Whether a link in a directory of this depth leads to something in the same tree: up first, but not out of it, then down.
fn leads_down(target: &str, depth: usize) -> bool {
    let mut ups = 0;
    let mut down = false;
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir if !down => ups += 1,
            Component::Normal(_) => down = true,
            _ => return false,
        }
    }
    down && ups < depth && !target.contains('\0')
}

/// Whether a file of sysfs has the numbers of a device node that is in the archive as a link to `/dev/null`.
fn numbers_of_a_node(name: &str) -> bool {
    let vfio = name.starts_with("sys/class/vfio/") || name.contains("/vfio-dev/");
    vfio && name.ends_with("/dev")
}

fn make(path: &Path) -> Result<(), ArchiveError> {
    fs::create_dir_all(path).map_err(|source| failed("make", path, source))
}

fn make_parent(path: &Path) -> Result<(), ArchiveError> {
    path.parent().map_or(Ok(()), make)
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ArchiveError {
    ArchiveError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
