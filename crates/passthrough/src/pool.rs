//! The functions of a machine with certain ids: which can be had, and how they are handed out.

use device_plugin::{AllocateError, ContainerEdits, Device, DeviceId, ResourceName};
use sysfs_pci::{
    Depth, Function, NumaNode, PciAddress, PciId, ScanError, identity, numa_node, scan,
};
use vfio_host::{Host, Viability, control_node, group_node, groups};

use crate::edits::edits;
use crate::grant::{Grant, GrantedFunction};

/// The PCI functions with certain ids, as far as VFIO can have them: all that a plugin for such
/// functions needs, if it has no rules of its own.
///
/// ```no_run
/// use passthrough::Pool;
/// use vfio_host::Host;
///
/// let pool = Pool {
///     host: Host::default(),
///     ids: vec!["8086:5845".parse()?],
/// };
/// for device in pool.devices()? {
///     let edits = pool.hand_out(&"example.com/nvme".parse()?, &[device.id])?;
///     println!("{:?}", edits.envs);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pool {
    /// The machine.
    pub host: Host,
    /// Vendor and device of the functions.
    pub ids: Vec<PciId>,
}

impl Pool {
    /// Returns the functions that can be handed out, as healthy devices. A device's ID is the
    /// function's address, its NUMA node that of the function.
    ///
    /// A function can be handed out if it is bound to a VFIO driver, is in an IOMMU group that no
    /// other driver keeps from VFIO, and the group has its node. Functions of one group go to one
    /// owner, so only the first of them is here. A function that cannot be read is left out.
    ///
    /// # Errors
    ///
    /// [`ScanError`] when the PCI bus cannot be listed.
    pub fn devices(&self) -> Result<Vec<Device>, ScanError> {
        let wanted = |id| {
            if self.ids.contains(&id) {
                Depth::Function
            } else {
                Depth::Identity
            }
        };
        let snapshot = scan(&self.host.sysfs, &wanted)?;
        let mut groups = groups(&snapshot);
        let bound = |function: &&Function| {
            let driver = function.driver.as_ref();
            driver.is_some_and(|driver| self.host.drivers.contains(driver))
        };
        let mut devices = Vec::new();
        for function in snapshot.functions.values().filter(bound) {
            let group = function.iommu_group.and_then(|id| groups.remove(&id));
            let usable = group.is_some_and(|group| {
                group.viability(&self.host.drivers) == Viability::Viable
                    && group_node(&self.host.dev, group.id).is_ok()
            });
            if usable {
                devices.extend(self.device(function.address));
            }
        }
        Ok(devices)
    }

    /// Looks at the functions behind `ids` once more, and says what a container needs to use them:
    /// [`edits`](crate::edits) without numbered variables.
    ///
    /// # Errors
    ///
    /// [`AllocateError::Refused`] with the sentence for the user, when one of them cannot be used
    /// any more.
    pub fn hand_out(
        &self,
        resource: &ResourceName,
        ids: &[DeviceId],
    ) -> Result<ContainerEdits, AllocateError> {
        let functions = ids.iter().map(|id| self.granted(id));
        Ok(edits(&Grant {
            resource,
            functions: functions.collect::<Result<_, _>>()?,
            control: Some(control_node(&self.host.dev).map_err(AllocateError::because)?),
            numbered_prefix: None,
            cdi_names: false,
        }))
    }

    fn device(&self, address: PciAddress) -> Option<Device> {
        // A PCI address is a valid ID, so that this leaves nothing out.
        let mut device = Device::healthy(address.to_string().parse().ok()?);
        let near = numa_node(&self.host.sysfs, address).ok().flatten();
        device.numa_nodes = near.map(NumaNode::get).into_iter().collect();
        Some(device)
    }

    fn granted(&self, id: &DeviceId) -> Result<GrantedFunction, AllocateError> {
        let address = id.as_str().parse().map_err(AllocateError::because)?;
        let usable = self.host.recheck(address, None);
        let rejected = |why| AllocateError::refused(format!("{why}; then recreate the pod"));
        let usable = usable.map_err(rejected)?;
        // Another function may be at the address of one that was unplugged.
        let now = identity(&self.host.sysfs, address).map_err(AllocateError::because)?;
        if !self.ids.contains(&now.id) {
            return Err(AllocateError::refused(format!(
                "PCI function {address} is a {} now, which is not advertised; recreate the pod",
                now.id
            )));
        }
        let nodes = vec![usable.node.into()];
        Ok(GrantedFunction { address, nodes })
    }
}

#[cfg(test)]
mod tests;
