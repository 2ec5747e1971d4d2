//! The configuration file is followed while the plugin runs: only what becomes another pool is touched.

use std::fs::{self, create_dir, create_dir_all, rename};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node_sim::{Machine, Profile, ResourceView};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tests::{DEADLINE, Daemon, Scene};
use tokio::time::sleep;

use crate::admin;

const CY: &str = "qat.intel.com/cy";
const DC: &str = "qat.intel.com/dc";
const COMPRESS: &str = "qat.intel.com/compress";
const FAST: &str = "qat.intel.com/fast";

/// A VF that moves is shown as Unhealthy in its old pool for twelve seconds.
const MOVED: Duration = Duration::from_secs(40);

/// A `ConfigMap` as the kubelet mounts it: files are links into a directory that a link turns to.
pub(crate) struct ConfigMap {
    dir: PathBuf,
    turns: usize,
}

impl ConfigMap {
    pub(crate) fn new(root: &Path, text: &str) -> Self {
        let dir = root.join("config");
        create_dir_all(&dir).unwrap();
        let mut map = Self { dir, turns: 0 };
        map.set(text);
        symlink("..data/config.yaml", map.file()).unwrap();
        map
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("config.yaml")
    }

    /// Swaps the content in one rename.
    pub(crate) fn set(&mut self, text: &str) {
        self.swap(|file| fs::write(file, text).unwrap());
    }

    fn swap(&mut self, make: impl FnOnce(&Path)) {
        let old = fs::read_link(self.dir.join("..data")).ok();
        self.turns += 1;
        let name = format!("..turn_{}", self.turns);
        create_dir(self.dir.join(&name)).unwrap();
        make(&self.dir.join(&name).join("config.yaml"));
        symlink(&name, self.dir.join("..data_tmp")).unwrap();
        rename(self.dir.join("..data_tmp"), self.dir.join("..data")).unwrap();
        if let Some(old) = old {
            fs::remove_dir_all(self.dir.join(old)).unwrap();
        }
    }
}

/// How often the daemon has taken another configuration.
fn taken(daemon: &Daemon) -> usize {
    daemon.log().matches("was changed, and is followed").count()
}

async fn takes(daemon: &Daemon, times: usize) {
    let enough = |log: &str| log.matches("was changed, and is followed").count() >= times;
    daemon
        .until("the configuration was taken", enough, DEADLINE)
        .await
        .unwrap();
}

fn healthy(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

#[tokio::test]
async fn only_pools_that_change_are_registered_anew() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let kubelet = &scene.kubelet;
    let mut map = ConfigMap::new(scene.node.root(), "version: 1\n");
    let file = format!("--config={}", map.file().display());
    let daemon = scene.daemon(&[&file, "--admin=127.0.0.1:0"]).unwrap();
    for resource in [CY, DC] {
        kubelet
            .wait_for(resource, healthy(32), DEADLINE)
            .await
            .unwrap();
    }
    let pod = kubelet.admit([(CY, 1)]).await.unwrap();
    let held = scene.node.vfs()[0].to_string();
    assert_eq!(pod.answer.envs["QAT0"], held);

    // What only answers show needs no registration.
    map.set("version: 1\npools: [{ pool: cy, numberedPrefix: CY }]\n");
    takes(&daemon, 1).await;
    let other = kubelet.admit([(CY, 1)]).await.unwrap();
    assert!(other.answer.envs.contains_key("CY0"));
    assert!(kubelet.delete(&other));

    // One pool is called otherwise, and another takes two VFs, of which a pod holds one.
    let pf = scene.node.pfs()[0];
    let pools = format!(
        "version: 1
pools:
  - pool: dc
    name: compress
  - name: fast
    select: {{ pf: {pf}, vfs: 0-1 }}
"
    );
    map.set(&pools);
    takes(&daemon, 2).await;
    kubelet
        .wait_for(COMPRESS, healthy(32), MOVED)
        .await
        .unwrap();
    kubelet.wait_for(FAST, healthy(1), MOVED).await.unwrap();
    // The old lists show for a while what has moved. The pod's VF stays.
    let left = |view: &ResourceView| (view.capacity, view.allocatable) == (31, 30);
    kubelet.wait_for(CY, left, MOVED).await.unwrap();
    let gone = |view: &ResourceView| !view.streaming;
    kubelet.wait_for(DC, gone, MOVED).await.unwrap();
    assert!(kubelet.delete(&pod));
    kubelet.wait_for(FAST, healthy(2), MOVED).await.unwrap();

    // A file that is wrong changes nothing.
    let before = taken(&daemon);
    map.set("version: 1\npoolz: []\n");
    admin::until(&daemon, "/metrics", "qat_plugin_config_stale 1").await;
    daemon
        .logged("did you mean `pools`?", DEADLINE)
        .await
        .unwrap();
    map.set(&pools);
    admin::until(&daemon, "/metrics", "qat_plugin_config_stale 0").await;
    assert_eq!(taken(&daemon), before, "nothing is other than it was");

    // To open a pipe would wait for whoever writes to it.
    map.swap(|file| mknodat(CWD, file, FileType::Fifo, Mode::RUSR, 0).unwrap());
    admin::until(&daemon, "/metrics", "qat_plugin_config_stale 1").await;
    daemon.logged("is no file", DEADLINE).await.unwrap();
    map.set(&pools);
    admin::until(&daemon, "/metrics", "qat_plugin_config_stale 0").await;

    // What decides what is done to the machine takes a restart, and until then all is as it was.
    map.set(&format!(
        "{pools}offer: {{ driver: igb_uio, families: [c62x] }}\n"
    ));
    for key in ["offer.driver", "offer.families"] {
        daemon
            .logged(&format!("{key} was changed from"), DEADLINE)
            .await
            .unwrap();
    }
    let pod = kubelet.admit([(COMPRESS, 1)]).await.unwrap();
    assert!(kubelet.delete(&pod));
    assert_eq!(taken(&daemon), before, "nothing of it is followed");

    // A selector that takes nothing is said, with what there is.
    map.set(&format!(
        "{pools}  - {{ name: none, select: {{ pf: 0000:99:00.0 }} }}\n"
    ));
    daemon
        .logged(
            "pool `none` (PF 0000:99:00.0) takes no VF of this node",
            DEADLINE,
        )
        .await
        .unwrap();

    let registrations = |resource| kubelet.resource(resource).unwrap().registrations;
    for turn in 0..100 {
        map.set(&format!("{pools}health: {{ falls: {} }}\n", turn % 7 + 1));
    }
    map.set(&format!(
        "{pools}  - {{ name: last, select: {{ numaNode: 9 }} }}\n"
    ));
    daemon
        .logged("pool `last` (NUMA node 9) takes no VF", DEADLINE)
        .await
        .unwrap();
    for resource in [CY, COMPRESS, FAST] {
        assert_eq!(registrations(resource), 1, "{resource}");
    }
    scene.end(daemon).await.unwrap();
}

/// Free VFs do not wait for those that pods have, nor for the end of their old list.
#[tokio::test]
async fn renamed_pool_is_healthy_while_the_old_list_is_still_there() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let kubelet = &scene.kubelet;
    let mut map = ConfigMap::new(scene.node.root(), "version: 1\n");
    let file = format!("--config={}", map.file().display());
    let daemon = scene.daemon(&[&file, "--rescan-interval=60m"]).unwrap();
    for resource in [CY, DC] {
        kubelet
            .wait_for(resource, healthy(32), DEADLINE)
            .await
            .unwrap();
    }
    // A kubelet that has just started may not know its pods yet.
    settled(&scene).await;
    let pod = kubelet.admit([(CY, 1)]).await.unwrap();
    map.set("version: 1\npools: [{ pool: cy, name: fast }, { pool: dc, name: compress }]\n");
    takes(&daemon, 1).await;
    kubelet.wait_for(FAST, healthy(31), DEADLINE).await.unwrap();
    kubelet
        .wait_for(COMPRESS, healthy(32), DEADLINE)
        .await
        .unwrap();
    for resource in [CY, DC] {
        let old = kubelet.resource(resource).unwrap();
        let seen = (old.streaming, old.capacity, old.allocatable);
        assert_eq!(seen, (true, 32, 0), "{resource}");
    }
    // The new names are in use before the old ones are gone, and the pod keeps its VF under the old one.
    let more = kubelet.admit([(FAST, 31), (COMPRESS, 32)]).await.unwrap();
    assert!(!more.devices[FAST].contains(&pod.devices[CY][0]));
    let gone = |view: &ResourceView| !view.streaming;
    kubelet.wait_for(DC, gone, MOVED).await.unwrap();
    let one = |view: &ResourceView| view.streaming && view.capacity == 1;
    kubelet.wait_for(CY, one, MOVED).await.unwrap();
    kubelet.restart_container(&pod).await.unwrap();
    assert!(kubelet.delete(&pod));
    kubelet.wait_for(FAST, healthy(32), MOVED).await.unwrap();
    kubelet.wait_for(CY, gone, MOVED).await.unwrap();
    scene.end(daemon).await.unwrap();
}

/// Waits until the kubelet is up for ten seconds.
async fn settled(scene: &Scene) {
    let socket = scene.node.kubelet_dir().join("kubelet.sock");
    let made = fs::metadata(socket).unwrap().modified().unwrap();
    let left = Duration::from_secs(10).saturating_sub(made.elapsed().unwrap());
    sleep(left).await;
}
