//! What was found before the first change.

use serde::{Deserialize, Serialize};
use sysfs_pci::DriverName;

/// The kind of record, for [`StateDir`](crate::StateDir).
pub const BINDS: &str = "binds";

/// What a function was before we bound it, so that it can be again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BindRecord {
    /// The driver that it had.
    pub found_driver: Option<DriverName>,
    /// The driver that alone could bind to it; `None` if nothing said so, or if that could not be read.
    pub found_override: Option<DriverName>,
    /// The driver that we bind it to.
    pub driver: DriverName,
}
