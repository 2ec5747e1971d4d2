//! The consumers, a module each.

mod dpdk;
mod kata;
mod kubevirt;
mod numbered;

pub use self::dpdk::DPDK;
pub use self::kata::{KATA_GO, KATA_GO_COLD, KATA_RS, KATA_RS_COLD};
pub use self::kubevirt::{KUBEVIRT, KUBEVIRT_IOMMUFD};
pub use self::numbered::NUMBERED;

use super::Contract;

/// Every contract of this crate.
pub const ALL: [Contract; 8] = [
    KUBEVIRT,
    KUBEVIRT_IOMMUFD,
    KATA_GO,
    KATA_GO_COLD,
    KATA_RS,
    KATA_RS_COLD,
    DPDK,
    NUMBERED,
];
