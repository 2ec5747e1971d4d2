//! `qat-plugin provision`: real processes on a simulated node that plays the kernel.

use std::collections::BTreeMap;
use std::fs::{self, read_link, read_to_string};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;
use node_sim::{Change, Machine, Profile, Reactor, SimNode};
use serde_json::Value;

use tempfile::TempDir;
use tests::{DEADLINE, binary};

/// A node whose kernel does what is written, and no kubelet.
struct Node {
    sim: SimNode,
    kernel: Reactor,
    _dir: TempDir,
}

impl Node {
    fn new(machine: Machine) -> Self {
        let dir = node_sim::scratch().unwrap();
        let sim = machine.write(dir.path()).unwrap();
        let kernel = sim.react().unwrap();
        let node = Self {
            sim,
            kernel,
            _dir: dir,
        };
        fs::create_dir_all(node.sim.kubelet_dir()).unwrap();
        node
    }

    /// Four PFs without VFs, for compression.
    fn bare() -> Self {
        let machine = Machine::profile(Profile::Xeon4xxx);
        let pfs = machine.pfs();
        let bare = machine.with_each(pfs.clone(), Change::NoVfs);
        Self::new(bare.with_each(pfs, |pf| Change::Services { pf, text: "dc" }))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary("qat-plugin").unwrap());
        let root = self.sim.root();
        command
            .env_clear()
            .arg("provision")
            .args(args)
            .arg(format!("--sysfs-root={}", root.join("sys").display()))
            .arg(format!("--dev-root={}", root.join("dev").display()))
            .arg(format!(
                "--kubelet-dir={}",
                self.sim.kubelet_dir().display()
            ))
            .stdin(Stdio::null());
        command
    }

    fn provision(&self, args: &[&str]) -> Run {
        let run = Run::from(self.command(args).output().unwrap());
        self.kernel.settle(DEADLINE).unwrap();
        run
    }

    fn pf(&self, index: usize) -> String {
        self.sim.pfs()[index].to_string()
    }

    fn services(&self, pf: &str) -> String {
        let path = self.sim.sysfs().join("bus/pci/devices").join(pf);
        read_to_string(path.join("qat/cfg_services")).unwrap()
    }

    fn records(&self) -> Vec<PathBuf> {
        let state = self.sim.kubelet_dir().join("qat-plugin");
        let mut found: Vec<PathBuf> = ["devices", "binds"]
            .iter()
            .filter_map(|kind| fs::read_dir(state.join(kind)).ok())
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect();
        found.sort();
        found
    }
}

#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Everything that can be seen of the PCI functions: links and contents.
fn picture(sim: &SimNode) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![sim.sysfs(), sim.dev()];
    while let Some(path) = todo.pop() {
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if kind.is_symlink() {
            let target = read_link(&path).unwrap();
            seen.insert(path, format!("-> {}", target.display()));
        } else if kind.is_file() {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            if mode & 0o444 == 0 {
                // A command file shows nothing, and only root could read it.
                seen.insert(path, String::new());
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            seen.insert(path, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    seen
}

/// Numbers that the kernel gives to VFs anew each time that it makes or binds them.
const NUMBERS: [&str; 4] = ["vfio-dev", "iommu_group", "class/vfio", "dev/vfio"];

/// The same without them.
fn without_numbers(mut picture: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    picture.retain(|path, _| {
        let path = path.to_string_lossy();
        !NUMBERS.iter().any(|part| path.contains(part))
    });
    picture
}

/// What differs between two pictures.
fn difference(
    before: &BTreeMap<PathBuf, String>,
    after: &BTreeMap<PathBuf, String>,
) -> Vec<String> {
    let paths = before.keys().chain(after.keys());
    let mut lines: Vec<String> = paths
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| {
            format!(
                "{}: {:?} {:?}",
                path.display(),
                before.get(path),
                after.get(path)
            )
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

fn all_bound(node: &Node, vfs: usize) {
    let sim = &node.sim;
    assert_eq!(sim.vfs().len(), vfs);
    for vf in sim.vfs() {
        assert_eq!(sim.driver_of(vf).as_deref(), Some("vfio-pci"), "{vf}");
        let group = sim.group_of(vf).unwrap();
        assert!(sim.dev().join(format!("vfio/{group}")).exists(), "{vf}");
    }
}

#[test]
fn from_nothing_to_all_then_nothing_and_back() {
    let node = Node::bare();
    let before = picture(&node.sim);

    let plan = node.provision(&["--dry-run", "--services=sym;asym", "--auto-reset=on"]);
    assert_eq!(plan.code, Some(0), "{plan:?}");
    assert_snapshot!("plan", plan.stdout);
    assert_eq!(node.kernel.writes(), []);

    let run = node.provision(&["--services=sym;asym", "--auto-reset=on"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    all_bound(&node, 64);
    assert_eq!(node.kernel.refused(), []);

    node.kernel.forget();
    let again = node.provision(&[
        "--services=asym;sym",
        "--auto-reset=on",
        "--detailed-exit-code",
    ]);
    assert_eq!(again.code, Some(5), "{again:?}");
    assert_eq!(node.kernel.writes(), []);

    let undo = node.provision(&["--undo"]);
    assert_eq!(undo.code, Some(0), "{undo:?}");
    assert_eq!(
        difference(&before, &picture(&node.sim)),
        Vec::<String>::new()
    );
    assert_eq!(node.records(), Vec::<PathBuf>::new());
    let again = node.provision(&["--undo", "--detailed-exit-code"]);
    assert_eq!(again.code, Some(5), "{again:?}");
}

#[test]
fn vfs_that_were_bound_are_bound_again_after_the_way_back() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let pfs = machine.pfs();
    let node = Node::new(
        machine
            .with(Change::AllVfsOn(Some("vfio-pci")))
            .with_each(pfs, |pf| Change::Services { pf, text: "dc" }),
    );
    let before = without_numbers(picture(&node.sim));
    let run = node.provision(&["--services=sym", "--no-kubelet"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    all_bound(&node, 64);
    let undo = node.provision(&["--undo", "--no-kubelet"]);
    assert_eq!(undo.code, Some(0), "{undo:?}");
    assert_eq!(
        difference(&before, &without_numbers(picture(&node.sim))),
        Vec::<String>::new()
    );
}

#[test]
fn one_pf_with_an_open_vf_is_refused_and_the_others_are_done() {
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::AllVfsOn(Some("vfio-pci")));
    let pfs = machine.pfs();
    let node = Node::new(machine.with_each(pfs, |pf| Change::Services { pf, text: "dc" }));
    let pf = node.sim.pfs()[1];
    let vf = node.sim.vfs_of(pf)[3];
    node.sim.hold(vf).unwrap();
    let run = node.provision(&["--services=sym", "--no-kubelet", "--json"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let summary = summaries(&run.stdout);
    let refused = &summary[&pf.to_string()];
    assert_eq!(refused["outcome"], "refused");
    assert!(
        refused["failure"]
            .as_str()
            .unwrap()
            .contains(&vf.to_string()),
        "{refused}"
    );
    assert_eq!(summary[&node.pf(0)]["outcome"], "done");
    assert_eq!(node.services(&pf.to_string()), "dc\n");
    assert_eq!(node.services(&node.pf(0)), "sym\n");
    node.sim.release(vf).unwrap();
}

#[test]
fn without_sight_of_pods_nothing_is_destroyed() {
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::AllVfsOn(Some("vfio-pci")));
    let pfs = machine.pfs();
    let node = Node::new(machine.with_each(pfs, |pf| Change::Services { pf, text: "dc" }));
    fs::remove_dir(node.sim.kubelet_dir()).unwrap();
    let state = node.sim.root().join("state");
    let run = node.provision(&["--services=sym", "--state-dir", state.to_str().unwrap()]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stdout.contains("not known"), "{run:?}");
    assert_eq!(node.kernel.writes(), []);
}

#[test]
fn a_pf_that_another_process_changes_is_left_to_it() {
    let node = Node::bare();
    let state = node.sim.kubelet_dir().join("qat-plugin");
    let state = vfio_host::StateDir::open(state).unwrap();
    let lock = state.lock(node.sim.pfs()[0], "somebody").unwrap();
    let run = node.provision(&["--pf", &node.pf(0)]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stdout.contains("(somebody, process "), "{run:?}");
    assert_eq!(node.kernel.writes(), []);
    drop(lock);
}

#[test]
fn what_the_kernel_refuses_is_undone() {
    let node = Node::bare();
    let pf = node.sim.pfs()[0];
    let before = picture(&node.sim);
    node.sim.set_busy(pf, true).unwrap();
    // The kernel's answer cannot be seen through a simulated file, only that nothing happens.
    let run = node.provision(&["--pf", &pf.to_string(), "--services=sym"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    node.sim.set_busy(pf, false).unwrap();
    assert_eq!(
        difference(&before, &picture(&node.sim)),
        Vec::<String>::new(),
        "{run:?}"
    );
    assert_eq!(node.records(), Vec::<PathBuf>::new());
}

#[test]
fn arguments_that_do_not_fit_are_refused_before_anything_is_touched() {
    let node = Node::bare();
    for (args, says) in [
        (&["--pf=0000:ff:00.0"][..], "no QAT PF is at 0000:ff:00.0"),
        (&["--services=nonsense"], "unknown service `nonsense`"),
        (&["--services=sym;sym"], "named twice"),
        (&["--vfs=4"], "all VFs or none"),
        (&["--driver=igb_uio"], "unknown driver `igb_uio`"),
        (&["--undo", "--vfs=all"], "cannot be used with"),
    ] {
        let run = node.provision(args);
        assert_eq!(run.code, Some(2), "{args:?} {run:?}");
        assert!(run.stderr.contains(says), "{args:?} {run:?}");
    }
    let run = node.provision(&["--services=sym;asym;dc"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("cannot serve `asym;sym;dc`"), "{run:?}");
    assert_eq!(node.kernel.writes(), []);
    assert_eq!(node.records(), Vec::<PathBuf>::new());
}

#[test]
fn a_file_says_what_is_wanted_of_which_pf() {
    let node = Node::bare();
    let file = node.sim.root().join("config.yaml");
    let text = format!(
        "version: 1
provisioning:
  - services: sym;asym
  - nodes: [\"storage-*\"]
    services: sym
  - pf: {}
    services: asym
    vfs: none
",
        node.pf(3)
    );
    fs::write(&file, text).unwrap();
    let config = format!("--config={}", file.display());
    let run = node.provision(&[&config, "--node-name=storage-1"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(node.services(&node.pf(0)), "sym\n");
    assert_eq!(node.services(&node.pf(3)), "asym\n");
    all_bound(&node, 48);

    node.kernel.forget();
    for (text, says) in [
        (
            "version: 1\nprovisioning: [{services: nonsense}]\n",
            "unknown service `nonsense`",
        ),
        (
            "version: 1\nprovisioning: [{services: dc}, {services: sym}]\n",
            "say different things",
        ),
        (
            "version: 1\nprovisioning: [{pf: \"0000:ff:00.0\"}]\n",
            "no QAT PF is at 0000:ff:00.0",
        ),
        (
            "version: 1\nprovisioning: [{services: sym;asym;dc;dcc}]\n",
            "cannot serve",
        ),
        ("provisioning", "config.yaml"),
    ] {
        fs::write(&file, text).unwrap();
        let run = node.provision(&[&config]);
        assert_eq!(run.code, Some(2), "{text} {run:?}");
        assert!(run.stderr.contains(says), "{text} {run:?}");
    }
    assert_eq!(node.kernel.writes(), []);
}

#[test]
fn the_init_containers_files_and_variables_will_do() {
    let node = Node::bare();
    let conf = node.sim.root().join("conf");
    fs::create_dir(&conf).unwrap();
    fs::write(
        conf.join("qat.conf"),
        "ServicesEnabled=dc\nAutoresetEnabled=on\n",
    )
    .unwrap();
    fs::write(conf.join("qat-worker-1.conf"), "ServicesEnabled=sym;asym\n").unwrap();
    let mut command = node.command(&["--init-conf", conf.to_str().unwrap()]);
    command.envs([
        ("NODE_NAME", "worker-1"),
        ("ENABLED_QAT_PF_PCIIDS", "37c8 4940"),
    ]);
    let run = Run::from(command.output().unwrap());
    node.kernel.settle(DEADLINE).unwrap();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(node.services(&node.pf(0)), "sym;asym\n");
    all_bound(&node, 64);

    let mut command = node.command(&["--init-conf", conf.to_str().unwrap()]);
    command.env("ENABLED_QAT_PF_PCIIDS", "4941");
    let run = Run::from(command.output().unwrap());
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.stderr.contains("`4941`, which is no PF of QAT"),
        "{run:?}"
    );
}

/// Reads lines of events until the process is to be killed. Says whether it ended before.
fn killed_after(node: &Node, args: &[&str], lines: usize) -> bool {
    let mut child = node.command(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen = reader.by_ref().take(lines).map_while(Result::ok).count();
    child.kill().unwrap();
    child.wait().unwrap();
    // What its workers were at is done when nothing comes out any more.
    reader.for_each(drop);
    node.kernel.settle(DEADLINE).unwrap();
    seen < lines
}

#[test]
fn killed_at_any_event_it_goes_on_and_the_way_back_is_whole() {
    let mut lines = 1;
    loop {
        let node = Node::bare();
        let before = picture(&node.sim);
        let pf = node.pf(0);
        let args = ["--services=sym;asym", "--auto-reset=on", "--pf", &pf];
        let ended = killed_after(&node, &[&args[..], &["--json"]].concat(), lines);

        let run = node.provision(&args);
        assert_eq!(run.code, Some(0), "killed after {lines} lines: {run:?}");
        all_bound(&node, 16);
        assert_eq!(node.services(&pf), "sym;asym\n");
        let probe = format!("bus/pci/devices/{pf}/sriov_drivers_autoprobe");
        assert_eq!(read_to_string(node.sim.sysfs().join(probe)).unwrap(), "1\n");

        let undo = node.provision(&["--undo"]);
        assert_eq!(undo.code, Some(0), "killed after {lines} lines: {undo:?}");
        let left = difference(&before, &picture(&node.sim));
        assert_eq!(left, Vec::<String>::new(), "killed after {lines} lines");
        assert_eq!(node.records(), Vec::<PathBuf>::new());
        if ended {
            break;
        }
        // Each VF is one line; two of them are enough.
        lines += if (12..28).contains(&lines) { 7 } else { 1 };
    }
}

#[test]
fn killed_on_the_way_back_it_can_go_back_again() {
    for lines in 1..8 {
        let node = Node::bare();
        let before = picture(&node.sim);
        let pf = node.pf(0);
        let run = node.provision(&["--services=sym;asym", "--pf", &pf]);
        assert_eq!(run.code, Some(0), "{run:?}");
        killed_after(&node, &["--undo", "--json"], lines);
        let undo = node.provision(&["--undo"]);
        assert_eq!(undo.code, Some(0), "killed after {lines} lines: {undo:?}");
        let left = difference(&before, &picture(&node.sim));
        assert_eq!(left, Vec::<String>::new(), "killed after {lines} lines");
    }
}

fn summaries(stdout: &str) -> BTreeMap<String, Value> {
    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["event"] == "summary")
        .map(|line| (line["pf"].as_str().unwrap().to_owned(), line))
        .collect()
}

#[test]
fn a_node_without_qat_has_nothing_to_do() {
    // Functions that look like QAT and are none are not touched.
    let node = Node::new(Machine::new().with(Change::LookAlikes));
    let run = node.provision(&[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("no QAT PF"), "{run:?}");
    assert_eq!(node.kernel.writes(), []);
}
