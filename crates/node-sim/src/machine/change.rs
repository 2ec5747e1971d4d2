//! What can be different about a machine.

use sysfs_pci::PciAddress;

use super::FunctionSpec;

/// Where the per-device nodes of VFIO (`CONFIG_VFIO_DEVICE_CDEV`, Linux 6.6) are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CdevNodes {
    /// `vfio-dev/vfioX/dev` in sysfs and the node `/dev/vfio/devices/vfioX`.
    Present,
    /// Only in sysfs: the node is missing from `/dev`.
    SysfsOnly,
    /// The kernel has none: `vfio-dev/vfioX` has no file `dev`, and there is no node.
    NotBuilt,
}

/// The heartbeat files of a QAT PF in debugfs (Documentation/ABI/testing/debugfs-driver-qat).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// `status`: 0 or -1.
    pub alive: bool,
    /// `queries_sent`: checks made so far.
    pub queries_sent: u32,
    /// `queries_failed`: how many of them found the device dead.
    pub queries_failed: u32,
}

/// One thing that is different, for [`Machine::with`](crate::Machine::with).
///
/// Changes apply in the order in which they are given. Variants with one
/// address are functions of it, so that
/// [`Machine::with_each`](crate::Machine::with_each) can apply them to many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change<'a> {
    /// The PF has no VFs: `sriov_numvfs` is 0.
    NoVfs(PciAddress),
    /// SR-IOV is off in firmware or kernel: the PF has no `sriov_*` file and no VFs.
    SriovOff(PciAddress),
    /// The function has another driver, or none.
    Driver {
        /// The function.
        address: PciAddress,
        /// The driver's name as in `bus/pci/drivers`; `None` is unbound.
        driver: Option<&'a str>,
    },
    /// Every VF has this driver, or none.
    AllVfsOn(Option<&'a str>),
    /// There is no IOMMU: no group links, `class/iommu` is empty, and nothing
    /// can be on a VFIO driver. VFs that were become unbound.
    NoIommu,
    /// There is no IOMMU, and `enable_unsafe_noiommu_mode` is Y: whatever is on
    /// a VFIO driver has a group of the name `vfio-noiommu` and a node `noiommu-N`.
    NoIommuMode,
    /// `iommu=pt`: the groups' default domains are `identity`.
    IommuPassthrough,
    /// The function has no `iommu_group` link, and no node therefore.
    ///
    /// A VFIO driver would refuse it (EINVAL), so combined with a VFIO driver
    /// this is a state that is only seen for a moment. It is what a plugin must survive.
    NoIommuGroup(PciAddress),
    /// `b` is in the group of `a`.
    SharedGroup {
        /// The function whose group it is.
        a: PciAddress,
        /// The function that leaves its own group for it.
        b: PciAddress,
    },
    /// A network card (8086:10fb) is in the group of a function. On `ixgbe` it
    /// keeps the whole group from being used through VFIO.
    NicInGroup {
        /// The function whose group it is.
        of: PciAddress,
        /// The card's driver.
        driver: Option<&'a str>,
    },
    /// One more function.
    Function(FunctionSpec),
    /// An attribute holds these bytes. It is made if the function has none of the name.
    Garbage {
        /// The function.
        address: PciAddress,
        /// The file, relative to the function's directory.
        attribute: &'a str,
        /// What a read returns.
        bytes: &'a [u8],
    },
    /// A file is missing.
    NoAttribute {
        /// The function.
        address: PciAddress,
        /// The file, relative to the function's directory.
        attribute: &'a str,
    },
    /// `qat/cfg_services` says this, literally (a newline is added). The order
    /// in which services are read back differs between kernels.
    Services {
        /// A PF that has `qat/cfg_services`.
        pf: PciAddress,
        /// Such as `sym;asym`.
        text: &'a str,
    },
    /// `qat/state` of the PF is `down`: it has no VFs, no `qat_ras` and no `qat_rl`.
    StateDown(PciAddress),
    /// The PF is on `vfio-pci` with `enable_sriov=Y`, its VFs as well: none of
    /// the files of its own driver.
    PfOnVfio(PciAddress),
    /// The PF has no driver, and no VFs therefore.
    PfUnbound(PciAddress),
    /// Two functions that a careless match takes for QAT: a 10de:4941 of class
    /// 0x0b4000, and an Intel DSA (8086:0b25).
    LookAlikes,
    /// `numa_node` is -1, for a PF also that of its VFs.
    NumaUnknown(PciAddress),
    /// There is no `numa_node`, for a PF also none on its VFs.
    NumaAbsent(PciAddress),
    /// The node of the function's group is missing from `/dev/vfio`.
    NoNode(PciAddress),
    /// `/dev/vfio/vfio` is missing.
    NoControlNode,
    /// Whether the denylist of `vfio-pci` is in force. `true`: `disable_denylist`
    /// is N, and functions that are on the list are not on `vfio-pci`.
    Denylist(bool),
    /// Everything is in another PCI domain: 0x10000 is the first of a VMD.
    Domain(u32),
    /// Where the per-device VFIO nodes are.
    Cdev(CdevNodes),
    /// The heartbeat of a QAT PF; `None`: the kernel has none.
    Heartbeat {
        /// The PF.
        pf: PciAddress,
        /// What its files say.
        heartbeat: Option<Heartbeat>,
    },
    /// There is no debugfs.
    NoDebugfs,
}
