//! `qat-inspect groups`: the IOMMU groups of QAT functions, and who else is in them.

use std::collections::BTreeSet;

use serde::Serialize;
use sysfs_pci::{IommuGroupId, PciAddress};
use vfio_host::{Member, Viability};

use crate::answer::Answer;
use crate::names::Names;
use crate::site::Site;
use crate::table::{Table, cell};

/// The answer of `groups`. The field names are an interface: scripts read them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Groups {
    schema: u32,
    groups: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Row {
    #[cfg_attr(test, schemars(with = "u32"))]
    group: IommuGroupId,
    /// Whether VFIO can have the group; nothing for groups without a VF, which nobody wants to have.
    viable: Option<bool>,
    members: Vec<MemberRow>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct MemberRow {
    name: String,
    called: Option<String>,
    driver: Option<String>,
    /// Whether VFIO cannot have the group because of it.
    blocks: bool,
}

impl Groups {
    /// The groups that have a QAT function.
    pub(crate) fn new(site: &Site, names: &Names) -> Self {
        let Some((snapshot, groups)) = site.looker.seen() else {
            return Self {
                schema: 1,
                groups: Vec::new(),
            };
        };
        let ours: BTreeSet<_> = snapshot
            .functions
            .values()
            .filter_map(|one| one.iommu_group)
            .collect();
        let id = |address: PciAddress| {
            let ours = snapshot.functions.get(&address).map(|one| one.id);
            ours.or_else(|| snapshot.neighbours.get(&address).map(|one| one.id))
        };
        let vfs = site.look.inventory.vfs.values();
        let of_vfs: BTreeSet<_> = vfs.filter_map(|vf| vf.iommu_group).collect();
        let rows = groups
            .values()
            .filter(|group| ours.contains(&group.id))
            .map(|group| {
                let vfs = of_vfs.contains(&group.id);
                let viability = group.viability(&site.rules.drivers.vfio());
                let by: &[Member] = match &viability {
                    Viability::Viable => &[],
                    Viability::Blocked { by } => by,
                };
                let members = group.members.iter().map(|member| MemberRow {
                    name: member.name.clone(),
                    called: member
                        .address
                        .and_then(id)
                        .map(|id| names.of(id).unwrap_or_else(|| id.to_string())),
                    driver: member.driver.as_ref().map(ToString::to_string),
                    blocks: vfs && by.contains(member),
                });
                Row {
                    group: group.id,
                    viable: vfs.then_some(by.is_empty()),
                    members: members.collect(),
                }
            });
        Self {
            schema: 1,
            groups: rows.collect(),
        }
    }
}

impl Answer for Groups {
    fn text(&self, _wide: bool) -> String {
        if self.groups.is_empty() {
            return "no QAT function is in an IOMMU group\n".to_owned();
        }
        let mut table = Table::new(["GROUP", "VFIO", "MEMBER", "DRIVER", "CALLED"]);
        for row in &self.groups {
            for (nth, member) in row.members.iter().enumerate() {
                let first = nth == 0;
                let can = row.viable.map(|can| if can { "yes" } else { "no" });
                let blocks = if member.blocks { ", in the way" } else { "" };
                table.push([
                    if first {
                        row.group.to_string()
                    } else {
                        String::new()
                    },
                    if first { cell(can) } else { String::new() },
                    member.name.clone(),
                    cell(member.driver.as_ref()) + blocks,
                    cell(member.called.as_ref()),
                ]);
            }
        }
        table.to_string()
    }

    fn names(&self) -> Vec<String> {
        self.groups
            .iter()
            .map(|row| row.group.to_string())
            .collect()
    }
}
