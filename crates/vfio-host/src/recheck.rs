//! The truth about one function, now.

use std::error::Error;
use std::path::PathBuf;

use sysfs_pci::{AttrError, DriverName, IommuGroupId, PciAddress, SysfsRoot, fs};

use crate::error::chain;
use crate::live::{self, address_of};
use crate::node::verified_group_node;
use crate::{DevRoot, Group, HostError, Member, Refusal, VfioDrivers, VfioNode, Viability};

/// A machine, and which drivers count as VFIO drivers on it.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Where sysfs is.
    pub sysfs: SysfsRoot,
    /// Where the device nodes are.
    pub dev: DevRoot,
    /// The VFIO drivers.
    pub drivers: VfioDrivers,
}

/// A function that can be handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usable {
    /// The function.
    pub address: PciAddress,
    /// Its IOMMU group.
    pub group: IommuGroupId,
    /// The VFIO driver that is bound.
    pub driver: DriverName,
    /// The node of the group: [`Group`](crate::NodeKind::Group) or
    /// [`NoIommuGroup`](crate::NodeKind::NoIommuGroup).
    pub node: VfioNode,
    /// Other PCI functions of the group that are bound to a VFIO driver, by address. Who gets the
    /// group's node gets these too.
    pub shared_with: Vec<PciAddress>,
}

impl Host {
    /// Takes a machine whose `/sys` and `/dev` are seen at these paths, and on which `vfio-pci` is
    /// the only VFIO driver.
    pub fn new(sysfs: impl Into<PathBuf>, dev: impl Into<PathBuf>) -> Self {
        Self {
            sysfs: SysfsRoot::new(sysfs),
            dev: DevRoot::new(dev),
            drivers: VfioDrivers::default(),
        }
    }

    /// Asks the machine whether a function can be handed out now. Nothing is remembered.
    ///
    /// It looks at, in this order: the driver; the IOMMU group (which must be `expect`, where the
    /// caller has an expectation); the other members of the group and their drivers; the enable
    /// counts of the function and of the members on a VFIO driver, which are 0 while nobody has them
    /// open; the group's `name`, which tells whether an IOMMU confines it and so which node it must
    /// have; that node and its device numbers.
    ///
    /// All of this is read from links, `stat`, `enable`, `name` and `dev` files, which the kernel answers at
    /// once even while an unbind of the function is stuck. What can be used a moment later is another
    /// matter: whoever opens the node must be ready for a refusal.
    ///
    /// It makes 14 file system calls for a function that is alone in its group (driver 1, group 1,
    /// members 4, enable count 3, group name 1, node 1, device numbers 3), 2 more without an IOMMU,
    /// 1 less where sysfs has no `class/vfio` to compare the numbers with. Each further member costs 1; 1 more if its driver is not
    /// known by name; 3 more if that is a VFIO driver.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with the sentence for the pod's events.
    pub fn recheck(
        &self,
        address: PciAddress,
        expect: Option<IommuGroupId>,
    ) -> Result<Usable, Refusal> {
        self.usable(address, expect, true)
    }

    /// The same for a function that somebody was given already and may have open: the enable counts are not looked
    /// at.
    ///
    /// # Errors
    ///
    /// [`Refusal`], but never that it is in use.
    pub fn recheck_held(
        &self,
        address: PciAddress,
        expect: Option<IommuGroupId>,
    ) -> Result<Usable, Refusal> {
        self.usable(address, expect, false)
    }

    fn usable(
        &self,
        address: PciAddress,
        expect: Option<IommuGroupId>,
        must_be_idle: bool,
    ) -> Result<Usable, Refusal> {
        let driver = self.driver(address)?;
        let group = self.group(address, expect)?;
        let others = self.others(address, group)?;
        if let Viability::Blocked { by } = others.viability(&self.drivers) {
            let accepted = self.drivers.clone();
            return Err(Refusal::NotViable {
                address,
                group,
                by,
                accepted,
            });
        }
        let shared_with: Vec<_> = others
            .members
            .iter()
            .filter(|member| member.is_vfio_bound(&self.drivers))
            .filter_map(|member| member.address)
            .collect();
        if must_be_idle {
            self.idle(address, group, &shared_with)?;
        }
        let node = self.node(address, group)?;
        Ok(Usable {
            address,
            group,
            driver,
            node,
            shared_with,
        })
    }

    fn driver(&self, address: PciAddress) -> Result<DriverName, Refusal> {
        let accepted = || self.drivers.clone();
        match sysfs_pci::driver(&self.sysfs, address) {
            Ok(Some(driver)) if self.drivers.contains(&driver) => Ok(driver),
            Ok(Some(driver)) => Err(Refusal::WrongDriver {
                address,
                driver,
                accepted: accepted(),
            }),
            Ok(None) => Err(self.gone_or(
                address,
                Refusal::NoDriver {
                    address,
                    accepted: accepted(),
                },
            )),
            Err(error) => Err(unreadable(address, &error)),
        }
    }

    fn group(
        &self,
        address: PciAddress,
        expect: Option<IommuGroupId>,
    ) -> Result<IommuGroupId, Refusal> {
        match sysfs_pci::iommu_group(&self.sysfs, address) {
            Ok(Some(found)) => match expect {
                Some(expected) if expected != found => Err(Refusal::GroupChanged {
                    address,
                    expected,
                    found,
                }),
                _ => Ok(found),
            },
            Ok(None) => Err(self.gone_or(address, Refusal::NoGroup { address })),
            Err(error) => Err(unreadable(address, &error)),
        }
    }

    /// The group without the function itself.
    fn others(&self, address: PciAddress, group: IommuGroupId) -> Result<Group, Refusal> {
        let names = match live::names(&self.sysfs, group) {
            Ok(names) => names,
            Err(HostError::NoGroup { .. }) => {
                return Err(self.gone_or(address, Refusal::NoGroup { address }));
            }
            Err(error) => return Err(unreadable(address, &error)),
        };
        let all = names.len();
        let names: Vec<_> = names
            .into_iter()
            .filter(|name| address_of(name) != Some(address))
            .collect();
        if names.len() == all {
            // It left the group since its link was read.
            return Err(self.gone_or(address, Refusal::NoGroup { address }));
        }
        let look = |driver: &DriverName| !Member::is_known_harmless(driver, &self.drivers);
        let members = names
            .into_iter()
            .map(|name| live::member(&self.sysfs, group, name, look))
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable(address, &error))?;
        Ok(Group { id: group, members })
    }

    fn idle(
        &self,
        address: PciAddress,
        group: IommuGroupId,
        shared_with: &[PciAddress],
    ) -> Result<(), Refusal> {
        match sysfs_pci::enable_count(&self.sysfs, address) {
            Ok(0) => {}
            Ok(_) => return Err(Refusal::InUse { address, group }),
            Err(error) if error.is_gone() => {
                return Err(self.gone_or(address, unreadable(address, &error)));
            }
            Err(error) => return Err(unreadable(address, &error)),
        }
        for &other in shared_with {
            match sysfs_pci::enable_count(&self.sysfs, other) {
                Ok(0) => {}
                Ok(_) => {
                    return Err(Refusal::GroupInUse {
                        address,
                        group,
                        other,
                    });
                }
                // A member that went away meanwhile is open no more.
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(unreadable(address, &error)),
            }
        }
        Ok(())
    }

    fn node(&self, address: PciAddress, group: IommuGroupId) -> Result<VfioNode, Refusal> {
        verified_group_node(&self.sysfs, &self.dev, group)
            .map_err(|error| Refusal::Node { address, error })
    }

    /// A link that is missing says the same of a function that is gone; 1 call tells.
    fn gone_or(&self, address: PciAddress, refusal: Refusal) -> Refusal {
        match fs::stat(&self.sysfs.pci_device(address)) {
            Ok(_) => refusal,
            Err(_) => Refusal::Gone { address },
        }
    }
}

fn unreadable(address: PciAddress, error: &(dyn Error + 'static)) -> Refusal {
    match error.downcast_ref::<AttrError>() {
        Some(AttrError::Vanished { .. }) => Refusal::Gone { address },
        _ => Refusal::Read {
            address,
            reason: chain(error),
        },
    }
}
