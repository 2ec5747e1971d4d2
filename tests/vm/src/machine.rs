//! A machine and what it takes to have QEMU make it.

/// A physical function with SR-IOV, behind a root port of its own. Its address is `0000:BUS:00.0`.
#[derive(Clone, Copy, Debug)]
pub struct Pf {
    /// The bus.
    pub bus: u8,
    /// As what the twin shows it, such as `4940`.
    pub id: &'static str,
    /// How many virtual functions it can make, 127 at most.
    pub vfs: u16,
    /// Whether the port above keeps the functions apart. Without, it and all of them are one group.
    pub acs: bool,
    /// The NUMA node, 0 or 1, that the firmware tells; `None`: it tells none.
    pub node: Option<u8>,
}

/// A machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Physical functions.
    pub pfs: Vec<Pf>,
    /// Whether it has a conventional PCI bus with two devices (`edu`, for which there is no driver, and
    /// `virtio-net`), which share a group with their bridge.
    pub conventional_bus: bool,
    /// Kernel modules to load at the start; those that they need come by themselves.
    pub modules: Vec<&'static str>,
    /// Our binaries that it has. Each makes the start longer.
    pub programs: Vec<&'static str>,
    /// Whether it has QEMU, to run a virtual machine in itself.
    pub hypervisor: bool,
    /// Further words on the kernel's command line.
    pub kernel: Vec<&'static str>,
    /// Memory, in MiB.
    pub memory: u32,
}

impl Machine {
    /// The twin's parameter: which function to show as what.
    pub fn map(&self) -> String {
        let entries = self
            .pfs
            .iter()
            .map(|pf| format!("0000:{:02x}:00.0={}", pf.bus, pf.id));
        entries.collect::<Vec<_>>().join(",")
    }

    /// The kernel's command line. Later words win over earlier ones.
    pub fn command_line(&self) -> String {
        let words = ["console=ttyS0", "panic=-1", "quiet", "intel_iommu=on"];
        let words = words.iter().chain(&self.kernel);
        words.copied().collect::<Vec<_>>().join(" ")
    }

    /// QEMU's arguments for all but the kernel and where files are.
    pub fn arguments(&self) -> Vec<String> {
        // Remapped interrupts need the split chip, and VFIO needs the caching mode to see through the
        // emulated IOMMU. No accelerator is asked for: one that is there need not work.
        let mut arguments = words(
            "-nodefaults -no-user-config -nographic -no-reboot -serial stdio -monitor none \
             -machine q35,kernel-irqchip=split -accel tcg,thread=multi -cpu Nehalem -smp 1 \
             -device intel-iommu,intremap=on,caching-mode=on",
        );
        arguments.extend(self.memory_arguments());
        for (slot, pf) in (1..).zip(&self.pfs) {
            arguments.extend(pf.arguments(slot));
        }
        if self.conventional_bus {
            arguments.extend(words(
                "-device pcie-root-port,id=rpb,bus=pcie.0,chassis=99,slot=99 \
                 -device pcie-pci-bridge,id=pb,bus=rpb -device edu,bus=pb,addr=1 \
                 -netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net,bus=pb,addr=2,romfile=",
            ));
        }
        arguments
    }

    fn memory_arguments(&self) -> Vec<String> {
        let Self { memory, .. } = self;
        if self.pfs.iter().all(|pf| pf.node.is_none()) {
            return words(&format!("-m {memory}"));
        }
        let half = memory / 2;
        words(&format!(
            "-m {memory} -object memory-backend-ram,id=m0,size={half}M -numa node,nodeid=0,cpus=0,memdev=m0 \
             -object memory-backend-ram,id=m1,size={half}M -numa node,nodeid=1,memdev=m1"
        ))
    }
}

impl Pf {
    /// The function's rules, which are those of QEMU's `nvme`: `sriov_vq_flexible` is at least twice the
    /// virtual functions, `max_ioqpairs` two more, `sriov_vi_flexible` at least their number, `msix_qsize` one
    /// more. Such a root bus takes bridges only, hence the port.
    fn arguments(&self, slot: u8) -> Vec<String> {
        let Self { bus, vfs, .. } = self;
        let root = bus - 1;
        let node = self
            .node
            .map_or_else(String::new, |node| format!(",numa_node={node}"));
        let acs = if self.acs { "" } else { ",disable-acs=on" };
        words(&format!(
            "-device pxb-pcie,id=px{slot},bus=pcie.0,bus_nr={root}{node} \
             -device pcie-root-port,id=rp{slot},bus=px{slot},chassis={slot},slot={slot}{acs} \
             -device nvme-subsys,id=ss{slot},nqn=ss{slot} \
             -device nvme,id=pf{slot},bus=rp{slot},serial=PF{slot},subsys=ss{slot},sriov_max_vfs={vfs},\
             sriov_vq_flexible={},sriov_vi_flexible={vfs},max_ioqpairs={},msix_qsize={}",
            2 * vfs,
            2 * vfs + 2,
            vfs + 1,
        ))
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Machine, Pf};

    #[test]
    fn a_function_is_where_it_was_asked_for() {
        let pf = Pf {
            bus: 0x6b,
            id: "4940",
            vfs: 16,
            acs: false,
            node: Some(1),
        };
        let machine = Machine {
            pfs: vec![pf],
            memory: 512,
            ..Machine::default()
        };
        assert_eq!(machine.map(), "0000:6b:00.0=4940");
        let arguments = machine.arguments().join(" ");
        for part in [
            "bus_nr=106,numa_node=1",
            "disable-acs=on",
            "sriov_vq_flexible=32,",
            "msix_qsize=17",
            "id=m1,size=256M",
        ] {
            assert!(arguments.contains(part), "`{part}` is not in {arguments}");
        }
    }

    #[test]
    fn a_later_word_of_the_command_line_wins() {
        let machine = Machine {
            kernel: vec!["intel_iommu=off"],
            ..Machine::default()
        };
        assert!(
            machine
                .command_line()
                .ends_with("intel_iommu=on intel_iommu=off")
        );
    }
}
