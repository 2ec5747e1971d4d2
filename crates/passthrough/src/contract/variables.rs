//! Rules about the environment.

use serde_json::Value;
use sysfs_pci::PciAddress;

use super::{Answer, Naming, Problem};

pub(super) fn addresses(answer: &Answer<'_>, naming: Naming) -> Vec<Problem> {
    let name = naming.variable(answer.resource);
    let all: Vec<String> = answer
        .addresses()
        .iter()
        .map(PciAddress::to_string)
        .collect();
    value(answer, name, all.join(","))
}

pub(super) fn never(answer: &Answer<'_>, naming: Naming) -> Vec<Problem> {
    let name = naming.variable(answer.resource);
    if answer.edits.envs.contains_key(&name) {
        vec![Problem::Forbidden { name }]
    } else {
        Vec::new()
    }
}

pub(super) fn info(answer: &Answer<'_>) -> Vec<Problem> {
    let name = Naming::SriovInfo.variable(answer.resource);
    let Some(text) = answer.edits.envs.get(&name) else {
        return vec![Problem::NoVariable { name }];
    };
    let known: Value = serde_json::from_str(text).unwrap_or_default();
    let said = |address: &PciAddress| {
        let address = address.to_string();
        known[&address]["generic"]["deviceID"] == Value::String(address)
    };
    let unsaid = answer
        .addresses()
        .into_iter()
        .find(|address| !said(address));
    unsaid
        .map(|address| Problem::Info { name, address })
        .into_iter()
        .collect()
}

/// `shell` is the variable without a dash, if the usual one has a dash.
pub(super) fn shell_readable(answer: &Answer<'_>, shell: Option<String>) -> Vec<Problem> {
    let name = Naming::Sriov.variable(answer.resource);
    let Some(readable) = shell else {
        return addresses(answer, Naming::Sriov);
    };
    let list = answer.edits.envs.get(&name);
    if list.is_some() && answer.edits.envs.get(&readable) == list {
        vec![Problem::OtherName { name, readable }]
    } else {
        vec![Problem::Unreadable { name }]
    }
}

pub(super) fn numbered(answer: &Answer<'_>) -> Vec<Problem> {
    let Some(prefix) = answer.numbered_prefix else {
        return vec![Problem::Unnumbered];
    };
    let all = answer.addresses();
    let count = all.len();
    let wrong = all
        .into_iter()
        .enumerate()
        .flat_map(|(number, address)| value(answer, prefix.variable(number), address.to_string()));
    // Readers go on until one is missing.
    let names = answer.edits.envs.keys();
    let beyond = names
        .filter(|name| prefix.number(name).is_some_and(|number| number >= count))
        .map(|name| Problem::Forbidden { name: name.clone() });
    wrong.chain(beyond).collect()
}

pub(super) fn domain(answer: &Answer<'_>, most: u32, takes: &'static str) -> Vec<Problem> {
    let all = answer.addresses().into_iter();
    all.filter(|address| address.domain() > most)
        .map(|address| Problem::Domain { address, takes })
        .collect()
}

fn value(answer: &Answer<'_>, name: String, expected: String) -> Vec<Problem> {
    match answer.edits.envs.get(&name) {
        None => vec![Problem::NoVariable { name }],
        Some(found) if *found == expected => Vec::new(),
        Some(found) => vec![Problem::Value {
            name,
            found: found.clone(),
            expected,
        }],
    }
}
