//! Which nodes of VFIO a container gets.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use sysfs_pci::PciAddress;
use thiserror::Error;
use vfio_host::{Host, NodeError, VfioNode, cdev_node};

use crate::FunctionNode;

/// Which nodes of VFIO a container gets for a function.
///
/// VFIO has two interfaces (Documentation/driver-api/vfio.rst). The older one has a node for each IOMMU group,
/// `/dev/vfio/<group>`. The newer one, since Linux 6.6 and only with `CONFIG_VFIO_DEVICE_CDEV`, has a character
/// device for each function, `/dev/vfio/devices/vfio<N>`, and is used together with iommufd. A consumer wants one
/// of them, and some break when they are given both, so this is to be chosen:
///
/// | choice | for |
/// |---|---|
/// | `group` | DPDK and other programs, KubeVirt, Kata; works on every kernel |
/// | `cdev` | Kata with iommufd, KubeVirt with its `IOMMUFD` feature |
/// | `both` | KubeVirt nodes on which some machines use iommufd and others do not; **never Kata**, which plugs a function once for each node |
/// | `none` | runtimes that attach the function by themselves and go by its address |
///
/// `/dev/iommu` is in none of them: Kata would take it into the guest, and KubeVirt brings its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum VfioInterface {
    /// The node of the group.
    #[default]
    Group,
    /// The function's character device.
    Cdev,
    /// Both.
    Both,
    /// No node.
    None,
}

/// The nodes of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// The nodes.
    pub nodes: Vec<FunctionNode>,
    /// The character device was wanted and is not there, so the group's node stands in.
    pub without_cdev: bool,
}

/// A text that names no interface.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{text}` is no interface of VFIO; there are group, cdev, both and none")]
pub struct InterfaceError {
    /// What was given.
    pub text: String,
}

impl VfioInterface {
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::Group, Self::Cdev, Self::Both, Self::None];

    /// Whether the character device is wanted.
    #[must_use]
    pub const fn wants_cdev(self) -> bool {
        matches!(self, Self::Cdev | Self::Both)
    }

    /// Chooses the nodes of a function whose group's node the caller has looked at
    /// ([`Host::recheck`]). Only a choice that wants the character device asks the machine, with the calls of
    /// [`cdev_node`].
    ///
    /// sysfs alone does not tell that there is a character device: it shows `vfio-dev/vfio<N>` on kernels that make
    /// no node for it, and KubeVirt 1.9.0 broke by believing it. So the node is looked at, and where it is
    /// missing the group's node is given in its place, which works wherever the choice was made for convenience.
    ///
    /// # Errors
    ///
    /// [`NodeError`] when something is in the node's place that is not the device.
    pub fn choose(
        self,
        host: &Host,
        address: PciAddress,
        group: VfioNode,
    ) -> Result<Chosen, NodeError> {
        let cdev = if self.wants_cdev() {
            cdev_node(&host.sysfs, &host.dev, address)?
        } else {
            None
        };
        let without_cdev = self.wants_cdev() && cdev.is_none();
        let nodes = match (self, cdev) {
            (Self::None, _) => Vec::new(),
            (Self::Cdev, Some(cdev)) => vec![cdev.into()],
            (Self::Both, Some(cdev)) => vec![group.into(), cdev.into()],
            (Self::Group | Self::Cdev | Self::Both, _) => vec![group.into()],
        };
        Ok(Chosen {
            nodes,
            without_cdev,
        })
    }
}

impl FromStr for VfioInterface {
    type Err = InterfaceError;

    fn from_str(text: &str) -> Result<Self, InterfaceError> {
        let found = Self::ALL
            .into_iter()
            .find(|choice| choice.to_string() == text);
        found.ok_or_else(|| InterfaceError {
            text: text.to_owned(),
        })
    }
}

impl Display for VfioInterface {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "group",
            Self::Cdev => "cdev",
            Self::Both => "both",
            Self::None => "none",
        })
    }
}
