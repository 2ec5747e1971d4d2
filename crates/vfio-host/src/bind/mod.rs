//! Binding functions to a VFIO driver, and giving them back.
//!
//! # What can go wrong, and the order that follows from it
//!
//! To bind a function is to write its address to a driver's `bind`. Around that one write stands what
//! makes it safe:
//!
//! 1. **Look** ([`Host::look`](crate::Host::look)) at the function: driver, group, who else is in it, whether
//!    somebody has it open.
//! 2. **Decide** ([`BindPlan::new`]), a pure function. Each thing that stands in the way is an error of its
//!    own, [`BindRefusal`], that says what to do. Ids that the caller does not name are never touched.
//! 3. **Record** what was found, in the [`StateDir`](crate::StateDir), before the first change. A record that is there
//!    already stays: after a crash what is found is not what was.
//! 4. **`driver_override`**, read back. Never `new_id`: that would attach every function with the id, on
//!    the whole machine and for as long as the module is loaded.
//! 5. **Unbind** from the driver that has it, if any, and **bind**. The kernel's error is not the last
//!    word: the driver link is read after each. Another driver that was faster is asked to let go, a few
//!    times.
//! 6. **Verify**: driver, group, viability, and the device node, which is waited for.
//! 7. **Undo** 4 and 5 if any of that fails, and report both errors if the undoing fails as well.
//!
//! [`Binder`] does 3 to 7 and can be killed between any two writes: what it finds next time leads on
//! from there. [`ReleasePlan`] and [`Binder::release`] go the other way, to what the record says.
//!
//! # Where `driver_override` cannot be written
//!
//! The directories of functions are links from `bus/pci/devices` into `devices`. In a container to which
//! only the host's `/sys/bus/pci` is mounted, they lead into the container's own, read-only sysfs, while
//! `bind` and `unbind` work. A driver that takes the id anyway (`vfio-pci.ids=` on the kernel's command line, an
//! override that somebody else has set) can be bound even so, and [`Binder`] tries that. Where it fails
//! the error names the mount that is missing.

mod binder;
mod commands;
mod error;
mod look;
mod plan;
mod record;
mod refusal;
mod restore;
mod verify;

pub use self::binder::{Binder, Outcome};
pub use self::error::{BindError, Failure, Undo};
pub use self::look::{HostFacts, Look};
pub use self::plan::{BindPlan, BindRules, Claim, ReleasePlan};
pub use self::record::{BINDS, BindRecord};
pub use self::refusal::BindRefusal;
