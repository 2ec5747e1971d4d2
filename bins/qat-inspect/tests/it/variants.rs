//! Every machine and every difference that the simulator knows, as golden files: what the inspector makes of each.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use node_sim::{CdevNodes, Change, FunctionSpec, Heartbeat, Machine, Profile};
use serde_json::Value;

use crate::inspect;

/// What each question is answered with, and the exit codes.
fn story(machine: Machine) -> String {
    let dir = node_sim::scratch().unwrap();
    let node = machine.write(dir.path()).unwrap();
    let kubelet = format!("--kubelet-dir={}", node.kubelet_dir().display());
    let first = node
        .pfs()
        .first()
        .or(node.vfs().first())
        .map(ToString::to_string);
    let mut text = String::new();
    let mut ask = |question: &str, args: &[&str]| {
        let (code, said) = answer(dir.path(), question, args);
        writeln!(text, "== {question}: {code}\n{said}").unwrap();
    };
    ask("tree", &[&kubelet]);
    ask("pools", &[]);
    ask("groups", &["--output=name"]);
    if let Some(first) = &first {
        ask("show", &[first]);
    }
    ask("check", &["--for=qatlib,kubevirt", "--no-kubelet"]);
    for (question, args) in [
        ("list", &[][..]),
        ("tree", &[kubelet.as_str()]),
        ("groups", &[]),
        ("pools", &[]),
        ("pods", &[kubelet.as_str()]),
        ("check", &["--no-kubelet"]),
    ] {
        is_as_its_schema_says(dir.path(), question, args);
    }
    if let Some(first) = &first {
        is_as_its_schema_says(dir.path(), "show", &[first]);
    }
    text
}

/// Holds the JSON of an answer against the schema that scripts are promised. What is not in it must not come.
fn is_as_its_schema_says(root: &Path, question: &str, args: &[&str]) {
    let (_, text) = answer(root, question, &[args, &["--json"]].concat());
    let json: Value = serde_json::from_str(&text).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/qat-inspect.json");
    let file: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let mut schema = file["$defs"][question].clone();
    assert!(schema.is_object(), "{question}");
    close(&mut schema);
    let checked = jsonschema::validate(&schema, &json);
    assert!(
        checked.is_ok(),
        "{question}: {}\n{text}",
        checked.unwrap_err()
    );
}

/// Forbids what a schema does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

fn answer(root: &Path, question: &str, args: &[&str]) -> (i32, String) {
    let output = inspect(question, root, args).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let text = text.replace(&root.display().to_string(), "ROOT");
    (output.status.code().unwrap(), text)
}

macro_rules! profiles {
    ($($test:ident: $profile:ident;)*) => {
        $(
            #[test]
            fn $test() {
                assert_snapshot!(story(Machine::profile(Profile::$profile)));
            }
        )*
    };
}

profiles! {
    c62x: C62x;
    xeon_4xxx: Xeon4xxx;
    xeon_4xxx_two_sockets: Xeon4xxxTwoSockets;
    x401xx: X401xx;
    x402xx: X402xx;
    dh895xcc: Dh895xcc;
    c3xxx: C3xxx;
    x420xx: X420xx;
    x6xxx: X6xxx;
    guest_4xxx: Guest4xxx;
    guest_c62x: GuestC62x;
}

/// A machine with two PFs, and one difference.
macro_rules! variants {
    ($($test:ident: |$pf:ident, $vf:ident| $change:expr;)*) => {
        $(
            #[test]
            fn $test() {
                let machine = Machine::profile(Profile::X6xxx);
                let (pfs, vfs) = (machine.pfs(), machine.vfs());
                let ($pf, $vf) = (pfs[0], |nth: usize| vfs[nth]);
                let _unused = &$vf;
                let _unused = $pf;
                assert_snapshot!(story(machine.with($change)));
            }
        )*
    };
}

variants! {
    no_vfs: |pf, _vf| Change::NoVfs(pf);
    sriov_off: |pf, _vf| Change::SriovOff(pf);
    no_driver: |_pf, vf| Change::Driver { address: vf(3), driver: None };
    a_kernel_driver: |_pf, vf| Change::Driver { address: vf(3), driver: Some("6xxxvf") };
    all_vfs_without_driver: |_pf, _vf| Change::AllVfsOn(None);
    no_iommu: |_pf, _vf| Change::NoIommu;
    no_iommu_mode: |_pf, _vf| Change::NoIommuMode;
    iommu_passthrough: |_pf, _vf| Change::IommuPassthrough;
    no_iommu_group: |_pf, vf| Change::NoIommuGroup(vf(1));
    shared_group: |_pf, vf| Change::SharedGroup { a: vf(0), b: vf(1) };
    nic_in_group: |_pf, vf| Change::NicInGroup { of: vf(0), driver: Some("ice") };
    idle_nic_in_group: |_pf, vf| Change::NicInGroup { of: vf(0), driver: None };
    another_function: |_pf, _vf| {
        let disk = FunctionSpec::new("0000:f1:00.0".parse().unwrap(), "144d:a824".parse().unwrap());
        Change::Function(disk.class(0x01_0802).driver("nvme"))
    };
    garbage: |_pf, vf| Change::Garbage { address: vf(2), attribute: "modalias", bytes: b"\xff\xfe" };
    no_attribute: |_pf, vf| Change::NoAttribute { address: vf(2), attribute: "modalias" };
    odd_services: |pf, _vf| Change::Services { pf, text: "teleport" };
    state_down: |pf, _vf| Change::StateDown(pf);
    pf_on_vfio: |pf, _vf| Change::PfOnVfio(pf);
    pf_unbound: |pf, _vf| Change::PfUnbound(pf);
    look_alikes: |_pf, _vf| Change::LookAlikes;
    numa_unknown: |pf, _vf| Change::NumaUnknown(pf);
    numa_absent: |pf, _vf| Change::NumaAbsent(pf);
    no_node: |_pf, vf| Change::NoNode(vf(4));
    no_control_node: |_pf, _vf| Change::NoControlNode;
    denylist: |_pf, _vf| Change::Denylist(true);
    another_domain: |_pf, _vf| Change::Domain(0x10001);
    character_devices: |_pf, _vf| Change::Cdev(CdevNodes::Present);
    a_dead_heartbeat: |pf, _vf| Change::Heartbeat {
        pf,
        heartbeat: Some(Heartbeat { alive: false, queries_sent: 3, queries_failed: 3 }),
    };
    no_debugfs: |_pf, _vf| Change::NoDebugfs;
}
