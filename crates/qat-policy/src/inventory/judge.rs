//! Judging one VF.

use std::collections::BTreeMap;

use sysfs_pci::{DriverName, Function, IommuGroupId, PciAddress, Role, VfIndex};
use vfio_host::{Member, VfioDrivers, Viability};

use super::pf::{Pf, sentence};
use super::reason::Reason;
use super::vf::{Standing, Vf};
use super::{Facts, Rules};
use crate::family::{Family, FamilySpec};
use crate::names::PoolName;
use crate::selector::Traits;
use crate::services::Services;
use crate::vf_drivers::VfDrivers;

/// Describes a VF and decides on it, leaving aside what concerns several VFs.
pub(super) fn look(
    function: &Function,
    family: Family,
    pfs: &BTreeMap<PciAddress, Pf>,
    facts: &Facts<'_>,
    rules: &Rules,
) -> Vf {
    let (pf, index) = match &function.role {
        Role::Virtual { pf, index } => (Some(*pf), *index),
        Role::Physical(_) | Role::Standalone { .. } => (None, None),
    };
    let judge = Judge {
        function,
        spec: family.spec(),
        pf,
        index,
        pfs,
        facts,
        rules,
    };
    Vf {
        address: function.address,
        id: function.id,
        family,
        pf,
        index,
        driver: function.driver.clone(),
        iommu_group: function.iommu_group,
        numa_node: facts.snapshot.numa_node(function.address),
        services: judge.pf().and_then(|pf| pf.services.clone()),
        standing: match judge.pool() {
            Ok(pool) => Standing::Offered { pool },
            Err(reason) => Standing::Withheld(reason),
        },
    }
}

/// Says whether a PF runs, so that its VFs are of use: it has a driver, which is one for QAT.
///
/// `tells_services` is whether the PF says what it serves: a driver of an unknown name that does is
/// one for QAT all the same. Both the inventory and the check at the moment of an allocation ask
/// this, so that they agree.
///
/// # Errors
///
/// [`Reason::PfUnbound`], [`Reason::PfOnVfio`] or [`Reason::PfForeignDriver`].
pub fn check_pf(
    pf: PciAddress,
    driver: Option<&DriverName>,
    tells_services: bool,
    family: Family,
    vfio: &VfioDrivers,
) -> Result<(), Reason> {
    let expected = family.spec().pf_driver;
    match driver {
        None => Err(Reason::PfUnbound { pf, expected }),
        Some(driver) if vfio.contains(driver) => Err(Reason::PfOnVfio {
            pf,
            driver: driver.clone(),
            expected,
        }),
        Some(driver) if driver.as_str() != expected && !tells_services => {
            Err(Reason::PfForeignDriver {
                pf,
                driver: driver.clone(),
                expected,
            })
        }
        Some(_) => Ok(()),
    }
}

struct Judge<'a> {
    function: &'a Function,
    spec: &'static FamilySpec,
    pf: Option<PciAddress>,
    index: Option<VfIndex>,
    pfs: &'a BTreeMap<PciAddress, Pf>,
    facts: &'a Facts<'a>,
    rules: &'a Rules,
}

impl<'a> Judge<'a> {
    fn pf(&self) -> Option<&'a Pf> {
        self.pfs.get(&self.pf?)
    }

    /// Finds the pool; the order of the questions is the order in which an operator would mend
    /// things.
    fn pool(&self) -> Result<PoolName, Reason> {
        if !self.rules.families.contains(&self.spec.family) {
            return Err(Reason::FamilyNotEnabled {
                driver: self.spec.vf_driver,
            });
        }
        self.check_pf()?;
        match &self.rules.drivers {
            VfDrivers::Vfio(drivers) => self.check_vfio(drivers)?,
            VfDrivers::Uio(_) => self.check_uio()?,
        }
        let services = self.services()?;
        let named = self.rules.names.of(&Traits {
            family: Some(self.spec.family),
            pf: self.pf,
            index: self.index,
            numa_node: self.facts.snapshot.numa_node(self.function.address),
            services,
        });
        named.map_err(|error| self.unknown_services(sentence(&error)))
    }

    fn check_pf(&self) -> Result<(), Reason> {
        let family = self.spec.family;
        let Some(pf) = self.pf else {
            let has_pf = self.pfs.values().any(|pf| pf.family == family);
            return if has_pf {
                Err(Reason::NoPfLink)
            } else {
                Ok(())
            };
        };
        match self.pfs.get(&pf) {
            None => Err(Reason::PfUnreadable { pf }),
            Some(seen) => {
                let tells = seen.services.is_some();
                let vfio = self.rules.drivers.vfio();
                check_pf(pf, seen.driver.as_ref(), tells, family, &vfio)?;
                let sick = self.facts.sick.get(&pf).copied();
                sick.map_or(Ok(()), |sickness| Err(Reason::PfSick { pf, sickness }))
            }
        }
    }

    fn check_vfio(&self, drivers: &VfioDrivers) -> Result<(), Reason> {
        let group = self.check_iommu()?;
        let refused = self.spec.denylisted && self.facts.denylist_disabled != Some(true);
        self.check_driver(refused)?;
        self.check_group(group, drivers)?;
        self.check_nodes(group)
    }

    /// UIO knows no groups, and only `vfio-pci` has a denylist.
    fn check_uio(&self) -> Result<(), Reason> {
        self.check_driver(false)?;
        match self.facts.uio.get(&self.function.address) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Reason::UioNode {
                error: sentence(error),
            }),
            None => Err(Reason::UioNode {
                error: "its device node was not looked at".to_owned(),
            }),
        }
    }

    fn check_iommu(&self) -> Result<IommuGroupId, Reason> {
        // In no-IOMMU mode a VF has a group once it is bound.
        match self.function.iommu_group {
            Some(group) => Ok(group),
            None if self.facts.iommu_present => Err(Reason::NoIommuGroup),
            None => Err(Reason::NoIommu),
        }
    }

    /// `refused`: the driver that is wanted would refuse the VF.
    fn check_driver(&self, refused: bool) -> Result<(), Reason> {
        let wanted = || self.rules.drivers.clone();
        match &self.function.driver {
            Some(driver) if self.rules.drivers.contains(driver) => Ok(()),
            Some(driver) if driver.as_str() != self.spec.vf_driver => Err(Reason::ForeignDriver {
                driver: driver.clone(),
                wanted: wanted(),
            }),
            _ if refused => Err(Reason::Denylisted {
                id: self.function.id,
            }),
            Some(driver) => Err(Reason::KernelDriver {
                driver: driver.clone(),
                wanted: wanted(),
            }),
            None => Err(Reason::NotBound { wanted: wanted() }),
        }
    }

    fn check_group(&self, group: IommuGroupId, drivers: &VfioDrivers) -> Result<(), Reason> {
        match self
            .facts
            .groups
            .get(&group)
            .map(|group| group.viability(drivers))
        {
            Some(Viability::Blocked { by }) => Err(Reason::GroupBlocked {
                group,
                by: by.iter().map(Member::to_string).collect(),
            }),
            Some(Viability::Viable) | None => Ok(()),
        }
    }

    fn check_nodes(&self, group: IommuGroupId) -> Result<(), Reason> {
        if let Err(error) = self.facts.control {
            return Err(Reason::ControlNode {
                error: sentence(error),
            });
        }
        match self.facts.nodes.get(&group) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Reason::Node {
                group,
                error: sentence(error),
            }),
            None => Err(Reason::Node {
                group,
                error: "its device node was not looked at".to_owned(),
            }),
        }
    }

    fn services(&self) -> Result<Option<&'a Services>, Reason> {
        let Some(pf) = self.pf else {
            return Ok(None);
        };
        if !self.spec.services.is_configurable() {
            return Ok(None);
        }
        match self
            .facts
            .readings
            .get(&pf)
            .map(|reading| &reading.services)
        {
            Some(Ok(services)) => Ok(services.as_ref()),
            Some(Err(error)) => Err(self.unknown_services(sentence(error))),
            None => Err(self.unknown_services("they were not read".to_owned())),
        }
    }

    fn unknown_services(&self, error: String) -> Reason {
        Reason::Services {
            pf: self.pf.unwrap_or(self.function.address),
            error,
        }
    }
}
