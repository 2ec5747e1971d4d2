//! The file in which the kubelet remembers devices and pods over a restart.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::checkpoint_text::{self, Shape};

/// The kubelet's checkpoint of its device manager, `kubelet_internal_checkpoint` in the
/// device plugin directory.
///
/// The kubelet writes it after each device list and after each pod that got devices, never
/// when a pod goes. So the file can name pods that are gone. It knows pods by UID only.
///
/// ```
/// use node_sim::{Checkpoint, CheckpointEntry};
///
/// let dir = tempfile::tempdir()?;
/// let mut left = Checkpoint::default();
/// left.entries.push(CheckpointEntry::new("9a15d2b5", "example.com/nic", ["nic-0"]));
/// left.registered.insert("example.com/nic".to_owned(), vec!["nic-0".to_owned()]);
/// left.write(dir.path())?;
/// assert_eq!(Checkpoint::read(dir.path())?, left);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Checkpoint {
    /// What the containers of the node hold, one entry for each container and resource.
    pub entries: Vec<CheckpointEntry>,
    /// The healthy devices of each resource that is registered.
    pub registered: BTreeMap<String, Vec<String>>,
}

/// What one container holds of one resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointEntry {
    /// The UID of the pod. There is no name in the file.
    pub pod_uid: String,
    /// The name of the container.
    pub container: String,
    /// The resource, `vendor.domain/name`.
    pub resource: String,
    /// The device IDs by NUMA node. The node -1 is for devices without one.
    pub devices: BTreeMap<i64, Vec<String>>,
    /// The plugin's `ContainerAllocateResponse`, as protobuf.
    pub answer: Vec<u8>,
}

impl CheckpointEntry {
    /// Devices without a NUMA node in the container `main`, with an empty answer.
    pub fn new<I: Into<String>>(
        pod_uid: impl Into<String>,
        resource: impl Into<String>,
        ids: impl IntoIterator<Item = I>,
    ) -> Self {
        let ids = ids.into_iter().map(Into::into).collect();
        Self {
            pod_uid: pod_uid.into(),
            container: "main".to_owned(),
            resource: resource.into(),
            devices: BTreeMap::from([(-1, ids)]),
            answer: Vec::new(),
        }
    }

    /// The device IDs of all NUMA nodes, each once.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.devices.values().flatten().cloned().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// A way in which a checkpoint can be broken. See [`Checkpoint::damage`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Damage {
    /// The second half is missing, as after a crash of the node: no JSON.
    Truncated,
    /// The JSON is sound, but the sum is that of other data.
    Checksum,
}

impl Checkpoint {
    /// The name of the file.
    pub const FILE: &str = "kubelet_internal_checkpoint";

    /// Reads the file in `dir` and checks its sum, as the kubelet does when it starts. Takes
    /// both shapes.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound): there is no such file.
    /// [`InvalidData`](io::ErrorKind::InvalidData): it is no checkpoint, or its sum is wrong.
    pub fn read(dir: impl AsRef<Path>) -> io::Result<Self> {
        let text = fs::read_to_string(path(dir.as_ref()))?;
        checkpoint_text::parse(&text)
            .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
    }

    /// Writes the file as kubelets do since 1.20, in one step, readable for the owner only.
    ///
    /// # Errors
    ///
    /// The file system's, for example a missing directory.
    pub fn write(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        self.put(dir.as_ref(), Shape::ByNumaNode)
    }

    /// Writes the file as kubelets before 1.20 did: the devices of an entry are a plain list,
    /// without NUMA nodes.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn write_before_1_20(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        self.put(dir.as_ref(), Shape::Flat)
    }

    /// Breaks the file in `dir`. A kubelet that starts with it knows of no device in use.
    ///
    /// # Errors
    ///
    /// There is no file, or it cannot be written.
    pub fn damage(dir: impl AsRef<Path>, how: Damage) -> io::Result<()> {
        let path = path(dir.as_ref());
        let text = fs::read_to_string(&path)?;
        let broken = match how {
            Damage::Truncated => text.chars().take(text.chars().count() / 2).collect(),
            Damage::Checksum => text.replace("\"Checksum\":", "\"Checksum\":1"),
        };
        fs::write(&path, broken)
    }

    fn put(&self, dir: &Path, shape: Shape) -> io::Result<()> {
        let text = checkpoint_text::print(self, shape).map_err(io::Error::other)?;
        let draft = dir.join(format!(".{}.tmp", Self::FILE));
        fs::write(&draft, text)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
        fs::rename(&draft, path(dir))
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(Checkpoint::FILE)
}
