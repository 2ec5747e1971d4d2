//! What VFIO itself says of a node, asked without harm to pods.

use std::collections::{BTreeMap, BTreeSet};

use device_plugin::pods::{PodView, Source};
use qat_policy::{Inventory, Reason, Standing, Vf};
use sysfs_pci::IommuGroupId;
use vfio_host::{
    ContainerFacts, Group, GroupProbe, GroupStatus, Host, Member, ProbeError, VfioDrivers,
    Viability,
};

use crate::Roots;

/// What VFIO says of a node.
#[derive(Debug)]
pub struct NodeProbe {
    /// What the control node says.
    pub container: Result<ContainerFacts, ProbeError>,
    /// What each group says that has QAT VFs on a VFIO driver.
    pub groups: Result<BTreeMap<IommuGroupId, Result<GroupAnswer, ProbeError>>, Blind>,
}

/// Nothing says which VFs pods hold, so no group was opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing says which VFs pods hold, so no group was asked: {why}")]
pub struct Blind {
    /// Why not.
    pub why: String,
}

/// What a group says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupAnswer {
    /// The kernel's own words.
    pub status: GroupStatus,
    /// What is odd about them, if anything.
    pub suspicion: Option<Suspicion>,
}

/// What is odd about a group's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Suspicion {
    /// The kernel says no, and nobody was seen in the way.
    #[error(
        "the kernel says that the group is not viable, and no member is seen that stands in its way; \
         see the kernel log"
    )]
    Blocked,
    /// The kernel says yes, and somebody was seen in the way.
    #[error(
        "the kernel says that the group is viable, and a member with a driver of the kernel is seen in \
         it; VFs of it are withheld all the same, and before Linux 5.19 the kernel would give them out"
    )]
    Viable,
    /// It is in a container although it could be opened.
    #[error("the kernel says that the group is in use, although it let us open it")]
    InContainer,
}

/// Asks VFIO about a node: its control node, and the groups that nobody uses.
///
/// `pods` says what pods hold, and should be some seconds old at most. A group of which a pod holds a
/// member is not opened, be it under our name of the device, the VF's address, or under that of
/// KubeVirt's own plugin, the group's number. `None` is the caller's word that no pod holds any.
///
/// See [`Host::probe_group`] for what asking costs those who use a group.
pub fn probe(roots: &Roots, inventory: &Inventory, pods: Option<&PodView>) -> NodeProbe {
    let host = Host {
        sysfs: roots.sysfs.clone(),
        dev: roots.dev.clone(),
        drivers: qat_policy::vfio_drivers(),
    };
    NodeProbe {
        container: vfio_host::probe(&host.dev),
        groups: match pods.and_then(blind) {
            Some(why) => Err(Blind { why }),
            None => Ok(groups(&host, inventory, pods)),
        },
    }
}

/// Why a view is none.
fn blind(view: &PodView) -> Option<String> {
    match &view.source {
        Source::Kubelet | Source::Checkpoint { .. } => None,
        source @ Source::Nobody { .. } => source.shortcoming(),
    }
}

fn groups(
    host: &Host,
    inventory: &Inventory,
    pods: Option<&PodView>,
) -> BTreeMap<IommuGroupId, Result<GroupAnswer, ProbeError>> {
    let ask = |group| {
        let answer = host.probe_group(group, |group| held(group, pods?));
        answer.map(|probe| GroupAnswer {
            status: probe.status,
            suspicion: suspicion(&probe, &host.drivers),
        })
    };
    let wanted = wanted(inventory, &host.drivers);
    wanted
        .into_iter()
        .map(|group| (group, ask(group)))
        .collect()
}

/// The groups that can be asked: with a VF on a VFIO driver, and a node as far as was seen.
fn wanted(inventory: &Inventory, drivers: &VfioDrivers) -> BTreeSet<IommuGroupId> {
    let told = |vf: &&Vf| !matches!(vf.standing, Standing::Withheld(Reason::Node { .. }));
    let bound = |vf: &&Vf| {
        vf.driver
            .as_ref()
            .is_some_and(|name| drivers.contains(name))
    };
    let vfs = inventory.vfs.values().filter(bound).filter(told);
    vfs.filter_map(|vf| vf.iommu_group).collect()
}

/// Who holds a member of the group, or the group.
fn held(group: &Group, view: &PodView) -> Option<String> {
    let number = group.id.to_string();
    let names: Vec<String> = group
        .members
        .iter()
        .filter_map(|member: &Member| Some(member.address?.to_string()))
        .collect();
    view.holdings
        .iter()
        .find(|(id, ..)| *id == number || names.iter().any(|name| name.eq_ignore_ascii_case(id)))
        .map(|(id, resource, holder)| format!("{holder} holds {id} of {resource}"))
}

fn suspicion(probe: &GroupProbe, drivers: &VfioDrivers) -> Option<Suspicion> {
    let viable = probe.group.viability(drivers) == Viability::Viable;
    match probe.status {
        GroupStatus {
            container_set: true,
            ..
        } => Some(Suspicion::InContainer),
        GroupStatus { viable: false, .. } if viable => Some(Suspicion::Blocked),
        GroupStatus { viable: true, .. } if !viable => Some(Suspicion::Viable),
        GroupStatus { .. } => None,
    }
}

impl Suspicion {
    /// A stable short code, for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Blocked => "probe-not-viable",
            Self::Viable => "probe-viable",
            Self::InContainer => "probe-in-container",
        }
    }
}

#[cfg(test)]
mod tests {
    use device_plugin::pods::{Holder, Holdings, Pod};
    use tokio::time::Instant;

    use super::*;

    /// A group of two VFs, the second with that driver.
    fn group(driver: &str) -> Group {
        let member = |address: &str, driver: &str| Member {
            name: address.to_owned(),
            address: address.parse().ok(),
            driver: driver.parse().ok(),
            driver_unreadable: false,
            vfio: false,
        };
        Group {
            id: IommuGroupId::new(320),
            members: vec![
                member("0000:6b:00.1", "vfio-pci"),
                member("0000:6b:00.2", driver),
            ],
        }
    }

    fn view(source: Source, held: &[&str]) -> PodView {
        let mut holdings = Holdings::default();
        for id in held {
            let pod = Pod::Named {
                namespace: "ns".to_owned(),
                name: "p".to_owned(),
            };
            let container = "c".to_owned();
            holdings.insert("example.com/x", id, Holder { pod, container });
        }
        PodView {
            asked: Instant::now(),
            settled: true,
            source,
            holdings,
        }
    }

    #[test]
    fn a_group_is_held_by_any_name_of_it() {
        for (id, expected) in [
            ("0000:6b:00.1", true),
            ("0000:6B:00.2", true),
            ("320", true),
            ("0000:6b:00.3", false),
            ("32", false),
        ] {
            let why = held(&group("vfio-pci"), &view(Source::Kubelet, &[id]));
            assert_eq!(why.is_some(), expected, "{id}: {why:?}");
        }
        assert_eq!(
            held(&group("vfio-pci"), &view(Source::Kubelet, &["320"])).as_deref(),
            Some("container c of pod ns/p holds 320 of example.com/x")
        );
    }

    #[test]
    fn what_the_kernel_says_is_compared_with_what_is_seen() {
        let ask = |driver, viable, container_set| {
            let probe = GroupProbe {
                group: group(driver),
                status: GroupStatus {
                    viable,
                    container_set,
                },
            };
            suspicion(&probe, &VfioDrivers::default())
        };
        assert_eq!(ask("vfio-pci", true, false), None);
        assert_eq!(ask("ixgbe", false, false), None);
        assert_eq!(ask("vfio-pci", false, false), Some(Suspicion::Blocked));
        assert_eq!(ask("ixgbe", true, false), Some(Suspicion::Viable));
        assert_eq!(ask("vfio-pci", true, true), Some(Suspicion::InContainer));
    }
}
