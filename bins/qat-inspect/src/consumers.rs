//! What consumers would make of what is offered, and how that is printed.

use std::fmt::{self, Display, Formatter};

use qat_node::consumers::{PoolOutlook, shared_prefixes};
use qat_node::contract::{Standing, Verdict};
use qat_node::resource_text;
use serde::Serialize;

/// One resource. The field names are an interface: scripts read them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ResourceRow {
    pub(crate) resource: String,
    /// How many VFs are offered as it.
    vfs: usize,
    vfio: String,
    cdi: String,
    /// VFs that no container could be given.
    refused: Vec<Refused>,
    consumers: Vec<Consumer>,
    #[serde(skip)]
    fails: bool,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Refused {
    vf: String,
    text: String,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Consumer {
    code: &'static str,
    title: &'static str,
    standing: &'static str,
    problems: Vec<Problem>,
    /// Those that make the standing what it is, in words.
    #[serde(skip)]
    why: Vec<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Problem {
    code: &'static str,
    text: String,
}

/// The resources of a node, and remarks that concern several.
pub(crate) fn resources(outlooks: &[PoolOutlook]) -> (Vec<ResourceRow>, Vec<String>) {
    let notes = shared_prefixes(outlooks).into_iter().map(|(prefix, pools)| {
        let resources: Vec<String> = pools.iter().map(resource_text).collect();
        format!(
            "{} all set `{}`: a container that asks for two of them keeps one of the values; let it read `PCIDEVICE_…`, or give \
             each a `numberedPrefix`",
            resources.join(", "),
            prefix.variable(0)
        )
    });
    let notes = notes.collect();
    (outlooks.iter().map(ResourceRow::new).collect(), notes)
}

impl ResourceRow {
    fn new(outlook: &PoolOutlook) -> Self {
        let refused = outlook.refused.iter().map(|(vf, text)| Refused {
            vf: vf.to_string(),
            text: text.clone(),
        });
        Self {
            resource: resource_text(&outlook.pool),
            vfs: outlook.vfs,
            vfio: outlook.settings.interface.to_string(),
            cdi: outlook.settings.cdi.to_string(),
            refused: refused.collect(),
            consumers: outlook.verdicts.iter().map(Consumer::new).collect(),
            fails: outlook.fails(),
        }
    }

    /// How many consumers do not get their VFs; one if nobody gets some.
    pub(crate) fn failures(&self) -> usize {
        let broken = Standing::Broken.word();
        let consumers = self.consumers.iter();
        let failing = consumers
            .filter(|consumer| consumer.standing == broken)
            .count();
        failing.max(usize::from(self.fails))
    }
}

impl Consumer {
    fn new(verdict: &Verdict) -> Self {
        let problems = verdict.problems.iter().map(|problem| Problem {
            code: problem.code(),
            text: problem.to_string(),
        });
        Self {
            code: verdict.contract.code,
            title: verdict.contract.title,
            standing: verdict.standing().word(),
            problems: problems.collect(),
            why: verdict.sentences(),
        }
    }
}

impl Display for ResourceRow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            resource,
            vfs,
            vfio,
            cdi,
            ..
        } = self;
        let plural = if *vfs == 1 { "VF" } else { "VFs" };
        writeln!(f, "{resource} ({vfs} {plural}; vfio: {vfio}, cdi: {cdi})")?;
        if let Some(first) = self.refused.first() {
            let count = self.refused.len();
            writeln!(
                f,
                "  {count} cannot be given to a container, the first because: {}",
                first.text
            )?;
        }
        let width = self.consumers.iter().map(|consumer| consumer.code.len());
        let width = width.max().unwrap_or_default();
        for consumer in &self.consumers {
            let Consumer {
                code,
                title,
                standing,
                ..
            } = consumer;
            write!(f, "  {standing:5}  {code:width$}  {title}")?;
            match consumer.why.as_slice() {
                [] => writeln!(f)?,
                why => writeln!(f, ": {}", why.join("; "))?,
            }
        }
        Ok(())
    }
}
