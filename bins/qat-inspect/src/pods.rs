//! `qat-inspect pods`: which pod holds which VF.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use device_plugin::pods::PodView;
use qat_node::Roots;
use serde::Serialize;
use sysfs_pci::{NumaNode, PciAddress};
use tokio::runtime::Builder;

use crate::answer::Answer;
use crate::site::Site;
use crate::table::{Table, cell};

/// The answer of `pods`. The field names are an interface: scripts read them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Pods {
    schema: u32,
    holders: Vec<Row>,
    /// What to know of the answer: who had to be asked instead of the kubelet.
    note: Option<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Row {
    pod: String,
    container: String,
    resource: String,
    vf: String,
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    numa_node: Option<NumaNode>,
    /// Whether the VF is open.
    open: Option<bool>,
}

/// What pods hold, now.
pub(crate) fn view(roots: &Roots) -> anyhow::Result<Arc<PodView>> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime that asks the kubelet")?;
    Ok(runtime.block_on(async { roots.pods().view().await }))
}

/// Who holds each VF, in words. Where nobody can be asked that is said beside.
pub(crate) fn by_vf(site: &Site) -> anyhow::Result<(BTreeMap<PciAddress, String>, Option<String>)> {
    if site.is_a_snapshot {
        return Ok((
            BTreeMap::new(),
            Some("a snapshot does not say what pods hold".to_owned()),
        ));
    }
    let view = view(&site.roots)?;
    let holdings = view.holdings.iter();
    let held =
        holdings.filter_map(|(id, _, holder)| Some((id.parse().ok()?, holder.pod.to_string())));
    Ok((held.collect(), view.source.shortcoming()))
}

impl Pods {
    /// Asks the kubelet.
    pub(crate) fn new(site: &Site) -> anyhow::Result<Self> {
        if site.is_a_snapshot {
            bail!("a snapshot does not say what pods hold; ask on the node");
        }
        let view = view(&site.roots)?;
        let vfs = &site.look.inventory.vfs;
        let known: BTreeSet<PciAddress> = vfs.keys().copied().collect();
        let open = site.looker.open(&known);
        let holders = view.holdings.iter().filter_map(|(id, resource, holder)| {
            let address = id
                .parse::<PciAddress>()
                .ok()
                .filter(|one| known.contains(one))?;
            Some(Row {
                pod: holder.pod.to_string(),
                container: holder.container.clone(),
                resource: resource.to_owned(),
                vf: id.to_owned(),
                numa_node: vfs.get(&address)?.numa_node,
                open: open.get(&address).copied(),
            })
        });
        let mut holders: Vec<Row> = holders.collect();
        holders.sort_by(|one, other| (&one.pod, &one.vf).cmp(&(&other.pod, &other.vf)));
        Ok(Self {
            schema: 1,
            holders,
            note: view.source.shortcoming(),
        })
    }
}

impl Answer for Pods {
    fn text(&self, _wide: bool) -> String {
        let mut text = String::new();
        if self.holders.is_empty() {
            text.push_str("no pod holds a VF\n");
        } else {
            let mut table = Table::new(["POD", "CONTAINER", "RESOURCE", "VF", "NUMA", "OPEN"]);
            for row in &self.holders {
                let open = row.open.map(|open| if open { "yes" } else { "no" });
                table.push([
                    row.pod.clone(),
                    row.container.clone(),
                    row.resource.clone(),
                    row.vf.clone(),
                    cell(row.numa_node),
                    cell(open),
                ]);
            }
            text.push_str(&table.to_string());
        }
        if let Some(note) = &self.note {
            // Writing to a text does not fail.
            let _written = writeln!(text, "note: {note}");
        }
        text
    }

    fn names(&self) -> Vec<String> {
        let pods: BTreeSet<_> = self.holders.iter().map(|row| row.pod.clone()).collect();
        pods.into_iter().collect()
    }
}
