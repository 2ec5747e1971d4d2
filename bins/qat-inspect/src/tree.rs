//! `qat-inspect tree`: NUMA node, PF, VF, group, resource, pod.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use qat_node::resource_text;
use qat_policy::{Pf, Standing, Vf};
use serde::Serialize;
use sysfs_pci::{IommuGroupId, NumaNode, PciAddress};

use crate::answer::Answer;
use crate::pods::by_vf;
use crate::site::Site;

/// The answer of `tree`. The field names are an interface: scripts read them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Tree {
    schema: u32,
    numa_nodes: Vec<Node>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Node {
    /// None where the machine does not say it.
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    numa_node: Option<NumaNode>,
    pfs: Vec<PfBranch>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PfBranch {
    /// None for VFs of a guest, which have no PF.
    address: Option<String>,
    line: String,
    vfs: Vec<VfLeaf>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct VfLeaf {
    address: String,
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    group: Option<IommuGroupId>,
    resource: Option<String>,
    reason: Option<&'static str>,
    pod: Option<String>,
}

impl Tree {
    /// Puts a look and what pods hold together.
    pub(crate) fn new(site: &Site) -> anyhow::Result<Self> {
        let (pods, note) = by_vf(site)?;
        Ok(Self {
            note,
            ..Self::with(site, &pods)
        })
    }

    /// The same, with nobody asked what pods hold.
    pub(crate) fn without_pods(site: &Site) -> Self {
        Self::with(site, &BTreeMap::new())
    }

    fn with(site: &Site, pods: &BTreeMap<PciAddress, String>) -> Self {
        let inventory = &site.look.inventory;
        let mut nodes = BTreeMap::<Option<NumaNode>, Vec<PfBranch>>::new();
        for pf in inventory.pfs.values() {
            let vfs = inventory
                .vfs
                .values()
                .filter(|vf| vf.pf == Some(pf.address));
            let branch = PfBranch {
                address: Some(pf.address.to_string()),
                line: line(pf),
                vfs: vfs.map(|vf| VfLeaf::new(vf, pods)).collect(),
            };
            nodes.entry(pf.numa_node).or_default().push(branch);
        }
        let orphans = inventory.vfs.values().filter(|vf| vf.pf.is_none());
        for vf in orphans {
            let branches = nodes.entry(vf.numa_node).or_default();
            match branches.iter_mut().find(|branch| branch.address.is_none()) {
                Some(branch) => branch.vfs.push(VfLeaf::new(vf, pods)),
                None => branches.push(PfBranch {
                    address: None,
                    line: "VFs without a PF, as in a guest".to_owned(),
                    vfs: vec![VfLeaf::new(vf, pods)],
                }),
            }
        }
        let nodes = nodes.into_iter().map(|(node, pfs)| Node {
            numa_node: node,
            pfs,
        });
        Self {
            schema: 1,
            numa_nodes: nodes.collect(),
            note: None,
        }
    }
}

/// Family, driver and services of a PF.
fn line(pf: &Pf) -> String {
    let driver = pf
        .driver
        .as_ref()
        .map_or("no driver", |driver| driver.as_str());
    let services = pf
        .services
        .as_ref()
        .map(|services| format!(", {}", services.set));
    let trouble = if pf.trouble.is_empty() {
        ""
    } else {
        ", in trouble"
    };
    format!(
        "{}, {driver}{}{trouble}",
        pf.family,
        services.unwrap_or_default()
    )
}

impl VfLeaf {
    fn new(vf: &Vf, pods: &BTreeMap<PciAddress, String>) -> Self {
        let (resource, reason) = match &vf.standing {
            Standing::Offered { pool } => (Some(resource_text(pool)), None),
            Standing::Withheld(reason) => (None, Some(reason.code())),
        };
        Self {
            address: vf.address.to_string(),
            group: vf.iommu_group,
            resource,
            reason,
            pod: pods.get(&vf.address).cloned(),
        }
    }

    fn line(&self) -> String {
        let group = self
            .group
            .map_or_else(|| "no group".to_owned(), |group| format!("group {group}"));
        let standing = match (&self.resource, self.reason) {
            (Some(resource), _) => resource.clone(),
            (None, reason) => format!("not offered: {}", reason.unwrap_or("unknown")),
        };
        let pod = self
            .pod
            .as_ref()
            .map_or_else(String::new, |pod| format!("  {pod}"));
        format!("{}  {group}  {standing}{pod}", self.address)
    }
}

impl Answer for Tree {
    fn text(&self, _wide: bool) -> String {
        let mut text = String::new();
        if self.numa_nodes.is_empty() {
            text.push_str("no QAT devices on this machine\n");
        }
        for node in &self.numa_nodes {
            let name = node.numa_node.map_or_else(
                || "NUMA node unknown".to_owned(),
                |node| format!("NUMA node {node}"),
            );
            // Writing to a text does not fail.
            let _written = writeln!(text, "{name}");
            for (nth, pf) in node.pfs.iter().enumerate() {
                let last = nth + 1 == node.pfs.len();
                let (branch, below) = if last {
                    ("└─ ", "   ")
                } else {
                    ("├─ ", "│  ")
                };
                let address = pf
                    .address
                    .as_ref()
                    .map_or_else(String::new, |address| format!("{address}  "));
                let _written = writeln!(text, "{branch}{address}{}", pf.line);
                for (nth, vf) in pf.vfs.iter().enumerate() {
                    let branch = if nth + 1 == pf.vfs.len() {
                        "└─ "
                    } else {
                        "├─ "
                    };
                    let _written = writeln!(text, "{below}{branch}{}", vf.line());
                }
            }
        }
        if let Some(note) = &self.note {
            let _written = writeln!(text, "note: {note}");
        }
        text
    }

    fn names(&self) -> Vec<String> {
        let pfs = self.numa_nodes.iter().flat_map(|node| &node.pfs);
        pfs.flat_map(|pf| pf.address.iter().chain(pf.vfs.iter().map(|vf| &vf.address)))
            .cloned()
            .collect()
    }
}
