//! What is printed: the same facts as tables and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use anyhow::Error;
use qat_node::{Look, resource_text};
use qat_policy::{Pf, Standing, Vf};
use serde::Serialize;
use sysfs_pci::{IommuGroupId, NumaNode};

use crate::answer::Answer;
use crate::column::Column;
use crate::table::{Table, cell};

/// The answer of `list`. The field names are an interface: scripts read them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Report {
    /// Version of this form; it changes when a field changes its meaning or goes away.
    schema: u32,
    pfs: Vec<PfRow>,
    vfs: Vec<VfRow>,
    /// What could not be read.
    failures: Vec<String>,
    /// The columns that were asked for; none: the usual ones.
    #[serde(skip)]
    columns: Option<Vec<Column>>,
}

/// A table with those of the columns that its rows have.
fn write_table<R>(
    f: &mut String,
    rows: &[R],
    columns: &[Column],
    heading: &'static str,
    cell: impl Fn(&R, Column) -> Option<String>,
) -> fmt::Result {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let there = |column: &&Column| cell(first, **column).is_some();
    let columns: Vec<Column> = columns.iter().filter(there).copied().collect();
    if columns.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(columns.iter().map(|column| column.heading(heading)));
    for row in rows {
        let cells = columns.iter().filter_map(|column| cell(row, *column));
        table.push(cells.collect::<Vec<_>>());
    }
    writeln!(f, "{table}")
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PfRow {
    address: String,
    id: String,
    family: String,
    driver: Option<String>,
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    iommu_group: Option<IommuGroupId>,
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    numa_node: Option<NumaNode>,
    vfs: usize,
    services: Option<String>,
    trouble: Vec<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct VfRow {
    address: String,
    id: String,
    family: String,
    pf: Option<String>,
    driver: Option<String>,
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    iommu_group: Option<IommuGroupId>,
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    numa_node: Option<NumaNode>,
    services: Option<String>,
    /// The resource that the VF is offered as.
    resource: Option<String>,
    /// Why it is not offered.
    withheld: Option<Withheld>,
}

/// A stable short code, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Withheld {
    code: &'static str,
    text: String,
}

impl Report {
    /// Puts a look into the form that is printed.
    pub(crate) fn new(look: &Look, columns: Option<Vec<Column>>) -> Self {
        Self {
            schema: 1,
            columns,
            pfs: look.inventory.pfs.values().map(PfRow::new).collect(),
            vfs: look.inventory.vfs.values().map(VfRow::new).collect(),
            failures: look
                .failures
                .iter()
                .map(|f| format!("{:#}", Error::from(f.clone())))
                .collect(),
        }
    }

    /// One line on how many VFs are offered as what.
    fn summary(&self) -> String {
        let mut resources: BTreeMap<&str, usize> = BTreeMap::new();
        for resource in self.vfs.iter().filter_map(|vf| vf.resource.as_deref()) {
            *resources.entry(resource).or_default() += 1;
        }
        let offered: usize = resources.values().sum();
        let withheld = self.vfs.len() - offered;
        let mut line = format!("{} VFs: {offered} offered", self.vfs.len());
        if !resources.is_empty() {
            let each: Vec<_> = resources
                .iter()
                .map(|(name, count)| format!("{name}: {count}"))
                .collect();
            line = format!("{line} ({})", each.join(", "));
        }
        format!("{line}, {withheld} withheld")
    }
}

impl PfRow {
    fn new(pf: &Pf) -> Self {
        Self {
            address: pf.address.to_string(),
            id: pf.id.to_string(),
            family: pf.family.to_string(),
            driver: pf.driver.as_ref().map(ToString::to_string),
            iommu_group: pf.iommu_group,
            numa_node: pf.numa_node,
            vfs: pf.vf_count,
            services: pf
                .services
                .as_ref()
                .map(|services| services.set.to_string()),
            trouble: pf.trouble.iter().map(ToString::to_string).collect(),
        }
    }

    /// What stands in a column. None: PFs have no such column.
    fn cell(&self, column: Column) -> Option<String> {
        Some(match column {
            Column::Address => self.address.clone(),
            Column::Id => self.id.clone(),
            Column::Family => self.family.clone(),
            Column::Driver => cell(self.driver.as_ref()),
            Column::Group => cell(self.iommu_group),
            Column::Numa => cell(self.numa_node),
            Column::Vfs => self.vfs.to_string(),
            Column::Services => cell(self.services.as_ref()),
            Column::Pf | Column::Offered => return None,
        })
    }
}

impl VfRow {
    /// What stands in a column. None: VFs have no such column. `wide`: with the sentence that says why one is withheld.
    fn cell(&self, column: Column, wide: bool) -> Option<String> {
        Some(match column {
            Column::Address => self.address.clone(),
            Column::Id => self.id.clone(),
            Column::Family => self.family.clone(),
            Column::Pf => cell(self.pf.as_ref()),
            Column::Driver => cell(self.driver.as_ref()),
            Column::Group => cell(self.iommu_group),
            Column::Numa => cell(self.numa_node),
            Column::Services => cell(self.services.as_ref()),
            Column::Offered => match (&self.resource, &self.withheld) {
                (Some(resource), _) => resource.clone(),
                (None, Some(why)) if wide => format!("- {}: {}", why.code, why.text),
                (None, why) => format!("- {}", why.as_ref().map_or("", |why| why.code)),
            },
            Column::Vfs => return None,
        })
    }

    fn new(vf: &Vf) -> Self {
        let (resource, withheld) = match &vf.standing {
            Standing::Offered { pool } => (Some(resource_text(pool)), None),
            Standing::Withheld(reason) => (
                None,
                Some(Withheld {
                    code: reason.code(),
                    text: reason.to_string(),
                }),
            ),
        };
        Self {
            address: vf.address.to_string(),
            id: vf.id.to_string(),
            family: vf.family.to_string(),
            pf: vf.pf.map(|pf| pf.to_string()),
            driver: vf.driver.as_ref().map(ToString::to_string),
            iommu_group: vf.iommu_group,
            numa_node: vf.numa_node,
            services: vf
                .services
                .as_ref()
                .map(|services| services.set.to_string()),
            resource,
            withheld,
        }
    }
}

impl Answer for Report {
    fn text(&self, wide: bool) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _written = self.write(&mut text, wide);
        text
    }

    fn names(&self) -> Vec<String> {
        let pfs = self.pfs.iter().map(|pf| pf.address.clone());
        pfs.chain(self.vfs.iter().map(|vf| vf.address.clone()))
            .collect()
    }
}

impl Report {
    fn write(&self, f: &mut String, wide: bool) -> fmt::Result {
        if self.pfs.is_empty() && self.vfs.is_empty() {
            writeln!(f, "no QAT devices on this machine")?;
        } else {
            self.write_pfs(f)?;
            self.write_vfs(f, wide)?;
            self.write_troubles(f)?;
            writeln!(f, "{}", self.summary())?;
        }
        for failure in &self.failures {
            writeln!(f, "not readable: {failure}")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_pfs(&self, f: &mut String) -> fmt::Result {
        let columns = self.columns.as_deref().unwrap_or(&Column::OF_PFS);
        write_table(f, &self.pfs, columns, "PF", PfRow::cell)
    }

    fn write_vfs(&self, f: &mut String, wide: bool) -> fmt::Result {
        let columns = self.columns.as_deref().unwrap_or(&Column::OF_VFS);
        write_table(f, &self.vfs, columns, "VF", |vf, column| {
            vf.cell(column, wide)
        })
    }

    /// What is wrong, each thing once, with the functions that it concerns.
    fn write_troubles(&self, f: &mut String) -> fmt::Result {
        let mut together: BTreeMap<&Withheld, Vec<&str>> = BTreeMap::new();
        for vf in &self.vfs {
            if let Some(why) = &vf.withheld {
                together.entry(why).or_default().push(&vf.address);
            }
        }
        for (why, vfs) in &together {
            let whose = match vfs.as_slice() {
                [first, .., last] => format!("{} VFs, {first} to {last}", vfs.len()),
                one => one.concat(),
            };
            writeln!(f, "{} ({whose}): {}", why.code, why.text)?;
        }
        let mut any = !together.is_empty();
        for pf in &self.pfs {
            for trouble in &pf.trouble {
                writeln!(f, "PF {}: {trouble}", pf.address)?;
                any = true;
            }
        }
        if any { writeln!(f) } else { Ok(()) }
    }
}
