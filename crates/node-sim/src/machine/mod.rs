//! A machine: what it has in memory, and how that is written as a tree.

mod apply;
mod change;
mod describe;
mod error;
mod grow;
mod kernel;
mod live;
mod model;
mod node;
mod profile;
mod qat;
mod spec;
mod steps;
mod tree;

pub use change::{CdevNodes, Change, Heartbeat};
pub use describe::Machine;
pub use error::{DescriptionError, SimError};
pub use kernel::{KernelRelease, Reactor, WriteOutcome, WriteRecord};
pub use node::SimNode;
pub use profile::Profile;
pub use spec::{Attribute, FunctionSpec, Numa, PfSpec};
