//! Provisioning: how a PF is brought from the state that it is in to the one that is wanted.
//!
//! # What a QAT driver does, and what follows
//!
//! A PF has services, VFs, and a switch whether it resets itself after a fatal error. Each is an
//! attribute in sysfs (`Documentation/ABI/testing/sysfs-driver-qat`, `sysfs-bus-pci`), and a person who
//! knows PCI would guess most of them wrong (`drivers/crypto/intel/qat/qat_common`):
//!
//! - **All VFs or none.** The number written to `sriov_numvfs` is ignored: every VF is made. Where some but
//!   not all are there, somebody is in the middle of something.
//! - **Services can be written only while the device is down, and `down` destroys all VFs**, used or not. `up`
//!   does not bring them back. Writing `sriov_numvfs` does, and starts the device by the way.
//! - **Services are a set.** Newer kernels hand them back in another order than they were written.
//! - **Removing a VF waits for the process that has it open**, without end. So nothing is planned that would.
//! - **The kernel's own VF driver takes new VFs at once**, unless `sriov_drivers_autoprobe` is off while they are
//!   made.
//! - **Kernels before 6.12 cannot remove VFs** by writing 0. Where the device has `qat/state`, `down` and `up` do.
//!
//! # Plan, then act
//!
//! [`plan`] is a pure function from a [`PfState`] (what was seen) and a [`PfGoal`] (what is wanted) to a [`PfPlan`], a
//! short row of [`PfStep`]s, or a [`PfRefusal`], a sentence. An empty plan is the sign that all is as it should be.
//! A plan never destroys a VF that is in use, or of which nobody knows.
//!
//! [`PfBefore`] is what must be remembered to go back, and [`plan_undo`] is the way. [`explain`] says what the
//! kernel's answer to a step means, and whether to try again makes sense.
//!
//! # Many nodes, one configuration
//!
//! [`goals`] turns [`Rule`]s (for nodes by name, families, single PFs) into what is wanted of each PF of a node. The
//! closest rule wins, and rules that contradict each other are refused before anything is done.

mod cause;
mod changes;
mod goal;
mod plan;
mod refusal;
mod rules;
mod state;
mod step;
mod undo;

pub use self::cause::{Cause, explain};
pub use self::changes::{Change, changes};
pub use self::goal::{PfGoal, UnknownVfDriver, VfDriver, VfsGoal};
pub use self::plan::{PfPlan, plan};
pub use self::refusal::{InUse, PfRefusal};
pub use self::rules::{DriverGoal, Rule, RuleProblem, goals, is_for_node};
pub use self::state::{DeviceState, PfState, VfState, VfUse};
pub use self::step::PfStep;
pub use self::undo::{PfBefore, plan_undo};
