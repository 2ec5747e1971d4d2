//! The daemon as it is shipped, with a strict kubelet, on the real machine.

use std::fs::create_dir_all;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use node_sim::{Kubelet, Pod, ResourceView};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::{Builder, Runtime};

use crate::holder::ends_within;

/// Where a kubelet of a real node has its sockets.
const KUBELET: &str = "/var/lib/kubelet/device-plugins";

/// How long anything that must happen may take on an emulated and busy processor.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// A kubelet and the daemon. There are no pods.
pub(crate) struct Scene {
    runtime: Runtime,
    kubelet: Kubelet,
    daemon: Child,
}

impl Scene {
    /// Starts both, the daemon with its defaults but for the time between looks: so long that it must hear of what happens.
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        create_dir_all(Path::new(KUBELET).parent().unwrap()).unwrap();
        let kubelet = runtime.block_on(Kubelet::start(KUBELET)).unwrap();
        // Those of the scene before, which are in the kubelet's checkpoint.
        for pod in kubelet.pods() {
            kubelet.delete(&pod);
        }
        let daemon = Command::new("/bin/qat-plugin")
            .args(["-v", "2", "--rescan-interval=60m"])
            .spawn();
        Self {
            runtime,
            kubelet,
            daemon: daemon.unwrap(),
        }
    }

    /// Waits until the kubelet knows so many devices of a resource, and so many of them are healthy.
    pub(crate) fn wait_for(&self, resource: &str, capacity: usize, healthy: usize) -> ResourceView {
        let fits = |view: &ResourceView| {
            (view.streaming, view.capacity, view.allocatable) == (true, capacity, healthy)
        };
        let view = self.kubelet.wait_for(resource, fits, DEADLINE);
        self.runtime
            .block_on(view)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Has a pod admitted that asks for one device.
    pub(crate) fn admit(&self, resource: &str) -> Pod {
        self.admit_with(resource, 1)
    }

    /// Has a pod admitted that asks for several.
    pub(crate) fn admit_with(&self, resource: &str, count: usize) -> Pod {
        let pod = self.kubelet.admit([(resource, count)]);
        self.runtime
            .block_on(pod)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Stops the daemon as Kubernetes does. It must end well, and the kubelet must have had nothing to
    /// complain about.
    pub(crate) fn end(mut self) {
        kill_process(Pid::from_child(&self.daemon), Signal::TERM).unwrap();
        ends_within(&mut self.daemon, DEADLINE);
        let transcript = self.kubelet.transcript();
        assert_eq!(transcript.warnings().count(), 0, "{transcript}");
        self.runtime.block_on(self.kubelet.stop());
    }
}

impl Drop for Scene {
    /// A case that failed leaves no daemon to the next.
    fn drop(&mut self) {
        if let Ok(None) = self.daemon.try_wait() {
            let _gone_meanwhile = self.daemon.kill();
            let _status = self.daemon.wait();
        }
    }
}
