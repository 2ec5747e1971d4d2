//! A worker as a process of its own, on files and on pipes that stand for commands which do not return.

use std::env;
use std::ffi::OsString;
use std::fs::{File, create_dir_all, read_to_string, write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread::yield_now;
use std::time::{Duration, Instant};

use sysfs_pci::{PciAddress, SysfsRoot, Write};
use tempfile::TempDir;
use vfio_host::StateDir;
use vfio_host::worker::{Hands as _, HandsError, Patience, WorkerCommand, serve};

/// Set for the process that is to be a worker.
const ROOT: &str = "VFIO_HOST_TEST_WORKER_ROOT";

/// Not a test by itself: the worker that the others start.
#[test]
fn serves_when_it_was_started_as_a_worker() {
    if let Some(root) = env::var_os(ROOT) {
        serve(&SysfsRoot::new(root)).unwrap();
    }
}

struct Scene {
    sysfs: TempDir,
    state: StateDir,
    _state_dir: TempDir,
}

fn vf() -> PciAddress {
    "0000:17:00.1".parse().unwrap()
}

impl Scene {
    fn new() -> Self {
        let sysfs = tempfile::tempdir().unwrap();
        let at = |relative: &str| sysfs.path().join(relative);
        create_dir_all(at("bus/pci/devices")).unwrap();
        create_dir_all(at("bus/pci/drivers/vfio-pci")).unwrap();
        create_dir_all(at("devices/pci0000:17/0000:17:00.1")).unwrap();
        symlink(
            "../../../devices/pci0000:17/0000:17:00.1",
            at("bus/pci/devices/0000:17:00.1"),
        )
        .unwrap();
        write(
            at("bus/pci/devices/0000:17:00.1/driver_override"),
            "(null)\n",
        )
        .unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self {
            sysfs,
            state: StateDir::of_boot(directory.path(), "this").unwrap(),
            _state_dir: directory,
        }
    }

    fn command(&self, patience: Duration) -> WorkerCommand {
        let test = "worker::serves_when_it_was_started_as_a_worker";
        let program = Path::new("/usr/bin/env");
        let exe = env::current_exe().unwrap();
        let mut variable = OsString::from(format!("{ROOT}="));
        variable.push(self.sysfs.path());
        WorkerCommand {
            program: program.to_owned(),
            args: vec![
                variable,
                exe.into(),
                "--exact".into(),
                test.into(),
                "--nocapture".into(),
            ],
            sysfs: SysfsRoot::new(self.sysfs.path()),
            patience: Patience {
                device: patience,
                function: patience,
            },
        }
    }
}

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time");
        yield_now();
    }
}

#[test]
fn commands_are_given_and_answers_come_back() {
    let scene = Scene::new();
    let lock = scene.state.lock(vf(), "test").unwrap();
    let mut worker = scene.command(Duration::from_secs(20)).start(&lock).unwrap();
    assert_eq!(worker.driver_override(vf()).unwrap(), None);
    let driver = Some("vfio-pci".parse().unwrap());
    let command = Write::DriverOverride {
        address: vf(),
        driver: driver.clone(),
    };
    worker.write(&command).unwrap();
    let path = scene
        .sysfs
        .path()
        .join("bus/pci/devices/0000:17:00.1/driver_override");
    assert!(read_to_string(path).unwrap().starts_with("vfio-pci\n"));
}

#[test]
fn refusals_arrive_with_the_kernels_number() {
    let scene = Scene::new();
    let lock = scene.state.lock(vf(), "test").unwrap();
    let mut worker = scene.command(Duration::from_secs(20)).start(&lock).unwrap();
    let bind = Write::Bind {
        address: vf(),
        driver: "vfio-pci".parse().unwrap(),
    };
    let error = worker.write(&bind).unwrap_err();
    assert_eq!((error.errno(), error.is_gone()), (Some(2), true), "{error}");
    let error = worker.num_vfs(vf()).unwrap_err();
    assert!(
        error.is_gone() && error.to_string().contains("sriov_numvfs"),
        "{error}"
    );
    // It goes on after a refusal.
    assert_eq!(worker.driver_override(vf()).unwrap(), None);
    assert!(worker.abandon().is_none(), "it is not stuck");
}

#[test]
fn a_command_that_does_not_return_is_left_behind_with_its_lock() {
    let scene = Scene::new();
    let unbind = scene.sysfs.path().join("bus/pci/drivers/vfio-pci/unbind");
    // Opening a pipe to write waits for a reader, as a write to `unbind` waits for a user.
    pipe(&unbind);
    let lock = scene.state.lock(vf(), "the stuck one").unwrap();
    let mut worker = scene
        .command(Duration::from_millis(300))
        .start(&lock)
        .unwrap();
    let command = Write::Unbind {
        address: vf(),
        driver: "vfio-pci".parse().unwrap(),
    };
    let error = worker.write(&command).unwrap_err();
    assert!(matches!(error, HandsError::Stuck { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("bus/pci/drivers/vfio-pci/unbind"),
        "{error}"
    );
    // There is no second command behind one that is stuck.
    assert!(matches!(
        worker.driver_override(vf()),
        Err(HandsError::Lost { .. })
    ));

    let mut abandoned = worker.abandon().unwrap();
    assert!(abandoned.command.contains("unbind") && !abandoned.has_ended());
    drop(lock);
    let error = scene.state.lock(vf(), "the next").unwrap_err();
    assert!(error.to_string().contains("the stuck one"), "{error}");

    // The user lets go.
    let _reader = File::open(&unbind).unwrap();
    wait_until(|| abandoned.has_ended());
    wait_until(|| scene.state.lock(vf(), "the next").is_ok());
}

#[test]
fn a_read_that_does_not_return_is_left_behind_too() {
    let scene = Scene::new();
    let uevent = scene
        .sysfs
        .path()
        .join("bus/pci/devices/0000:17:00.1/uevent");
    pipe(&uevent);
    let lock = scene.state.lock(vf(), "test").unwrap();
    let mut worker = scene
        .command(Duration::from_millis(300))
        .start(&lock)
        .unwrap();
    let error = worker.uevent(vf()).unwrap_err();
    assert!(matches!(error, HandsError::Stuck { .. }), "{error}");
    let mut abandoned = worker.abandon().unwrap();
    let writer = File::options().write(true).open(&uevent).unwrap();
    drop(writer);
    wait_until(|| abandoned.has_ended());
}

#[test]
fn a_worker_that_dies_is_not_waited_for() {
    let scene = Scene::new();
    let lock = scene.state.lock(vf(), "test").unwrap();
    let mut command = scene.command(Duration::from_secs(20));
    command.program = "/bin/true".into();
    let mut worker = command.start(&lock).unwrap();
    let error = worker.driver_override(vf()).unwrap_err();
    assert!(matches!(error, HandsError::Lost { .. }), "{error}");
    command.program = "/no/such/program".into();
    assert!(matches!(
        command.start(&lock),
        Err(HandsError::Start { .. })
    ));
}
