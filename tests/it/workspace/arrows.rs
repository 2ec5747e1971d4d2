//! Who may know whom, as ARCHITECTURE.md draws it.

use std::collections::BTreeSet;

use super::members::{Member, Need};

/// Whom a crate knows.
enum Knows {
    /// These, and it could not do without one of them.
    All(&'static [&'static str]),
    /// Some of these.
    Some(&'static [&'static str]),
}

/// Stands in for the machine and the kubelet. What is shipped must never contain it.
const SIMULATION: &str = "node-sim";

/// The arrows between the crates.
const ARROWS: [(&str, Knows); 10] = [
    ("device-plugin", Knows::All(&["kubelet-api"])),
    ("kubelet-api", Knows::All(&[])),
    (SIMULATION, Knows::All(&["kubelet-api", "sysfs-pci"])),
    (
        "passthrough",
        Knows::All(&["device-plugin", "sysfs-pci", "vfio-host"]),
    ),
    ("plugin-admin", Knows::All(&[])),
    (
        "qat-node",
        Knows::Some(&[
            "device-plugin",
            "passthrough",
            "plugin-admin",
            "qat-policy",
            "sysfs-pci",
            "uevent",
            "vfio-host",
        ]),
    ),
    ("qat-policy", Knows::All(&["sysfs-pci", "vfio-host"])),
    ("sysfs-pci", Knows::All(&[])),
    ("uevent", Knows::All(&[])),
    ("vfio-host", Knows::All(&["sysfs-pci"])),
];

/// What breaks the arrows.
pub(super) fn complaints(members: &[Member]) -> Vec<String> {
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    members
        .iter()
        .flat_map(|member| of(member, members, &names))
        .collect()
}

fn of(member: &Member, members: &[Member], names: &BTreeSet<&str>) -> Vec<String> {
    let name = &member.name;
    let needs = |kind| -> BTreeSet<&str> {
        let siblings = member.needs.iter().filter(|need| need.1 == kind);
        siblings
            .map(|need| need.0.as_str())
            .filter(|need| names.contains(need))
            .collect()
    };
    let (build, dev) = (needs(Need::Build), needs(Need::Dev));
    if member.folder.starts_with("examples") || member.folder.starts_with("tests") {
        return Vec::new();
    }
    if member.folder.starts_with("bins") {
        let crates = members
            .iter()
            .filter(|sibling| sibling.folder.starts_with("crates"));
        let allowed: BTreeSet<&str> = crates
            .map(|sibling| sibling.name.as_str())
            .filter(|&name| name != SIMULATION)
            .collect();
        return strangers(name, &build, &dev, &allowed);
    }
    let Some((_, knows)) = ARROWS.iter().find(|(from, _)| from == name) else {
        return vec![format!(
            "`{name}` has no place among the arrows: add it to ARCHITECTURE.md and to ARROWS in \
             tests/it/workspace/arrows.rs"
        )];
    };
    let (allowed, required) = match *knows {
        Knows::All(allowed) => (allowed, allowed),
        Knows::Some(allowed) => (allowed, [].as_slice()),
    };
    let unused = required.iter().filter(|&&sibling| !build.contains(sibling)).map(|sibling| {
        format!(
            "`{name}` no longer depends on `{sibling}`: take the arrow out of ARCHITECTURE.md and \
             of ARROWS in tests/it/workspace/arrows.rs"
        )
    });
    let allowed = allowed.iter().copied().collect();
    strangers(name, &build, &dev, &allowed)
        .into_iter()
        .chain(unused)
        .collect()
}

/// Siblings that `name` needs and must not. The simulation serves anyone's tests, except those of
/// a crate that knows no sibling: it is to be tested with what it says itself.
fn strangers(
    name: &str,
    build: &BTreeSet<&str>,
    dev: &BTreeSet<&str>,
    allowed: &BTreeSet<&str>,
) -> Vec<String> {
    let building = build.difference(allowed).map(|sibling| {
        if *sibling == SIMULATION {
            format!("`{name}` is built with `{sibling}`: make it a dev-dependency")
        } else {
            format!(
                "`{name}` must not know `{sibling}`: take the dependency out of its Cargo.toml, and \
                 let a crate that may know both bring them together"
            )
        }
    });
    let testing = dev
        .difference(allowed)
        .filter(|&&sibling| sibling != SIMULATION || allowed.is_empty())
        .map(|sibling| {
            format!(
                "the tests of `{name}` must not know `{sibling}`: move the test to a crate that \
                 may, or to tests/"
            )
        });
    building.chain(testing).collect()
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::workspace::members::{Member, Need, read};

    /// What the arrows say when `change` is made to member `name` of this workspace.
    fn after(name: &str, change: impl FnOnce(&mut Member)) -> Vec<String> {
        let mut members = read();
        change(
            members
                .iter_mut()
                .find(|member| member.name == name)
                .unwrap(),
        );
        complaints(&members)
    }

    fn add(name: &str, sibling: &str, need: Need) -> Vec<String> {
        after(name, |member| member.needs.push((sibling.to_owned(), need)))
    }

    #[test]
    fn a_wrong_arrow_is_named() {
        for (from, to) in [
            ("sysfs-pci", "vfio-host"),
            ("device-plugin", "sysfs-pci"),
            ("vfio-host", "qat-policy"),
            ("passthrough", "qat-policy"),
            ("uevent", "sysfs-pci"),
            ("plugin-admin", "device-plugin"),
            ("qat-node", "kubelet-api"),
            ("qat-inspect", "qat-plugin"),
        ] {
            for need in [Need::Build, Need::Dev] {
                let complaints = add(from, to, need);
                assert_eq!(complaints.len(), 1, "{from} -> {to}: {complaints:?}");
                assert!(complaints[0].contains(from) && complaints[0].contains(to));
            }
        }
    }

    #[test]
    fn the_simulation_is_for_tests_only() {
        for name in ["qat-plugin", "qat-node", "device-plugin"] {
            let complaints = add(name, "node-sim", Need::Build);
            assert!(
                complaints[0].contains("make it a dev-dependency"),
                "{complaints:?}"
            );
            assert_eq!(add(name, "node-sim", Need::Dev), [""; 0]);
        }
        assert_eq!(add("sysfs-pci", "node-sim", Need::Dev).len(), 1);
    }

    #[test]
    fn an_arrow_that_is_gone_is_named() {
        let complaints = after("vfio-host", |member| member.needs.clear());
        assert_eq!(complaints.len(), 1);
        assert!(
            complaints[0].contains("no longer depends on `sysfs-pci`"),
            "{complaints:?}"
        );
    }

    #[test]
    fn a_new_crate_has_to_take_its_place() {
        let complaints = after("uevent", |member| member.name = "newcomer".to_owned());
        assert!(
            complaints
                .iter()
                .any(|text| text.contains("`newcomer` has no place"))
        );
    }
}
