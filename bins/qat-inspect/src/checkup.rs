//! What is wrong, and how that is printed.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use anyhow::Error;
use qat_node::Look;
use qat_policy::Reason;
use serde::Serialize;

use crate::answer::Answer;
use crate::catalogue::Severity;
use crate::confinement;
use crate::consumers::ResourceRow;
use crate::finding::{Finding, Kind};
use crate::machine;
use crate::site::Site;

/// The answer of `check`. The field names are an interface: scripts read them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Checkup {
    /// Version of this form; it changes when a field changes its meaning or goes away.
    schema: u32,
    /// How many QAT functions are there.
    functions: usize,
    findings: Vec<Finding>,
    /// What consumers make of each resource.
    resources: Vec<ResourceRow>,
    /// What was left undone or asked, for people. No finding.
    notes: Vec<String>,
}

impl Checkup {
    /// Takes from a look what is wrong, and from the plugin what only it knows. That a family is switched off is what the
    /// operator wants.
    pub(crate) fn new(site: &Site, no_kubelet: bool) -> Self {
        let Site { look, known, .. } = site;
        let inventory = &look.inventory;
        let pfs = inventory.pfs.values().flat_map(|pf| {
            let trouble = pf.trouble.iter();
            trouble.map(|trouble| {
                Finding::new(
                    Kind::Pf,
                    pf.address.to_string(),
                    trouble.code(),
                    trouble.to_string(),
                )
            })
        });
        let wanted =
            |(_, reason): &(_, &Reason)| !matches!(reason, Reason::FamilyNotEnabled { .. });
        let vfs = inventory.withheld().filter(wanted).map(|(vf, reason)| {
            Finding::new(
                Kind::Vf,
                vf.address.to_string(),
                reason.code(),
                reason.to_string(),
            )
        });
        let unread = look.failures.iter().map(|failure| {
            let address = failure.address;
            let name = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
            let text = format!("{:#}", Error::from(failure.clone()));
            Finding::new(Kind::Function, name, "not-readable", text)
        });
        Self {
            findings: pfs
                .chain(vfs)
                .chain(unread)
                .chain(known.findings(look))
                .chain(known.configuration())
                .chain(machine::findings(site, no_kubelet))
                .chain(confinement::findings(site))
                .collect(),
            notes: known.trouble().into_iter().collect(),
            ..Self::of_a_resource(look)
        }
    }

    /// Takes from a look nothing of what is wrong: only a resource is asked about.
    pub(crate) fn of_a_resource(look: &Look) -> Self {
        Self {
            schema: 1,
            functions: look.inventory.pfs.len() + look.inventory.vfs.len(),
            findings: Vec::new(),
            resources: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Says what consumers make of resources.
    pub(crate) fn serve(&mut self, resources: Vec<ResourceRow>, notes: Vec<String>) {
        self.resources = resources;
        self.notes.extend(notes);
    }

    /// Adds something that is wrong.
    #[cfg(feature = "probe")]
    pub(crate) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds a remark.
    #[cfg(feature = "probe")]
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        let fine = |finding: &Finding| finding.severity == Severity::Info;
        self.findings.iter().all(fine) && self.failures() == 0
    }

    /// How often a consumer does not get its VFs.
    fn failures(&self) -> usize {
        self.resources.iter().map(ResourceRow::failures).sum()
    }

    /// The findings that are the same but for whom they concern, together, in order of the first.
    fn together(&self) -> Vec<Vec<&Finding>> {
        let mut together: Vec<Vec<&Finding>> = Vec::new();
        for finding in &self.findings {
            match together.iter_mut().find(|same| same[0].is_like(finding)) {
                Some(same) => same.push(finding),
                None => together.push(vec![finding]),
            }
        }
        together
    }
}

impl Answer for Checkup {
    fn text(&self, _wide: bool) -> String {
        self.to_string()
    }

    fn names(&self) -> Vec<String> {
        let ids = self
            .findings
            .iter()
            .filter_map(|finding| finding.id.clone());
        ids.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Display for Checkup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for same in self.together() {
            write_line(f, &same)?;
        }
        for resource in &self.resources {
            write!(f, "{resource}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        if self.functions == 0 {
            writeln!(f, "no QAT devices on this machine")?;
        }
        if !self.findings.is_empty() {
            writeln!(
                f,
                "`qat-inspect explain QAT…` says why a finding matters and what to do"
            )?;
        }
        let findings = match self.findings.len() {
            0 => "nothing wrong found".to_owned(),
            1 => "1 finding".to_owned(),
            n => format!("{n} findings"),
        };
        match (self.failures(), self.findings.is_empty()) {
            (0, _) => writeln!(f, "{findings}"),
            (failures, true) => writeln!(f, "consumers that would fail: {failures}"),
            (failures, false) => writeln!(f, "{findings}; consumers that would fail: {failures}"),
        }
    }
}

/// `code (16 VFs, first to last): sentence`.
fn write_line(f: &mut Formatter<'_>, same: &[&Finding]) -> fmt::Result {
    let (Some(first), Some(last)) = (same.first(), same.last()) else {
        return Ok(());
    };
    let (one, several) = first.kind.words();
    let id = first
        .id
        .as_ref()
        .map_or_else(String::new, |id| format!("{id} "));
    write!(f, "{id}{} (", first.code)?;
    match same.len() {
        1 => write!(f, "{one} {}", first.name)?,
        count => write!(f, "{count} {several}, {} to {}", first.name, last.name)?,
    }
    let text = &first.text;
    if same.iter().all(|finding| finding.text == *text) {
        writeln!(f, "): {text}")
    } else {
        writeln!(f, "): of the first: {text}")
    }
}
