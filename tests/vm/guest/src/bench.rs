//! What it takes to bind functions as the daemon does: rules, records, locks, workers.

use std::io::Result as IoResult;
use std::time::Duration;

use qat_node::binding::Tools;
use qat_policy::{Family, bind_rules};
use sysfs_pci::{DriverName, PciAddress, SysfsRoot};
use vfio_host::bind::{
    BINDS, BindError, BindPlan, BindRefusal, BindRules, Binder, Claim, HostFacts, Look, Outcome,
    ReleasePlan,
};
use vfio_host::worker::{Patience, Worker, WorkerCommand};
use vfio_host::{
    ContainerFile, DeviceFile, DeviceLock, Extension, GroupFile, Host, StateDir, control_node,
};

/// Where records and locks are.
const STATE: &str = "/run/qat";

/// The tools, and what may be bound.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) tools: Tools,
    pub(crate) rules: BindRules,
    pub(crate) state: StateDir,
}

/// A function that this process has open, as a workload does.
#[derive(Debug)]
pub(crate) struct Held {
    /// Files are closed in this order.
    _device: DeviceFile,
    _group: GroupFile,
    _container: ContainerFile,
}

impl Bench {
    /// With the driver's own patience.
    pub(crate) fn new() -> Self {
        Self::with_patience(Patience::default())
    }

    pub(crate) fn with_patience(patience: Patience) -> Self {
        let families = Family::all().iter().copied().collect();
        Self {
            tools: Tools {
                host: Host::default(),
                state_dir: STATE.into(),
                workers: WorkerCommand {
                    program: "/proc/self/exe".into(),
                    args: vec!["worker".into()],
                    sysfs: SysfsRoot::default(),
                    patience,
                },
            },
            rules: bind_rules(&families, &vfio_pci()),
            state: StateDir::open(STATE).unwrap(),
        }
    }

    pub(crate) fn look(&self, vf: PciAddress) -> Look {
        self.tools.host.look(vf).unwrap()
    }

    pub(crate) fn facts(&self) -> HostFacts {
        self.tools.host.facts(&self.rules.driver)
    }

    pub(crate) fn plan(&self, vf: PciAddress) -> Result<BindPlan, BindRefusal> {
        BindPlan::new(&self.look(vf), self.facts(), &self.rules, &Claim::None)
    }

    pub(crate) fn lock(&self, pf: PciAddress) -> DeviceLock {
        self.state.lock(pf, "a case").unwrap()
    }

    pub(crate) fn worker(&self, lock: &DeviceLock) -> Worker {
        self.tools.workers.start(lock).unwrap()
    }

    pub(crate) fn binder(&self) -> Binder<'_> {
        Binder {
            host: &self.tools.host,
            state: &self.state,
            patience: Duration::from_secs(5),
        }
    }

    /// Binds a VF that nothing stands in the way of.
    pub(crate) fn bind(&self, worker: &mut Worker, vf: PciAddress) -> Outcome {
        self.binder().bind(worker, &self.plan(vf).unwrap()).unwrap()
    }

    /// Plans to give a VF back as its record has it.
    pub(crate) fn release_plan(&self, vf: PciAddress) -> Result<ReleasePlan, BindRefusal> {
        let record = self.state.read(BINDS, vf).unwrap();
        let record = record.expect("it was bound and recorded");
        ReleasePlan::new(&self.look(vf), record, &Claim::None)
    }

    pub(crate) fn release(
        &self,
        worker: &mut Worker,
        vf: PciAddress,
    ) -> Result<Outcome, BindError> {
        self.binder()
            .release(worker, &self.release_plan(vf).unwrap())
    }

    /// Opens a VF as a workload does, and leaves its group to nobody else.
    pub(crate) fn open(&self, vf: PciAddress) -> IoResult<Held> {
        let Host { sysfs, dev, .. } = &self.tools.host;
        let group = sysfs_pci::iommu_group(sysfs, vf).unwrap().unwrap();
        let container = ContainerFile::open(&control_node(dev).unwrap().host_path)?;
        let group = GroupFile::open(&vfio_host::group_node(dev, group).unwrap().host_path)?;
        group.set_container(&container)?;
        container.set_iommu(Extension::Type1v2)?;
        Ok(Held {
            _device: group.device(vf)?,
            _group: group,
            _container: container,
        })
    }
}

pub(crate) fn vfio_pci() -> DriverName {
    "vfio-pci".parse().unwrap()
}
