//! What the end-to-end tests stand on: the real binaries, on a simulated node, with a strict
//! kubelet.
#![forbid(unsafe_code)]

mod binary;
mod daemon;
mod inspector;
mod namespace;
mod scene;
pub mod session;
mod stand_in;

pub use self::binary::binary;
pub use self::daemon::Daemon;
pub use self::inspector::inspector;
pub use self::namespace::{in_a_namespace, is_in_a_namespace};
pub use self::scene::{DEADLINE, Scene};
pub use self::stand_in::StandIn;
