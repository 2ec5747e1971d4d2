//! The driver that VFs are to have, and so how they reach a container.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use sysfs_pci::DriverName;
use vfio_host::VfioDrivers;

use crate::drivers::vfio_drivers;

/// The generic VFIO driver, which stands for its variants too.
const VFIO_PCI: &str = "vfio-pci";

/// DPDK's driver for UIO (`kernel/linux/igb_uio` in the repository dpdk-kmods). It is not part of Linux.
const IGB_UIO: &str = "igb_uio";

/// The drivers of which a VF must have one, and so how it reaches a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VfDrivers {
    /// Through VFIO: the IOMMU confines the VF.
    Vfio(VfioDrivers),
    /// Through this driver of UIO. Nothing confines the VF, and no IOMMU is needed.
    Uio(DriverName),
}

/// A driver by which VFs are not offered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown driver `{text}`; allowed are: {VFIO_PCI}, {IGB_UIO}")]
pub struct UnknownVfDriver {
    /// What was given.
    pub text: String,
}

impl VfDrivers {
    /// Whether a driver is one of these.
    pub fn contains(&self, driver: &DriverName) -> bool {
        match self {
            Self::Vfio(drivers) => drivers.contains(driver),
            Self::Uio(wanted) => wanted == driver,
        }
    }

    /// Which drivers are VFIO's, wanted or not: a PF on one of them is of no use, and a group is viable
    /// with its members on them.
    pub fn vfio(&self) -> VfioDrivers {
        match self {
            Self::Vfio(drivers) => drivers.clone(),
            Self::Uio(_) => vfio_drivers(),
        }
    }
}

impl Default for VfDrivers {
    /// Those of VFIO.
    fn default() -> Self {
        Self::Vfio(vfio_drivers())
    }
}

/// The names, joined by "or": for sentences.
impl Display for VfDrivers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vfio(drivers) => drivers.fmt(f),
            Self::Uio(driver) => write!(f, "`{driver}`"),
        }
    }
}

/// Reads `vfio-pci`, which includes `qat_vfio_pci`, or `igb_uio`: the values of the Go plugin's
/// `-dpdk-driver`.
impl FromStr for VfDrivers {
    type Err = UnknownVfDriver;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownVfDriver {
            text: text.to_owned(),
        };
        match text {
            VFIO_PCI => Ok(Self::default()),
            IGB_UIO => text.parse().map(Self::Uio).map_err(|_error| unknown()),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_the_go_plugin() {
        let name = |text: &str| text.parse::<DriverName>().unwrap();
        let vfio: VfDrivers = "vfio-pci".parse().unwrap();
        assert_eq!(vfio, VfDrivers::default());
        assert!(vfio.contains(&name("qat_vfio_pci")) && !vfio.contains(&name("igb_uio")));
        let uio: VfDrivers = "igb_uio".parse().unwrap();
        assert!(uio.contains(&name("igb_uio")) && !uio.contains(&name("vfio-pci")));
        assert_eq!(uio.to_string(), "`igb_uio`");
        assert!(uio.vfio().contains(&name("vfio-pci")));
        for text in ["", "uio_pci_generic", "VFIO-PCI", "igb-uio"] {
            let error = text.parse::<VfDrivers>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("unknown driver `{text}`; allowed are: vfio-pci, igb_uio")
            );
        }
    }
}
