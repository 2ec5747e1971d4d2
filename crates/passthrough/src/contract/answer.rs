//! What is judged: an answer, and what is true of the machine that gave it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use device_plugin::{ContainerEdits, ResourceName};
use serde_json::Value;
use sysfs_pci::{IommuGroupId, PciAddress};

use crate::{NumberedPrefix, VfioInterface};

/// An answer to Allocate, what it should be an answer to, and what else its readers see.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The resource that the container asked for.
    pub resource: &'a ResourceName,
    /// The functions that were allocated, in any order.
    pub functions: &'a [Subject],
    /// The answer.
    pub edits: &'a ContainerEdits,
    /// Which nodes the operator chose. What was not chosen is not missed.
    pub interface: VfioInterface,
    /// The start of the numbered variables that the operator chose.
    pub numbered_prefix: Option<&'a NumberedPrefix>,
    /// The CDI file that describes the resource; `None`: the operator chose to have none.
    pub cdi: Option<CdiFile<'a>>,
    /// Nodes of the answer, by their paths on the host, that only root may open there.
    pub private: &'a BTreeSet<PathBuf>,
}

/// What is true of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// Its address on the host.
    pub address: PciAddress,
    /// Its IOMMU group; none on a driver of UIO, where nobody asks.
    pub group: Option<IommuGroupId>,
    /// Other functions of its group that are no bridges. Whoever is given the group may take them.
    pub companions: Vec<PciAddress>,
}

/// A CDI file: what it says, or that it is not there or cannot be read, and why.
pub type CdiFile<'a> = Result<&'a Value, &'a str>;

impl Answer<'_> {
    /// The addresses in order, each once.
    pub(super) fn addresses(&self) -> BTreeSet<PciAddress> {
        self.functions
            .iter()
            .map(|subject| subject.address)
            .collect()
    }
}
