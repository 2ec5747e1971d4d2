//! Whoever may open the plugin's socket and does not talk as the kubelet does.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read as _, Write as _};
use std::iter::from_fn;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node_sim::{Machine, Profile, ResourceView};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::{DEADLINE, Daemon, Scene};
use tokio::task::spawn_blocking;

const CY: &str = "qat.intel.com/cy";

/// What an HTTP/2 client says first (RFC 9113, 3.4), and its settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A daemon that serves, and the path of one of its sockets.
async fn served() -> (Scene, Daemon, PathBuf) {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    let serves = |view: &ResourceView| view.streaming && view.allocatable == 32;
    scene.kubelet.wait_for(CY, serves, DEADLINE).await.unwrap();
    let socket = scene.node.kubelet_dir().join("qat.intel.com-cy.sock");
    (scene, daemon, socket)
}

/// The kubelet's stream is the first one still, it hears of a change, and its pods are answered.
async fn still_serves(scene: &Scene) {
    let vf = scene.node.vfs()[0];
    scene.node.unbind(vf).unwrap();
    let hears = |view: &ResourceView| view.streaming && view.allocatable == 31;
    let view = scene.kubelet.wait_for(CY, hears, DEADLINE).await.unwrap();
    assert_eq!(view.registrations, 1, "the kubelet was never disturbed");
    scene.kubelet.admit([(CY, 1)]).await.unwrap();
}

/// Says `bytes` and returns what comes until the peer hangs up, or for a second.
fn say(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    // The peer may hang up while we still talk.
    let _said = stream.write_all(bytes).is_ok();
    let mut answer = Vec::new();
    let _heard = stream.read_to_end(&mut answer).is_ok();
    answer
}

/// An HTTP/2 frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call: literals without an index (RFC 7541, 6.2.2).
fn headers(authority: &str) -> Vec<u8> {
    let path = "/v1beta1.DevicePlugin/GetDevicePluginOptions";
    let all = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block = Vec::new();
    for (name, value) in all {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A call with an empty message.
fn call(authority: &str) -> Vec<u8> {
    let (end_headers, end_stream) = (4, 1);
    let headers = frame(1, end_headers, 1, &headers(authority));
    let data = frame(0, end_stream, 1, &[0; 5]);
    [PREFACE, SETTINGS, &headers, &data].concat()
}

#[tokio::test]
async fn garbage_half_sentences_and_huge_frames_disturb_nobody() {
    let (scene, daemon, socket) = served().await;
    let huge = frame(0, 0, 1, &vec![0; (1 << 24) - 1]);
    let many_headers = frame(1, 4, 1, &[0x40, 1, b'a', 1, b'b'].repeat(1 << 15));
    let sentences = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        (0..=255).cycle().take(1 << 16).collect(),
        PREFACE[..10].to_vec(),
        [PREFACE, &vec![0xff; 1 << 16]].concat(),
        [PREFACE, SETTINGS, &huge].concat(),
        [PREFACE, SETTINGS, &many_headers].concat(),
        [PREFACE, SETTINGS, &frame(1, 4, 1, &headers("localhost"))].concat(),
    ];
    spawn_blocking(move || {
        for sentence in &sentences {
            say(&socket, sentence);
        }
    })
    .await
    .unwrap();
    still_serves(&scene).await;
    scene.end(daemon).await.unwrap();
}

/// Kubelets before 1.26 do so. HTTP/2 as Rust reads it takes it for an error; the daemon tells.
#[tokio::test]
async fn a_path_as_authority_is_refused_and_disturbs_nobody() {
    let (scene, daemon, socket) = served().await;
    let (good, bad) = spawn_blocking(move || {
        let path = socket.to_str().unwrap().to_owned();
        (say(&socket, &call("localhost")), say(&socket, &call(&path)))
    })
    .await
    .unwrap();
    // HEADERS of an answer against RST_STREAM with PROTOCOL_ERROR.
    let has = |answer: &[u8], kind| frames(answer).any(|frame| frame == kind);
    assert!(has(&good, 1), "{good:?}");
    assert!(has(&bad, 3) && !has(&bad, 1), "{bad:?}");
    still_serves(&scene).await;
    scene.end(daemon).await.unwrap();
}

/// The kinds of frames in an answer.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = u8> {
    from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<9>()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        bytes = rest.get(usize::try_from(length).ok()?..)?;
        Some(head[3])
    })
}

#[tokio::test]
async fn ten_thousand_idle_connections_cost_next_to_nothing() {
    const CONNECTIONS: usize = 10_000;
    let (scene, daemon, socket) = served().await;
    let before = usage(&daemon);
    // As many as this process may have; the daemon never sees more than these at once.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )
    .unwrap();
    let room = limit.maximum.map_or(CONNECTIONS, |maximum| {
        usize::try_from(maximum).unwrap_or(usize::MAX) / 2
    });
    let held = spawn_blocking(move || {
        let mut held = VecDeque::new();
        for _ in 0..CONNECTIONS {
            held.push_back(UnixStream::connect(&socket).unwrap());
            if held.len() > room {
                held.pop_front();
            }
        }
        held
    })
    .await
    .unwrap();
    still_serves(&scene).await;
    let after = usage(&daemon);
    println!(
        "{CONNECTIONS} connections, {} of them held: {before:?}, then {after:?}",
        held.len()
    );
    assert!(after.descriptors <= before.descriptors + 16, "{after:?}");
    // Each costs 15 KB where nothing ends them: 150 MB.
    assert!(after.kib <= before.kib + 4096, "{before:?} {after:?}");
    drop(held);
    scene.end(daemon).await.unwrap();
}

/// What a process uses.
#[derive(Debug)]
struct Usage {
    descriptors: usize,
    kib: usize,
}

fn usage(daemon: &Daemon) -> Usage {
    let proc = PathBuf::from(format!("/proc/{}", daemon.pid().unwrap()));
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
    Usage {
        descriptors: fs::read_dir(proc.join("fd")).unwrap().count(),
        kib: kib.parse().unwrap(),
    }
}
