//! Which drivers count as VFIO drivers.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use sysfs_pci::DriverName;

/// The generic VFIO driver for PCI functions.
const VFIO_PCI: &str = "vfio-pci";

/// The names of the drivers that hand a PCI function to user space through VFIO.
///
/// The default is `vfio-pci`. Some devices have a *variant driver*, which adds for instance live
/// migration to what `vfio-pci` does; add its name with [`with`](Self::with).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VfioDrivers(BTreeSet<DriverName>);

impl VfioDrivers {
    /// Adds a driver.
    #[must_use]
    pub fn with(mut self, driver: DriverName) -> Self {
        self.0.insert(driver);
        self
    }

    /// Whether a driver is one of these.
    pub fn contains(&self, driver: &DriverName) -> bool {
        self.0.contains(driver)
    }

    /// The drivers, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &DriverName> {
        self.0.iter()
    }
}

impl Default for VfioDrivers {
    fn default() -> Self {
        // The name is a valid one, so the set has exactly one member; a test holds that.
        Self(VFIO_PCI.parse().into_iter().collect())
    }
}

/// The names, joined by "or": for sentences.
impl Display for VfioDrivers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, driver) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            write!(f, "{separator}`{driver}`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_vfio_pci_alone() {
        let drivers = VfioDrivers::default();
        let names: Vec<_> = drivers.iter().map(DriverName::as_str).collect();
        assert_eq!(names, [VFIO_PCI]);
        assert_eq!(drivers.to_string(), "`vfio-pci`");
    }

    #[test]
    fn variants_are_added_once() {
        let variant: DriverName = "mlx5_vfio_pci".parse().unwrap();
        let drivers = VfioDrivers::default()
            .with(variant.clone())
            .with(variant.clone());
        assert!(drivers.contains(&variant));
        assert_eq!(drivers.to_string(), "`mlx5_vfio_pci` or `vfio-pci`");
    }
}
