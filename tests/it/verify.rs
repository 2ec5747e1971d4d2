//! `qat-inspect verify`, as the chart's `helm test` runs it: beside a running plugin, with the configuration file and without sysfs.

use std::fs;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use node_sim::{Machine, Profile};
use tests::{DEADLINE, Scene, binary};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::admin;
use crate::reload::ConfigMap;

/// Starts the inspector; it sees the kubelet's directory and the file.
fn inspect(scene: &Scene, args: &[&str], config: &Path) -> Child {
    Command::new(binary("qat-inspect").unwrap())
        .args(args)
        .arg(format!(
            "--kubelet-dir={}",
            scene.node.kubelet_dir().display()
        ))
        .arg(format!("--config={}", config.display()))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits for the end, and returns what was printed.
async fn ended(mut child: Child) -> (ExitStatus, String) {
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    timeout(DEADLINE * 3, stdout.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    (child.wait().await.unwrap(), text)
}

async fn verify(scene: &Scene, config: &Path) -> (ExitStatus, String) {
    ended(inspect(scene, &["verify", "--wait=20s"], config)).await
}

#[tokio::test]
async fn verify_tells_whether_a_version_of_the_file_is_in_force() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let mut map = ConfigMap::new(scene.node.root(), "version: 1\n");
    let file = format!("--config={}", map.file().display());
    let daemon = scene.daemon(&[&file, "--admin=127.0.0.1:0"]).unwrap();
    let (status, text) = verify(&scene, &map.file()).await;
    // `printf 'version: 1\n' | sha256sum`
    let sha256 = "09bfcc6a14b8";
    for line in [
        format!("ok      configuration: sha256 {sha256} is in force for "),
        "ok      qat.intel.com/cy: the kubelet may allocate 32 VFs".to_owned(),
        "ok      qat.intel.com/dc: the kubelet may allocate 32 VFs".to_owned(),
        "3 checks passed".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in:\n{text}");
    }
    assert!(status.success(), "{text}");

    // The kubelet updates the ConfigMap of a running pod later than it mounts that of a new one.
    let renamed = "version: 1\npools: [{ pool: dc, name: compress }]\n";
    let fresh = scene.node.root().join("fresh.yaml");
    fs::write(&fresh, renamed).unwrap();
    let mut waiting = inspect(&scene, &["verify", "--wait=40s"], &fresh);
    let mut lines = BufReader::new(waiting.stdout.take().unwrap()).lines();
    let first = timeout(DEADLINE, lines.next_line()).await.unwrap();
    let first = first.unwrap().unwrap();
    assert!(first.starts_with("waiting configuration: "), "{first}");
    map.set(renamed);
    let mut text = String::new();
    while let Some(line) = timeout(DEADLINE * 3, lines.next_line())
        .await
        .unwrap()
        .unwrap()
    {
        text += &(line + "\n");
    }
    assert!(waiting.wait().await.unwrap().success(), "{text}");
    let line = "ok      qat.intel.com/compress: the kubelet may allocate 32 VFs\n";
    assert!(text.contains(line), "{text}");
    assert!(!text.contains("ok      qat.intel.com/dc"), "{text}");

    // A version that cannot be used fails at once, and everything that reports says so; the plugin stays ready.
    map.set("version: 1\npools: [{ name: fast }]\n");
    let reason = "pool rule 1 has `name` and no `pool`";
    let (status, text) = verify(&scene, &map.file()).await;
    assert_eq!(status.code(), Some(1), "{text}");
    let refused = |line: &str| {
        line.starts_with("FAILED  configuration: the plugin refused ") && line.contains(reason)
    };
    assert!(text.lines().any(refused), "{text}");
    assert!(text.ends_with("1 of 3 checks failed\n"), "{text}");
    let ready = admin::get(&daemon, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    assert!(
        ready.contains("\nok\n") && ready.contains(reason),
        "{ready}"
    );
    let sysfs = format!("--sysfs-root={}", scene.node.sysfs().display());
    let dev = format!("--dev-root={}", scene.node.dev().display());
    let (_, text) = ended(inspect(&scene, &["check", &sysfs, &dev], &fresh)).await;
    assert!(text.contains("QAT074 config-refused ("), "{text}");

    // The version before it, again.
    map.set(renamed);
    let (status, text) = verify(&scene, &map.file()).await;
    assert!(status.success(), "{text}");
    assert!(
        admin::get(&daemon, "/readyz")
            .await
            .ends_with("\r\n\r\nok\n")
    );

    // What takes a restart is not in force.
    map.set(&format!("{renamed}offer: {{ families: [4xxx] }}\n"));
    let (status, text) = verify(&scene, &map.file()).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("except for offer.families"), "{text}");
    admin::until(&daemon, "/metrics", "qat_plugin_config_restart_required 1").await;
    admin::until_some(&daemon, "/metrics", "config_info", |line| {
        line.starts_with("qat_plugin_config_info{sha256=\"") && line.ends_with(" 1")
    })
    .await;
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn verify_names_a_plugin_that_does_not_run() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let map = ConfigMap::new(scene.node.root(), "version: 1\n");
    let (status, text) = ended(inspect(&scene, &["verify"], &map.file())).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("no plugin has started here"), "{text}");
    let (status, _) = ended(inspect(&scene, &["verify"], Path::new("/nonexistent"))).await;
    assert_eq!(status.code(), Some(2));
}
