//! DPDK, and programs that open VFIO as it does, in an ordinary container.

use super::super::{Contract, Rule};

/// DPDK in a container.
///
/// Its VFIO code opens the control node and the group's node, whose path it computes from the group's number, and
/// maps memory (type 1). The addresses reach it through a script that reads the environment.
pub const DPDK: Contract = Contract {
    code: "dpdk",
    title: "DPDK in a container",
    source: "DPDK/dpdk lib/eal/linux/eal_vfio.c, doc/guides/linux_gsg/linux_drivers.rst",
    rules: &[
        Rule::ShellReadable,
        Rule::Control,
        Rule::Groups,
        Rule::ReadWrite,
        Rule::AnyUser,
    ],
};
