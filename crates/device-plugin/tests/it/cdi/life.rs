//! The life of a file: written, left, replaced, removed.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    thread,
};

use device_plugin::cdi::{DirError, Spec, SpecDir};
use tempfile::tempdir;

use super::{kind, names, reader::Reader, spec, spec_dir};

/// What would change if somebody touched the file.
fn identity(path: &Path) -> (u64, i64, i64, Vec<u8>) {
    let metadata = fs::metadata(path).unwrap();
    let times = (metadata.mtime_nsec(), metadata.ctime_nsec());
    (metadata.ino(), times.0, times.1, fs::read(path).unwrap())
}

#[test]
fn a_file_appears_whole_for_everybody_to_read() {
    let dir = tempdir().unwrap();
    assert!(spec_dir(dir.path()).write(&spec("a.b/c", &["x"])).unwrap());
    assert_eq!(names(dir.path()), ["a.b_c.yaml"]);
    let path = dir.path().join("a.b_c.yaml");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    let text = fs::read_to_string(&path).unwrap();
    let expected = "# Written by test-plugin, which replaces and removes this file. Changes are \
                    lost.\n{\n  \"cdiVersion\": \"0.5.0\",\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.ends_with("}\n"), "{text}");
}

#[test]
fn the_same_again_leaves_the_file_alone_over_a_restart_too() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.b_c.yaml");
    spec_dir(dir.path())
        .write(&spec("a.b/c", &["x", "y"]))
        .unwrap();
    let before = identity(&path);
    assert!(
        !spec_dir(dir.path())
            .write(&spec("a.b/c", &["y", "x"]))
            .unwrap()
    );
    assert_eq!(identity(&path), before);
    assert!(spec_dir(dir.path()).write(&spec("a.b/c", &["x"])).unwrap());
    assert_ne!(
        identity(&path).0,
        before.0,
        "the file was replaced, not edited"
    );
}

#[test]
fn a_reader_never_sees_half_a_file() {
    let dir = tempdir().unwrap();
    let ids: Vec<String> = (0..200).map(|number| format!("device-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (large, small) = (spec("a.b/c", &ids), spec("a.b/c", &["x"]));
    spec_dir(dir.path()).write(&small).unwrap();
    thread::scope(|scope| {
        // Two writers, as when an old and a new instance of a plugin overlap.
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..50 {
                    spec_dir(dir.path()).write(&large).unwrap();
                    spec_dir(dir.path()).write(&small).unwrap();
                }
            });
        }
        let path = dir.path().join("a.b_c.yaml");
        let whole = [&large, &small].map(Spec::to_string);
        for _ in 0..500 {
            let text = fs::read_to_string(&path).unwrap();
            let (_mark, json) = text.split_once('\n').unwrap();
            assert!(whole.iter().any(|whole| whole == json.trim_end()));
        }
    });
    assert_eq!(names(dir.path()), ["a.b_c.yaml"]);
}

#[test]
fn a_file_goes_with_its_resource() {
    let dir = tempdir().unwrap();
    let specs = spec_dir(dir.path());
    for resource in ["a.b/c", "a.b/d", "a.b/e"] {
        specs.write(&spec(resource, &["x"])).unwrap();
    }
    assert!(specs.remove(&kind("a.b/c")).unwrap());
    assert!(!specs.remove(&kind("a.b/c")).unwrap());
    assert_eq!(names(dir.path()), ["a.b_d.yaml", "a.b_e.yaml"]);
    // A new life of the plugin, which has one of them only.
    let removed = spec_dir(dir.path())
        .retain(&[kind("a.b/e"), kind("a.b/f")])
        .unwrap();
    assert_eq!(removed, [dir.path().join("a.b_d.yaml")]);
    assert_eq!(names(dir.path()), ["a.b_e.yaml"]);
}

#[test]
fn files_of_others_are_left_alone() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.b_c.yaml");
    for foreign in ["kind: a.b/c\n", "", "# Written by test-plugin, or so\n{}\n"] {
        fs::write(&path, foreign).unwrap();
        let specs = spec_dir(dir.path());
        let error = specs.write(&spec("a.b/c", &["x"])).unwrap_err();
        assert!(matches!(&error, DirError::Foreign { path: named } if *named == path));
        assert!(!specs.remove(&kind("a.b/c")).unwrap());
        assert!(specs.retain(&[]).unwrap().is_empty());
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
    fs::remove_file(&path).unwrap();
    // Another plugin on this framework is another writer.
    SpecDir::new(dir.path(), "other-plugin")
        .write(&spec("a.b/c", &["x"]))
        .unwrap();
    let before = identity(&path);
    let error = spec_dir(dir.path())
        .write(&spec("a.b/c", &["x"]))
        .unwrap_err();
    assert!(matches!(error, DirError::Foreign { .. }), "{error}");
    assert!(spec_dir(dir.path()).retain(&[]).unwrap().is_empty());
    assert_eq!(identity(&path), before);
}

#[test]
fn a_link_or_a_directory_in_the_place_of_a_file_is_left_alone() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.b_c.yaml");
    let elsewhere = tempdir().unwrap();
    spec_dir(elsewhere.path())
        .write(&spec("a.b/c", &["x"]))
        .unwrap();
    symlink(elsewhere.path().join("a.b_c.yaml"), &path).unwrap();
    let specs = spec_dir(dir.path());
    let refused = || {
        let error = specs.write(&spec("a.b/c", &["y"])).unwrap_err();
        assert!(matches!(error, DirError::Foreign { .. }), "{error}");
        assert!(!specs.remove(&kind("a.b/c")).unwrap());
    };
    refused();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused();
    assert_eq!(names(elsewhere.path()), ["a.b_c.yaml"]);
}

#[test]
fn one_kind_has_one_file() {
    for (name, text) in [
        (
            "nic.json",
            r#"{"cdiVersion":"0.5.0","kind":"a.b/c","devices":[]}"#,
        ),
        ("other.yaml", "---\ncdiVersion: 0.6.0\nkind: \"a.b/c\"\n"),
    ] {
        let dir = tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let specs = spec_dir(dir.path());
        let error = specs.write(&spec("a.b/c", &["x"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "`{}` describes devices of `a.b/c` already; only one plugin may do that, so remove \
                 the file or rename the resource",
                path.display()
            )
        );
        assert_eq!(names(dir.path()), [name]);
        // Another kind of the same vendor is no matter, nor is a file that no reader reads.
        specs.write(&spec("a.b/d", &["x"])).unwrap();
        fs::rename(&path, dir.path().join("saved.txt")).unwrap();
        specs.write(&spec("a.b/c", &["x"])).unwrap();
    }
}

#[test]
fn what_a_crash_left_is_cleaned_and_never_read() {
    let dir = tempdir().unwrap();
    let specs = spec_dir(dir.path());
    specs.write(&spec("a.b/c", &["x"])).unwrap();
    let half = [".a.b_c.cdi-new", ".a.b_gone.cdi-new"];
    let leave = || {
        for name in half {
            fs::write(dir.path().join(name), "# Written by te").unwrap();
        }
    };
    leave();
    assert_eq!(Reader::new(dir.path()).names(), ["a.b/c=x"]);
    assert!(!specs.write(&spec("a.b/c", &["x"])).unwrap());
    assert_eq!(names(dir.path()), ["a.b_c.yaml"]);
    leave();
    specs.retain(&[kind("a.b/c")]).unwrap();
    assert_eq!(names(dir.path()), ["a.b_c.yaml"]);
    leave();
    specs.remove(&kind("a.b/c")).unwrap();
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn what_cannot_be_read_is_no_matter() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("secret.json"), "kind").unwrap();
    fs::set_permissions(
        dir.path().join("secret.json"),
        Permissions::from_mode(0o000),
    )
    .unwrap();
    fs::write(dir.path().join("binary.json"), b"\xff\xfekind: a.b/c\xff").unwrap();
    fs::create_dir(dir.path().join("folder.json")).unwrap();
    symlink("nowhere", dir.path().join("dangling.yaml")).unwrap();
    assert!(spec_dir(dir.path()).write(&spec("a.b/c", &["x"])).unwrap());
}
