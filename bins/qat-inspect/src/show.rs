//! `qat-inspect show`: everything about one function.

use std::fmt::Write as _;

use anyhow::bail;
use qat_node::{Verdict, resource_text};
use qat_policy::Standing;
use serde::Serialize;
use sysfs_pci::{IommuGroupId, NumaNode, PciAddress, PciId, Role};
use vfio_host::{Holder, Viability, holders};

use crate::answer::Answer;
use crate::names::Names;
use crate::site::Site;

/// The answer of `show`. The field names are an interface: scripts read them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Shown {
    schema: u32,
    address: String,
    id: String,
    name: Option<String>,
    kind: &'static str,
    family: Option<String>,
    driver: Option<String>,
    pf: Option<String>,
    vfs: Vec<String>,
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    numa_node: Option<NumaNode>,
    services: Option<String>,
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    iommu_group: Option<IommuGroupId>,
    /// Whether VFIO can have the group.
    viable: Option<bool>,
    neighbours: Vec<Member>,
    resource: Option<String>,
    /// Why it is not offered, or what the plugin says is wrong with it.
    trouble: Vec<String>,
    /// How often it is enabled: 1 and more means that somebody has it open.
    enabled: Option<u32>,
    /// Processes that have it open, as far as this user may see.
    #[cfg_attr(test, schemars(with = "Vec<crate::schema::Process>"))]
    processes: Vec<Holder>,
}

/// Another member of its IOMMU group.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Member {
    name: String,
    id: Option<String>,
    called: Option<String>,
    driver: Option<String>,
}

/// Says everything about one function.
pub(crate) fn show(site: &Site, address: PciAddress, names: &Names) -> anyhow::Result<Shown> {
    let Some((snapshot, groups)) = site.looker.seen() else {
        bail!("nothing was seen");
    };
    let function = snapshot.functions.get(&address);
    let neighbour = snapshot.neighbours.get(&address);
    let (id, driver, group) = match (function, neighbour) {
        (Some(function), _) => (function.id, function.driver.clone(), function.iommu_group),
        (None, Some(other)) => (other.id, other.driver.name().cloned(), other.iommu_group),
        (None, None) => {
            if let Some(failure) = site
                .look
                .failures
                .iter()
                .find(|one| one.address == Some(address))
            {
                return Err(failure.clone().into());
            }
            bail!(
                "there is no PCI function {address} on this machine; `qat-inspect list` has those of QAT"
            );
        }
    };
    let id_of = |address: PciAddress| -> Option<PciId> {
        let function = snapshot.functions.get(&address).map(|one| one.id);
        function.or_else(|| snapshot.neighbours.get(&address).map(|one| one.id))
    };
    let members = group.and_then(|group| groups.get(&group));
    let neighbours = members
        .into_iter()
        .flat_map(|group| group.others(address))
        .map(|member| {
            let id = member.address.and_then(id_of);
            Member {
                name: member.name.clone(),
                id: id.map(|id| id.to_string()),
                called: id.and_then(|id| names.of(id)),
                driver: member.driver.as_ref().map(ToString::to_string),
            }
        });
    let viable =
        members.map(|group| group.viability(&site.rules.drivers.vfio()) == Viability::Viable);
    let (kind, pf, vfs) = match function.map(|function| &function.role) {
        Some(Role::Physical(sriov)) => (
            "physical function",
            None,
            sriov.vfs.values().map(ToString::to_string).collect(),
        ),
        Some(Role::Virtual { pf, .. }) => ("virtual function", Some(pf.to_string()), Vec::new()),
        Some(Role::Standalone { .. }) => ("function", None, Vec::new()),
        None => ("function that is not of QAT", None, Vec::new()),
    };
    let mut shown = Shown {
        schema: 1,
        address: address.to_string(),
        id: id.to_string(),
        name: names.of(id),
        kind,
        family: None,
        driver: driver.map(|driver| driver.to_string()),
        pf,
        vfs,
        numa_node: snapshot.numa_node(address),
        services: None,
        iommu_group: group,
        viable,
        neighbours: neighbours.collect(),
        resource: None,
        trouble: Vec::new(),
        enabled: sysfs_pci::enable_count(&site.roots.sysfs, address).ok(),
        processes: Vec::new(),
    };
    if !site.is_a_snapshot {
        shown.processes = holders(&site.proc, &site.roots.sysfs, address, group);
    }
    shown.add_what_it_is(site, address);
    Ok(shown)
}

impl Shown {
    fn add_what_it_is(&mut self, site: &Site, address: PciAddress) {
        let inventory = &site.look.inventory;
        if let Some(pf) = inventory.pfs.get(&address) {
            self.family = Some(pf.family.to_string());
            self.services = pf
                .services
                .as_ref()
                .map(|services| services.set.to_string());
            self.trouble = pf.trouble.iter().map(ToString::to_string).collect();
        }
        if let Some(vf) = inventory.vfs.get(&address) {
            self.family = Some(vf.family.to_string());
            self.services = vf
                .services
                .as_ref()
                .map(|services| services.set.to_string());
            match &vf.standing {
                Standing::Offered { pool } => self.resource = Some(resource_text(pool)),
                Standing::Withheld(reason) => self.trouble.push(reason.to_string()),
            }
        }
        let pools = site
            .known
            .memory()
            .into_iter()
            .flat_map(|memory| &memory.pools);
        for vf in pools.filter_map(|(_, vfs)| vfs.get(&address)) {
            if let Verdict::Unhealthy { reason, .. } = &vf.verdict
                && !self.trouble.contains(reason)
            {
                self.trouble.push(format!("the plugin says: {reason}"));
            }
        }
    }
}

impl Answer for Shown {
    fn text(&self, _wide: bool) -> String {
        let mut text = format!("{} {}\n", self.address, self.kind);
        let mut line = |name: &str, value: Option<String>| {
            // Writing to a text does not fail.
            let _written = writeln!(
                text,
                "  {name:<12} {}",
                value.unwrap_or_else(|| "-".to_owned())
            );
        };
        let named = self
            .name
            .as_ref()
            .map_or_else(String::new, |name| format!(" ({name})"));
        line("id", Some(format!("{}{named}", self.id)));
        if let Some(family) = &self.family {
            line("family", Some(family.clone()));
            line("services", self.services.clone());
        }
        line("driver", self.driver.clone());
        if let Some(pf) = &self.pf {
            line("PF", Some(pf.clone()));
        }
        if let (Some(first), Some(last)) = (self.vfs.first(), self.vfs.last()) {
            line(
                "VFs",
                Some(format!("{}, {first} to {last}", self.vfs.len())),
            );
        }
        line("NUMA node", self.numa_node.map(|node| node.to_string()));
        let group = self.iommu_group.map(|group| match self.viable {
            Some(false) => format!("{group}, which VFIO cannot have"),
            _ => group.to_string(),
        });
        line("IOMMU group", group);
        for member in &self.neighbours {
            let called = member
                .called
                .as_deref()
                .or(member.id.as_deref())
                .unwrap_or("no PCI function");
            let driver = member.driver.as_deref().unwrap_or("no driver");
            line(
                "  with",
                Some(format!("{} {called}, {driver}", member.name)),
            );
        }
        if let Some(resource) = &self.resource {
            line("offered as", Some(resource.clone()));
        }
        if let Some(count) = self.enabled {
            let open = if count > 0 { "yes" } else { "no" };
            line("open", Some(open.to_owned()));
        }
        for process in &self.processes {
            line("  by", Some(process.to_string()));
        }
        for trouble in &self.trouble {
            line("trouble", Some(trouble.clone()));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        vec![self.address.clone()]
    }
}
