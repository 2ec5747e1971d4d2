//! The truth about a VF at the moment it is handed out.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;

use passthrough::{Chosen, VfioInterface};
use qat_policy::{
    DebugfsRoot, Family, FunctionKind, PfReading, PoolName, PoolNames, Reason, Rules, Traits,
    VfDrivers, identify,
};
use sysfs_pci::{AttrError, IommuGroupId, NumaNode, PciAddress, PciId, VfIndex};
use vfio_host::{Host, NodeError, Refusal, UioRefusal, VfioNode};

use crate::text::chain;
use crate::{NodeState, Roots};

/// Asks the machine about single VFs, now.
///
/// A list that was sent to the kubelet may be seconds old. Before a VF goes to a pod everything that
/// makes it usable is looked at once more, with reads that cannot block.
#[derive(Debug)]
pub struct Recheck {
    host: Host,
    debugfs: DebugfsRoot,
    families: BTreeSet<Family>,
    wanted: VfDrivers,
    names: PoolNames,
}

/// What is known of a VF from the last look, and does not change while it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// Its PF; none in a guest.
    pub pf: Option<PciAddress>,
    /// Its number on the PF.
    pub index: Option<VfIndex>,
    /// Its NUMA node.
    pub numa_node: Option<NumaNode>,
}

impl Known {
    /// What a state knows of a VF: perhaps nothing.
    pub(crate) fn of(state: &NodeState, pool: &PoolName, vf: PciAddress) -> Self {
        let vf = state.pools.get(pool).and_then(|vfs| vfs.get(&vf));
        vf.map_or_else(Self::default, |vf| Self {
            pf: vf.pf,
            index: vf.index,
            numa_node: vf.numa_node,
        })
    }
}

/// Why a VF cannot be handed out. The text ends up in `kubectl describe pod`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecheckError {
    /// The address holds something else than a VF that this node offers.
    #[error("{address} is {id} now, which is no QAT VF that this node offers")]
    NotOurs {
        /// The address.
        address: PciAddress,
        /// What is there.
        id: PciId,
    },
    /// The VF cannot be used through VFIO.
    #[error(transparent)]
    Unusable(#[from] Refusal),
    /// The VF cannot be used through UIO.
    #[error(transparent)]
    UnusableUio(#[from] UioRefusal),
    /// What is in the place of the VF's character device is something else.
    #[error("{address} cannot be handed out by its character device")]
    Cdev {
        /// The VF.
        address: PciAddress,
        /// What is wrong with the node.
        source: NodeError,
    },
    /// The container was given other nodes than the VF has now.
    #[error(
        "this container was given `{}` for {address}, which has `{}` now, so the VF was made or bound anew; delete the pod to get \
         a new answer", given.display(), now.display()
    )]
    Renewed {
        /// The VF.
        address: PciAddress,
        /// The node that the container has.
        given: PathBuf,
        /// The node that the VF has.
        now: PathBuf,
    },
    /// The CDI file of the resource is not as it must be for this VF.
    #[error("{address} cannot be handed out by CDI: {why}")]
    Cdi {
        /// The VF.
        address: PciAddress,
        /// What is wrong with the file.
        why: String,
    },
    /// The control node of VFIO is not usable.
    #[error("VFIO is not usable on this node")]
    Control {
        /// What is wrong with the node.
        source: NodeError,
    },
    /// The PF does not run.
    #[error("{address} is of no use now: {reason}")]
    PfTrouble {
        /// The VF.
        address: PciAddress,
        /// What is wrong with the PF, and what to do.
        reason: Reason,
    },
    /// The VF had a PF and has lost the link to it.
    #[error("{address} is being removed: it has lost the link to its PF {pf}")]
    LostPf {
        /// The VF.
        address: PciAddress,
        /// The PF that it had.
        pf: PciAddress,
    },
    /// The PF serves something else now.
    #[error(
        "{address} belongs to pool `{now}` now, because the services of its PF {pf} or the configuration were changed; it \
         moves there when no pod holds it"
    )]
    Moved {
        /// The VF.
        address: PciAddress,
        /// Its PF.
        pf: PciAddress,
        /// The pool it belongs to.
        now: PoolName,
    },
    /// The services of the PF cannot be told.
    #[error("the services of PF {pf} cannot be told: {why}")]
    Services {
        /// The PF.
        pf: PciAddress,
        /// What went wrong.
        why: String,
    },
    /// A link or an attribute cannot be read.
    #[error("{address} cannot be looked at")]
    Read {
        /// The function.
        address: PciAddress,
        /// The attribute and what the kernel said.
        source: AttrError,
    },
}

impl RecheckError {
    /// The short code of a problem that lies in the VF, its group or its PF; `None` for one of the host, of a file or of
    /// one container, which says nothing about the VF. See [`Verdict::Unhealthy`](crate::Verdict::Unhealthy).
    #[must_use]
    pub const fn vf_code(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotOurs { .. } => "gone",
            Self::Unusable(refusal) => match refusal {
                Refusal::Gone { .. } => "gone",
                Refusal::NoDriver { .. } => "not-bound",
                Refusal::WrongDriver { .. } => "foreign-driver",
                Refusal::NoGroup { .. } => "no-iommu-group",
                Refusal::NotViable { .. } => "group-blocked",
                Refusal::InUse { .. } => "in-use",
                Refusal::GroupInUse { .. } => "group-in-use",
                Refusal::Node { .. } => "node",
                _ => "unreadable",
            },
            Self::UnusableUio(refusal) => match refusal {
                UioRefusal::Gone { .. } => "gone",
                UioRefusal::NoDriver { .. } => "not-bound",
                UioRefusal::WrongDriver { .. } => "foreign-driver",
                UioRefusal::Node { .. } => "uio-node",
                _ => "unreadable",
            },
            Self::Cdev { .. } => "node",
            Self::PfTrouble { reason, .. } => reason.code(),
            Self::LostPf { .. } => "no-pf-link",
            Self::Moved { .. } => "moves",
            Self::Services { .. } => "services",
            Self::Read { .. } => "unreadable",
            Self::Renewed { .. } | Self::Cdi { .. } | Self::Control { .. } => return None,
        })
    }
}

impl Recheck {
    /// Prepares checks under the rules of a node.
    pub fn new(roots: &Roots, rules: &Rules) -> Self {
        Self {
            host: Host {
                sysfs: roots.sysfs.clone(),
                dev: roots.dev.clone(),
                drivers: rules.drivers.vfio(),
            },
            debugfs: roots.debugfs.clone(),
            families: rules.families.clone(),
            wanted: rules.drivers.clone(),
            names: rules.names.clone(),
        }
    }

    /// Looks at a VF that `pool` advertises, of which `known` is known, and returns its nodes.
    ///
    /// What an [`Inventory`](qat_policy::Inventory) withholds for a reason that lies in the VF, its
    /// group or its PF is refused here too.
    ///
    /// # Errors
    ///
    /// [`RecheckError`] when it must not be handed out, with the sentence for the pod's events.
    pub fn vf(
        &self,
        address: PciAddress,
        pool: &PoolName,
        known: &Known,
        interface: VfioInterface,
    ) -> Result<Chosen, RecheckError> {
        let family = self.family(address)?;
        self.pf(address, family, pool, known)?;
        self.nodes(address, interface, true)
    }

    /// Looks at a VF that a container was given and is about to use: what it is, its driver, its group and its
    /// nodes. It may be open, and its PF is not asked.
    ///
    /// # Errors
    ///
    /// [`RecheckError`] when the container could not use it, with the sentence for the pod's events.
    pub fn held(
        &self,
        address: PciAddress,
        interface: VfioInterface,
    ) -> Result<Chosen, RecheckError> {
        self.family(address)?;
        self.nodes(address, interface, false)
    }

    /// The family of a VF that this node offers.
    fn family(&self, address: PciAddress) -> Result<Family, RecheckError> {
        let identity = sysfs_pci::identity(&self.host.sysfs, address).map_err(|source| {
            if source.is_gone() {
                RecheckError::Unusable(Refusal::Gone { address })
            } else {
                RecheckError::Read { address, source }
            }
        })?;
        match identify(identity.id) {
            Some((family, FunctionKind::Vf)) if self.families.contains(&family) => Ok(family),
            _ => Err(RecheckError::NotOurs {
                address,
                id: identity.id,
            }),
        }
    }

    /// What lies in the VF and its group, by the way it is handed out.
    fn nodes(
        &self,
        address: PciAddress,
        interface: VfioInterface,
        must_be_idle: bool,
    ) -> Result<Chosen, RecheckError> {
        match &self.wanted {
            VfDrivers::Vfio(_) => {
                let usable = if must_be_idle {
                    self.host.recheck(address, None)?
                } else {
                    self.host.recheck_held(address, None)?
                };
                let chosen = interface.choose(&self.host, address, usable.node);
                chosen.map_err(|source| RecheckError::Cdev { address, source })
            }
            VfDrivers::Uio(driver) => {
                let node = self.host.recheck_uio(address, driver)?;
                Ok(Chosen {
                    nodes: vec![node.into()],
                    without_cdev: false,
                })
            }
        }
    }

    /// The IOMMU group of a VF, where it matters: a VF on a UIO driver is handed out without.
    ///
    /// # Errors
    ///
    /// [`RecheckError::Read`].
    pub(crate) fn group(&self, address: PciAddress) -> Result<Option<IommuGroupId>, RecheckError> {
        match self.wanted {
            VfDrivers::Vfio(_) => sysfs_pci::iommu_group(&self.host.sysfs, address)
                .map_err(|source| RecheckError::Read { address, source }),
            VfDrivers::Uio(_) => Ok(None),
        }
    }

    /// Looks at `/dev/vfio/vfio`, which every user of VFIO needs. `None`: VFs are on UIO and need none.
    ///
    /// # Errors
    ///
    /// [`RecheckError::Control`] when it is missing or no character device.
    pub fn control(&self) -> Result<Option<VfioNode>, RecheckError> {
        match self.wanted {
            VfDrivers::Vfio(_) => vfio_host::control_node(&self.host.dev)
                .map(Some)
                .map_err(|source| RecheckError::Control { source }),
            VfDrivers::Uio(_) => Ok(None),
        }
    }

    /// Looks at the PF of a VF: whether it runs, and whether it still serves what the pool says. A
    /// VF inside a guest has none, and never had.
    fn pf(
        &self,
        address: PciAddress,
        family: Family,
        pool: &PoolName,
        known: &Known,
    ) -> Result<(), RecheckError> {
        let Host { sysfs, drivers, .. } = &self.host;
        let read = |address| move |source| RecheckError::Read { address, source };
        let Some(pf) = sysfs_pci::physfn(sysfs, address).map_err(read(address))? else {
            let lost = |pf| Err(RecheckError::LostPf { address, pf });
            return known.pf.map_or(Ok(()), lost);
        };
        let driver = sysfs_pci::driver(sysfs, pf).map_err(read(pf))?;
        let PfReading { services } =
            qat_policy::read_pf(sysfs, &self.debugfs, pf, driver.as_ref(), family);
        let tells = matches!(services, Ok(Some(_)));
        qat_policy::check_pf(pf, driver.as_ref(), tells, family, drivers)
            .map_err(|reason| RecheckError::PfTrouble { address, reason })?;
        let untold = |error: &dyn Error| RecheckError::Services {
            pf,
            why: chain(error),
        };
        let services = services.map_err(|error| untold(&error))?;
        let now = self.names.of(&Traits {
            family: Some(family),
            pf: Some(pf),
            index: known.index,
            numa_node: known.numa_node,
            services: services.as_ref(),
        });
        let now = now.map_err(|error| untold(&error))?;
        if now == *pool {
            Ok(())
        } else {
            Err(RecheckError::Moved { address, pf, now })
        }
    }
}
