//! A container, as far as an answer to Allocate is felt in it: a root of its own, in `/dev` the answer's nodes and what every
//! container has, the answer's variables and no others, an ordinary user without capabilities.
//!
//! It is no container of a real runtime: there are no namespaces, and no filter of the devices cgroup.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, create_dir_all};
use std::io::{self, BufRead as _, BufReader, Read as _, stdin};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use node_sim::{AnswerDevice, ContainerAnswer};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use rustix::process::{Resource, Rlimit, chroot, setrlimit};
use serde_json::Value;
use sysfs_pci::PciAddress;
use vfio_host::{ContainerFile, Extension, GroupFile};

/// The user in it.
pub(crate) const USER: u32 = 1000;

/// What a container may lock of memory unless somebody raises it: the kernel's default, in bytes.
pub(crate) const USUAL_MEMLOCK: &str = "8388608";

/// Nodes that every container has (the runtime specification of the Open Container Initiative, "Default Devices").
const DEFAULT_NODES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];

/// Whose the answer's nodes are in a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// As on the host.
    Host,
    /// The container's user: `device_ownership_from_security_context` of a runtime, an owner in CDI, or KubeVirt's virt-handler.
    User,
}

/// A container's root. It is taken away when dropped.
pub(crate) struct Container {
    root: PathBuf,
    mounts: Vec<PathBuf>,
    envs: BTreeMap<String, String>,
}

/// A program in a container, which goes on until it is told to end.
pub(crate) struct Running {
    child: Child,
    lifeline: Option<ChildStdin>,
    /// What it said first.
    pub(crate) said: Vec<String>,
}

impl Container {
    /// Makes one from an answer, in an empty folder or over a root that is there.
    pub(crate) fn new(root: &str, answer: &ContainerAnswer, owner: Owner) -> Self {
        let root = PathBuf::from(root);
        for directory in ["dev", "sys", "tmp"] {
            create_dir_all(root.join(directory)).unwrap();
        }
        let mut container = Self {
            mounts: Vec::new(),
            envs: answer.envs.clone(),
            root,
        };
        container.mount("tmpfs", "dev", MountFlags::NOSUID);
        container.mount("tmpfs", "tmp", MountFlags::NOSUID);
        let sys = container.root.join("sys");
        mount_bind("/sys", &sys).unwrap();
        container.mounts.push(sys);
        fs::set_permissions(
            container.root.join("tmp"),
            fs::Permissions::from_mode(0o1777),
        )
        .unwrap();
        for path in DEFAULT_NODES {
            container.node(path, path, Owner::Host);
        }
        for AnswerDevice {
            host_path,
            container_path,
            ..
        } in &answer.devices
        {
            container.node(host_path, container_path, owner);
        }
        container
    }

    /// The same environment with another's variables.
    pub(crate) fn with_envs_of(mut self, answer: &ContainerAnswer) -> Self {
        self.envs.clone_from(&answer.envs);
        self
    }

    /// A path in it, from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// A command that runs in it.
    pub(crate) fn command(&self, memlock: &str, program: &[&str]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("contain")
            .arg(&self.root)
            .arg(memlock)
            .args(program)
            .env_clear()
            .envs(&self.envs);
        command
    }

    /// Has our own program open what the environment names, with the usual limit on locked memory.
    pub(crate) fn use_functions(&self) -> Running {
        let ours = self.path("tmp/init");
        fs::copy("/init", &ours).unwrap();
        let mut child = self
            .command(USUAL_MEMLOCK, &["/tmp/init", "use"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let said = stdout.lines().map_while(Result::ok);
        let said = said.take_while(|line| line != "done").collect();
        let lifeline = child.stdin.take();
        Running {
            child,
            lifeline,
            said,
        }
    }

    fn mount(&mut self, kind: &str, at: &str, flags: MountFlags) {
        let at = self.root.join(at);
        mount(kind, &at, kind, flags, None).unwrap();
        self.mounts.push(at);
    }

    /// Makes a node like one of the host.
    fn node(&self, host: &str, inside: &str, owner: Owner) {
        let on_host = fs::metadata(host).unwrap_or_else(|error| panic!("{host}: {error}"));
        let path = self.path(inside);
        create_dir_all(path.parent().unwrap()).unwrap();
        let mode = Mode::from_raw_mode(on_host.mode() & 0o777);
        mknodat(CWD, &path, FileType::CharacterDevice, mode, on_host.rdev()).unwrap();
        fs::set_permissions(&path, on_host.permissions()).unwrap();
        if owner == Owner::User {
            chown(&path, Some(USER), Some(USER)).unwrap();
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for at in self.mounts.iter().rev() {
            let _failed_case = unmount(at, UnmountFlags::DETACH);
        }
    }
}

impl Running {
    /// Has it end, and tells whether it had opened everything.
    pub(crate) fn end(mut self) -> bool {
        drop(self.lifeline.take());
        self.child.wait().unwrap().success()
    }
}

/// Becomes `program` in a container. The root is made already; what is left is the view of it, the limit and the user.
pub(crate) fn contain(root: &str, memlock: &str, program: &[&str]) {
    let limit = memlock.parse().ok();
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Memlock, limit).unwrap();
    chroot(root).unwrap();
    env::set_current_dir("/").unwrap();
    let (program, args) = program.split_first().expect("a program");
    // Who leaves uid 0 this way has no other groups and no capabilities any more.
    let error = Command::new(program).args(args).uid(USER).gid(USER).exec();
    panic!("{program}: {error}");
}

/// Opens every function that a variable `PCIDEVICE_…` names, by the node that its `_INFO` names, as DPDK does: with a
/// container, type 1, and memory that the function may reach. Says a line for each, and `done`.
pub(crate) fn use_functions() -> ExitCode {
    let functions: BTreeMap<String, String> = env::vars()
        .filter(|(name, _)| name.starts_with("PCIDEVICE_") && name.ends_with("_INFO"))
        .flat_map(|(_, text)| {
            let info: Value = serde_json::from_str(&text).unwrap();
            let functions = info.as_object().unwrap().clone();
            functions.into_iter().map(|(address, info)| {
                let node = info["vfio"]["dev-mount"].as_str().unwrap();
                (address, node.to_owned())
            })
        })
        .collect();
    let mut opened = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for (address, node) in functions {
        match open(address.parse().unwrap(), Path::new(&node)) {
            Ok((vendor, device, files)) => {
                println!("{address} is {vendor:04x}:{device:04x}, and reaches memory");
                opened.push(files);
            }
            Err(error) => {
                println!("{address}: {node}: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    println!("done");
    // Until whoever started us has seen enough.
    let _end = stdin().read(&mut [0]);
    code
}

/// What keeps a function open.
type Files = (vfio_host::DeviceFile, GroupFile, ContainerFile);

fn open(address: PciAddress, node: &Path) -> io::Result<(u16, u16, Files)> {
    let container = ContainerFile::open(Path::new("/dev/vfio/vfio"))?;
    let group = GroupFile::open(node)?;
    group.set_container(&container)?;
    container.set_iommu(Extension::Type1v2)?;
    let device = group.device(address)?;
    let (vendor, id) = device.ids()?;
    // 1 MiB, above what is reserved for interrupts below 4 GiB.
    drop(container.map(16, 0x1_0000_0000)?);
    Ok((vendor, id, (device, group, container)))
}
