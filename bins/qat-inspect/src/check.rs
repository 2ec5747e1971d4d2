//! `qat-inspect check`.

use std::process::ExitCode;

use anyhow::bail;
use qat_node::RESOURCE_DOMAIN;
use qat_node::consumers::{CONSUMERS, PoolOutlook, outlooks};
use qat_node::contract::Contract;

use crate::args::Check;
use crate::checkup::Checkup;
use crate::consumers::resources;
#[cfg(feature = "probe")]
use crate::probe;
use crate::site::Site;

/// Adds what consumers make of every resource, or of the one that was asked for.
fn add(
    checkup: &mut Checkup,
    outlooks: &[PoolOutlook],
    wanted: Option<&str>,
) -> anyhow::Result<()> {
    let (mut resources, notes) = resources(outlooks);
    if let Some(wanted) = wanted {
        let all: Vec<String> = resources.iter().map(|one| one.resource.clone()).collect();
        resources.retain(|one| {
            one.resource == wanted || one.resource == format!("{RESOURCE_DOMAIN}/{wanted}")
        });
        if resources.is_empty() {
            bail!(
                "no VF is offered as `{wanted}`{}; `qat-inspect check` says why VFs are not offered",
                others(&all)
            );
        }
    }
    checkup.serve(resources, notes);
    Ok(())
}

fn others(resources: &[String]) -> String {
    match resources {
        [] => ", nor as anything else".to_owned(),
        some => format!("; there is {}", some.join(", ")),
    }
}

/// Looks at the machine once and says what is wrong with it.
pub(crate) fn text(check: &Check) -> anyhow::Result<(String, ExitCode)> {
    let site = Site::new(&check.view)?;
    let mut checkup = if check.resource.is_none() {
        Checkup::new(&site, check.no_kubelet)
    } else {
        Checkup::of_a_resource(&site.look)
    };
    let consumers: &[Contract] = if check.consumers.is_empty() {
        &CONSUMERS
    } else {
        &check.consumers
    };
    let outlooks = outlooks(&site.roots, &site.rules, &site.pools, &site.look, consumers);
    add(&mut checkup, &outlooks, check.resource.as_deref())?;
    #[cfg(feature = "probe")]
    if check.vfio.probe {
        if site.is_a_snapshot {
            bail!("VFIO of another machine cannot be asked: `--probe` is for the machine itself");
        }
        probe::add(&mut checkup, &site, check.no_kubelet)?;
    }
    let code = if checkup.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    let text = check.output.render(&checkup)?;
    Ok((site.as_on_the_machine(text), code))
}
