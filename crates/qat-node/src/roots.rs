//! Where the machine is.

use std::fs;
use std::io;
use std::path::PathBuf;

use device_plugin::{KubeletDir, pods::Pods};
use qat_policy::DebugfsRoot;
use sysfs_pci::SysfsRoot;
use vfio_host::DevRoot;

/// The places through which a node is seen.
///
/// In a pod the host's `/sys` may be mounted elsewhere, `/host/sys` say. All links inside sysfs are
/// relative, so any root works as long as all of sysfs is below it.
#[derive(Clone, Debug)]
pub struct Roots {
    /// The host's sysfs, normally `/sys`.
    pub sysfs: SysfsRoot,
    /// The host's `/dev`.
    pub dev: DevRoot,
    /// The host's debugfs, normally `/sys/kernel/debug`. It may be absent: the services of PFs with
    /// an out-of-tree driver are then unknown.
    pub debugfs: DebugfsRoot,
    /// The kubelet's device-plugins directory. It may not be there yet.
    pub kubelet: KubeletDir,
    /// The socket of the kubelet's pod resources interface. Where it is not mounted, the kubelet's
    /// checkpoint in its device-plugins directory stands in.
    pub pod_resources: PathBuf,
    /// Where container runtimes look for CDI files that are made at run time, normally `/var/run/cdi`.
    pub cdi: PathBuf,
}

impl Default for Roots {
    /// The places of a real host.
    fn default() -> Self {
        Self::new("/sys", "/dev")
    }
}

/// Where a kubelet with this device-plugins directory has its pod resources interface.
fn pod_resources(kubelet: &KubeletDir) -> PathBuf {
    let root = kubelet.path().parent().unwrap_or(kubelet.path());
    root.join("pod-resources/kubelet.sock")
}

/// The directory for generated files, of those that runtimes read by default (SPEC.md of CDI).
const CDI: &str = "/var/run/cdi";

/// The longest name that a socket of ours can have: a resource's name with `-` for `/`, with every
/// service that one device can have at once.
const LONGEST_SOCKET: &str = "qat.intel.com-asym-sym-decomp.sock";

/// Bytes that a path to a unix socket may have (`sun_path` in `unix(7)`, without the final NUL).
const SUN_PATH: usize = 107;

/// Why a root cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// There is no PCI bus below the sysfs root.
    #[error(
        "`{}` has no readable PCI bus (`{}`); is the host's /sys mounted at this path",
        root.display(), path.display()
    )]
    NoPciBus {
        /// The sysfs root.
        root: PathBuf,
        /// The directory that should be there.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The paths of sockets in the kubelet's directory would be too long.
    #[error(
        "`{}` has {length} bytes, and {limit} are allowed: the path of a socket in it would be too \
         long for the kernel; mount the directory at a shorter path",
        path.display()
    )]
    LongKubeletDir {
        /// The directory.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The most that leaves room for the name of a socket.
        limit: usize,
    },
}

impl Roots {
    /// A machine seen through its sysfs and its `/dev`, with debugfs in its usual place inside of
    /// sysfs and the kubelet in its usual place.
    pub fn new(sysfs: impl Into<PathBuf>, dev: impl Into<PathBuf>) -> Self {
        let sysfs = SysfsRoot::new(sysfs);
        let kubelet = KubeletDir::default();
        Self {
            debugfs: DebugfsRoot::new(sysfs.join("kernel/debug")),
            sysfs,
            dev: DevRoot::new(dev),
            pod_resources: pod_resources(&kubelet),
            cdi: CDI.into(),
            kubelet,
        }
    }

    /// The same with debugfs elsewhere.
    #[must_use]
    pub fn with_debugfs(self, debugfs: impl Into<PathBuf>) -> Self {
        Self {
            debugfs: DebugfsRoot::new(debugfs),
            ..self
        }
    }

    /// The same with another device-plugins directory, and the pod resources interface beside it.
    #[must_use]
    pub fn with_kubelet(self, kubelet: impl Into<PathBuf>) -> Self {
        let kubelet = KubeletDir::new(kubelet);
        Self {
            pod_resources: pod_resources(&kubelet),
            kubelet,
            ..self
        }
    }

    /// The same with CDI files in another directory.
    #[must_use]
    pub fn with_cdi(self, directory: impl Into<PathBuf>) -> Self {
        Self {
            cdi: directory.into(),
            ..self
        }
    }

    /// The same with the pod resources interface on another socket.
    #[must_use]
    pub fn with_pod_resources(self, socket: impl Into<PathBuf>) -> Self {
        Self {
            pod_resources: socket.into(),
            ..self
        }
    }

    /// Where a plugin keeps its state unless it is told otherwise: beside the sockets of plugins, which is mounted anyway. The
    /// kubelet removes the files there when it starts, and leaves directories alone.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.kubelet.path().join("qat-plugin")
    }

    /// Whom to ask what pods hold.
    pub fn pods(&self) -> Pods {
        Pods::new(&self.pod_resources, &self.kubelet)
    }

    /// Checks what must be right from the start: a PCI bus below the sysfs root, and room for the
    /// names of sockets in the kubelet's directory.
    ///
    /// Everything else (devices, the kubelet, debugfs) may come later and is waited for.
    ///
    /// # Errors
    ///
    /// [`RootsError::NoPciBus`] when `bus/pci/devices` is missing or unreadable;
    /// [`RootsError::LongKubeletDir`].
    pub fn check(&self) -> Result<(), RootsError> {
        let path = self.sysfs.pci_devices();
        if let Err(source) = fs::read_dir(&path) {
            let root = self.sysfs.path().to_path_buf();
            return Err(RootsError::NoPciBus { root, path, source });
        }
        let kubelet = self.kubelet.path();
        let length = kubelet.as_os_str().len();
        let limit = SUN_PATH - 1 - LONGEST_SOCKET.len();
        if length > limit {
            let path = kubelet.to_path_buf();
            return Err(RootsError::LongKubeletDir {
                path,
                length,
                limit,
            });
        }
        Ok(())
    }
}
