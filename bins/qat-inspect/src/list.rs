//! `qat-inspect list`.

use std::collections::BTreeSet;

use anyhow::Context as _;
use qat_node::Looker;

use crate::args::List;
use crate::report::Report;

/// Looks at the machine once and says what is there.
pub(crate) fn text(list: &List) -> anyhow::Result<String> {
    let roots = list.view.roots.resolve();
    roots.check()?;
    let look = Looker::new(&roots, list.view.rules(&list.view.pools()?)).look(&BTreeSet::new())?;
    let report = Report::new(&look);
    if list.json {
        let json = serde_json::to_string_pretty(&report).context("cannot write JSON")?;
        Ok(json + "\n")
    } else {
        Ok(report.to_string())
    }
}
