//! A machine that has been written: where things are.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use sysfs_pci::{IommuGroupId, PciAddress};

use super::{
    DescriptionError, Machine, SimError,
    grow::lowest_free,
    kernel::Kernel,
    model::{Function, Iommu},
    tree::{KUBELET_DIR, Tree},
};

/// A machine as a tree of files, and the hand that plays its kernel.
///
/// Everything a plugin wants to know is below [`root`](Self::root). The
/// methods that change something do it as the kernel does, in the same order:
/// what a scan can see half way through here, it can see half way through there.
///
/// The methods take `&self`, so that one thread can change the machine while
/// others look at it. The directory is not removed when the value is dropped.
///
/// # Examples
///
/// ```
/// use node_sim::{Machine, Profile};
///
/// let dir = node_sim::scratch()?;
/// let node = Machine::profile(Profile::Xeon4xxx).write(dir.path())?;
/// let vf = node.vfs()[0];
/// let link = node.sysfs().join("bus/pci/devices").join(vf.to_string()).join("driver");
///
/// node.unbind(vf)?;
/// assert!(link.symlink_metadata().is_err());
/// node.bind(vf, "vfio-pci")?;
/// assert!(link.is_dir());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SimNode {
    pub(super) tree: Arc<Tree>,
    shared: Arc<Shared>,
}

/// What a node and the reactor that plays its kernel both change.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something that was waited for may have come.
    turned: Condvar,
}

/// What the tree shows, and what was taken out of it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) machine: Machine,
    /// What went with a function when it was unplugged, in that order, itself last.
    pub(super) unplugged: BTreeMap<PciAddress, Vec<Function>>,
    pub(super) kernel: Kernel,
}

impl SimNode {
    pub(super) fn write(mut machine: Machine, dir: &Path) -> Result<Self, SimError> {
        check_bridges(&machine)?;
        number(&mut machine);
        let tree = Tree::write(dir, &machine)?;
        let state = State {
            machine,
            unplugged: BTreeMap::new(),
            kernel: Kernel::default(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            turned: Condvar::new(),
        };
        Ok(Self {
            tree: Arc::new(tree),
            shared: Arc::new(shared),
        })
    }

    /// The same node once more, for a thread.
    pub(super) fn share(&self) -> Self {
        Self {
            tree: Arc::clone(&self.tree),
            shared: Arc::clone(&self.shared),
        }
    }

    /// The directory that holds everything.
    pub fn root(&self) -> &Path {
        self.tree.root()
    }

    /// What is `/sys` on a real machine.
    pub fn sysfs(&self) -> PathBuf {
        self.root().join("sys")
    }

    /// What is `/dev`.
    pub fn dev(&self) -> PathBuf {
        self.root().join("dev")
    }

    /// What is `/sys/kernel/debug`.
    pub fn debugfs(&self) -> PathBuf {
        self.root().join("sys/kernel/debug")
    }

    /// What is `/var/lib/kubelet/device-plugins`: an empty directory.
    pub fn kubelet_dir(&self) -> PathBuf {
        self.root().join(KUBELET_DIR)
    }

    /// Addresses of the PFs with SR-IOV that are there now, in order.
    pub fn pfs(&self) -> Vec<PciAddress> {
        self.state().machine.pfs()
    }

    /// Addresses of the VFs that are there now, in order; also those given to a guest.
    pub fn vfs(&self) -> Vec<PciAddress> {
        self.state().machine.vfs()
    }

    /// Addresses of everything else that is there now: bridges, network cards.
    pub fn others(&self) -> Vec<PciAddress> {
        self.state().machine.others()
    }

    /// Addresses of a PF's VFs by number.
    pub fn vfs_of(&self, pf: PciAddress) -> Vec<PciAddress> {
        self.state().machine.vfs_of(pf)
    }

    /// The IOMMU group that a function is in now.
    pub fn group_of(&self, address: PciAddress) -> Option<IommuGroupId> {
        self.state().machine.group_of(address)
    }

    /// The driver that a function has now.
    pub fn driver_of(&self, address: PciAddress) -> Option<String> {
        let state = self.state();
        let function = state.machine.functions.get(&address)?;
        function.spec.driver.clone().filter(|_| !function.leaving)
    }

    /// The directory of a function, through `bus/pci/devices`.
    pub fn device(&self, address: PciAddress) -> PathBuf {
        let devices = self.sysfs().join("bus/pci/devices");
        devices.join(address.to_string())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed while it changed the tree must not fail others a second time.
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the state until somebody has called [`turn`](Self::turn).
    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let state = self.shared.turned.wait(state);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who [`wait`](Self::wait).
    pub(super) fn turn(&self) {
        self.shared.turned.notify_all();
    }
}

impl State {
    /// Takes what was unplugged with a function out of memory.
    pub(super) fn take_unplugged(
        &mut self,
        address: PciAddress,
    ) -> Result<Vec<Function>, SimError> {
        if self.machine.functions.contains_key(&address) {
            return Err(DescriptionError::AddressTaken { address }.into());
        }
        self.unplugged
            .remove(&address)
            .ok_or(SimError::NotUnplugged { address })
    }
}

/// More bridges in a row than any machine has.
const MAX_BRIDGES: usize = 32;

fn check_bridges(machine: &Machine) -> Result<(), DescriptionError> {
    for (address, function) in &machine.functions {
        let mut above = function.spec.behind;
        let mut bridges = 0;
        while let Some(bridge) = above {
            above = machine.get(bridge)?.spec.behind;
            bridges += 1;
            if bridges > MAX_BRIDGES {
                return Err(DescriptionError::BridgeLoop { address: *address });
            }
        }
    }
    Ok(())
}

/// Gives the numbers that VFIO drivers hand out: X of `vfioX`, and the groups of no-IOMMU mode.
fn number(machine: &mut Machine) {
    let no_iommu = machine.iommu == Iommu::NoIommuMode;
    let drivers = &machine.vfio_drivers;
    let on_vfio = machine.functions.values_mut().filter(|function| {
        let driver = function.spec.driver.as_ref();
        driver.is_some_and(|driver| drivers.contains(driver))
    });
    let mut next = 0;
    for function in on_vfio {
        if no_iommu {
            function.group = Some(next);
        }
        if function.group.is_some() {
            function.cdev = Some(next);
            next += 1;
        }
    }
}

/// The lowest X that no `vfioX` has.
pub(super) fn free_cdev(machine: &Machine) -> u32 {
    let taken: BTreeSet<u32> = machine.functions.values().filter_map(|f| f.cdev).collect();
    lowest_free(&taken, 0)
}
