//! Another plugin on the node, in this process.

use std::sync::Arc;

use async_trait::async_trait;
use device_plugin::{
    AllocateError, ContainerEdits, Device, DeviceId, DevicePlugin, DeviceSet, Health, KubeletDir,
    Supervisor,
};
use node_sim::SimNode;
use tokio::sync::watch;

use crate::DEADLINE;

/// A plugin that offers VFs as Intel's Go plugin does: the address is the ID, and the container gets
/// `QAT0`, `QAT1`, …. It knows nothing of what pods hold.
#[derive(Debug)]
pub struct StandIn(Supervisor);

impl StandIn {
    /// Offers every VF of the node as `resource`.
    ///
    /// # Errors
    ///
    /// When the resource or an address is no name that a kubelet takes.
    pub fn start(node: &SimNode, resource: &str) -> anyhow::Result<Self> {
        let vfs = node.vfs();
        let devices = vfs.iter().map(|vf| {
            Ok(Device {
                id: vf.to_string().parse()?,
                health: Health::Healthy,
                numa_nodes: Vec::new(),
            })
        });
        let devices = DeviceSet::new(devices.collect::<anyhow::Result<Vec<_>>>()?)?;
        let mut supervisor = Supervisor::new(KubeletDir::new(node.kubelet_dir()));
        let plugin = Plugin(watch::Sender::new(Arc::new(devices)));
        supervisor.offer(resource.parse()?, Arc::new(plugin))?;
        Ok(Self(supervisor))
    }

    /// Ends, as on SIGTERM.
    pub async fn stop(self) {
        self.0.shutdown(DEADLINE).await;
    }
}

struct Plugin(watch::Sender<Arc<DeviceSet>>);

#[async_trait]
impl DevicePlugin for Plugin {
    fn devices(&self) -> watch::Receiver<Arc<DeviceSet>> {
        self.0.subscribe()
    }

    async fn allocate(&self, ids: &[DeviceId]) -> Result<ContainerEdits, AllocateError> {
        let variables = ids.iter().enumerate();
        Ok(ContainerEdits {
            envs: variables
                .map(|(index, id)| (format!("QAT{index}"), id.to_string()))
                .collect(),
            ..ContainerEdits::default()
        })
    }
}
