//! Configuration files.
//!
//! Two kinds. A YAML file of ours ([`read_config`]), which can speak of many nodes, families and single PFs:
//!
//! ```yaml
//! version: 1
//! provisioning:
//!   - services: sym;asym          # every PF that can choose
//!     autoReset: true
//!   - nodes: ["storage-*"]        # closer, so it wins there
//!     services: dc
//!   - pf: 0000:e8:00.0
//!     vfs: none
//! offer:
//!   allocationPolicy: balanced    # as the flag -allocation-policy, which wins
//! pools:
//!   - cdi: spec                   # every pool
//!   - pool: dc
//!     name: compress              # qat.intel.com/compress
//!     vfio: cdev
//!     cdi: field
//!     owner: { gid: 107, mode: "0660" }
//!     numberedPrefix: DC          # DC0, DC1, ...
//!   - name: fast                  # qat.intel.com/fast: VFs that are chosen
//!     select: { pf: 0000:6b:00.0, vfs: 0-7 }
//! overrides:
//!   - nodes: ["edge-*"]
//!     offer: { maxDevices: 4 }
//!   - hardware: [c62x]            # nodes that have such functions
//!     health: { goodChecks: 5 }
//! health:                         # what is said here are the defaults
//!   heartbeat: on                 # check the PFs' heartbeats
//!   checkInterval: 2s             # no PF more often
//!   goodChecks: 3                 # a sick PF is well after so many in a row
//!   falls: 3                      # a VF that became Unhealthy so often ...
//!   quiet: 1m                     # ... within such a time has to be well for so long
//! ```
//!
//! And the files of Intel's init container ([`OldInit`]), a line of shell each, so that a node which has them needs
//! nothing else. Both become `qat_policy::provision::Rule`s. What is wrong is said with path and, where there are
//! lines, line, before anything is touched.

mod file;
mod old_init;
#[cfg(test)]
mod schema;
mod sections;
mod sha256;
mod status;
mod suggest;
mod this_node;
mod time;
mod values;
mod yaml;

pub use self::file::FileError;
pub use self::old_init::{OldInit, OldInitError};
pub use self::sections::{Admin, Offer};
use self::sha256::sha256;
pub use self::status::{ConfigStatus, RefusedConfig};
pub use self::this_node::ThisNode;
pub use self::time::parse_time;
pub use self::yaml::{ConfigError, ConfigText, NodeConfig, OnNode, read_config};
