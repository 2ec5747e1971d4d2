//! What a PF and its VFs were before the first change.

use qat_policy::provision::PfBefore;
use serde::{Deserialize, Serialize};
use sysfs_pci::{DriverName, PciAddress};

/// The kind of record, for `vfio_host::StateDir`.
pub const DEVICES: &str = "devices";

/// What a PF and its VFs were before the first change of this boot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceRecord {
    /// The PF.
    pub before: PfBefore,
    /// Its VFs, where they may be destroyed and made anew: what they were bound to.
    pub vfs: Vec<VfBefore>,
}

/// What a VF was bound to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VfBefore {
    /// The VF.
    pub vf: PciAddress,
    /// The driver that it had.
    pub driver: Option<DriverName>,
    /// The driver that alone could bind to it.
    pub driver_override: Option<DriverName>,
}
