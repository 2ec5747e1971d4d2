//! `qat-inspect` on a simulated node, cut off from this machine.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use node_sim::SimNode;

use crate::binary;

/// What names the boot that runs, below `/proc`. The plugin reads it from this machine.
const BOOT_ID: &str = "sys/kernel/random/boot_id";

/// A command that asks `qat-inspect` a question about a node. Every place that it reads is below the node's root: this machine may
/// have a kubelet and a container runtime of its own.
///
/// # Errors
///
/// When the binary is missing or stale, or the node cannot be written to.
pub fn inspector(node: &SimNode, question: &str) -> anyhow::Result<Command> {
    let root = node.root();
    let boot = root.join("proc").join(BOOT_ID);
    if !boot.exists() {
        fs::create_dir_all(boot.parent().context("a file has a directory")?)?;
        fs::copy(format!("/proc/{BOOT_ID}"), boot)?;
    }
    let mut command = Command::new(binary("qat-inspect")?);
    command.env_clear().arg(question);
    for (flag, path) in [
        ("sysfs-root", node.sysfs()),
        ("dev-root", node.dev()),
        ("proc-root", root.join("proc")),
        ("firmware-dir", root.join("firmware")),
        ("cdi-dir", root.join("cdi")),
        ("kubelet-dir", node.kubelet_dir()),
    ] {
        command.arg(format!("--{flag}={}", path.display()));
    }
    Ok(command)
}
