//! Lets pods share a character device of the host, such as `/dev/kvm` or `/dev/fuse`.
//!
//! ```sh
//! character-device example.com/kvm /dev/kvm 110 / /var/lib/kubelet/device-plugins
//! ```
//!
//! Any number of processes can open such a node, so the count is how many containers are let in.
//! The kubelet is offered that many devices, `kvm-0` to `kvm-109`, which all stand for the node.
//! The fourth argument is where the host's files are seen: `/host`, say, in a pod with a mount there.
#![forbid(unsafe_code)]

use anyhow::{Context, bail};
use async_trait::async_trait;
use device_plugin::{
    AllocateError, ContainerEdits, DeviceId, DeviceNode, DevicePlugin, DeviceSet, DeviceWatch,
    KubeletDir, ResourceName, Supervisor, stop_signal,
};
use std::path::{Path, PathBuf};
use std::{env, fs, os::unix::fs::FileTypeExt, sync::Arc, time::Duration};
use tokio::sync::watch;

struct SharedNode {
    node: PathBuf,
    seen: PathBuf,
    devices: DeviceWatch,
}

#[async_trait]
impl DevicePlugin for SharedNode {
    fn devices(&self) -> watch::Receiver<Arc<DeviceSet>> {
        self.devices.subscribe()
    }

    async fn allocate(&self, _ids: &[DeviceId]) -> Result<ContainerEdits, AllocateError> {
        let found = fs::metadata(&self.seen);
        if !found.is_ok_and(|found| found.file_type().is_char_device()) {
            let reason = format!("`{}` is no device on this node", self.node.display());
            return Err(AllocateError::refused(reason));
        }
        let mut edits = ContainerEdits::default();
        edits.devices.push(DeviceNode::rw(&self.node));
        Ok(edits)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [resource, node, count, host, kubelet_dir] = &args[..] else {
        bail!("usage: character-device RESOURCE NODE COUNT HOST KUBELET_DIR");
    };
    plugin_admin::init(plugin_admin::LogFormat::Text, 1)?;
    let resource: ResourceName = resource.parse()?;
    let count = count.parse().context("COUNT is no number")?;
    let all = DeviceSet::numbered(resource.name(), count)?;
    let seen = Path::new(host).join(node.trim_start_matches('/'));
    let plugin = SharedNode {
        node: node.into(),
        devices: DeviceWatch::of_path(&seen, FileTypeExt::is_char_device, all)?,
        seen,
    };
    let mut supervisor = Supervisor::new(KubeletDir::new(kubelet_dir));
    supervisor.offer(resource, Arc::new(plugin))?;
    stop_signal().await?;
    supervisor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
