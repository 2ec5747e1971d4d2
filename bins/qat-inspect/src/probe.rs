//! `qat-inspect check --probe`: what VFIO itself says.

use anyhow::Error;
use qat_node::{Blind, GroupAnswer, NodeProbe};
use sysfs_pci::IommuGroupId;
use vfio_host::{ContainerFacts, ProbeError};

use crate::checkup::Checkup;
use crate::finding::{Finding, Kind};
use crate::pods::view;
use crate::site::Site;

/// The only version of VFIO's interface (`VFIO_API_VERSION`).
const API_VERSION: i32 = 0;

/// Asks, and adds what is wrong.
pub(crate) fn add(checkup: &mut Checkup, site: &Site, no_kubelet: bool) -> anyhow::Result<()> {
    let pods = if no_kubelet {
        None
    } else {
        Some(view(&site.roots)?)
    };
    let NodeProbe { container, groups } =
        qat_node::probe(&site.roots, &site.look.inventory, pods.as_deref());
    add_container(checkup, container);
    match groups {
        Ok(groups) => add_groups(checkup, groups),
        Err(blind) => checkup.note(blindness(&blind)),
    }
    Ok(())
}

fn blindness(blind: &Blind) -> String {
    format!(
        "{blind}; `--kubelet-dir` and `--pod-resources-socket` say where the kubelet is, \
         `--no-kubelet` that no pod holds a VF"
    )
}

fn add_container(checkup: &mut Checkup, answer: Result<ContainerFacts, ProbeError>) {
    let mut push = |code, text| {
        checkup.push(Finding::new(
            Kind::Control,
            "/dev/vfio/vfio".to_owned(),
            code,
            text,
        ));
    };
    let facts = match answer {
        Ok(facts) => facts,
        Err(error) => {
            push(error.code(), format!("{:#}", Error::from(error)));
            return;
        }
    };
    if facts.api_version != API_VERSION {
        let version = facts.api_version;
        push(
            "probe-version",
            format!("VFIO has version {version} of its interface, and there is only {API_VERSION}"),
        );
    }
    if !facts.type1v2 && !facts.no_iommu {
        push(
            "probe-no-type1",
            "VFIO has no interface to the IOMMU; load the module `vfio_iommu_type1`".to_owned(),
        );
    }
    checkup.note(describe(facts));
}

/// One line on what the control node said.
fn describe(facts: ContainerFacts) -> String {
    let interfaces = [
        (facts.type1, "type 1"),
        (facts.type1v2, "type 1 v2"),
        (facts.no_iommu, "no IOMMU"),
    ];
    let there = interfaces.iter().filter(|(there, _)| *there);
    let mut names: Vec<_> = there.map(|(_, name)| *name).collect();
    if names.is_empty() {
        names.push("none");
    }
    format!(
        "VFIO has version {} of its interface; interfaces to the IOMMU: {}",
        facts.api_version,
        names.join(", ")
    )
}

fn add_groups(
    checkup: &mut Checkup,
    groups: impl IntoIterator<Item = (IommuGroupId, Result<GroupAnswer, ProbeError>)>,
) {
    let mut well = 0;
    let mut total = 0;
    let mut left_alone = Vec::new();
    for (group, answer) in groups {
        total += 1;
        let (code, text) = match answer {
            Ok(GroupAnswer {
                suspicion: None, ..
            }) => {
                well += 1;
                continue;
            }
            Ok(GroupAnswer {
                suspicion: Some(suspicion),
                ..
            }) => (suspicion.code(), suspicion.to_string()),
            Err(error) if error.is_in_use() => {
                left_alone.push(error.to_string());
                continue;
            }
            Err(error) => (error.code(), format!("{:#}", Error::from(error))),
        };
        checkup.push(Finding::new(Kind::Group, group.to_string(), code, text));
    }
    checkup.note(format!(
        "VFIO agrees with what is said here about {well} of {total} IOMMU groups with VFs bound to it; \
         in use: {}",
        left_alone.len()
    ));
    for why in left_alone {
        checkup.note(why);
    }
}
