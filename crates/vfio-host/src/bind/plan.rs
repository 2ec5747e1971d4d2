//! What to do, decided from what was seen. Nothing here touches the machine.

use std::collections::BTreeSet;

use sysfs_pci::{DriverName, PciAddress, PciId};

use super::{BindRecord, BindRefusal, HostFacts, Look};
use crate::{VfioDrivers, Viability};

/// The driver whose denylist is known.
const VFIO_PCI: &str = "vfio-pci";

/// What may be bound to what, as the caller decides.
#[derive(Clone, Debug)]
pub struct BindRules {
    /// The driver to bind to.
    pub driver: DriverName,
    /// The VFIO drivers. A function on another of them than `driver` is left there.
    pub vfio: VfioDrivers,
    /// The ids that may be touched.
    pub ids: BTreeSet<PciId>,
    /// Those among them that `vfio-pci` refuses unless it was told otherwise.
    pub denylisted: BTreeSet<PciId>,
    /// Drivers that a function may be taken from.
    pub take_from: BTreeSet<DriverName>,
}

/// What pods have to do with a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// No pod holds it.
    None,
    /// This pod, or a pod with this resource, holds it.
    Held {
        /// Who, for a sentence.
        by: String,
    },
    /// Nobody knows.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// How a function is to be bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindPlan {
    /// The function.
    pub(super) address: PciAddress,
    /// The driver that it has.
    pub(super) from: Option<DriverName>,
    /// The driver that it is to have.
    pub(super) to: DriverName,
    /// The VFIO drivers, if `to` is one: then a group and its node are waited for.
    pub(super) vfio: Option<VfioDrivers>,
    /// Drivers that it may be taken from if they are faster.
    pub(super) take_from: BTreeSet<DriverName>,
}

/// How a function is to be given back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReleasePlan {
    /// The function.
    pub(super) address: PciAddress,
    /// The driver that it has.
    pub(super) from: Option<DriverName>,
    /// What was found before it was bound.
    pub(super) record: BindRecord,
}

// === impl BindPlan ===

impl BindPlan {
    /// Decides how to bind a function.
    ///
    /// One that is on a VFIO driver already stays there whoever holds it: that is a plan too, which at
    /// most completes the `driver_override`. One without a driver is of no use to anybody: if a pod holds it
    /// (it was made anew meanwhile), the pod can only win. One that has a driver of the kernel's is not taken
    /// from it while a pod is known to hold it.
    ///
    /// # Errors
    ///
    /// [`BindRefusal`]: the first thing that stands in the way, in the order in which a person would mend
    /// things.
    pub fn new(
        look: &Look,
        host: HostFacts,
        rules: &BindRules,
        claim: &Claim,
    ) -> Result<Self, BindRefusal> {
        let Look { address, id, .. } = *look;
        if !rules.ids.contains(&id) {
            return Err(BindRefusal::NotAllowed { address, id });
        }
        let stays = look
            .driver
            .as_ref()
            .filter(|driver| **driver == rules.driver || rules.vfio.contains(driver));
        if let Some(driver) = stays {
            return Ok(Self::from_to(look, driver, rules));
        }
        check_way(look, host, rules)?;
        if rules.vfio.contains(&rules.driver) {
            check_vfio(look, host, rules)?;
        }
        check_unbinding(look)?;
        if look.driver.is_some() {
            check_held(claim)?;
        }
        Ok(Self::from_to(look, &rules.driver, rules))
    }

    fn from_to(look: &Look, to: &DriverName, rules: &BindRules) -> Self {
        Self {
            address: look.address,
            from: look.driver.clone(),
            to: to.clone(),
            vfio: rules.vfio.contains(to).then(|| rules.vfio.clone()),
            take_from: rules.take_from.clone(),
        }
    }

    /// The function.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// Whether the function has its driver already.
    pub fn is_bound(&self) -> bool {
        self.from.as_ref() == Some(&self.to)
    }
}

/// The driver is there, and the function can be taken from the one that has it.
fn check_way(look: &Look, host: HostFacts, rules: &BindRules) -> Result<(), BindRefusal> {
    if let Some((pf, Some(driver))) = &look.pf
        && rules.vfio.contains(driver)
    {
        return Err(BindRefusal::PfOnVfio {
            pf: *pf,
            driver: driver.clone(),
        });
    }
    match &look.driver {
        Some(driver) if !rules.take_from.contains(driver) => Err(BindRefusal::ForeignDriver {
            driver: driver.clone(),
        }),
        _ if !host.driver_present => Err(BindRefusal::DriverMissing {
            driver: rules.driver.clone(),
        }),
        _ => Ok(()),
    }
}

/// VFIO would take it.
fn check_vfio(look: &Look, host: HostFacts, rules: &BindRules) -> Result<(), BindRefusal> {
    let denied = rules.denylisted.contains(&look.id) && host.denylist_disabled != Some(true);
    if denied && rules.driver.as_str() == VFIO_PCI {
        return Err(BindRefusal::Denylisted { id: look.id });
    }
    let Some(group) = &look.group else {
        return match host {
            HostFacts {
                iommu_present: true,
                ..
            } => Err(BindRefusal::NoGroup),
            HostFacts {
                no_iommu_mode: true,
                ..
            } => Ok(()),
            _ => Err(BindRefusal::NoIommu),
        };
    };
    // The function itself is about to leave the driver that it has.
    let mut others = group.clone();
    others
        .members
        .retain(|member| member.address != Some(look.address));
    match others.viability(&rules.vfio) {
        Viability::Viable => Ok(()),
        Viability::Blocked { by } => Err(BindRefusal::NotViable {
            group: group.id,
            by,
        }),
    }
}

/// No unbind of it waits for anybody.
fn check_unbinding(look: &Look) -> Result<(), BindRefusal> {
    if look.driver.is_none() && look.enabled > 0 && look.has_node {
        return Err(BindRefusal::Unbinding);
    }
    Ok(())
}

fn check_held(claim: &Claim) -> Result<(), BindRefusal> {
    match claim {
        Claim::Held { by } => Err(BindRefusal::Allocated { by: by.clone() }),
        Claim::None | Claim::Unknown { .. } => Ok(()),
    }
}

// === impl ReleasePlan ===

impl ReleasePlan {
    /// Decides how to give a function back: to what the record says was there.
    ///
    /// # Errors
    ///
    /// [`BindRefusal`]: the function is in use, or has a driver that we have not given it.
    pub fn new(look: &Look, record: BindRecord, claim: &Claim) -> Result<Self, BindRefusal> {
        let ours = |driver: &DriverName| {
            *driver == record.driver || record.found_driver.as_ref() == Some(driver)
        };
        match &look.driver {
            Some(driver) if !ours(driver) => {
                return Err(BindRefusal::ForeignDriver {
                    driver: driver.clone(),
                });
            }
            driver if *driver != record.found_driver => {
                check_held(claim)?;
                if let Claim::Unknown { why } = claim {
                    return Err(BindRefusal::UseUnknown { why: why.clone() });
                }
                if look.driver.is_some() && look.enabled > 0 {
                    return Err(BindRefusal::Open);
                }
                check_unbinding(look)?;
            }
            _as_found => {}
        }
        Ok(Self {
            address: look.address,
            from: look.driver.clone(),
            record,
        })
    }

    /// The function.
    pub fn address(&self) -> PciAddress {
        self.address
    }
}
