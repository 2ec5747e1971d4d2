//! `qat-inspect pools`: what is offered, as what, and what is not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use qat_node::{Verdict, resource_text};
use serde::Serialize;

use crate::answer::Answer;
use crate::site::Site;
use crate::table::{Table, cell};

/// The answer of `pools`. The field names are an interface: scripts read them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Pools {
    schema: u32,
    resources: Vec<Row>,
    /// How many VFs are not offered, by reason.
    withheld: BTreeMap<&'static str, usize>,
}

#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Row {
    resource: String,
    /// How many VFs can be offered now.
    offered: usize,
    /// How many the plugin tells the kubelet of; none where no plugin has written it down.
    told: Option<usize>,
    /// How many of these are Healthy.
    healthy: Option<usize>,
    vfio: String,
    cdi: String,
}

impl Pools {
    /// What a plugin with these flags would offer, and what the one that runs does.
    pub(crate) fn new(site: &Site) -> Self {
        let mut pools = BTreeMap::<_, Row>::new();
        for (_, pool) in site.look.inventory.offered() {
            pools.entry(pool.clone()).or_default().offered += 1;
        }
        for (pool, vfs) in site
            .known
            .memory()
            .into_iter()
            .flat_map(|memory| &memory.pools)
        {
            let row = pools.entry(pool.clone()).or_default();
            let healthy = vfs.values().filter(|vf| vf.verdict == Verdict::Healthy);
            row.told = Some(vfs.len());
            row.healthy = Some(healthy.count());
        }
        let rows = pools.into_iter().map(|(pool, row)| {
            let settings = site.pools.of(&pool);
            Row {
                resource: resource_text(&pool),
                vfio: settings.interface.to_string(),
                cdi: settings.cdi.to_string(),
                ..row
            }
        });
        let mut withheld = BTreeMap::new();
        for (_, reason) in site.look.inventory.withheld() {
            *withheld.entry(reason.code()).or_default() += 1;
        }
        Self {
            schema: 1,
            resources: rows.collect(),
            withheld,
        }
    }
}

impl Answer for Pools {
    fn text(&self, _wide: bool) -> String {
        let mut text = String::new();
        if self.resources.is_empty() {
            text.push_str("no VF is offered\n");
        } else {
            let mut table = Table::new(["RESOURCE", "OFFERED", "TOLD", "HEALTHY", "VFIO", "CDI"]);
            for row in &self.resources {
                table.push([
                    row.resource.clone(),
                    row.offered.to_string(),
                    cell(row.told),
                    cell(row.healthy),
                    row.vfio.clone(),
                    row.cdi.clone(),
                ]);
            }
            text.push_str(&table.to_string());
        }
        if !self.withheld.is_empty() {
            let each: Vec<_> = self
                .withheld
                .iter()
                .map(|(code, count)| format!("{code}: {count}"))
                .collect();
            // Writing to a text does not fail.
            let _written = writeln!(
                text,
                "\nnot offered: {}; `qat-inspect explain REASON` has more",
                each.join(", ")
            );
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.resources
            .iter()
            .map(|row| row.resource.clone())
            .collect()
    }
}
