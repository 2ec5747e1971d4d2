//! `qat-inspect list`.

use qat_node::{RESOURCE_DOMAIN, resource_text};
use qat_policy::Standing;

use crate::args::List;
use crate::report::Report;
use crate::site::Site;

/// Looks at the machine once and says what is there.
pub(crate) fn text(list: &List) -> anyhow::Result<String> {
    let mut site = Site::new(&list.view)?;
    let inventory = &mut site.look.inventory;
    if let Some(pf) = list.pf {
        inventory.pfs.retain(|address, _| *address == pf);
        inventory.vfs.retain(|_, vf| vf.pf == Some(pf));
    }
    if let Some(wanted) = &list.resource {
        let full = format!("{RESOURCE_DOMAIN}/{wanted}");
        inventory.vfs.retain(|_, vf| match &vf.standing {
            Standing::Offered { pool } => [wanted, &full].contains(&&resource_text(pool)),
            Standing::Withheld(_) => false,
        });
    }
    if list.withheld {
        inventory
            .vfs
            .retain(|_, vf| matches!(vf.standing, Standing::Withheld(_)));
    }
    let report = Report::new(&site.look, list.columns.clone());
    let text = list.output.render(&report)?;
    Ok(site.as_on_the_machine(text))
}
