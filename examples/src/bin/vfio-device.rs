//! Gives PCI functions on `vfio-pci` to pods and virtual machines, whatever they are.
//!
//! ```sh
//! vfio-device example.com/nvme 8086:5845,1b36:0010 /sys /dev /var/lib/kubelet/device-plugins
//! ```
//!
//! Offered are the functions with these ids that VFIO can have; `passthrough::Pool` says which.
//! A container gets their nodes, and their addresses in the variables that KubeVirt and Kata read.
#![forbid(unsafe_code)]

use anyhow::bail;
use async_trait::async_trait;
use device_plugin::{
    AllocateError, ContainerEdits, DeviceId, DevicePlugin, DeviceSet, DeviceWatch, KubeletDir,
    ResourceName, Supervisor, stop_signal,
};
use passthrough::Pool;
use std::{env, sync::Arc, time::Duration};
use tokio::sync::watch;
use vfio_host::Host;

struct Functions {
    resource: ResourceName,
    pool: Pool,
    devices: DeviceWatch,
}

#[async_trait]
impl DevicePlugin for Functions {
    fn devices(&self) -> watch::Receiver<Arc<DeviceSet>> {
        self.devices.subscribe()
    }

    async fn allocate(&self, ids: &[DeviceId]) -> Result<ContainerEdits, AllocateError> {
        self.pool.hand_out(&self.resource, ids)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [resource, ids, sysfs, dev, kubelet_dir] = &args[..] else {
        bail!("usage: vfio-device RESOURCE VENDOR:DEVICE,... SYSFS DEV KUBELET_DIR");
    };
    plugin_admin::init(plugin_admin::LogFormat::Text, 1)?;
    let resource: ResourceName = resource.parse()?;
    let ids = ids.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let host = Host::new(sysfs, dev);
    let pool = Pool { host, ids };
    let watched = pool.clone();
    let look = move || Ok(DeviceSet::new(watched.devices()?)?);
    let plugin = Functions {
        resource: resource.clone(),
        pool,
        devices: DeviceWatch::every(Duration::from_secs(5), look)?,
    };
    let mut supervisor = Supervisor::new(KubeletDir::new(kubelet_dir));
    supervisor.offer(resource, Arc::new(plugin))?;
    stop_signal().await?;
    supervisor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
