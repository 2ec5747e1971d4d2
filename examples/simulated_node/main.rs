//! The whole story on one machine without QAT: a simulated node, a strict kubelet, and the real
//! `qat-plugin` and `qat-inspect`.
//!
//! ```sh
//! cargo run --example simulated_node
//! ```
//!
//! What is simulated: the files of sysfs and /dev (in a temporary directory), and the kubelet
//! (`node_sim::Kubelet`). What is real: both binaries, the unix sockets, the gRPC messages.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a demo prints")]

mod build;
mod say;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use node_sim::{Kubelet, Machine, Profile, ResourceView, Restart};
use tokio::process::Command as AsyncCommand;

use crate::build::Binaries;
use crate::say::{chapter, explain, lines};

const CY: &str = "qat.intel.com/cy";
const DC: &str = "qat.intel.com/dc";
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match story().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn story() -> anyhow::Result<()> {
    chapter("Build");
    let binaries = Binaries::build()?;

    chapter("A node with QAT");
    let dir = node_sim::scratch()?;
    let node = Machine::profile(Profile::Xeon4xxxTwoSockets).write(dir.path())?;
    explain(&format!(
        "A server with two 4th-generation Xeons has {} QAT physical functions (PFs). SR-IOV splits \
         each into 16 virtual functions (VFs), {} in all. Their sysfs is written to {}.",
        node.pfs().len(),
        node.vfs().len(),
        node.sysfs().display(),
    ));

    chapter("What the inspector sees");
    let listing = inspect(&binaries, &node)?;
    let shown: Vec<&str> = listing.lines().collect();
    lines(&shown[..shown.len().min(14)].join("\n"));
    lines(&format!("… {} more lines …", shown.len().saturating_sub(15)));
    lines(shown.last().copied().unwrap_or_default());
    explain(
        "Each VF sits alone in an IOMMU group and is bound to vfio-pci, so it can be given away \
         safely. The services of its PF decide the resource: sym;asym is `cy`, dc is `dc`.",
    );

    chapter("The plugin meets the kubelet");
    let kubelet = Kubelet::start(&node.kubelet_dir()).await?;
    let mut plugin = AsyncCommand::new(&binaries.plugin)
        .arg(format!("--sysfs-root={}", node.sysfs().display()))
        .arg(format!("--dev-root={}", node.dev().display()))
        .arg(format!("--kubelet-dir={}", node.kubelet_dir().display()))
        .arg("--rescan-interval=200ms")
        .kill_on_drop(true)
        .spawn()
        .context("cannot start qat-plugin")?;
    for resource in [CY, DC] {
        let view = kubelet.wait_for(resource, full, DEADLINE).await?;
        lines(&format!(
            "{resource}: capacity {}, allocatable {}, on socket {}",
            view.capacity, view.allocatable, view.endpoint,
        ));
    }
    explain(
        "For each resource the plugin listens on a socket of its own, then calls Register on \
         kubelet.sock. The kubelet dials back while Register still waits, asks for the options, and \
         opens a stream on which the device list arrives. The node now advertises both resources.",
    );

    chapter("A KubeVirt VM asks for two VFs");
    let vm = kubelet.admit([(CY, 2)]).await?;
    lines(&say::pod(&vm));
    explain(
        "The kubelet picked the VFs with GetPreferredAllocation and called Allocate; the plugin \
         looked at both VFs once more and answered. virt-launcher reads PCI_RESOURCE_… and puts one \
         <hostdev> for each address into the VM; the group nodes let QEMU open them.",
    );

    chapter("A DPDK pod asks for one VF");
    let pod = kubelet.admit([(DC, 1)]).await?;
    lines(&say::pod(&pod));
    explain(
        "A DPDK image starts with `-a $QAT0`, an image made for SR-IOV with \
         `-a $PCIDEVICE_QAT_INTEL_COM_DC`. Kata rewrites the PCIDEVICE_ variables to the guest's \
         addresses.",
    );

    chapter("The kubelet restarts");
    let before = Instant::now();
    kubelet.restart(Restart::WipeSockets, Duration::ZERO).await?;
    for resource in [CY, DC] {
        kubelet.wait_for(resource, full, DEADLINE).await?;
    }
    explain(&format!(
        "A starting kubelet deletes every socket in its directory. The plugin noticed, ended its old \
         streams, and registered both resources again: {} ms from the stop of the old kubelet to the \
         last list. The VM and the pod keep their VFs.",
        before.elapsed().as_millis(),
    ));

    chapter("A VF breaks");
    let vf = node.vfs()[20];
    node.unbind(vf)?;
    let sick = |view: &ResourceView| view.allocatable == 63;
    let resource = if kubelet.wait_for(DC, sick, DEADLINE).await.is_ok() { DC } else { CY };
    explain(&format!(
        "{vf} lost its driver. It stays in the list of {resource}, Unhealthy, with the reason in the \
         log above: a pod may still hold it. 63 of 64 can be allocated.",
    ));
    node.bind(vf, "vfio-pci")?;
    kubelet.wait_for(resource, full, DEADLINE).await?;
    explain("Bound again, it is Healthy again.");

    chapter("Stop");
    let pid = plugin.id().context("qat-plugin has ended")?;
    Command::new("kill").arg(pid.to_string()).stdin(Stdio::null()).status()?;
    let status = plugin.wait().await?;
    ensure!(status.success(), "qat-plugin ended with {status}");
    explain("SIGTERM: streams ended, sockets removed, exit code 0.");
    kubelet.stop().await;
    Ok(())
}

/// All 64 VFs of a resource, on an open stream.
fn full(view: &ResourceView) -> bool {
    view.streaming && view.allocatable == 64
}

fn inspect(binaries: &Binaries, node: &node_sim::SimNode) -> anyhow::Result<String> {
    let output = Command::new(&binaries.inspect)
        .arg("list")
        .arg(format!("--sysfs-root={}", node.sysfs().display()))
        .arg(format!("--dev-root={}", node.dev().display()))
        .output()
        .context("cannot start qat-inspect")?;
    ensure!(output.status.success(), "qat-inspect: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
