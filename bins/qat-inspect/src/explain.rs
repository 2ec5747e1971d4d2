//! `qat-inspect explain`.

use anyhow::bail;

use crate::catalogue::{entries, find};

/// What is known of a finding; of all of them without one.
pub(crate) fn text(wanted: Option<&str>) -> anyhow::Result<String> {
    let Some(wanted) = wanted else {
        let lines = entries().map(|entry| {
            let id = entry.id();
            format!(
                "{id}  {:<7}  {:<18}  {}\n",
                entry.severity.to_string(),
                entry.code,
                entry.title
            )
        });
        return Ok(lines.collect());
    };
    match find(wanted) {
        Some(entry) => Ok(entry.to_string()),
        None => bail!("there is no finding `{wanted}`; `qat-inspect explain` lists them all"),
    }
}
