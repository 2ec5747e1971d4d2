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
mod plugin;
mod say;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use node_sim::{Kubelet, Machine, Profile, ResourceView, Restart, SimNode};

use crate::build::Binaries;
use crate::plugin::Plugin;
use crate::say::{chapter, explain, lines};

const CY: &str = "qat.intel.com/cy";
const DC: &str = "qat.intel.com/dc";

/// How long anything may take on a busy machine.
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
    let binaries = Binaries::build()?;
    let dir = node_sim::scratch()?;
    let node = Machine::profile(Profile::Xeon4xxxTwoSockets).write(dir.path())?;
    introduce(&node);
    inspect(&binaries, &node)?;
    chapter("The plugin meets the kubelet");
    let kubelet = Kubelet::start(node.kubelet_dir()).await?;
    let mut plugin = Plugin::start(&binaries, &node)?;
    meet(&kubelet, &mut plugin).await?;
    a_vm(&kubelet, &mut plugin).await?;
    a_dpdk_pod(&kubelet, &mut plugin).await?;
    a_kubelet_restart(&kubelet, &mut plugin).await?;
    a_broken_vf(&node, &kubelet, &mut plugin).await?;
    chapter("Stop");
    plugin.stop().await?;
    explain("SIGTERM: streams ended, sockets removed, exit code 0.");
    Ok(())
}

fn introduce(node: &SimNode) {
    chapter("A node with QAT");
    explain(&format!(
        "A server with two 4th-generation Xeons has {} QAT physical functions (PFs). SR-IOV splits \
         each into 16 virtual functions (VFs), {} in all. Their sysfs is written to {}.",
        node.pfs().len(),
        node.vfs().len(),
        node.sysfs().display(),
    ));
}

fn inspect(binaries: &Binaries, node: &SimNode) -> anyhow::Result<()> {
    chapter("What the inspector sees");
    let output = Command::new(&binaries.inspect)
        .arg("list")
        .arg(format!("--sysfs-root={}", node.sysfs().display()))
        .arg(format!("--dev-root={}", node.dev().display()))
        .arg(format!("--kubelet-dir={}", node.kubelet_dir().display()))
        .output()
        .context("cannot start qat-inspect")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "qat-inspect: {errors}");
    let listing = String::from_utf8(output.stdout)?;
    let all: Vec<&str> = listing.lines().collect();
    let (shown, rest) = all.split_at(all.len().min(14));
    lines("$ qat-inspect list");
    lines(&shown.join("\n"));
    lines(&format!(
        "… {} lines left out …",
        rest.len().saturating_sub(1)
    ));
    lines(rest.last().copied().unwrap_or_default());
    explain(
        "Each VF sits alone in an IOMMU group and is bound to vfio-pci, so it can be given away \
         safely. The services of its PF decide the resource: sym and asym are `cy`, dc is `dc`.",
    );
    Ok(())
}

async fn meet(kubelet: &Kubelet, plugin: &mut Plugin) -> anyhow::Result<()> {
    let mut known = Vec::new();
    for resource in [CY, DC] {
        let view = kubelet.wait_for(resource, full, DEADLINE).await?;
        known.push(format!(
            "{resource}: capacity {}, allocatable {}, socket {}",
            view.capacity, view.allocatable, view.endpoint,
        ));
    }
    plugin.print_log().await;
    lines(&known.join("\n"));
    explain(
        "For each resource the plugin listens on a socket of its own, then calls Register on \
         kubelet.sock. The kubelet dials back while Register still waits, asks for the options, and \
         opens a stream on which the device list arrives. The node now advertises both resources.",
    );
    Ok(())
}

async fn a_vm(kubelet: &Kubelet, plugin: &mut Plugin) -> anyhow::Result<()> {
    chapter("A KubeVirt VM asks for two VFs");
    let vm = kubelet.admit([(CY, 2)]).await?;
    plugin.print_log().await;
    lines(&vm.answer.to_string());
    explain(
        "The kubelet picked the VFs with GetPreferredAllocation and called Allocate; the plugin \
         looked at both VFs once more and answered. virt-launcher reads PCI_RESOURCE_… and puts one \
         <hostdev> for each address into the VM; the group nodes let QEMU open them.",
    );
    Ok(())
}

async fn a_dpdk_pod(kubelet: &Kubelet, plugin: &mut Plugin) -> anyhow::Result<()> {
    chapter("A DPDK pod asks for one VF");
    let pod = kubelet.admit([(DC, 1)]).await?;
    plugin.print_log().await;
    lines(&pod.answer.to_string());
    explain(
        "A DPDK program starts with `-a $QAT0`, an image made for SR-IOV with \
         `-a $PCIDEVICE_QAT_INTEL_COM_DC`. Kata rewrites the PCIDEVICE_ variables to the guest's \
         addresses.",
    );
    Ok(())
}

async fn a_kubelet_restart(kubelet: &Kubelet, plugin: &mut Plugin) -> anyhow::Result<()> {
    chapter("The kubelet restarts");
    let before = Instant::now();
    kubelet
        .restart(Restart::WipeSockets, Duration::ZERO)
        .await?;
    for resource in [CY, DC] {
        kubelet.wait_for(resource, full, DEADLINE).await?;
    }
    let took = before.elapsed().as_millis();
    plugin.print_log().await;
    explain(&format!(
        "A starting kubelet deletes every socket in its directory. The plugin noticed, ended its old \
         streams, and registered both resources again: {took} ms from the stop of the old kubelet to \
         the last list. The VM and the pod keep their VFs.",
    ));
    Ok(())
}

async fn a_broken_vf(node: &SimNode, kubelet: &Kubelet, plugin: &mut Plugin) -> anyhow::Result<()> {
    chapter("A VF breaks");
    // The second PF serves compression.
    let vf = node.vfs_of(node.pfs()[1])[4];
    node.unbind(vf)?;
    let one_less = |view: &ResourceView| view.allocatable == 63;
    kubelet.wait_for(DC, one_less, DEADLINE).await?;
    plugin.print_log().await;
    explain(&format!(
        "{vf} lost its driver. It stays in the list of {DC}, Unhealthy: a pod may still hold it. 63 \
         of 64 can be allocated.",
    ));
    node.bind(vf, "vfio-pci")?;
    kubelet.wait_for(DC, full, DEADLINE).await?;
    plugin.print_log().await;
    explain("Bound again, it is Healthy again.");
    Ok(())
}

/// All 64 VFs of a resource, on an open stream.
fn full(view: &ResourceView) -> bool {
    view.streaming && view.allocatable == 64
}
