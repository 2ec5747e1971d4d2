//! Binding VFs, many of them, a few at a time.
//!
//! `vfio_host::bind` knows how to bind one function. Here are those who decide which: the daemon, which
//! keeps the VFs of a node bound ([`Keeper`]), and provisioning. Both go through [`Gang`], so that they
//! exclude each other by the lock of the PF, and so that no more than [`LANES`] VFs of a PF are bound
//! at a time.

mod gang;
mod keeper;

pub use self::gang::{Gang, LANES, Reason, Tools, Work};
pub use self::keeper::{Keeper, KeeperSettings, Report};
