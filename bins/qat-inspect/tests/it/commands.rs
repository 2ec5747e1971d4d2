//! Every command, on every machine, and on snapshots of them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use insta::assert_snapshot;
use node_sim::{Machine, Profile};
use serde_json::Value;

use crate::{inspect, troubled};

/// What a command prints on success, without the temporary path.
fn said(root: &Path, question: &str, args: &[&str]) -> String {
    let output = inspect(question, root, args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{question} {args:?}: {stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.replace(&root.display().to_string(), "ROOT")
}

/// The same of a machine in a file.
fn said_from(file: &Path, question: &str, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_qat-inspect"))
        .env_clear()
        .arg(question)
        .arg(format!("--from={}", file.display()))
        .args(args)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_snapshot_says_what_its_machine_said_whatever_the_machine() {
    let machines = Profile::ALL.map(Machine::profile).into_iter();
    for machine in machines.chain([troubled()]) {
        let dir = node_sim::scratch().unwrap();
        machine.write(dir.path()).unwrap();
        let file = dir.path().join("node.json");
        let name = file.to_str().unwrap();
        let taken = said(dir.path(), "snapshot", &[name]);
        assert!(taken.contains("it is text"), "{taken}");
        for (question, args) in [
            ("list", &["--output=json"][..]),
            ("list", &["--output=wide"]),
            ("list", &["--output=name"]),
            ("list", &["--output=yaml"]),
            ("groups", &["--pci-ids=/nowhere"]),
            ("groups", &["--pci-ids=/nowhere", "--output=json"]),
            ("pools", &["--output=json"]),
            ("pools", &[]),
        ] {
            let here = said(dir.path(), question, args);
            let (code, there) = said_from(&file, question, args);
            assert_eq!(code, Some(0), "{there}");
            assert!(!here.is_empty());
            // Where the machine was is part of some sentences.
            let here = here.replace("ROOT", "");
            assert_eq!(here, there, "{question} {args:?}");
        }
    }
}

#[test]
fn trouble_is_shown_from_every_side() {
    let dir = node_sim::scratch().unwrap();
    let node = troubled().write(dir.path()).unwrap();
    let (vfs, pf) = (node.vfs(), node.pfs()[0].to_string());
    let kubelet = format!("--kubelet-dir={}", node.kubelet_dir().display());
    assert_snapshot!("tree", said(dir.path(), "tree", &[&kubelet]));
    assert_snapshot!("pools", said(dir.path(), "pools", &[]));
    let groups = said(dir.path(), "groups", &[]);
    assert!(groups.contains("no    0000:76:00.4"), "{groups}");
    assert!(groups.contains("ixgbe, in the way"), "{groups}");
    let show = |address: &str| said(dir.path(), "show", &[address]);
    assert_snapshot!("a_pf", show(&pf));
    assert_snapshot!("a_vf_in_a_blocked_group", show(&vfs[3].to_string()));
    assert_snapshot!("a_neighbour", show("0000:fe:00.0"));
    let json = said(dir.path(), "show", &["--json", &pf]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["kind"], "physical function");
}

#[test]
fn lists_are_filtered() {
    let dir = node_sim::scratch().unwrap();
    let node = Machine::profile(Profile::Xeon4xxx)
        .write(dir.path())
        .unwrap();
    let names = |args: &[&str]| {
        let mut all = vec!["--output=name"];
        all.extend(args);
        said(dir.path(), "list", &all).lines().count()
    };
    assert_eq!(names(&[]), 4 + 64);
    assert_eq!(names(&["--resource=cy"]), 4 + 32);
    assert_eq!(names(&["--resource=qat.intel.com/dc"]), 4 + 32);
    let pf = format!("--pf={}", node.pfs()[1]);
    assert_eq!(names(&[&pf]), 1 + 16);
    assert_eq!(names(&["--withheld"]), 4);
}

#[test]
fn lists_have_the_columns_that_are_asked_for() {
    let dir = node_sim::scratch().unwrap();
    let machine = Machine::profile(Profile::Xeon4xxx);
    let (pf, vf) = (machine.pfs()[0], machine.vfs()[0]);
    machine.write(dir.path()).unwrap();
    let pf_arg = format!("--pf={pf}");
    let text = said(
        dir.path(),
        "list",
        &[&pf_arg, "--columns=family,address,offered,vfs"],
    );
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let pf = pf.to_string();
    let vf = vf.to_string();
    assert_eq!(rows[0], ["FAMILY", "PF", "VFS"]);
    assert_eq!(rows[1], ["4xxx", &pf, "16"]);
    assert_eq!(rows[3], ["FAMILY", "VF", "OFFERED", "AS"]);
    assert_eq!(rows[4], ["4xxx", &vf, "qat.intel.com/cy"]);
    let output = inspect("list", dir.path(), &["--columns=colour"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("colour") && text.contains("offered"),
        "{text}"
    );
}

#[test]
fn an_address_that_is_none_or_absent_is_said() {
    let dir = node_sim::scratch().unwrap();
    Machine::profile(Profile::C3xxx).write(dir.path()).unwrap();
    for (address, says) in [
        ("0000:ff:1f.7", "there is no PCI function 0000:ff:1f.7"),
        ("6b:00.1", "6b:00.1"),
        ("0000:6b:00.9", "0000:6b:00.9"),
        ("", "''"),
    ] {
        let output = inspect("show", dir.path(), &[address]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn every_finding_is_explained_and_an_unknown_one_is_not() {
    let inspect = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qat-inspect"));
        command.env_clear().arg("explain").args(args);
        command.output().unwrap()
    };
    let all = String::from_utf8(inspect(&[]).stdout).unwrap();
    assert!(all.lines().count() > 50, "{all}");
    for line in all.lines() {
        let id = line.split(' ').next().unwrap();
        let one = String::from_utf8(inspect(&[id]).stdout).unwrap();
        assert!(
            one.starts_with(id) && one.contains("What to do\n  "),
            "{one}"
        );
    }
    let unknown = inspect(&["QAT999"]);
    assert_eq!(unknown.status.code(), Some(2));
    let text = String::from_utf8(unknown.stderr).unwrap();
    assert!(text.contains("there is no finding `QAT999`"), "{text}");
}

#[test]
fn a_manifest_names_what_the_node_has() {
    let dir = node_sim::scratch().unwrap();
    Machine::profile(Profile::X6xxx).write(dir.path()).unwrap();
    let pools = said(dir.path(), "pools", &["--output=name"]);
    let resource = pools.lines().next().unwrap();
    let kubevirt = said(dir.path(), "manifest", &["kubevirt", resource]);
    assert!(
        kubevirt.contains("pciVendorSelector: \"8086:4949\""),
        "{kubevirt}"
    );
    assert!(
        kubevirt.contains(&format!("deviceName: {resource}\n")),
        "{kubevirt}"
    );
    for runtime in ["kata", "dpdk"] {
        let text = said(dir.path(), "manifest", &[runtime]);
        assert!(text.contains(&format!("{resource}: \"")), "{text}");
    }
    let output = inspect("manifest", dir.path(), &["dpdk", "nope"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no VF is offered as `nope`"), "{text}");
}

#[test]
fn completions_and_a_manual_page_are_printed() {
    for args in [
        ["completions", "bash"].as_slice(),
        &["completions", "zsh"],
        &["man"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qat-inspect"));
        let output = command.args(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("snapshot"),
            "{text}"
        );
    }
}

#[test]
fn a_snapshot_that_is_none_is_refused_and_nothing_of_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.json");
    let archive = |entries: &str| {
        format!("{{\"version\":1,\"by\":\"x\",\"taken\":0,\"entries\":{entries},\"unread\":{{}}}}")
    };
    for (text, says) in [
        (String::new(), "is no snapshot of a node, or not all of it"),
        (archive("{\"sys/a\":{\"te"), "unknown variant `te,`"),
        (
            "{\"version\":9,\"by\":\"\",\"taken\":0,\"entries\":{},\"unread\":{}}".to_owned(),
            "has version 9",
        ),
        (archive("{\"../x\":{\"text\":\"\"}}"), "leads elsewhere"),
        (archive("{\"/etc/x\":{\"text\":\"\"}}"), "leads elsewhere"),
        (
            archive("{\"sys/../../x\":{\"text\":\"\"}}"),
            "leads elsewhere",
        ),
        (
            archive("{\"home/x\":{\"text\":\"\"}}"),
            "is in none of the trees",
        ),
        (
            archive("{\"sys\":{\"text\":\"\"}}"),
            "is in none of the trees",
        ),
        (
            archive("{\"sys/a\":{\"link\":\"/etc\"}}"),
            "leads out of its tree",
        ),
        (
            archive("{\"sys/a\":{\"link\":\"../..\"}}"),
            "leads out of its tree",
        ),
        (
            archive("{\"sys/a\":{\"link\":\"b/../../../x\"}}"),
            "leads out of its tree",
        ),
        (
            archive("{\"sys/a\":{\"link\":\"b\"},\"sys/a/x\":{\"text\":\"\"}}"),
            "below something that is no directory",
        ),
        (
            archive("{\"sys/a\":{\"text\":\"\"},\"sys/a/x\":{\"text\":\"\"}}"),
            "below something that is no directory",
        ),
        (archive("{\"sys/a\":{\"socket\":\"\"}}"), "unknown variant"),
        (archive("{\"sys/a\":\"dir\"}"), "No such file"),
    ] {
        fs::write(&file, &text).unwrap();
        let (code, said) = said_from(&file, "list", &[]);
        assert_eq!(code, Some(2), "{text}: {said}");
        assert!(said.contains(says), "{text}: {said}");
    }
    let (code, said) = said_from(&dir.path().join("none"), "list", &[]);
    assert!(code == Some(2) && said.contains("cannot read `"), "{said}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_needs_the_machine_itself_says_so() {
    let dir = node_sim::scratch().unwrap();
    Machine::profile(Profile::C3xxx).write(dir.path()).unwrap();
    let file = dir.path().join("node.json");
    said(dir.path(), "snapshot", &[file.to_str().unwrap()]);
    for question in ["pods", "watch"] {
        let (code, said) = said_from(&file, question, &[]);
        assert_eq!(code, Some(2));
        assert!(said.contains("a snapshot does not"), "{said}");
    }
    let (code, tree) = said_from(&file, "tree", &[]);
    assert_eq!(code, Some(0));
    assert!(
        tree.contains("note: a snapshot does not say what pods hold"),
        "{tree}"
    );
}

/// The machines with which a newcomer sees what the tool is for.
#[test]
fn the_examples_are_a_healthy_node_and_a_broken_one() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/snapshots");
    let (code, text) = said_from(&examples.join("healthy.json"), "check", &[]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = said_from(&examples.join("broken.json"), "check", &["--for=kubevirt"]);
    assert_eq!(code, Some(1), "{text}");
    assert_snapshot!("the_broken_example", text);
}

/// The page has every field that there is.
#[test]
fn the_fields_of_json_are_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/inspect.md");
    let page = fs::read_to_string(page).unwrap();
    let dir = node_sim::scratch().unwrap();
    let node = troubled().write(dir.path()).unwrap();
    let vf = node.vfs()[3].to_string();
    for (question, args) in [
        ("list", vec!["--json"]),
        ("show", vec!["--json", &vf]),
        ("tree", vec!["--json"]),
        ("groups", vec!["--json"]),
        ("pods", vec!["--json"]),
    ] {
        let json: Value = serde_json::from_str(&said(dir.path(), question, &args)).unwrap();
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{question}` | `")));
        let line = line.unwrap_or_else(|| panic!("no line for {question}"));
        let mut fields = Vec::new();
        keys(&json, &mut fields);
        for field in fields {
            let named =
                line.contains(&format!("`{field}`")) || line.contains(&format!("`{field}[]`"));
            assert!(
                named || field == "schema",
                "{question}: `{field}` is not in docs/inspect.md"
            );
        }
    }
}

/// The names of all fields.
fn keys(json: &Value, fields: &mut Vec<String>) {
    match json {
        Value::Object(object) => {
            for (key, value) in object {
                fields.push(key.clone());
                keys(value, fields);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, fields)),
        _ => {}
    }
}

#[test]
fn a_change_is_a_line() {
    let dir = node_sim::scratch().unwrap();
    let node = Machine::profile(Profile::C3xxx).write(dir.path()).unwrap();
    let mut command = Process::new(env!("CARGO_BIN_EXE_qat-inspect"));
    let mut watch = command
        .args(["watch", "--count=1"])
        .arg(format!("--sysfs-root={}", dir.path().join("sys").display()))
        .arg(format!("--dev-root={}", dir.path().join("dev").display()))
        .arg(format!(
            "--state-dir={}",
            dir.path().join("state").display()
        ))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("17 functions; waiting"), "{first}");
    let vf = node.vfs()[5];
    node.unbind(vf).unwrap();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains(&format!("VF {vf}: ")), "{line}");
    assert!(watch.wait().unwrap().success());
}
