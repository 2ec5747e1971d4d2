//! `qat-inspect list`.

use anyhow::Context as _;

use crate::args::List;
use crate::known::Known;
use crate::report::Report;

/// Looks at the machine once and says what is there.
pub(crate) fn text(list: &List) -> anyhow::Result<String> {
    let roots = list.view.roots.resolve();
    roots.check()?;
    let rules = list.view.rules(&list.view.pools()?);
    let look = Known::read(&list.view.roots, &roots).look(&roots, rules)?;
    let report = Report::new(&look);
    if list.json {
        let json = serde_json::to_string_pretty(&report).context("cannot write JSON")?;
        Ok(json + "\n")
    } else {
        Ok(report.to_string())
    }
}
