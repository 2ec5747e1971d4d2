//! What is remembered over a restart.

use std::fs::{create_dir_all, write};
use std::path::Path;

use qat_node::memory::{FILE, Memory};
use qat_policy::health::Sickness;

/// What the daemon writes.
const WRITTEN: &str = r#"{
  "version": 1, "boot": "b", "written": 1764000000, "hearing": true,
  "pools": { "cy": {
    "0000:6b:00.1": { "health": "healthy", "since": 1764000000, "pf": "0000:6b:00.0", "numaNode": 0 },
    "0000:6b:00.2": { "health": "unhealthy", "code": "not-bound", "reason": "no driver is bound", "since": 1764000000 }
  } },
  "pfs": { "0000:6b:00.0": {
    "sick": { "code": "fatal-errors", "text": "broken", "errors": 2 },
    "since": 1764000000, "refused": 0,
    "vitals": { "beat": "alive", "failed": 3, "ras": { "fatal": 2, "nonfatal": { "unknown": "no-file" }, "correctable": { "failed": "odd" } } }
  } },
  "answers": { "0000:6b:00.1": { "pool": "cy", "at": 1764000000 } },
  "given": { "0000:6b:00.1": ["/dev/vfio/320"] },
  "leaks": { "0000:6b:00.3": { "since": 1764000000, "lastHolder": "container main of pod default/p" } }
}"#;

fn read(text: &str) -> Result<Option<Memory>, String> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join(FILE), text).unwrap();
    Memory::read(dir.path()).map_err(|error| {
        let text = qat_node::chain(&error);
        text.replace(dir.path().to_str().unwrap(), "DIR")
    })
}

#[test]
fn the_form_is_the_documented_one() {
    let memory = read(WRITTEN).unwrap().unwrap();
    assert!(!memory.is_of_this_boot());
    let pf = &memory.pfs[&"0000:6b:00.0".parse().unwrap()];
    assert_eq!(pf.sick, Some(Sickness::Fatal { errors: 2 }));
    assert_eq!(pf.vitals.ras.fatal.value(), Some(&2));
    let text = serde_json::to_string(&memory).unwrap();
    assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
}

#[test]
fn where_there_is_no_file_nothing_is_remembered_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("state");
    assert!(Memory::read(&missing).unwrap().is_none());
    assert!(!missing.exists());
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let half = &WRITTEN[..WRITTEN.len() / 2];
    for (text, says) in [
        ("", "`DIR/state.json` is not what a qat-plugin writes"),
        ("{", "remove it, and the next change writes it anew"),
        (half, "EOF"),
        (
            r#"{"version": 7}"#,
            "has version 7, and this program reads version 1",
        ),
        (r#"{"version": 1}"#, "missing field"),
        (&WRITTEN.replace("fatal-errors", "plague"), "`plague`"),
        (&WRITTEN.replace("6b:00.1", "6b:00.9"), "6b:00.9"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    create_dir_all(dir.path().join(FILE)).unwrap();
    let error = Memory::read(Path::new(dir.path())).unwrap_err();
    assert!(
        qat_node::chain(&error).starts_with("cannot read `"),
        "{error}"
    );
}
