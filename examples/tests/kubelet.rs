//! The plugin as a real process, against a kubelet that is as strict as the real one.

use node_sim::{Kubelet, ResourceView, Restart};
use std::{fs, os::unix::fs::symlink, time::Duration};
use tokio::process::Command;

const RESOURCE: &str = "example.com/kvm";
const LIMIT: Duration = Duration::from_secs(20);

/// As many devices as this can be given to pods, as far as the kubelet knows.
fn usable(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

#[tokio::test]
async fn a_shared_node() -> anyhow::Result<()> {
    // A place for the sockets, and a node: a link to a device that every machine has.
    let dir = node_sim::scratch()?;
    let (host, sockets) = (dir.path(), dir.path().join("sockets"));
    let node = host.join("dev/kvm");
    fs::create_dir(host.join("dev"))?;
    symlink("/dev/null", &node)?;
    let kubelet = Kubelet::start(&sockets).await?;
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_character-device"))
        .args([RESOURCE, "/dev/kvm", "2"])
        .args([host, &sockets])
        .kill_on_drop(true)
        .spawn()?;

    // It registers, and two pods get the node. There is no room for a third.
    kubelet.wait_for(RESOURCE, usable(2), LIMIT).await?;
    let pod = kubelet.admit([(RESOURCE, 1)]).await?;
    assert_eq!(pod.answer.devices[0].host_path, "/dev/kvm");
    kubelet.admit([(RESOURCE, 1)]).await?;
    assert!(kubelet.admit([(RESOURCE, 1)]).await.is_err());

    // It survives a restart of the kubelet, and the loss of the node.
    kubelet
        .restart(Restart::WipeSockets, Duration::ZERO)
        .await?;
    kubelet.wait_for(RESOURCE, usable(2), LIMIT).await?;
    fs::remove_file(&node)?;
    let view = kubelet.wait_for(RESOURCE, usable(0), LIMIT).await?;
    assert_eq!(
        view.capacity, 2,
        "two pods hold them, so they stay in the list"
    );
    symlink("/dev/null", &node)?;
    kubelet.wait_for(RESOURCE, usable(2), LIMIT).await?;

    // It stops when it is asked to, and the kubelet has had nothing to complain about.
    let pid = plugin.id().unwrap().to_string();
    Command::new("kill").arg(pid).status().await?;
    assert!(plugin.wait().await?.success());
    let transcript = kubelet.transcript();
    assert_eq!(transcript.warnings().count(), 0, "{transcript}");
    Ok(())
}
