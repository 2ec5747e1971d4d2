//! Families of QAT devices and how an id is recognised.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sysfs_pci::{Depth, PciId};

use crate::support::ServiceSupport;
use crate::table;

/// A family of QAT devices: one PF id, one VF id, one behaviour.
///
/// The order is that of the generations. As text (and in serde) a family is its
/// [`FamilySpec::name`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Family {
    /// `DH895xCC` cards.
    Dh895xcc,
    /// C3xxx, in Atom C3000 processors.
    C3xxx,
    /// C62x chipsets and the cards 8960 and 8970.
    C62x,
    /// D15xx, in Xeon D processors.
    D15xx,
    /// 200xx.
    C200xx,
    /// C4xxx, in Atom P5xxx processors.
    C4xxx,
    /// 4xxx, in Xeon processors of the 4th and 5th generation.
    Gen4_4xxx,
    /// 401xx, a variant of 4xxx with the same driver.
    Gen4_401xx,
    /// 402xx, a variant of 4xxx with the same driver.
    Gen4_402xx,
    /// 420xx.
    Gen5_420xx,
    /// 6xxx.
    Gen6_6xxx,
}

/// Hardware generation, as qatlib and DPDK count them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Generation {
    /// `DH895xCC` (the kernel runs it with its gen2 code).
    Gen1,
    /// C3xxx, C62x, D15xx, 200xx.
    Gen2,
    /// C4xxx.
    Gen3,
    /// 4xxx, 401xx, 402xx.
    Gen4,
    /// 420xx (the kernel runs it with its gen4 code).
    Gen5,
    /// 6xxx.
    Gen6,
}

/// What is known about a family; see [`Family::spec`].
///
/// Ids and driver names come from the kernel's `drivers/crypto/intel/qat`, for families that are
/// out of tree from Intel's driver package, qatlib and DPDK's `doc/guides/cryptodevs/qat.rst`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FamilySpec {
    /// The family itself.
    pub family: Family,
    /// Short name, as in documents: `c62x`, `4xxx`.
    pub name: &'static str,
    /// Hardware generation.
    pub generation: Generation,
    /// Vendor and device of the PF.
    pub pf: PciId,
    /// Vendor and device of the VF.
    pub vf: PciId,
    /// Name of the PF's driver in `/sys/bus/pci/drivers`. It is not always the family's name: C62x
    /// has `c6xx`, and 401xx and 402xx share `4xxx`. The debugfs directory is called
    /// `qat_<pf_driver>_<address>`.
    pub pf_driver: &'static str,
    /// Kernel module of the PF's driver.
    pub pf_module: &'static str,
    /// Name of the firmware file without its ending: `qat_4xxx` for `/lib/firmware/qat_4xxx.bin`, perhaps compressed. The PF's
    /// driver does not start without it. Newer trees of linux-firmware have it in `intel/qat`.
    pub firmware: &'static str,
    /// Name of the kernel's (not VFIO's) driver for the VF: the values of `--kernel-vf-drivers`.
    /// From 4xxx on the mainline kernel has no such driver and the name is that of Intel's driver
    /// package.
    pub vf_driver: &'static str,
    /// Kernel module of the VF's driver; `None` where mainline Linux has no driver for the VF.
    pub vf_module: Option<&'static str>,
    /// Number of VFs a PF makes. The QAT driver makes all or none.
    pub total_vfs: u16,
    /// Which sets of services can be chosen.
    pub services: ServiceSupport,
    /// `vfio-pci` refuses PF and VF unless it was loaded with `disable_denylist=1`
    /// (`vfio_pci_dev_in_denylist`, since Linux 5.9).
    pub denylisted: bool,
    /// The PF's driver is part of mainline Linux; otherwise it comes with Intel's driver package
    /// only.
    pub mainline: bool,
}

/// Whether an id is that of a PF or of a VF.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FunctionKind {
    /// Physical function.
    Pf,
    /// Virtual function.
    Vf,
}

/// A text that names no family.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown QAT family `{value}`; known are: {}", table::names(|spec| spec.name).join(", "))]
pub struct UnknownFamily {
    /// What was given.
    pub value: String,
}

impl Generation {
    /// Returns the generation as a number, 1 to 6.
    pub const fn number(self) -> u8 {
        match self {
            Self::Gen1 => 1,
            Self::Gen2 => 2,
            Self::Gen3 => 3,
            Self::Gen4 => 4,
            Self::Gen5 => 5,
            Self::Gen6 => 6,
        }
    }
}

impl Family {
    const ALL: [Self; 11] = [
        Self::Dh895xcc,
        Self::C3xxx,
        Self::C62x,
        Self::D15xx,
        Self::C200xx,
        Self::C4xxx,
        Self::Gen4_4xxx,
        Self::Gen4_401xx,
        Self::Gen4_402xx,
        Self::Gen5_420xx,
        Self::Gen6_6xxx,
    ];

    /// Returns every known family, oldest generation first.
    pub const fn all() -> &'static [Self] {
        &Self::ALL
    }

    /// Returns what is known about this family.
    pub const fn spec(self) -> &'static FamilySpec {
        table::spec(self)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.spec().name)
    }
}

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|family| family.spec().name == text)
            .ok_or_else(|| UnknownFamily {
                value: text.to_owned(),
            })
    }
}

impl From<Family> for String {
    fn from(family: Family) -> Self {
        family.spec().name.to_owned()
    }
}

impl TryFrom<String> for Family {
    type Error = UnknownFamily;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Finds the family of an id and whether it is a PF or a VF.
///
/// Vendor and device must both match. 10de:4941 and 8086:0b25 (Intel DSA) are nothing to us.
pub fn identify(id: PciId) -> Option<(Family, FunctionKind)> {
    Family::ALL.into_iter().find_map(|family| {
        let spec = family.spec();
        if spec.pf == id {
            Some((family, FunctionKind::Pf))
        } else if spec.vf == id {
            Some((family, FunctionKind::Vf))
        } else {
            None
        }
    })
}

/// Tells a scan how closely to look at a function with this id: PFs with their VFs, VFs as
/// functions, anything else only for its identity.
pub fn depth(id: PciId) -> Depth {
    match identify(id) {
        Some((_, FunctionKind::Pf)) => Depth::Physical,
        Some((_, FunctionKind::Vf)) => Depth::Function,
        None => Depth::Identity,
    }
}
