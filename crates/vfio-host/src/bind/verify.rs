//! Reading back, with a deadline.

use std::thread::sleep;
use std::time::{Duration, Instant};

use sysfs_pci::{DriverName, PciAddress, fs};

use super::commands::is_stuck;
use super::{BindRefusal, Failure};
use crate::node::{is_announced, verified_group_node};
use crate::{Host, HostError, NodeError, VfioDrivers, Viability, read_group};

/// The first pause between two looks; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_micros(200);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Looks until what is looked for is there, or gives the last failure when the time is up.
///
/// The kernel is done when a write returns. Nodes of another `/dev` than the kernel's own appear a moment
/// later.
pub(super) fn until<T>(
    within: Duration,
    mut look: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        match look() {
            Err(Failure::Gone) => return Err(Failure::Gone),
            Err(failure) if is_stuck(&failure) || Instant::now() >= deadline => {
                return Err(failure);
            }
            Err(_not_yet) => sleep(pause),
            found => return found,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The driver of a function that is there.
pub(super) fn driver(host: &Host, address: PciAddress) -> Result<Option<DriverName>, Failure> {
    let driver = sysfs_pci::driver(&host.sysfs, address)?;
    if driver.is_none() && fs::stat(&host.sysfs.pci_device(address)).is_err() {
        return Err(Failure::Gone);
    }
    Ok(driver)
}

/// Checks that a function has the driver that it should have.
pub(super) fn has_driver(
    host: &Host,
    address: PciAddress,
    wanted: Option<&DriverName>,
) -> Result<(), Failure> {
    let found = driver(host, address)?;
    if found.as_ref() == wanted {
        return Ok(());
    }
    Err(Failure::Driver {
        wanted: wanted.cloned(),
        found,
    })
}

/// Checks that VFIO can give the function out: its group, who else is in it, the node.
///
/// A privileged container has the nodes that the host had when it started, and no new ones come unless `/dev/vfio` is mounted. So where
/// a node is missing it is enough that sysfs has the group's device: the kernel has made the node then.
pub(super) fn is_usable(
    host: &Host,
    address: PciAddress,
    vfio: &VfioDrivers,
) -> Result<(), Failure> {
    let group = sysfs_pci::iommu_group(&host.sysfs, address)?.ok_or(Failure::NoGroup)?;
    let members = match read_group(&host.sysfs, group) {
        Err(HostError::NoGroup { .. }) => return Err(Failure::NoGroup),
        members => members?,
    };
    if let Viability::Blocked { by } = members.viability(vfio) {
        return Err(Failure::NotViable(BindRefusal::NotViable { group, by }));
    }
    match verified_group_node(&host.sysfs, &host.dev, group) {
        Err(NodeError::Missing { .. }) if is_announced(&host.sysfs, group) => Ok(()),
        node => node.map(drop).map_err(Failure::Node),
    }
}
