//! What only the plugin knows, from its `state.json`.

use std::fs;
use std::path::Path;

use node_sim::{Machine, Profile};
use serde_json::{Value, json};

use crate::{BOOT, inspect};

/// A state of the boot that runs, with these VFs and PFs.
pub(crate) fn state(vfs: &Value, pfs: &Value) -> String {
    let state = json!({
        "version": 1, "boot": BOOT, "written": 1, "hearing": true,
        "pools": { "cy": vfs }, "pfs": pfs, "answers": {}, "given": {}, "leaks": {},
    });
    state.to_string()
}

fn unhealthy(code: &str, reason: &str) -> Value {
    json!({ "health": "unhealthy", "code": code, "reason": reason, "since": 1 })
}

/// What `check` prints where the plugin has written `state`, and its exit code.
fn check(root: &Path, state: &str) -> (i32, String) {
    fs::create_dir_all(root.join("state")).unwrap();
    fs::write(root.join("state/state.json"), state).unwrap();
    let output = inspect("check", root, &["--for=qatlib"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_sick_pf_and_what_the_plugin_says_of_vfs_are_findings() {
    let dir = node_sim::scratch().unwrap();
    let node = Machine::profile(Profile::Xeon4xxx)
        .write(dir.path())
        .unwrap();
    let (pf, other) = (node.pfs()[0], node.pfs()[2]);
    let [first, second] = [0, 1].map(|nth| node.vfs_of(other)[nth].to_string());
    let vfs = json!({
        first.as_str(): unhealthy("leaked", "it is open although no pod holds it"),
        second.as_str(): unhealthy("flapping", "it came and went 3 times"),
    });
    let sick = json!({
        pf.to_string(): {
            "sick": { "code": "heartbeat" }, "since": 1, "refused": 0, "vitals": {},
        }
    });
    let (code, text) = check(dir.path(), &state(&vfs, &sick));
    assert_eq!(code, 1, "{text}");
    for says in [
        "pf-sick (16 VFs, ".to_owned(),
        format!("sick (PF {pf}): its firmware does not answer (heartbeat)"),
        format!("leaked (VF {first}): the plugin says: it is open although no pod holds it"),
        format!("flapping (VF {second}): the plugin says: it came and went 3 times"),
    ] {
        assert!(text.contains(&says), "no `{says}` in:\n{text}");
    }
}

#[test]
fn every_code_that_only_the_plugin_gives_is_a_finding_until_it_takes_it_back() {
    let dir = node_sim::scratch().unwrap();
    let node = Machine::profile(Profile::Xeon4xxx)
        .write(dir.path())
        .unwrap();
    let vf = node.vfs()[0].to_string();
    for (id, code) in [
        ("QAT028", "gone"),
        ("QAT029", "unreadable"),
        ("QAT030", "moves"),
        ("QAT031", "held"),
        ("QAT032", "holder-unknown"),
        ("QAT033", "leaked"),
        ("QAT034", "flapping"),
    ] {
        let begins = format!("{id} {code} (VF {vf}): the plugin says: so it is");
        let vfs = json!({ vf.as_str(): unhealthy(code, "so it is") });
        let (exit, text) = check(dir.path(), &state(&vfs, &json!({})));
        assert!(exit == 1 && text.contains(&begins), "{code}:\n{text}");
        let vfs = json!({ vf.as_str(): { "health": "healthy" } });
        let (exit, text) = check(dir.path(), &state(&vfs, &json!({})));
        assert!(exit == 0 && !text.contains(id), "{code}:\n{text}");
    }
}

#[test]
fn a_state_of_another_boot_says_nothing_and_one_that_is_no_state_is_named() {
    let dir = node_sim::scratch().unwrap();
    let node = Machine::profile(Profile::Xeon4xxx)
        .write(dir.path())
        .unwrap();
    let vf = node.vfs()[0].to_string();
    let vfs = json!({ vf.as_str(): unhealthy("leaked", "it is open") });
    let mut old: Value = serde_json::from_str(&state(&vfs, &json!({}))).unwrap();
    old["boot"] = json!("another");
    let (code, text) = check(dir.path(), &old.to_string());
    assert!(code == 0 && !text.contains("leaked"), "{text}");
    let (code, text) = check(dir.path(), "{");
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("note: what the plugin knows is left out: `"),
        "{text}"
    );
    assert!(
        text.contains("state.json` is not what a qat-plugin writes"),
        "{text}"
    );
}
