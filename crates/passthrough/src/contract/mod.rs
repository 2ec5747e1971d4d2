//! What each consumer of an answer reads, as data, and whether it gets that.
//!
//! # Why
//!
//! An answer to Allocate is read by programs that the plugin never meets: KubeVirt's virt-launcher, Kata's runtimes and
//! its agent, DPDK in a container. None of them says before a pod starts what it misses; the machine just does not get
//! its device. A [`Contract`] writes down what one of them reads, and [`Contract::judge`] holds an [`Answer`] against it.
//! The builder of answers, [`edits`](crate::edits), is tested against all of them, and the check of a node uses the same.
//!
//! A contract is a list of [`Rule`]s, so to know a consumer is to read its list: [`KUBEVIRT`],
//! [`KUBEVIRT_IOMMUFD`], [`KATA_GO`], [`KATA_GO_COLD`], [`KATA_RS`], [`KATA_RS_COLD`], [`DPDK`], [`NUMBERED`]. An
//! author whose consumer is another writes one of their own from the same rules.
//!
//! ```
//! use passthrough::contract::{Answer, KATA_GO, KUBEVIRT, Standing, Subject};
//! use passthrough::{Grant, GrantedFunction, VfioInterface, edits};
//! use sysfs_pci::IommuGroupId;
//! use vfio_host::{NodeKind, VfioNode};
//!
//! let node = |kind, path: &str| VfioNode {
//!     kind,
//!     host_path: path.into(),
//!     container_path: path.into(),
//! };
//! let resource = "example.com/fast".parse()?;
//! let address = "0000:6b:00.1".parse()?;
//! // A container that is given both interfaces.
//! let edits = edits(&Grant {
//!     resource: &resource,
//!     functions: vec![GrantedFunction {
//!         address,
//!         nodes: vec![
//!             node(NodeKind::Group, "/dev/vfio/320").into(),
//!             node(NodeKind::Cdev, "/dev/vfio/devices/vfio0").into(),
//!         ],
//!     }],
//!     control: Some(node(NodeKind::Control, "/dev/vfio/vfio")),
//!     numbered_prefix: None,
//!     cdi_names: false,
//! });
//! let answer = Answer {
//!     resource: &resource,
//!     functions: &[Subject { address, group: Some(IommuGroupId::new(320)), companions: Vec::new() }],
//!     edits: &edits,
//!     interface: VfioInterface::Both,
//!     numbered_prefix: None,
//!     cdi: None,
//!     private: &Default::default(),
//! };
//! assert_eq!(KUBEVIRT.judge(&answer).standing(), Standing::Good);
//! let kata = KATA_GO.judge(&answer);
//! assert_eq!(kata.standing(), Standing::Broken);
//! assert!(kata.to_string().contains("plugged twice"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod cdi_file;
mod consumers;
mod nodes;
mod problem;
mod rule;
mod variables;
mod verdict;

pub use self::answer::{Answer, CdiFile, Subject};
pub use self::consumers::{
    ALL, DPDK, KATA_GO, KATA_GO_COLD, KATA_RS, KATA_RS_COLD, KUBEVIRT, KUBEVIRT_IOMMUFD, NUMBERED,
};
pub use self::problem::{Problem, Weight};
pub use self::rule::{Naming, Rule};
pub use self::verdict::{Contract, Standing, Verdict};

#[cfg(test)]
mod tests;
