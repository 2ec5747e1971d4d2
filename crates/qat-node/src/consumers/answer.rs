//! The answer that a container would get now, and what is true of the machine behind it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use device_plugin::cdi::{Owner, SpecDir};
use device_plugin::{ContainerEdits, ResourceName};
use passthrough::contract::{Answer, Contract, Subject, Verdict};
use passthrough::{Grant, GrantedFunction, edits};
use qat_policy::{PoolName, Rules};
use serde_json::Value;
use sysfs_pci::{IommuGroupId, PciAddress};

use super::PoolOutlook;
use crate::cdi_files::WRITER;
use crate::pools::{CdiMode, PoolConfig, PoolSettings};
use crate::text::chain;
use crate::{Recheck, RecheckError, Roots, resource_name};

/// Classes of bridges, which nobody attaches: host bridges and PCI bridges (`PCI_CLASS_BRIDGE_HOST` and
/// `PCI_CLASS_BRIDGE_PCI` in `include/linux/pci_ids.h`).
const BRIDGES: [u32; 2] = [0x0600, 0x0604];

/// A machine that is asked.
pub(super) struct Machine<'a> {
    roots: &'a Roots,
    recheck: Recheck,
    pools: &'a PoolConfig,
}

/// What is given to a container, and what of it there is to tell.
#[derive(Default)]
struct Given {
    functions: Vec<GrantedFunction>,
    subjects: Vec<Subject>,
    refused: Vec<(PciAddress, String)>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(roots: &'a Roots, rules: &Rules, pools: &'a PoolConfig) -> Self {
        Self {
            roots,
            recheck: Recheck::new(roots, rules),
            pools,
        }
    }

    pub(super) fn outlook(
        &self,
        pool: &PoolName,
        vfs: &[PciAddress],
        consumers: &[Contract],
    ) -> PoolOutlook {
        let settings = self.pools.of(pool);
        let given = self.give(vfs, &settings);
        let verdicts = match resource_name(pool) {
            Ok(resource) if !given.functions.is_empty() => {
                self.judge(&resource, &settings, &given, consumers)
            }
            _ => Vec::new(),
        };
        PoolOutlook {
            pool: pool.clone(),
            settings,
            vfs: vfs.len(),
            refused: given.refused,
            verdicts,
        }
    }

    fn give(&self, vfs: &[PciAddress], settings: &PoolSettings) -> Given {
        let mut given = Given::default();
        for &address in vfs {
            match self.one(address, settings) {
                Ok((function, subject)) => {
                    given.functions.push(function);
                    given.subjects.push(subject);
                }
                Err(why) => given.refused.push((address, chain(&why))),
            }
        }
        given
    }

    fn one(
        &self,
        address: PciAddress,
        settings: &PoolSettings,
    ) -> Result<(GrantedFunction, Subject), RecheckError> {
        let chosen = self.recheck.held(address, settings.interface)?;
        let group = self.recheck.group(address)?;
        let subject = Subject {
            address,
            group,
            companions: group.map_or_else(Vec::new, |group| self.companions(address, group)),
        };
        let nodes = chosen.nodes;
        Ok((GrantedFunction { address, nodes }, subject))
    }

    /// The other functions of a group that are no bridges. One that cannot be read is gone.
    fn companions(&self, address: PciAddress, group: IommuGroupId) -> Vec<PciAddress> {
        let sysfs = &self.roots.sysfs;
        let members =
            vfio_host::read_group(sysfs, group).map_or_else(|_| Vec::new(), |g| g.members);
        let others = members.into_iter().filter_map(|member| member.address);
        let plain = |other: &PciAddress| {
            let class = sysfs_pci::identity(sysfs, *other)
                .ok()
                .map(|identity| identity.class);
            class.is_some_and(|class| !BRIDGES.contains(&(class.get() >> 8)))
        };
        others
            .filter(|other| *other != address)
            .filter(plain)
            .collect()
    }

    fn judge(
        &self,
        resource: &ResourceName,
        settings: &PoolSettings,
        given: &Given,
        consumers: &[Contract],
    ) -> Vec<Verdict> {
        let edits = edits(&Grant {
            resource,
            functions: given.functions.clone(),
            control: self.recheck.control().ok().flatten(),
            numbered_prefix: settings.numbered_prefix.as_ref(),
            cdi_names: settings.cdi == CdiMode::Field,
        });
        let file = (settings.cdi != CdiMode::Off).then(|| self.cdi_file(resource));
        let answer = Answer {
            resource,
            functions: &given.subjects,
            edits: &edits,
            interface: settings.interface,
            numbered_prefix: settings.numbered_prefix.as_ref(),
            cdi: file
                .as_ref()
                .map(|file| file.as_ref().map_err(String::as_str)),
            private: &self.private(&edits, settings),
        };
        consumers
            .iter()
            .map(|contract| contract.judge(&answer))
            .collect()
    }

    /// The file that runtimes read, as it is on the disk.
    fn cdi_file(&self, resource: &ResourceName) -> Result<Value, String> {
        let path = SpecDir::new(&self.roots.cdi, WRITER).file(resource);
        let text = fs::read_to_string(&path).map_err(|error| {
            format!(
                "cannot read `{}`, which the plugin writes when it runs with this `--config` and `--cdi-dir`: {error}",
                path.display()
            )
        })?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let json = lines.collect::<Vec<_>>().join("\n");
        serde_json::from_str(&json)
            .map_err(|error| format!("`{}` is no JSON: {error}", path.display()))
    }

    /// The nodes that only root may open. Where CDI is applied and says whose they are, they are that one's.
    fn private(&self, edits: &ContainerEdits, settings: &PoolSettings) -> BTreeSet<PathBuf> {
        let given_away = settings.cdi == CdiMode::Field && settings.owner != Owner::default();
        let nodes = edits.devices.iter().map(|node| &node.host_path);
        nodes
            .filter(|path| !given_away || path.ends_with("vfio/vfio"))
            .filter(|path| self.is_private(path))
            .cloned()
            .collect()
    }

    fn is_private(&self, host_path: &Path) -> bool {
        let Ok(below_dev) = host_path.strip_prefix("/dev") else {
            return false;
        };
        fs::metadata(self.roots.dev.path().join(below_dev)).is_ok_and(|node| {
            let (mode, gid) = (node.mode(), node.gid());
            let everybody = mode & 0o6 == 0o6;
            let some_group = gid != 0 && mode & 0o60 == 0o60;
            let some_user = node.uid() != 0 && mode & 0o600 == 0o600;
            !everybody && !some_group && !some_user
        })
    }
}
