//! Functions as an author describes them.

use std::collections::BTreeMap;

use sysfs_pci::{PciAddress, PciId};

/// What `numa_node` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numa {
    /// The node's number.
    Node(u32),
    /// `-1`: the firmware does not tell.
    Unknown,
    /// No such file: a kernel without `CONFIG_NUMA`.
    Absent,
}

/// The content and the mode of one attribute file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

impl Attribute {
    /// An attribute with these bytes and these permission bits.
    ///
    /// Most attributes end in a newline; nothing adds it.
    pub fn new(bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self {
            bytes: bytes.into(),
            mode,
        }
    }

    /// Mode 0444, as attributes that only tell something.
    pub fn read_only(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(bytes, 0o444)
    }

    /// Mode 0644, as attributes that can be set.
    pub fn read_write(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(bytes, 0o644)
    }

    /// Mode 0200 and no content, as attributes that only take commands.
    pub fn write_only() -> Self {
        Self::new(Vec::new(), 0o200)
    }
}

/// Files of a driver in debugfs: `<prefix>_<address>/<path>`.
#[derive(Clone, Debug, Default)]
pub(super) struct Debugfs {
    pub(super) prefix: String,
    pub(super) files: BTreeMap<String, Attribute>,
}

/// One PCI function: a NIC, a bridge, or the physical half of a [`PfSpec`].
///
/// Starts as an unbound function on its own root bus, on NUMA node 0, in an
/// IOMMU group of its own.
///
/// # Examples
///
/// ```
/// use node_sim::{FunctionSpec, Numa};
///
/// let disk = FunctionSpec::new("0000:5e:00.0".parse()?, "144d:a824".parse()?)
///     .class(0x01_0802)
///     .driver("nvme")
///     .numa(Numa::Node(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    pub(super) address: PciAddress,
    pub(super) id: PciId,
    pub(super) subsystem: PciId,
    pub(super) class: u32,
    pub(super) revision: u8,
    pub(super) behind: Option<PciAddress>,
    pub(super) driver: Option<String>,
    pub(super) numa: Numa,
    pub(super) group: Option<u32>,
    pub(super) given: bool,
    pub(super) dma_bits: u8,
    pub(super) attributes: BTreeMap<String, Attribute>,
    pub(super) driver_attributes: BTreeMap<String, Attribute>,
    pub(super) debugfs: Option<Debugfs>,
}

impl FunctionSpec {
    /// A function at an address with these vendor and device ids.
    pub fn new(address: PciAddress, id: PciId) -> Self {
        Self {
            address,
            id,
            subsystem: PciId {
                vendor: id.vendor,
                device: 0,
            },
            class: 0xff_0000,
            revision: 0,
            behind: None,
            driver: None,
            numa: Numa::Node(0),
            group: None,
            given: false,
            dma_bits: 64,
            attributes: BTreeMap::new(),
            driver_attributes: BTreeMap::new(),
            debugfs: None,
        }
    }

    /// Sets the 24-bit class code, `0x020000` for an Ethernet controller.
    #[must_use]
    pub fn class(mut self, class: u32) -> Self {
        self.class = class & 0x00ff_ffff;
        self
    }

    /// Sets the revision.
    #[must_use]
    pub fn revision(mut self, revision: u8) -> Self {
        self.revision = revision;
        self
    }

    /// Sets subsystem vendor and device; the default is the vendor and 0.
    #[must_use]
    pub fn subsystem(mut self, id: PciId) -> Self {
        self.subsystem = id;
        self
    }

    /// Puts the function behind a bridge, which is a function of the same machine.
    ///
    /// In sysfs its directory then lies in the directory of the bridge.
    #[must_use]
    pub fn behind(mut self, bridge: PciAddress) -> Self {
        self.behind = Some(bridge);
        self
    }

    /// Binds the function to a driver, which is from then on its own driver:
    /// [`driver_attribute`](Self::driver_attribute) files exist while that one is bound.
    #[must_use]
    pub fn driver(mut self, name: &str) -> Self {
        self.driver = Some(name.to_owned());
        self
    }

    /// Sets what `numa_node` says. VFs say what their PF says.
    #[must_use]
    pub fn numa(mut self, numa: Numa) -> Self {
        self.numa = numa;
        self
    }

    /// Asks for the IOMMU group with this number; by default the lowest free one is taken.
    #[must_use]
    pub fn group(mut self, number: u32) -> Self {
        self.group = Some(number);
        self
    }

    /// Says that this is a VF which was given to this machine, a guest: the
    /// function counts as a VF, and has no `physfn` as its PF is elsewhere.
    #[must_use]
    pub fn given_vf(mut self) -> Self {
        self.given = true;
        self
    }

    /// Sets how many address bits the function can use for DMA; 64 by default.
    #[must_use]
    pub fn dma_bits(mut self, bits: u8) -> Self {
        self.dma_bits = bits;
        self
    }

    /// Adds a file to the function's directory, or replaces an ordinary one.
    ///
    /// The name may have one directory in it: `power/control`.
    #[must_use]
    pub fn attribute(mut self, name: &str, attribute: Attribute) -> Self {
        self.attributes.insert(name.to_owned(), attribute);
        self
    }

    /// Adds a file that the function's own driver makes, and which goes with it.
    #[must_use]
    pub fn driver_attribute(mut self, name: &str, attribute: Attribute) -> Self {
        self.driver_attributes.insert(name.to_owned(), attribute);
        self
    }

    /// Adds a file `<prefix>_<address>/<name>` to debugfs, which goes with the function's own driver.
    #[must_use]
    pub fn debugfs(mut self, prefix: &str, name: &str, attribute: Attribute) -> Self {
        let debugfs = self.debugfs.get_or_insert_default();
        prefix.clone_into(&mut debugfs.prefix);
        debugfs.files.insert(name.to_owned(), attribute);
        self
    }
}

/// A physical function with SR-IOV and its VFs.
///
/// The VF with number N has the routing id of the PF + offset + N × stride (PCI
/// Express base specification, SR-IOV extended capability). VFs take class,
/// revision, subsystem and NUMA node of their PF.
///
/// # Examples
///
/// A disk with eight VFs, all of them on `vfio-pci`:
///
/// ```
/// use node_sim::{FunctionSpec, Machine, PfSpec};
///
/// let pf = FunctionSpec::new("0000:5e:00.0".parse()?, "144d:a824".parse()?)
///     .class(0x01_0802)
///     .driver("nvme");
/// let machine = Machine::new().pf(PfSpec::new(pf, "144d:a825".parse()?, 8).vf_driver("vfio-pci"));
/// assert_eq!(machine.vfs().len(), 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PfSpec {
    pub(super) function: FunctionSpec,
    pub(super) vf_id: PciId,
    pub(super) total: u16,
    pub(super) offset: u16,
    pub(super) stride: u16,
    pub(super) vf_driver: Option<String>,
}

impl PfSpec {
    /// A PF whose `total` VFs all exist, with these ids; offset 1, stride 1, no VF driver.
    ///
    /// In sysfs a VF shows the PF's vendor and the SR-IOV capability's VF device
    /// id (`sriov_vf_device`), so the two vendors are the same on real hardware.
    pub fn new(function: FunctionSpec, vf_id: PciId, total: u16) -> Self {
        Self {
            function,
            vf_id,
            total,
            offset: 1,
            stride: 1,
            vf_driver: None,
        }
    }

    /// Sets First VF Offset, the file `sriov_offset`.
    #[must_use]
    pub fn offset(mut self, offset: u16) -> Self {
        self.offset = offset;
        self
    }

    /// Sets VF Stride, the file `sriov_stride`.
    #[must_use]
    pub fn stride(mut self, stride: u16) -> Self {
        self.stride = stride;
        self
    }

    /// Binds every VF to a driver.
    #[must_use]
    pub fn vf_driver(mut self, name: &str) -> Self {
        self.vf_driver = Some(name.to_owned());
        self
    }
}
