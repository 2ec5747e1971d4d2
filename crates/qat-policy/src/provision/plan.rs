//! From what is to what is wanted.

use sysfs_pci::PciAddress;

use super::{DeviceState, InUse, PfGoal, PfRefusal, PfState, PfStep, VfState, VfUse, VfsGoal};
use crate::drivers::vfio_drivers;
use crate::services::{ServiceSet, Services};

/// What to do to a PF, in order. Nothing, if all is as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PfPlan {
    /// The PF.
    pub pf: PciAddress,
    /// The steps.
    pub steps: Vec<PfStep>,
}

impl PfPlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether VFs that are there go away.
    pub fn destroys_vfs(&self) -> bool {
        self.steps.iter().any(PfStep::destroys_vfs)
    }
}

/// Plans what brings a PF to a goal.
///
/// # Errors
///
/// [`PfRefusal`]: the first thing that stands in the way, in the order in which a person would mend things.
pub fn plan(pf: &PfState, goal: &PfGoal) -> Result<PfPlan, PfRefusal> {
    check_driver(pf)?;
    let services = services_change(pf, goal)?;
    let count = pf.vfs.len();
    let total = match goal.vfs {
        VfsGoal::All => pf.total_vfs.ok_or(PfRefusal::SriovOff)?,
        VfsGoal::None => 0,
        VfsGoal::Keep if count == 0 => 0,
        VfsGoal::Keep => pf.total_vfs.unwrap_or_default(),
    };
    let removes = total == 0 && count > 0;
    let destroys = services.is_some() || removes;
    let creates = total > 0 && (services.is_some() || count == 0);
    check_whole(pf, destroys || creates || goal.driver.is_some())?;
    if destroys {
        check_free(&pf.vfs)?;
    }

    let mut steps = Vec::new();
    if let Some(set) = services {
        if pf.state == Some(DeviceState::Up) {
            steps.push(PfStep::State {
                to: DeviceState::Down,
            });
        }
        steps.push(PfStep::services(set));
    } else if removes {
        steps.push(PfStep::RemoveVfs);
    }
    // New VFs are for the driver that is wanted, so none is to get them first.
    let hold_back = creates && goal.driver.is_some() && pf.autoprobe == Some(true);
    if hold_back {
        steps.push(PfStep::Autoprobe { on: false });
    }
    if creates {
        steps.push(PfStep::CreateVfs { total });
    } else if services.is_some() || (goal.services.is_some() && pf.state == Some(DeviceState::Down))
    {
        // What has services is to serve.
        steps.push(PfStep::State {
            to: DeviceState::Up,
        });
    }
    steps.extend(auto_reset_change(pf, goal)?);
    steps.extend(bind(pf, goal, creates, total)?);
    let probes = pf.autoprobe.map(|on| on && !hold_back);
    if let (Some(is), Some(on)) = (probes, goal.autoprobe.or(pf.autoprobe))
        && is != on
    {
        steps.push(PfStep::Autoprobe { on });
    }
    Ok(PfPlan {
        pf: pf.address,
        steps,
    })
}

fn check_driver(pf: &PfState) -> Result<(), PfRefusal> {
    let spec = pf.family.spec();
    let expected = spec.pf_driver;
    match &pf.driver {
        None => Err(PfRefusal::Unbound {
            module: spec.pf_module,
        }),
        Some(driver) if driver.as_str() != expected => Err(PfRefusal::WrongDriver {
            driver: driver.clone(),
            expected,
        }),
        Some(_) => Ok(()),
    }
}

/// The services to be written, if they are others than now.
fn services_change(pf: &PfState, goal: &PfGoal) -> Result<Option<ServiceSet>, PfRefusal> {
    let Some(wanted) = goal.services else {
        return Ok(None);
    };
    let (family, support) = (pf.family, pf.family.spec().services);
    if !support.is_configurable() {
        return Err(PfRefusal::FixedServices { family });
    }
    if !support.allows(wanted) {
        return Err(PfRefusal::LacksServices {
            family,
            wanted,
            support,
        });
    }
    match &pf.services {
        Err(error) => Err(PfRefusal::Services {
            error: error.clone(),
        }),
        Ok(Some(Services { set, .. })) if *set == wanted => Ok(None),
        Ok(_) if pf.state.is_none() => Err(PfRefusal::NoAttribute {
            attribute: "cfg_services",
            since: "6.0",
        }),
        Ok(_) => Ok(Some(wanted)),
    }
}

fn auto_reset_change(pf: &PfState, goal: &PfGoal) -> Result<Option<PfStep>, PfRefusal> {
    match (goal.auto_reset, pf.auto_reset) {
        (Some(on), Some(is)) if on != is => Ok(Some(PfStep::AutoReset { on })),
        (Some(true), None) => Err(PfRefusal::NoAttribute {
            attribute: "auto_reset",
            since: "6.9 with a device of generation 4",
        }),
        // What cannot reset itself does not.
        _ => Ok(None),
    }
}

fn check_whole(pf: &PfState, touched: bool) -> Result<(), PfRefusal> {
    let found = pf.vfs.len();
    match pf.total_vfs {
        Some(total) if touched && found > 0 && found != usize::from(total) => {
            Err(PfRefusal::SomeVfs { found, total })
        }
        _ => Ok(()),
    }
}

pub(super) fn check_free(vfs: &[VfState]) -> Result<(), PfRefusal> {
    let used: Vec<_> = vfs.iter().filter(|vf| vf.usage != VfUse::Free).collect();
    in_use(&used)
}

fn in_use(vfs: &[&VfState]) -> Result<(), PfRefusal> {
    let vfs: Vec<InUse> = vfs
        .iter()
        .map(|vf| InUse {
            vf: vf.address,
            usage: vf.usage.clone(),
        })
        .collect();
    if vfs.is_empty() {
        return Ok(());
    }
    Err(PfRefusal::InUse { vfs })
}

/// The VFs that are not on a VFIO driver yet.
fn bind(
    pf: &PfState,
    goal: &PfGoal,
    creates: bool,
    total: u16,
) -> Result<Option<PfStep>, PfRefusal> {
    let Some(driver) = goal.driver.filter(|_| total > 0) else {
        return Ok(None);
    };
    if creates {
        let vfs = Vec::new();
        return Ok(Some(PfStep::BindVfs { driver, vfs }));
    }
    let vfio = vfio_drivers();
    let unbound = || {
        pf.vfs.iter().filter(|vf| match &vf.driver {
            Some(driver) => !vfio.contains(driver),
            None => true,
        })
    };
    let own = pf.family.spec().vf_driver;
    for vf in unbound() {
        if let Some(driver) = vf.driver.as_ref().filter(|driver| driver.as_str() != own) {
            return Err(PfRefusal::ForeignVf {
                vf: vf.address,
                driver: driver.clone(),
            });
        }
    }
    // A VF that is on no VFIO driver is of no use to a pod of which nobody knows, and one without any
    // driver to none.
    let taken = |vf: &&VfState| match vf.usage {
        VfUse::Open { .. } => true,
        VfUse::Held { .. } => vf.driver.is_some(),
        VfUse::Free | VfUse::Unknown { .. } => false,
    };
    in_use(&unbound().filter(taken).collect::<Vec<_>>())?;
    let vfs: Vec<PciAddress> = unbound().map(|vf| vf.address).collect();
    Ok((!vfs.is_empty()).then_some(PfStep::BindVfs { driver, vfs }))
}
