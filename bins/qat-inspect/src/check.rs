//! `qat-inspect check`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Context as _;
use qat_node::Looker;

use crate::args::Check;
use crate::checkup::Checkup;
#[cfg(feature = "probe")]
use crate::probe;

/// Looks at the machine once and says what is wrong with it.
pub(crate) fn text(check: &Check) -> anyhow::Result<(String, ExitCode)> {
    let roots = check.view.roots.resolve();
    roots.check()?;
    let look = Looker::new(&roots, check.view.rules()).look(&BTreeSet::new())?;
    #[cfg_attr(
        not(feature = "probe"),
        expect(unused_mut, reason = "only the probe adds to them")
    )]
    let mut checkup = Checkup::new(&look);
    #[cfg(feature = "probe")]
    if check.vfio.probe {
        probe::add(&mut checkup, &check.vfio, roots, &look.inventory)?;
    }
    let code = if checkup.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    if check.json {
        let json = serde_json::to_string_pretty(&checkup).context("cannot write JSON")?;
        Ok((json + "\n", code))
    } else {
        Ok((checkup.to_string(), code))
    }
}
