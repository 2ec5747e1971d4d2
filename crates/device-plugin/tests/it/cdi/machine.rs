//! A file system that is in the way.
//!
//! To fill a disk and to mount it read-only takes a mount namespace of one's own. So one test
//! starts itself again under `unshare`. Where the machine forbids that, it says so and passes.

use std::{env, fs, fs::OpenOptions, io::Write, path::Path, process::Command};

use device_plugin::cdi::DirError;
use tempfile::tempdir;

use super::{kind, names, spec, spec_dir};

const INSIDE: &str = "DEVICE_PLUGIN_TEST_SMALL_DISK";

#[test]
fn a_directory_that_is_not_there_is_named_and_not_made() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("cdi");
    let specs = spec_dir(&path);
    let error = specs.write(&spec("a.b/c", &["x"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "CDI directory `{}` does not exist; mount it into the plugin's container with a \
             `hostPath` volume of type `DirectoryOrCreate`",
            path.display()
        )
    );
    assert!(!specs.remove(&kind("a.b/c")).unwrap());
    assert!(specs.retain(&[]).unwrap().is_empty());
    assert!(!path.exists());
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("cdi");
    fs::write(&path, "precious").unwrap();
    let error = spec_dir(&path).write(&spec("a.b/c", &["x"])).unwrap_err();
    assert!(matches!(error, DirError::Io { .. }), "{error}");
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_full_or_read_only_disk_keeps_what_was_there() {
    if let Some(dir) = env::var_os(INSIDE) {
        return on_a_small_disk(Path::new(&dir));
    }
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-ec", script]);
        command
    };
    let dir = tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=16k none \"$0\"";
    let probe = unshare(mount).arg(dir.path()).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip("no user and mount namespaces of one's own here");
    }
    let name = "cdi::machine::a_full_or_read_only_disk_keeps_what_was_there";
    let output = unshare(&format!("{mount}; exec \"$1\" --exact {name} --nocapture"))
        .arg(dir.path())
        .arg(env::current_exe().unwrap())
        .env(INSIDE, dir.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}{stderr}");
}

fn on_a_small_disk(dir: &Path) {
    let specs = spec_dir(dir);
    let small = spec("a.b/c", &["x"]);
    specs.write(&small).unwrap();
    let path = dir.join("a.b_c.yaml");
    let before = fs::read(&path).unwrap();
    let ids: Vec<String> = (0..200).map(|number| format!("device-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();

    let error = specs.write(&spec("a.b/c", &ids)).unwrap_err();
    assert!(
        matches!(&error, DirError::Full { path } if path == dir),
        "{error}"
    );
    assert_eq!(names(dir), ["a.b_c.yaml"]);
    assert_eq!(fs::read(&path).unwrap(), before);

    // The mount alone: in a user namespace of an ordinary user some kernels refuse to change the file system.
    let remount = Command::new("mount")
        .args(["-o", "remount,bind,ro"])
        .arg(dir)
        .status();
    assert!(remount.unwrap().success());
    let error = specs.write(&spec("a.b/c", &["y"])).unwrap_err();
    assert!(
        matches!(&error, DirError::ReadOnly { path } if path == dir),
        "{error}"
    );
    let error = specs.remove(&kind("a.b/c")).unwrap_err();
    assert!(matches!(error, DirError::ReadOnly { .. }), "{error}");
    assert!(
        !specs.write(&small).unwrap(),
        "nothing to write, so no error"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// Says that a test cannot run here, also in the file named by `TEST_SKIPS`.
#[expect(clippy::print_stdout, reason = "the output of a test")]
fn skip(reason: &str) {
    println!("skipped: {reason}");
    if let Some(path) = env::var_os("TEST_SKIPS") {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        // One write, so that lines of several processes stay whole.
        file.write_all(format!("device-plugin full disk: {reason}\n").as_bytes())
            .unwrap();
    }
}
