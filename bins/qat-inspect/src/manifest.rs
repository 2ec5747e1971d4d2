//! `qat-inspect manifest`: what to apply for the VFs of this node.

use std::collections::BTreeMap;

use anyhow::bail;
use qat_node::{RESOURCE_DOMAIN, resource_text};

use crate::args::Runtime;
use crate::site::Site;

/// Prints it for a resource, or for all that this node offers.
pub(crate) fn text(site: &Site, runtime: Runtime, wanted: Option<&str>) -> anyhow::Result<String> {
    let mut resources = BTreeMap::new();
    for (vf, pool) in site.look.inventory.offered() {
        resources
            .entry(resource_text(pool))
            .or_insert_with(|| vf.id.to_string());
    }
    if let Some(wanted) = wanted {
        let full = format!("{RESOURCE_DOMAIN}/{wanted}");
        resources.retain(|resource, _| resource == wanted || *resource == full);
        if resources.is_empty() {
            bail!("no VF is offered as `{wanted}`; `qat-inspect pools` says what is");
        }
    }
    let Some(first) = resources.keys().next() else {
        bail!("no VF is offered on this machine; `qat-inspect check` says why");
    };
    Ok(match runtime {
        Runtime::Kubevirt => kubevirt(&resources, first),
        Runtime::Kata => kata(first),
        Runtime::Dpdk => dpdk(first),
    })
}

/// The samples of `deploy/samples`, which are held against the schemas of Kubernetes and KubeVirt.
const KUBEVIRT: &str = include_str!("../../../deploy/samples/kubevirt/kubevirt.yaml");
const VMI: &str = include_str!("../../../deploy/samples/kubevirt/vmi.yaml");
const KATA_CLASS: &str = include_str!("../../../deploy/samples/kata/runtimeclass.yaml");
const KATA_CONFIG: &str = include_str!("../../../deploy/samples/kata/go-hot-plug.toml");
const KATA_POD: &str = include_str!("../../../deploy/samples/kata/pod.yaml");
const DPDK_CONFIG: &str = include_str!("../../../deploy/samples/plugin/dpdk.yaml");
const DPDK_POD: &str = include_str!("../../../deploy/samples/dpdk/pod.yaml");

/// The resource that the samples ask for.
const SAMPLE: &str = "qat.intel.com/cy";

fn kubevirt(resources: &BTreeMap<String, String>, first: &str) -> String {
    let list = "pciHostDevices:\n";
    let head = KUBEVIRT.split_inclusive(list).next().unwrap_or_default();
    let devices = resources.iter().map(|(resource, id)| {
        format!(
            "        - pciVendorSelector: \"{id}\"\n          resourceName: {resource}\n          \
             externalResourceProvider: true\n"
        )
    });
    let devices: String = devices.collect();
    format!("{head}{devices}---\n{}", with(VMI, first))
}

fn kata(resource: &str) -> String {
    let config = commented(KATA_CONFIG);
    format!("{config}#\n{KATA_CLASS}---\n{}", with(KATA_POD, resource))
}

fn dpdk(resource: &str) -> String {
    let config = commented(&with(DPDK_CONFIG, resource));
    format!(
        "# The plugin's file of --config:\n{config}#\n{}",
        with(DPDK_POD, resource)
    )
}

/// A sample with another resource, and the variable of that.
fn with(sample: &str, resource: &str) -> String {
    let variable = |resource: &str| -> String {
        let upper = resource.to_ascii_uppercase();
        upper
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect()
    };
    sample
        .replace(SAMPLE, resource)
        .replace(&variable(SAMPLE), &variable(resource))
}

fn commented(text: &str) -> String {
    let lines = text.lines().map(|line| match line {
        "" => "#\n".to_owned(),
        line => format!("# {}\n", line.trim_start_matches("# ")),
    });
    lines.collect()
}
