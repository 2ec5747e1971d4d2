//! A bug report becomes a test: the plugin runs on a node that `qat-inspect snapshot` has put into a file.

use std::path::Path;

use node_sim::{Kubelet, ResourceView};
use qat_node::archive::Archive;
use tests::{DEADLINE, Daemon};

const CY: &str = "qat.intel.com/cy";

#[tokio::test]
async fn the_plugin_offers_of_a_snapshot_what_the_inspector_says_of_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/snapshots/broken.json");
    let dir = node_sim::scratch().unwrap();
    let archive = Archive::read(&file).unwrap();
    archive.unpack(dir.path()).unwrap();
    let kubelet = Kubelet::start(&dir.path().join("kubelet/device-plugins"))
        .await
        .unwrap();
    let args = ["--rescan-interval=100ms", "--manage-binding=false"];
    let daemon = Daemon::start(dir.path(), &args, &[]).unwrap();
    // As `qat-inspect pools --from` lists it: 13 can be offered, the other 19 have something wrong.
    let offered = |view: &ResourceView| view.streaming && view.allocatable == 13;
    kubelet.wait_for(CY, offered, DEADLINE).await.unwrap();
    let pod = kubelet.admit([(CY, 1)]).await.unwrap();
    assert!(kubelet.delete(&pod));
    let (status, log) = daemon.terminate(DEADLINE).await.unwrap();
    assert!(status.success(), "{log}");
}
