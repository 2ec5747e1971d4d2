//! A PF and its troubles.

use std::error::Error;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use sysfs_pci::{DriverName, Function, IommuGroupId, NumaNode, PciAddress, PciId, Role};

use super::{Facts, Rules};
use crate::family::Family;
use crate::health::Sickness;
use crate::services::Services;

/// A physical function.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Pf {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: PciId,
    /// Its family.
    pub family: Family,
    /// The driver it is bound to.
    pub driver: Option<DriverName>,
    /// Its IOMMU group.
    pub iommu_group: Option<IommuGroupId>,
    /// Its NUMA node, if known.
    pub numa_node: Option<NumaNode>,
    /// Whether the kernel can make VFs of it.
    pub sriov_capable: bool,
    /// How many VFs it has.
    pub vf_count: usize,
    /// Its services; `None` if they are not known or cannot be chosen.
    pub services: Option<Services>,
    /// What keeps it from having VFs that can be offered. Empty if its family is not to be offered.
    pub trouble: Vec<PfTrouble>,
}

/// Something that keeps a PF from having VFs that can be offered.
///
/// As text it says what is wrong and what to do about it. In serde it is a struct of a stable short
/// [code](Self::code) and that text.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PfTrouble {
    /// It has no driver.
    Unbound {
        /// The driver it should have.
        expected: &'static str,
        /// The driver's module.
        module: &'static str,
    },
    /// It is bound to a VFIO driver.
    OnVfio {
        /// That driver.
        driver: DriverName,
        /// The driver it should have.
        expected: &'static str,
    },
    /// It has a driver that does not look like one for QAT.
    ForeignDriver {
        /// That driver.
        driver: DriverName,
        /// The driver it should have.
        expected: &'static str,
    },
    /// The kernel offers no SR-IOV for it.
    SriovOff,
    /// It has a driver and SR-IOV, but nobody made VFs.
    NoVfs {
        /// How many it would make.
        total: u16,
    },
    /// Fewer VFs are there than its driver makes.
    SomeVfs {
        /// How many are there.
        found: usize,
        /// How many its driver makes.
        total: u16,
    },
    /// Its driver tells that something is wrong.
    Sick {
        /// What is wrong.
        sickness: Sickness,
    },
    /// Its services should be readable but are not.
    Services {
        /// What is wrong.
        error: String,
    },
}

impl Pf {
    pub(super) fn look(
        function: &Function,
        family: Family,
        facts: &Facts<'_>,
        rules: &Rules,
    ) -> Self {
        let (sriov_capable, vf_count) = match &function.role {
            Role::Physical(sriov) => (
                sriov.capable,
                sriov
                    .vfs
                    .values()
                    .filter(|vf| facts.snapshot.functions.contains_key(vf))
                    .count(),
            ),
            Role::Virtual { .. } | Role::Standalone { .. } => (false, 0),
        };
        let reading = facts
            .readings
            .get(&function.address)
            .map(|reading| &reading.services);
        let mut pf = Self {
            address: function.address,
            id: function.id,
            family,
            driver: function.driver.clone(),
            iommu_group: function.iommu_group,
            numa_node: facts.snapshot.numa_node(function.address),
            sriov_capable,
            vf_count,
            services: reading
                .and_then(|services| services.as_ref().ok())
                .cloned()
                .flatten(),
            trouble: Vec::new(),
        };
        if rules.families.contains(&family) {
            pf.trouble.extend(pf.driver_trouble(rules));
            pf.trouble.extend(pf.vf_trouble());
            let sick = facts.sick.get(&pf.address).copied();
            pf.trouble
                .extend(sick.map(|sickness| PfTrouble::Sick { sickness }));
            if let Some(Err(error)) = reading {
                pf.trouble.push(PfTrouble::Services {
                    error: sentence(error),
                });
            }
        }
        pf
    }

    fn driver_trouble(&self, rules: &Rules) -> Option<PfTrouble> {
        let spec = self.family.spec();
        let expected = spec.pf_driver;
        match &self.driver {
            None => Some(PfTrouble::Unbound {
                expected,
                module: spec.pf_module,
            }),
            Some(driver) if rules.drivers.vfio().contains(driver) => Some(PfTrouble::OnVfio {
                driver: driver.clone(),
                expected,
            }),
            Some(driver) if driver.as_str() != expected && self.services.is_none() => {
                Some(PfTrouble::ForeignDriver {
                    driver: driver.clone(),
                    expected,
                })
            }
            Some(_) => None,
        }
    }

    fn vf_trouble(&self) -> Option<PfTrouble> {
        let total = self.family.spec().total_vfs;
        if !self.sriov_capable {
            return Some(PfTrouble::SriovOff);
        }
        match self.vf_count {
            // Without its driver a PF cannot make VFs, and that is told already.
            0 if !self.trouble.is_empty() => None,
            0 => Some(PfTrouble::NoVfs { total }),
            found if found < usize::from(total) => Some(PfTrouble::SomeVfs { found, total }),
            _ => None,
        }
    }
}

impl PfTrouble {
    /// Returns a stable short code, for metrics and for programs that read our JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unbound { .. } => "unbound",
            Self::OnVfio { .. } => "on-vfio",
            Self::ForeignDriver { .. } => "foreign-driver",
            Self::SriovOff => "sriov-off",
            Self::NoVfs { .. } => "no-vfs",
            Self::SomeVfs { .. } => "some-vfs",
            Self::Sick { .. } => "sick",
            Self::Services { .. } => "services",
        }
    }
}

impl fmt::Display for PfTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbound { expected, module } => write!(
                f,
                "no driver is bound; load the module `{module}` (driver `{expected}`), and see the kernel log if it is \
                 loaded (missing firmware makes it refuse the device)"
            ),
            Self::OnVfio { driver, expected } => write!(
                f,
                "it is bound to `{driver}`, so no firmware runs and its VFs cannot be used; bind it to `{expected}`"
            ),
            Self::ForeignDriver { driver, expected } => {
                write!(f, "it is bound to `{driver}`, which does not run QAT; bind it to `{expected}`")
            }
            Self::SriovOff => f.write_str(
                "SR-IOV is off; enable it in the firmware of the machine, and use a kernel with CONFIG_PCI_IOV",
            ),
            Self::NoVfs { total } => {
                write!(f, "it has no VFs; write {total} to its attribute `sriov_numvfs` to make them")
            }
            Self::SomeVfs { found, total } => write!(
                f,
                "only {found} of its {total} VFs are visible, and a QAT driver makes all or none; see what the scan says of \
                 the others, and look again if VFs are being made or removed"
            ),
            Self::Sick { sickness } => write!(f, "{sickness}"),
            Self::Services { error } => write!(f, "its services are not known, so its VFs are withheld: {error}"),
        }
    }
}

impl Serialize for PfTrouble {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut trouble = serializer.serialize_struct("PfTrouble", 2)?;
        trouble.serialize_field("code", self.code())?;
        trouble.serialize_field("text", &self.to_string())?;
        trouble.end()
    }
}

/// Writes an error and what is behind it in one line.
pub(super) fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
