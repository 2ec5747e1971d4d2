//! Why something cannot be said in CDI.

use crate::{device::DeviceId, resource_name::ResourceName};
use std::path::PathBuf;

/// Why something cannot be said in CDI. Readers would refuse the file, or the container would not
/// start. Nothing was written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The vendor of the resource does not start with a letter, as a CDI vendor must.
    #[error(
        "vendor of resource `{kind}` does not start with a letter, which CDI demands; \
         rename the resource or do without CDI"
    )]
    Vendor {
        /// The resource.
        kind: ResourceName,
    },
    /// The name of the resource does not start with a letter, as a CDI class must.
    #[error(
        "name of resource `{kind}` does not start with a letter, which CDI demands; \
         rename the resource or do without CDI"
    )]
    Class {
        /// The resource.
        kind: ResourceName,
    },
    /// The ID is not a CDI device name.
    #[error(
        "device ID `{id}` is no CDI device name: letters, digits, `_`, `-`, `.` and `:`, \
         with a letter or a digit at both ends"
    )]
    Device {
        /// The ID.
        id: DeviceId,
    },
    /// The name of the file would have more than the 255 bytes that Linux allows.
    #[error("resource name `{kind}` is too long for the name of a file")]
    FileName {
        /// The resource.
        kind: ResourceName,
    },
    /// There is no device. Readers refuse such a file; remove it instead.
    #[error("a CDI specification needs a device, and `{kind}` has none; remove its file instead")]
    NoDevices {
        /// The resource.
        kind: ResourceName,
    },
    /// Two devices have one ID.
    #[error("two CDI devices have the ID `{id}`")]
    Duplicate {
        /// The ID that they share.
        id: DeviceId,
    },
    /// A path is relative, is not UTF-8, or has control characters.
    #[error("path `{}` is not an absolute path of printable UTF-8", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// The permissions of a node are not some of `r`, `w` and `m`.
    #[error(
        "permissions `{}` of device node `{}` are not some of `r`, `w` and `m`",
        permissions.escape_debug(), path.display()
    )]
    Permissions {
        /// The node's path in the container.
        path: PathBuf,
        /// What was given.
        permissions: String,
    },
    /// The mode of a node has more than the nine bits of reading, writing and executing.
    #[error("mode {mode:#o} of device node `{}` is above 0o777", path.display())]
    Mode {
        /// The node's path in the container.
        path: PathBuf,
        /// What was given.
        mode: u32,
    },
    /// The name of a variable is empty or has a `=`, or name or value have a NUL.
    #[error(
        "`{}` cannot be a variable: its name is empty or has a `=`, or there is a NUL in it",
        name.escape_debug()
    )]
    Variable {
        /// The variable's name.
        name: String,
    },
}
