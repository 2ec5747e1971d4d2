//! The files and variables of Intel's init container.

use std::path::{Path, PathBuf};

use qat_policy::provision::Rule;
use qat_policy::{Family, ServiceSet, ServiceSetError};
use sysfs_pci::PciId;
use thiserror::Error;

use super::FileError;
use super::file::read;

/// The PFs that the init container takes care of if nobody says others.
const USUAL: &str = "37c8 4940 4942 4944 4946 4948";

/// The longest name of a node: that of a DNS subdomain (RFC 1123).
const LONGEST: usize = 253;

/// What the init container would be told: `qat.conf`, then `qat-<node>.conf`, which wins, and which PFs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OldInit {
    /// `ServicesEnabled`.
    pub services: Option<ServiceSet>,
    /// `AutoresetEnabled`.
    pub auto_reset: Option<bool>,
    /// The families of `ENABLED_QAT_PF_PCIIDS`.
    pub families: Vec<Family>,
    /// Lines that say nothing that is understood, for people. The init container passes over them in silence.
    pub warnings: Vec<String>,
}

/// Why the files or variables of the init container cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OldInitError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// `NODE_NAME` is no name of a node, and so not to be part of a path.
    #[error(
        "NODE_NAME is `{}`, which is no name of a node: lower-case letters, digits, `-` and `.`, at most \
         253",
        value.escape_debug()
    )]
    NodeName {
        /// The value.
        value: String,
    },
    /// An id is none of a QAT PF.
    #[error("ENABLED_QAT_PF_PCIIDS has `{}`, which is no PF of QAT; known are: {}", id.escape_debug(), ids())]
    Id {
        /// The id.
        id: String,
    },
    /// The services are none.
    #[error("`{}`, line {line}: ServicesEnabled", path.display())]
    Services {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        #[source]
        source: ServiceSetError,
    },
    /// The switch is neither on nor off.
    #[error("`{}`, line {line}: AutoresetEnabled is `{}`; it is on or off", path.display(), value.escape_debug())]
    AutoReset {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The value.
        value: String,
    },
}

impl OldInit {
    /// Reads what is in the init container's directory for a node. Files that are not there say nothing.
    ///
    /// `ids` is the value of `ENABLED_QAT_PF_PCIIDS`; without one, or empty, it is what the init container has.
    ///
    /// # Errors
    ///
    /// [`OldInitError`]: the first thing that is wrong. The init container passes over words that it does not
    /// know; here they are refused, since a node that is not configured as somebody wished is worse than one
    /// that says so.
    pub fn read(
        directory: &Path,
        node: Option<&str>,
        ids: Option<&str>,
    ) -> Result<Self, OldInitError> {
        let mut init = Self {
            families: families(ids.filter(|ids| !ids.trim().is_empty()).unwrap_or(USUAL))?,
            ..Self::default()
        };
        let mut names = vec!["qat.conf".to_owned()];
        if let Some(node) = node.filter(|node| !node.is_empty()) {
            check_name(node)?;
            names.push(format!("qat-{node}.conf"));
        }
        for name in names {
            let path = directory.join(name);
            match read(&path) {
                Ok(text) => init.take(&path, &text)?,
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(init)
    }

    /// The same as rules: all VFs, on `vfio-pci`, for each family.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let rule = |family: &Family| {
            let chooses = family.spec().services.is_configurable();
            Rule {
                name: "the init container's configuration".to_owned(),
                family: Some(*family),
                services: self.services.filter(|_| chooses),
                auto_reset: self.auto_reset.filter(|_| chooses),
                ..Rule::default()
            }
        };
        self.families.iter().map(rule).collect()
    }

    /// Takes the lines of a file. As in `grep "^Key=" | cut -d= -f2 | grep '\S'`: a key begins the line, the value
    /// ends at a second `=`, and one that is blank says nothing.
    fn take(&mut self, path: &Path, text: &str) -> Result<(), OldInitError> {
        for (number, line) in (1_usize..).zip(text.lines()) {
            let Some((key, rest)) = line.split_once('=') else {
                self.pass_over(path, number, line);
                continue;
            };
            let value = rest.split('=').next().unwrap_or_default().trim();
            match key {
                _ if value.is_empty() => {}
                "ServicesEnabled" => {
                    let services = value.parse().map_err(|source| OldInitError::Services {
                        path: path.to_owned(),
                        line: number,
                        source,
                    })?;
                    self.services = Some(services);
                }
                "AutoresetEnabled" => {
                    self.auto_reset = Some(match value {
                        "on" => true,
                        "off" => false,
                        _ => {
                            return Err(OldInitError::AutoReset {
                                path: path.to_owned(),
                                line: number,
                                value: value.to_owned(),
                            });
                        }
                    });
                }
                _ => self.pass_over(path, number, line),
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, path: &Path, number: usize, line: &str) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let shown: String = line.escape_debug().take(80).collect();
        self.warnings.push(format!(
            "`{}`, line {number}: `{shown}` is passed over; known are ServicesEnabled= and AutoresetEnabled= at \
             the start of a line",
            path.display()
        ));
    }
}

fn families(ids: &str) -> Result<Vec<Family>, OldInitError> {
    let mut families = Vec::new();
    for id in ids.split_ascii_whitespace() {
        let digits = id.strip_prefix("0x").unwrap_or(id);
        let device = u16::from_str_radix(digits, 16)
            .ok()
            .filter(|_| digits.len() == 4);
        let spec = |family: &&Family| {
            device.is_some_and(|device| family.spec().pf == PciId::new(0x8086, device))
        };
        let family = Family::all()
            .iter()
            .find(spec)
            .ok_or_else(|| OldInitError::Id { id: id.to_owned() })?;
        if !families.contains(family) {
            families.push(*family);
        }
    }
    Ok(families)
}

fn ids() -> String {
    let ids = Family::all()
        .iter()
        .map(|family| format!("{:04x}", family.spec().pf.device));
    ids.collect::<Vec<_>>().join(" ")
}

fn check_name(node: &str) -> Result<(), OldInitError> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if node.len() <= LONGEST && node.chars().all(legal) && !node.contains("..") {
        return Ok(());
    }
    Err(OldInitError::NodeName {
        value: node.to_owned(),
    })
}
