//! Where the sockets are, and how that place gets full.

use std::{
    env, fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::statvfs;
use tempfile::TempDir;

/// Set in the process that has a file system of its own. The value is where.
const INSIDE: &str = "FAULT_DISK";
/// A small file system in a namespace of its own. No privilege is needed for this, but a host
/// may forbid it.
const NAMESPACE: [&str; 3] = ["--user", "--map-root-user", "--mount"];
const MOUNT: &str = r#"mount -t tmpfs -o size=1m,nr_inodes=32 tmpfs "$1" && shift && exec "$@""#;

/// A place for the directory of the sockets.
pub(crate) struct Disk {
    root: PathBuf,
    /// Present where it is an ordinary directory, which cannot be filled.
    temporary: Option<TempDir>,
}

impl Disk {
    /// Goes where a disk can be filled, if that is allowed. `None`: `test` was run there, in
    /// another process, and has passed.
    pub(crate) fn enter(test: &str) -> Option<Self> {
        if let Some(root) = env::var_os(INSIDE) {
            let root = root.into();
            return Some(Self {
                root,
                temporary: None,
            });
        }
        let dir = node_sim::scratch().unwrap();
        if !succeeds(inside(dir.path()).arg("true")) {
            skipped("device-plugin faults: no user and mount namespace, so no disk is full");
            return Some(Self {
                root: dir.path().to_owned(),
                temporary: Some(dir),
            });
        }
        let mut command = inside(dir.path());
        command
            .arg(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE, dir.path());
        let output = command.output().unwrap();
        // Printed here, the harness shows it when it should.
        print!("{}", String::from_utf8_lossy(&output.stdout));
        print!("{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}", output.status);
        None
    }

    /// The directory of the sockets.
    pub(crate) fn dir(&self) -> PathBuf {
        self.root.join("device-plugins")
    }

    pub(crate) fn can_be_full(&self) -> bool {
        self.temporary.is_none()
    }

    /// Whether every file that was deleted is gone. A socket stays for as long as it is open.
    pub(crate) fn is_at_rest(&self) -> bool {
        let disk = statvfs(&self.root).unwrap();
        disk.f_ffree + files(&self.root) == disk.f_files
    }

    /// Leaves room for one more file.
    pub(crate) fn fill(&self) {
        let fillers = (0..).map(|number| self.filler(number));
        for filler in fillers {
            match File::create_new(filler) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
        fs::remove_file(self.filler(0)).unwrap();
    }

    /// Takes back what [`fill`](Self::fill) has done.
    pub(crate) fn free(&self) {
        let fillers = (1..).map(|number| self.filler(number));
        fillers
            .take_while(|path| fs::remove_file(path).is_ok())
            .for_each(drop);
    }

    fn filler(&self, number: u32) -> PathBuf {
        self.root.join(format!("filler-{number}"))
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.can_be_full() {
            "on a disk that can be full"
        } else {
            "no namespace to be had, so no disk is full"
        })
    }
}

/// A command that runs another one with a small file system on `dir`.
fn inside(dir: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(NAMESPACE)
        .args(["sh", "-c", MOUNT, "sh"])
        .arg(dir);
    command
}

/// How many files and directories there are, with `path` itself.
fn files(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries
        .map(|entry| files(&entry.unwrap().path()))
        .sum::<u64>()
        + 1
}

/// Says that a part of the test cannot be had here, also to the file that `.ci/run` names in
/// `TEST_SKIPS`.
fn skipped(what: &str) {
    println!("skipped: {what}");
    if let Some(path) = env::var_os("TEST_SKIPS") {
        let mut options = File::options();
        let mut skips = options.append(true).create(true).open(path).unwrap();
        // One write, so that lines of several processes stay whole.
        skips.write_all(format!("{what}\n").as_bytes()).unwrap();
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
