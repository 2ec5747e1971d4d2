//! How the VFs of each pool reach containers, as the operator wants it.
//!
//! The answer that one runtime needs breaks another ([`passthrough::contract`] has who needs what), so it is chosen for
//! each pool. A [`PoolRule`] says something of one pool, or of every pool; [`PoolConfig`] holds the rules and tells
//! the [`PoolSettings`] of a pool. What one pool could not be given, or what two pools would disturb each other with,
//! is refused when the rules are read ([`PoolProblem`]).

mod cdi_mode;
mod config;
mod problem;

pub use self::cdi_mode::{CdiMode, CdiModeError};
pub use self::config::{Numbering, PoolConfig, PoolRule, PoolSettings};
pub use self::problem::PoolProblem;

#[cfg(test)]
mod tests;
