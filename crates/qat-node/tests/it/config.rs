//! Configuration files, good and bad.

use std::collections::BTreeSet;
use std::fs::{create_dir, write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use qat_node::Calm;
use qat_node::config::{NodeConfig, OldInit, OnNode, ThisNode, read_config};
use qat_node::pools::CdiMode;
use qat_policy::health::HealthRules;
use qat_policy::provision::{DriverGoal, Rule, VfsGoal};
use qat_policy::{AllocationPolicy, Family, ResourceNames, Services, Traits};
use sysfs_pci::VfIndex;

fn error(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    write(&path, text).unwrap();
    let error = read_config(&path).unwrap_err().to_string();
    error.replace(dir.path().to_str().unwrap(), "DIR")
}

fn rules(text: &str) -> Vec<Rule> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    write(&path, text).unwrap();
    read_config(&path).unwrap().rules()
}

#[test]
fn everything_that_a_rule_can_say() {
    let rules = rules(
        "version: 1
provisioning:
  - services: sym;asym
    autoReset: on
  - nodes: [\"storage-*\", gpu-1]
    family: 4xxx
    services: [dc]
    autoReset: false
  - pf: 0000:e8:00.0
    vfs: none
    driver: keep
",
    );
    assert_eq!(rules.len(), 3);
    assert_eq!(rules[0].services.unwrap().to_string(), "asym;sym");
    assert_eq!(rules[0].auto_reset, Some(true));
    assert_eq!(rules[1].name, "provisioning rule 2");
    assert_eq!(rules[1].nodes, ["storage-*", "gpu-1"]);
    assert_eq!(rules[1].family, Some(Family::Gen4_4xxx));
    assert_eq!(rules[1].services.unwrap().to_string(), "dc");
    assert_eq!(rules[1].auto_reset, Some(false));
    assert_eq!(
        (rules[2].vfs, rules[2].driver),
        (Some(VfsGoal::None), Some(DriverGoal::Keep))
    );
}

#[test]
fn health_is_judged_as_usual_unless_it_is_told_otherwise() {
    let read = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        write(&path, text).unwrap();
        read_config(&path).unwrap()
    };
    let usual = read("version: 1\n");
    assert_eq!(on(&usual, None).health(), HealthRules::default());
    assert_eq!(on(&usual, None).calm(), Calm::default());
    let documented = "version: 1
health: { heartbeat: on, checkInterval: 2s, goodChecks: 3, falls: 3, quiet: 1m }
";
    let documented = read(documented);
    assert_eq!(on(&documented, None).health(), on(&usual, None).health());
    assert_eq!(on(&documented, None).calm(), on(&usual, None).calm());
    let other = "version: 1
health:
  heartbeat: false
  checkInterval: 500ms
  goodChecks: 5
  falls: 1
  quiet: 10s
";
    let other = read(other);
    let health = HealthRules {
        heartbeat: false,
        check_interval: Duration::from_millis(500),
        good_checks: 5,
    };
    assert_eq!(on(&other, None).health(), health);
    let calm = Calm {
        falls: 1,
        quiet: Duration::from_secs(10),
    };
    assert_eq!(on(&other, None).calm(), calm);
    for (text, says) in [
        (
            "checkInterval: soon",
            "`soon` is no time from 10ms to a day",
        ),
        ("goodChecks: 0", "nonzero"),
        ("falls: -1", "falls"),
        ("heartbeat: maybe", "`maybe` is neither on nor off"),
        ("patience: 3", "unknown field `patience`"),
    ] {
        let error = error(&format!("version: 1\nhealth:\n  {text}\n"));
        assert!(
            error.contains(says) && error.contains("config.yaml"),
            "{error}"
        );
    }
}

#[test]
fn a_file_without_rules_wants_nothing() {
    assert_eq!(rules("version: 1\n"), []);
    assert_eq!(rules("version: 1\nprovisioning: []\n"), []);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, line, says) in [
        (
            "version: 1\nprovisioning:\n  - services: nonsense\n",
            "3",
            "unknown service `nonsense`",
        ),
        (
            "version: 1\nprovisioning:\n  - services: [sym, sym]\n",
            "3",
            "named twice",
        ),
        (
            "version: 1\nprovisioning:\n  - services: sym;asym;dc;dcc;foo\n",
            "3",
            "unknown service `foo`",
        ),
        ("version: 1\nprovisioning:\n  - vfs: 4\n", "3", "vfs"),
        (
            "version: 1\nprovisioning:\n  - driver: igb_uio\n",
            "3",
            "vfio-pci, qat_vfio_pci, keep",
        ),
        (
            "version: 1\nprovisioning:\n  - family: 5xxx\n",
            "3",
            "unknown QAT family `5xxx`",
        ),
        (
            "version: 1\nprovisioning:\n  - pf: 6b:00.0\n",
            "3",
            "PCI address",
        ),
        (
            "version: 1\nprovisioning:\n  - service: dc\n",
            "3",
            "service",
        ),
        ("version: 1\nprovisionning: []\n", "2", "provisionning"),
        ("provisioning: []\n", "1", "version"),
        ("version: 1\nprovisioning: {}\n", "2", ""),
        ("version: 1\nversion: 1\n", "2", "version"),
        (": :\n\t", "", ""),
        ("", "", ""),
    ] {
        let error = error(text);
        assert!(error.contains("DIR/config.yaml"), "{text:?}: {error}");
        assert!(
            error.contains(line) && error.contains(says),
            "{text:?}: {error}"
        );
    }
    assert!(error("version: 2\n").contains("version 2, and this program reads version 1"));
}

#[test]
fn what_is_no_file_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    create_dir(at("directory")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    write(at("binary"), [0xff, 0xfe]).unwrap();
    write(at("large"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
    for (name, says) in [
        ("directory", "is no file"),
        ("dangling", "cannot read"),
        ("absent", "cannot read"),
        ("binary", "does not hold text"),
        ("large", "more than 1 MiB"),
    ] {
        let error = read_config(&at(name)).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(name), "{error}");
    }
    // As a ConfigMap mounts its keys.
    write(at("data"), "version: 1\n").unwrap();
    symlink("data", at("config.yaml")).unwrap();
    read_config(&at("config.yaml")).unwrap();
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in any::<String>(), yaml in "[a-z:\\[\\]{}\n \\-#&*!|>'\"0-9]{0,60}") {
        let dir = tempfile::tempdir().unwrap();
        for text in [text, yaml] {
            write(dir.path().join("qat.conf"), &text).unwrap();
            let _read = OldInit::read(dir.path(), Some("n"), None);
            let _read = read_config(Path::new(&dir.path().join("qat.conf")));
        }
    }
}

/// What it says for a node of this name.
pub(crate) fn on(config: &NodeConfig, name: Option<&str>) -> OnNode {
    config.on(&ThisNode {
        name: name.map(str::to_owned),
        hardware: BTreeSet::new(),
    })
}

/// Reads a file that can be used.
pub(crate) fn good(text: &str) -> NodeConfig {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    write(&path, text).unwrap();
    read_config(&path).unwrap()
}

#[test]
fn a_pool_of_selected_vfs_comes_before_those_of_services() {
    let config = good(
        "version: 1
pools:
  - cdi: spec
  - name: fast
    select: { pf: [0000:6b:00.0], vfs: 0-7 }
    topology: off
    allocationPolicy: balanced
  - name: rest
    nodes: [edge-1]
    select: { family: 4xxx }
  - pool: dc
    name: compress
",
    );
    let pools = on(&config, None).pools().unwrap();
    let names = pools.names(ResourceNames::Canonical);
    let services = Services::parse("dc").unwrap();
    let vf = |index| Traits {
        family: Some(Family::Gen4_4xxx),
        pf: "0000:6b:00.0".parse().ok(),
        index: Some(VfIndex::new(index)),
        numa_node: None,
        services: Some(&services),
    };
    let name = |index| names.of(&vf(index)).unwrap().to_string();
    assert_eq!((name(7).as_str(), name(8).as_str()), ("fast", "compress"));
    let fast = pools.of(&"fast".parse().unwrap());
    assert_eq!((fast.topology, fast.cdi), (false, CdiMode::Spec));
    assert_eq!(fast.policy, AllocationPolicy::Balanced);
    let edge = on(&config, Some("edge-1")).pools().unwrap();
    let names = edge.names(ResourceNames::Canonical);
    assert_eq!(names.of(&vf(8)).unwrap().as_str(), "rest");
}

#[test]
fn pools_that_cannot_be() {
    for (pools, parts) in [
        (
            "[{ select: { family: 4xxx } }]",
            &["rule 1", "family 4xxx", "no `name`"][..],
        ),
        (
            "[{ pool: dc, name: x, select: {} }]",
            &["both `pool` and `select`"],
        ),
        (
            "[{ name: cy, select: { numaNode: 0 } }]",
            &["cannot be called `cy`"],
        ),
        (
            "[{ name: a, select: { family: 4xxx } }, { name: b, select: { family: 4xxx, vfs: 0-3 } }]",
            &[
                "`b` (family 4xxx, VFs 0-3) would never get a VF",
                "`a` (family 4xxx)",
            ],
        ),
        (
            "[{ name: a, select: { vfs: 0-3 } }, { name: a, select: { vfs: 4-7 } }]",
            &["a pool `a`"],
        ),
        (
            "[{ name: a.b, select: { vfs: 0-3 } }, { name: a_b, select: { vfs: 4-7 } }]",
            &["PCIDEVICE_QAT_INTEL_COM_A_B"],
        ),
        (
            "[{ name: x, select: { vfs: 7-0 } }]",
            &["line 2", "`7-0` is no range of VFs"],
        ),
        (
            "[{ name: x, nodes: ['edge-*'], select: { vfs: 0 } }, { name: x, select: { vfs: 1 } }]",
            &["on node `edge-*`", "a pool `x`"],
        ),
    ] {
        let text = error(&format!("version: 1\npools: {pools}\n"));
        for part in parts {
            assert!(text.contains(part), "`{part}` is not in `{text}`");
        }
    }
}

#[test]
fn a_word_that_was_probably_meant_is_named() {
    let text = error("version: 1\noffer:\n  maxDevice: 3\n");
    assert!(text.contains("did you mean `maxDevices`?"), "{text}");
    assert!(text.contains("line 3"), "{text}");
    let text = error("version: 1\nhealth:\n  goodChecks: many\n");
    assert!(text.contains("line 3"), "{text}");
}

/// A `ConfigMap` has at most 1 MiB. One that is nearly full is read; a larger file is none.
#[test]
fn a_file_of_a_megabyte() {
    let rule = "  - { nodes: [node-with-a-long-name], services: dc }\n";
    let many = rule.repeat((1 << 20) / rule.len() - 2);
    let text = format!("version: 1\nprovisioning:\n{many}");
    assert!(text.len() > (1 << 20) - 500);
    assert!(good(&text).rules().len() > 15_000);
    let more = text
        + "# one line too much, and then some more\n"
            .repeat(30)
            .as_str();
    assert!(error(&more).contains("more than 1 MiB"));
}
