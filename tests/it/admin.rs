//! What the daemon says of itself, over HTTP.

use std::time::Duration;

use node_sim::{Machine, Profile, ResourceView};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::{DEADLINE, Daemon, Scene};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

const CY: &str = "qat.intel.com/cy";

/// Asks a daemon that has logged where it answers.
pub(crate) async fn get(daemon: &Daemon, path: &str) -> String {
    daemon.logged("http://", DEADLINE).await.unwrap();
    let log = daemon.log();
    let (_, rest) = log.split_once("http://").unwrap();
    let address = rest.split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// Asks until the answer has this line.
pub(crate) async fn until(daemon: &Daemon, path: &str, line: &str) {
    until_some(daemon, path, line, |one| one == line).await;
}

/// Asks until a line of the answer fits. `what` is for the error.
pub(crate) async fn until_some(
    daemon: &Daemon,
    path: &str,
    what: &str,
    fits: impl Fn(&str) -> bool,
) {
    let mut pace = interval(Duration::from_millis(5));
    let asked = timeout(DEADLINE, async {
        while !get(daemon, path).await.lines().any(&fits) {
            pace.tick().await;
        }
    });
    let found = asked.await.is_ok();
    assert!(found, "no line `{what}` in {}", get(daemon, path).await);
}

#[tokio::test]
async fn probes_and_metrics_follow_what_happens() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&["--admin=127.0.0.1:0"]).unwrap();
    let all = |view: &ResourceView| view.allocatable == 32;
    scene.kubelet.wait_for(CY, all, DEADLINE).await.unwrap();
    until(&daemon, "/readyz", "ok").await;
    until(&daemon, "/healthz", "ok").await;
    let devices = |health, count| {
        format!("qat_plugin_devices{{resource=\"{CY}\",health=\"{health}\"}} {count}")
    };
    until(&daemon, "/metrics", &devices("healthy", 32)).await;

    let pod = scene.kubelet.admit([(CY, 1)]).await.unwrap();
    let calls = |call| {
        format!("qat_plugin_calls_total{{resource=\"{CY}\",call=\"{call}\",result=\"ok\"}} 1")
    };
    until(&daemon, "/metrics", &calls("allocate")).await;
    until(&daemon, "/metrics", &calls("pre_start")).await;
    assert!(scene.kubelet.delete(&pod));

    let vf = scene.node.vfs()[0];
    scene.node.unbind(vf).unwrap();
    until(&daemon, "/metrics", &devices("unhealthy", 1)).await;
    until(
        &daemon,
        "/metrics",
        "qat_plugin_withheld{reason=\"not-bound\"} 1",
    )
    .await;
    scene.node.bind(vf, "vfio-pci").unwrap();
    until(&daemon, "/metrics", &devices("unhealthy", 0)).await;
    let text = get(&daemon, "/metrics").await;
    assert!(!text.contains("not-bound"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn without_a_kubelet_it_is_alive_and_not_ready() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    scene.kubelet.stop().await;
    let daemon = scene.daemon(&["--admin=127.0.0.1:0"]).unwrap();
    until(&daemon, "/healthz", "ok").await;
    until(&daemon, "/readyz", &format!("{CY}: there is no kubelet")).await;
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn a_signal_makes_it_log_more_and_another_as_before() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&["--log-format=json"]).unwrap();
    let all = |view: &ResourceView| view.allocatable == 32;
    scene.kubelet.wait_for(CY, all, DEADLINE).await.unwrap();
    assert!(!daemon.log().contains("\"look\""), "{}", daemon.log());
    let pid = i32::try_from(daemon.pid().unwrap()).unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::USR1).unwrap();
    daemon.logged("\"name\":\"look\"", DEADLINE).await.unwrap();
    let pod = scene.kubelet.admit([(CY, 1)]).await.unwrap();
    daemon
        .logged("\"name\":\"allocate\"", DEADLINE)
        .await
        .unwrap();
    assert!(scene.kubelet.delete(&pod));
    kill_process(pid, Signal::USR2).unwrap();
    let usual = "logging as much as at the start";
    daemon.logged(usual, DEADLINE).await.unwrap();
    let log = scene.end(daemon).await.unwrap();
    let (_, after) = log.split_once(usual).unwrap();
    // A look that had begun may still end.
    assert!(after.matches("DEBUG").count() <= 3, "{after}");
    let timed = log.lines().find(|line| line.contains("time.busy")).unwrap();
    let timed: Value = serde_json::from_str(timed).unwrap();
    assert!(timed["span"]["name"].is_string(), "{timed}");
}
