//! What the real daemon costs while nothing happens, and what a day of changes leaves behind.
//!
//! `cargo build --release -p qat-plugin && cargo bench -p tests --bench idle`. It takes some nine minutes. With `--test` each part
//! runs for a moment, to see that it works.
#![expect(clippy::print_stdout, reason = "that is its result")]

use std::env::args;
use std::fs;
use std::time::{Duration, Instant};

use node_sim::{Machine, Profile, ResourceView};
use tests::{DEADLINE, Daemon, Scene};
use tokio::time::sleep;

const CY: &str = "qat.intel.com/cy";

/// How long each part is measured.
#[derive(Clone, Copy)]
struct Times {
    /// Until what follows a start is over.
    settle: Duration,
    idle: Duration,
    /// Changes, there and back.
    changes: usize,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let times = if args().any(|arg| arg == "--test") {
        Times {
            settle: Duration::from_millis(100),
            idle: Duration::from_secs(1),
            changes: 20,
        }
    } else {
        Times {
            settle: Duration::from_secs(20),
            idle: Duration::from_mins(1),
            changes: 720,
        }
    };
    for (pfs, vfs) in [(1, 16), (8, 16), (16, 64)] {
        idle(pfs, vfs, times).await?;
    }
    changes(times).await
}

/// A look every five minutes, as where the kernel's events arrive.
async fn served(pfs: u8, vfs: u16) -> anyhow::Result<(Scene, Daemon, usize)> {
    let scene = Scene::new(Machine::profile(Profile::Scale { pfs, vfs })).await?;
    // The same VFs change again and again.
    let config = scene.node.root().join("config.yaml");
    fs::write(&config, "version: 1\nhealth: { falls: 100000 }\n")?;
    let config = format!("--config={}", config.display());
    let daemon = scene.daemon(&["--rescan-interval=5m", &config])?;
    let seen = |view: &ResourceView| view.streaming && view.allocatable > 0;
    let view = scene.kubelet.wait_for(CY, seen, DEADLINE).await?;
    Ok((scene, daemon, view.allocatable))
}

async fn idle(pfs: u8, vfs: u16, times: Times) -> anyhow::Result<()> {
    let (scene, daemon, _) = served(pfs, vfs).await?;
    sleep(times.settle).await;
    let (calls, cpu) = (daemon.reads()?, daemon.cpu()?);
    sleep(times.idle).await;
    let calls = daemon.reads()? - calls;
    let per_hour = (daemon.cpu()? - cpu) * 3600.0 / times.idle.as_secs_f64();
    println!(
        "{} VFs of {pfs} PFs, nothing happens for {:?}: {calls} reads, {per_hour:.1} s of CPU per hour, {} KiB resident",
        u32::from(pfs) * u32::from(vfs),
        times.idle,
        daemon.memory()?
    );
    scene.end(daemon).await?;
    Ok(())
}

/// One VF after the other loses its driver and has it back. Each of the two reaches the kubelet as a list.
async fn changes(times: Times) -> anyhow::Result<()> {
    let (scene, daemon, all) = served(8, 16).await?;
    let view = scene.kubelet.resources()[CY].clone();
    let mut took = Vec::new();
    let (mut early, cpu) = (daemon.memory()?, daemon.cpu()?);
    for nth in 0..times.changes {
        let vf = view.devices[nth % view.devices.len()].id.parse()?;
        for count in [all - 1, all] {
            let begun = Instant::now();
            if count < all {
                scene.node.unbind(vf)?;
            } else {
                scene.node.bind(vf, "vfio-pci")?;
            }
            let heard = |view: &ResourceView| view.allocatable == count;
            scene.kubelet.wait_for(CY, heard, DEADLINE).await?;
            took.push(begun.elapsed());
        }
        if nth == times.changes / 10 {
            early = daemon.memory()?;
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!(
        "change of a VF to list received: median {:.0} ms, p99 {:.0} ms, longest {:.0} ms ({} times)",
        at(50),
        at(99),
        at(100),
        took.len()
    );
    println!(
        "for all of them {:.2} s of CPU; {early} KiB resident after a tenth, {} KiB after all",
        daemon.cpu()? - cpu,
        daemon.memory()?
    );
    scene.end(daemon).await?;
    Ok(())
}
