//! How functions come to a machine: addresses and groups, by the kernel's rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use sysfs_pci::PciAddress;

use super::{
    DescriptionError, FunctionSpec, Machine,
    model::{Function, Iommu, Role, Sriov, Stopped, set_driver},
};

/// The lowest group number of VFs: they are created after everything else has one.
pub(super) const FIRST_VF_GROUP: u32 = 320;

impl Machine {
    /// The lowest number from `first` on that no group has.
    pub(super) fn free_group(&self, first: u32) -> u32 {
        let taken: BTreeSet<u32> = self
            .functions
            .values()
            .filter_map(|function| function.group)
            .collect();
        lowest_free(&taken, first)
    }

    /// The group for a function that comes back and had the group `old`: that
    /// of what it shares one with, or a free one.
    pub(super) fn group_again(&self, function: &Function, old: u32) -> u32 {
        let address = function.spec.address;
        let companion = self.functions.values().find(|other| {
            other.companion == Some(address) || function.companion == Some(other.spec.address)
        });
        if let Some(group) = companion.and_then(|companion| companion.group) {
            return group;
        }
        match function.role {
            Role::Vf { .. } => self.free_group(FIRST_VF_GROUP),
            _ if self.functions.values().any(|f| f.group == Some(old)) => self.free_group(0),
            _ => old,
        }
    }

    pub(super) fn insert(&mut self, spec: FunctionSpec, role: Role, first_group: u32) {
        let address = spec.address;
        if self.functions.contains_key(&address) {
            self.problems
                .push(DescriptionError::AddressTaken { address });
            return;
        }
        let group = match self.iommu {
            Iommu::None | Iommu::NoIommuMode => None,
            _ => Some(spec.group.unwrap_or_else(|| self.free_group(first_group))),
        };
        let mut function = Function {
            home: spec.driver.clone(),
            spec,
            role,
            group,
            companion: None,
            cdev: None,
            driver_override: None,
            enable: None,
            literal: BTreeMap::new(),
            missing: BTreeSet::new(),
            node: true,
            leaving: false,
            stopped: Stopped::default(),
        };
        let driver = function.spec.driver.take();
        set_driver(&mut function, driver.as_deref(), &self.vfio_drivers);
        self.functions.insert(address, function);
    }

    /// Makes VFs of a PF, and returns their addresses: all of them, as a write to `sriov_numvfs`
    /// does on QAT, if there is no `count`.
    pub(super) fn create_vfs(
        &mut self,
        pf: PciAddress,
        driver: Option<&str>,
        count: Option<u16>,
    ) -> Vec<PciAddress> {
        let Some(function) = self.functions.get(&pf) else {
            return Vec::new();
        };
        let Some(sriov) = function.sriov().cloned() else {
            return Vec::new();
        };
        let mut template = function.spec.clone();
        template.id = sriov.vf_id;
        template.group = None;
        template.attributes.clear();
        template.driver_attributes.clear();
        template.debugfs = None;
        template.driver = driver.map(str::to_owned);
        let missing = function.missing.contains("numa_node");
        let taken: BTreeSet<u32> = self.functions.values().filter_map(|f| f.group).collect();
        let mut next = FIRST_VF_GROUP;
        let mut made = Vec::new();
        let count = count.unwrap_or(sriov.total).min(sriov.total);
        for index in 0..count {
            let Some(address) = vf_address(pf, &sriov, index) else {
                self.problems
                    .push(DescriptionError::NoAddress { pf, index });
                break;
            };
            next = lowest_free(&taken, next);
            let mut spec = template.clone();
            spec.address = address;
            spec.group = Some(next);
            next += 1;
            self.insert(spec, Role::Vf { pf, index }, FIRST_VF_GROUP);
            if missing && let Some(vf) = self.functions.get_mut(&address) {
                vf.missing.insert("numa_node".to_owned());
            }
            made.push(address);
        }
        if let Ok(sriov) = self.sriov_of(pf) {
            sriov.enabled = count;
            sriov.vfs = (0..).zip(made.iter().copied()).collect();
        }
        made
    }

    /// Forgets the VFs of a PF.
    pub(super) fn remove_vfs(&mut self, pf: PciAddress) -> Result<(), DescriptionError> {
        let sriov = self.sriov_of(pf)?;
        sriov.enabled = 0;
        for vf in mem::take(&mut sriov.vfs).into_values() {
            self.functions.remove(&vf);
        }
        Ok(())
    }
}

/// The lowest number from `first` on that is not taken.
pub(super) fn lowest_free(taken: &BTreeSet<u32>, first: u32) -> u32 {
    let mut free = first;
    for number in taken.range(first..) {
        if *number != free {
            break;
        }
        free += 1;
    }
    free
}

fn vf_address(pf: PciAddress, sriov: &Sriov, index: u16) -> Option<PciAddress> {
    let routing = u32::from(pf.bus()) << 8 | u32::from(pf.device()) << 3 | u32::from(pf.function());
    let routing = routing + u32::from(sriov.offset) + u32::from(index) * u32::from(sriov.stride);
    let bus = u8::try_from(routing >> 8).ok()?;
    let [.., low] = routing.to_be_bytes();
    PciAddress::new(pf.domain(), bus, low >> 3, low & 7)
}
