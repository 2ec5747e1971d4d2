//! Programs that drive a function from user space in an ordinary container: DPDK, qatlib, and images that number their
//! variables.
//!
//! After DPDK/dpdk `lib/eal/linux/eal_vfio.c` and its guide for Linux drivers; intel/qatlib
//! `quickassist/lookaside/access_layer/src/qat_direct/vfio/qat_mgr_lib.c`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use thiserror::Error;

use super::{CONTROL, group_of, has_node};
use crate::ContainerAnswer;

/// Why a program finds no device.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum UserSpaceError {
    /// A shell has no such name.
    #[error("`{name}` is no name of a variable in a shell")]
    NoName {
        /// The name.
        name: String,
    },
    /// The variable is not set.
    #[error("`{name}` is not set")]
    NotSet {
        /// The name.
        name: String,
    },
    /// A node is missing.
    #[error("{address}: `{node}` cannot be opened")]
    NoNode {
        /// The function.
        address: String,
        /// The node.
        node: String,
    },
}

/// The arguments that a start script gives to DPDK: `-a ADDRESS` for each address in a variable, for which DPDK can open
/// what it opens.
///
/// # Errors
///
/// [`UserSpaceError`].
pub fn dpdk_args(
    container: &ContainerAnswer,
    variable: &str,
    sysfs: &Path,
) -> Result<Vec<String>, UserSpaceError> {
    let name = variable.to_owned();
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !variable.chars().all(inner) || variable.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(UserSpaceError::NoName { name });
    }
    let value = container.envs.get(variable);
    let value = value.ok_or(UserSpaceError::NotSet { name })?;
    let mut args = Vec::new();
    for address in value.split(',') {
        for node in dpdk_nodes(sysfs, address) {
            if !has_node(container, &node) {
                let address = address.to_owned();
                return Err(UserSpaceError::NoNode { address, node });
            }
        }
        args.extend(["-a".to_owned(), address.to_owned()]);
    }
    Ok(args)
}

/// The functions that qatlib finds, in the order of their groups: it reads no variable, and leaves out a group
/// that has more than one device.
#[must_use]
pub fn qatlib_functions(container: &ContainerAnswer, sysfs: &Path) -> Vec<String> {
    let groups = container.devices.iter().filter_map(|device| {
        let name = device.container_path.strip_prefix("/dev/vfio/")?;
        has_node(container, &device.container_path).then_some(name)
    });
    let mut found = Vec::new();
    for group in groups {
        let members = sysfs
            .join("kernel/iommu_groups")
            .join(group)
            .join("devices");
        let entries = fs::read_dir(members).into_iter().flatten().flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        if let (Some(only), None) = (names.next(), names.next()) {
            found.push(only);
        }
    }
    found.sort();
    found
}

/// The values of `<prefix>0`, `<prefix>1` and so on, until one is not set.
#[must_use]
pub fn numbered(envs: &BTreeMap<String, String>, prefix: &str) -> Vec<String> {
    let values = (0..).map_while(|number| envs.get(&format!("{prefix}{number}")));
    values.cloned().collect()
}

/// What DPDK opens: the device of UIO if there is one, else VFIO's.
fn dpdk_nodes(sysfs: &Path, address: &str) -> Vec<String> {
    let uio = sysfs.join("bus/pci/devices").join(address).join("uio");
    let mut entries = fs::read_dir(uio).into_iter().flatten().flatten();
    if let Some(name) = entries
        .next()
        .and_then(|entry| entry.file_name().into_string().ok())
    {
        return vec![format!("/dev/{name}")];
    }
    let group = group_of(sysfs, address).unwrap_or_else(|| "<group>".to_owned());
    vec![CONTROL.to_owned(), format!("/dev/vfio/{group}")]
}
