//! What the kubelet sees of the real daemon, in time and memory.
//!
//! `cargo build --release -p qat-plugin && cargo bench -p tests --bench daemon`. With `--test` each part runs
//! once, to see that it works.
#![expect(clippy::print_stdout, reason = "that is its result")]

use std::env::args;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kubelet_api::deviceplugin::v1beta1::{
    AllocateRequest, ContainerAllocateRequest, device_plugin_client::DevicePluginClient,
};
use node_sim::{Machine, Profile, ResourceView, Restart};
use tests::{DEADLINE, Daemon, Scene};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

const RESOURCE: &str = "qat.intel.com/cy";
/// The other one: the node has 128 VFs, half of them in each.
const OTHER: &str = "qat.intel.com/dc";
const VFS_OF_EACH: usize = 64;
/// Callers of Allocate at once.
const CALLERS: usize = 32;

/// How often each part is measured.
#[derive(Clone, Copy)]
struct Times {
    starts: usize,
    restarts: usize,
    calls: usize,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let once = args().any(|arg| arg == "--test");
    let times = if once {
        Times {
            starts: 1,
            restarts: 2,
            calls: 1,
        }
    } else {
        Times {
            starts: 50,
            restarts: 1000,
            calls: 500,
        }
    };
    let machine = || Machine::profile(Profile::Scale { pfs: 8, vfs: 16 });
    let scene = Scene::new(machine()).await?;
    let (daemon, took) = starts(&scene, times).await?;
    report("start to Register", took);
    report(
        "start of a caller to its answer, alone",
        allocate(&scene, times, 1).await?,
    );
    report(
        &format!("the same, {CALLERS} callers at once"),
        allocate(&scene, times, CALLERS).await?,
    );
    let before = daemon.memory()?;
    let (took, middle) = restarts(&scene, &daemon, times).await?;
    report("kubelet back to list received", took);
    println!(
        "resident memory, KiB: {before} at first, {middle} after a tenth of the restarts, {} after {}",
        daemon.memory()?,
        times.restarts
    );
    scene.end(daemon).await?;
    Ok(())
}

/// The kubelet has both lists, with all VFs.
async fn ready(scene: &Scene) -> anyhow::Result<()> {
    let all = |view: &ResourceView| view.streaming && view.allocatable == VFS_OF_EACH;
    scene.kubelet.wait_for(RESOURCE, all, DEADLINE).await?;
    scene.kubelet.wait_for(OTHER, all, DEADLINE).await?;
    Ok(())
}

/// From the start of the process to the Register that the kubelet receives.
async fn starts(scene: &Scene, times: Times) -> anyhow::Result<(Daemon, Vec<Duration>)> {
    let mut took = Vec::new();
    loop {
        let view = scene.kubelet.resource(RESOURCE);
        let seen = view.map_or(0, |view| view.registrations);
        let begun = Instant::now();
        let daemon = scene.daemon(&[])?;
        let more = |view: &ResourceView| view.registrations > seen;
        scene.kubelet.wait_for(RESOURCE, more, DEADLINE).await?;
        took.push(begun.elapsed());
        ready(scene).await?;
        if took.len() == times.starts {
            return Ok((daemon, took));
        }
        daemon.terminate(DEADLINE).await?;
    }
}

/// From the moment that kubelet.sock is there to both lists, with all VFs.
async fn restarts(
    scene: &Scene,
    daemon: &Daemon,
    times: Times,
) -> anyhow::Result<(Vec<Duration>, u64)> {
    let (mut took, mut middle) = (Vec::new(), 0);
    for turn in 0..times.restarts {
        scene.kubelet.stop().await;
        scene
            .kubelet
            .resume(Restart::WipeSockets, Duration::ZERO)
            .await?;
        let back = Instant::now();
        ready(scene).await?;
        took.push(back.elapsed());
        if turn == times.restarts / 10 {
            middle = daemon.memory()?;
        }
    }
    Ok((took, middle))
}

/// Allocate of one VF over one connection, as the kubelet has it.
async fn allocate(scene: &Scene, times: Times, callers: usize) -> anyhow::Result<Vec<Duration>> {
    let socket = scene.node.kubelet_dir().join("qat.intel.com-cy.sock");
    let client = dial(&socket).await?;
    let view = scene.kubelet.resource(RESOURCE);
    let vfs = view.context("the resource is registered")?.devices;
    let mut running = JoinSet::new();
    for vf in vfs.into_iter().take(callers) {
        let (mut client, id) = (client.clone(), vf.id);
        running.spawn(async move {
            let mut took = Vec::new();
            for _ in 0..times.calls {
                let devices_ids = vec![id.clone()];
                let container_requests = vec![ContainerAllocateRequest { devices_ids }];
                let begun = Instant::now();
                let request = AllocateRequest { container_requests };
                client.allocate(request).await?;
                took.push(begun.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = running.join_next().await {
        all.extend(took??);
    }
    Ok(all)
}

async fn dial(socket: &Path) -> anyhow::Result<DevicePluginClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?;
    Ok(DevicePluginClient::new(endpoint.connect().await?))
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!(
        "{what}: median {:.2} ms, p99 {:.2} ms, longest {:.2} ms ({} times)",
        at(50),
        at(99),
        at(100),
        took.len()
    );
}
