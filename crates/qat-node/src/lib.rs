//! A QAT node as one thing.
//!
//! The other crates each know one part of the machine. This one puts them together, in one
//! direction:
//!
//! ```text
//! kernel ──► Looker ──► Look ──► judge ──► NodeState ──► (watch) ──► Pool backend ──► kubelet
//!            scan,      what     what we    what is                  lists, Allocate
//!            nodes,     is       say of     published
//!            services   there    it
//! ```
//!
//! * A [`Looker`] reads the machine: PCI functions, IOMMU groups, VFIO nodes, the services of each
//!   PF. It uses only reads that cannot block. Its result, a [`Look`], is plain data.
//! * [`judge`] is a pure function: what was advertised before, what is there now and what pods may
//!   hold give what is advertised next. A VF is in one pool at a time, and leaves it only when nobody
//!   holds it: until then it is Unhealthy with a reason, because the kubelet treats a missing device
//!   worse than a sick one, and it counts each resource by itself.
//! * The [`Ledger`] knows what pods may hold: what the kubelet says, what was just handed out, and which
//!   VFs are open.
//! * [`run`] owns the state. One task looks, judges and publishes; everything else reads.
//! * Each pool of VFs is a plugin of the `device-plugin` framework. Its Allocate asks the machine
//!   again, now ([`Recheck`]), and lets `passthrough` write the answer.
//! * With the feature `probe`, `probe` asks VFIO itself about the groups that no pod holds, and says where
//!   it does not agree with what was concluded from sysfs.
//!
//! Where things are is injected ([`Roots`]): tests, demos and pods whose host mounts are elsewhere
//! use other roots, and no path is written down in the logic.
#![forbid(unsafe_code)]

pub mod archive;
mod backend;
pub mod binding;
mod calm;
mod cdi_files;
pub mod config;
pub mod consumers;
pub mod hints;
mod journal;
mod judge;
mod labels;
mod leaks;
mod leave;
mod ledger;
mod lock;
mod look;
pub mod memory;
mod metrics;
mod node;
mod owner;
pub mod pools;
#[cfg(feature = "probe")]
mod probe;
pub mod provision;
mod pulse;
mod recheck;
mod rejections;
mod resource;
mod roots;
mod runtimes;
mod selected;
mod state;
mod text;
mod wishes;

pub use passthrough::contract;

pub use self::backend::{CallEvent, Given, HandedOut, PoolBackend, Terms};
pub use self::calm::Calm;
pub use self::cdi_files::{CdiFiles, Described};
pub use self::journal::{Fact, Journal, Weight, facts};
pub use self::judge::judge;
pub use self::leaks::Leak;
pub use self::leave::{LeaveError, leave};
pub use self::ledger::{Ledger, Objection, claim};
pub use self::look::{Look, Looker};
pub use self::metrics::Metrics;
pub use self::node::{NodeSettings, run};
#[cfg(feature = "probe")]
pub use self::probe::{Blind, GroupAnswer, NodeProbe, Suspicion, probe};
pub use self::pulse::Pulse;
pub use self::recheck::{Known, Recheck, RecheckError};
pub use self::rejections::{RejectedVf, Rejection};
pub use self::resource::{RESOURCE_DOMAIN, resource_name, resource_text};
pub use self::roots::{Roots, RootsError};
pub use self::runtimes::{Runtime, runtimes};
pub use self::state::{Advertised, NodeState, Verdict};
pub use self::text::chain;
pub use self::wishes::Wishes;
