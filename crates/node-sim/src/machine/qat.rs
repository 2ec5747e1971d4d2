//! What the in-tree QAT drivers add to a function.
//!
//! From Documentation/ABI/testing/sysfs-driver-qat, sysfs-driver-qat_ras,
//! sysfs-driver-qat_rl and debugfs-driver-qat. Ids and drivers are from each
//! driver's `adf_drv.c`.

use std::mem;

use sysfs_pci::{PciAddress, PciId};

use super::{
    Attribute, DescriptionError, FunctionSpec, Heartbeat, PfSpec, model::Function, spec::Debugfs,
};

pub(super) const STATE: &str = "qat/state";
pub(super) const SERVICES: &str = "qat/cfg_services";
pub(super) const AUTO_RESET: &str = "qat/auto_reset";
pub(super) const PM_IDLE: &str = "qat/pm_idle_enabled";
const DEV_CFG: &str = "dev_cfg";

/// A device family. Everything a tree needs to know about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) pf: u16,
    pub(super) vf: u16,
    pub(super) driver: &'static str,
    pub(super) vfs: u16,
    /// First VF Offset: 8 up to generation 3, 1 since.
    pub(super) offset: u16,
    pub(super) revision: u8,
    pub(super) subsystem: u16,
    /// Whether the driver makes `qat/`, `qat_ras/` and `qat_rl/`.
    pub(super) configurable: bool,
    /// Whether `vfio-pci` refuses it by default.
    pub(super) denylisted: bool,
}

const GEN2: Family = Family {
    pf: 0,
    vf: 0,
    driver: "",
    vfs: 16,
    offset: 8,
    revision: 0x04,
    subsystem: 0x0002,
    configurable: false,
    denylisted: true,
};

const GEN4: Family = Family {
    offset: 1,
    revision: 0x40,
    subsystem: 0,
    configurable: true,
    denylisted: false,
    ..GEN2
};

impl Family {
    const ALL: [Self; 8] = [
        Self::DH895XCC,
        Self::C62X,
        Self::C3XXX,
        Self::G4XXX,
        Self::G401XX,
        Self::G402XX,
        Self::G420XX,
        Self::G6XXX,
    ];

    /// The family of a PF.
    pub(super) fn of_pf(id: PciId) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|family| PciId::new(0x8086, family.pf) == id)
    }

    /// The family of a VF.
    pub(super) fn of_vf(id: PciId) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|family| PciId::new(0x8086, family.vf) == id)
    }

    /// The driver that Linux has for VFs of the family.
    pub(super) fn vf_driver(&self) -> Option<&'static str> {
        match self.driver {
            "dh895xcc" => Some("dh895xccvf"),
            "c6xx" => Some("c6xxvf"),
            "c3xxx" => Some("c3xxxvf"),
            _ => None,
        }
    }
}

#[rustfmt::skip]
impl Family {
    pub(super) const DH895XCC: Self = Self { pf: 0x0435, vf: 0x0443, driver: "dh895xcc", vfs: 32, ..GEN2 };
    pub(super) const C62X: Self = Self { pf: 0x37c8, vf: 0x37c9, driver: "c6xx", ..GEN2 };
    pub(super) const C3XXX: Self = Self { pf: 0x19e2, vf: 0x19e3, driver: "c3xxx", ..GEN2 };
    pub(super) const G4XXX: Self = Self { pf: 0x4940, vf: 0x4941, driver: "4xxx", ..GEN4 };
    pub(super) const G401XX: Self = Self { pf: 0x4942, vf: 0x4943, driver: "4xxx", ..GEN4 };
    pub(super) const G402XX: Self = Self { pf: 0x4944, vf: 0x4945, driver: "4xxx", ..GEN4 };
    pub(super) const G420XX: Self = Self { pf: 0x4946, vf: 0x4947, driver: "420xx", ..GEN4 };
    pub(super) const G6XXX: Self = Self { pf: 0x4948, vf: 0x4949, driver: "6xxx", ..GEN4 };
}

impl Family {
    /// A PF with all VFs on `vfio-pci`. `services` is what `cfg_services` reads, where there is one.
    pub(super) fn pf(&self, address: PciAddress, services: &str) -> PfSpec {
        let mut function = self
            .common(address, self.pf)
            .dma_bits(if self.configurable { 64 } else { 48 })
            .driver(self.driver);
        for (name, attribute) in self.sysfs(services) {
            function = function.driver_attribute(name, attribute);
        }
        let prefix = format!("qat_{}", self.driver);
        for (name, attribute) in self.debugfs(services) {
            function = function.debugfs(&prefix, name, attribute);
        }
        PfSpec::new(function, PciId::new(0x8086, self.vf), self.vfs)
            .offset(self.offset)
            .vf_driver("vfio-pci")
    }

    /// A VF as a guest sees it.
    pub(super) fn given(&self, address: PciAddress) -> FunctionSpec {
        self.common(address, self.vf).driver("vfio-pci").given_vf()
    }

    fn common(&self, address: PciAddress, device: u16) -> FunctionSpec {
        FunctionSpec::new(address, PciId::new(0x8086, device))
            .class(0x0b_4000)
            .revision(self.revision)
            .subsystem(PciId::new(0x8086, self.subsystem))
    }

    fn sysfs(&self, services: &str) -> Vec<(&'static str, Attribute)> {
        if !self.configurable {
            return Vec::new();
        }
        let zero = || Attribute::read_only("0\n");
        let rw = |text: &str| Attribute::read_write(text);
        vec![
            (STATE, rw("up\n")),
            (SERVICES, rw(&format!("{services}\n"))),
            (PM_IDLE, rw("1\n")),
            ("qat/num_rps", Attribute::read_only("64\n")),
            (AUTO_RESET, rw("off\n")),
            ("qat_ras/errors_correctable", zero()),
            ("qat_ras/errors_nonfatal", zero()),
            ("qat_ras/errors_fatal", zero()),
            ("qat_ras/reset_error_counters", Attribute::write_only()),
            ("qat_rl/sla_op", Attribute::write_only()),
            ("qat_rl/rp", rw("0\n")),
            ("qat_rl/id", rw("0\n")),
            ("qat_rl/cir", rw("0\n")),
            ("qat_rl/pir", rw("0\n")),
            ("qat_rl/cap_rem", rw("1000\n")),
        ]
    }

    fn debugfs(&self, services: &str) -> Vec<(&'static str, Attribute)> {
        let timer = if self.configurable {
            "200\n\0"
        } else {
            "500\n\0"
        };
        let services = self.configurable.then_some(services);
        let mut files = vec![
            (DEV_CFG, secret(&dev_cfg(services))),
            ("heartbeat/config", Attribute::new(timer, 0o600)),
            ("fw_counters", secret("")),
            ("cnv_errors", secret("")),
        ];
        if self.configurable {
            files.push(("pm_status", secret("")));
            files.push(("telemetry/control", Attribute::read_write("0\n")));
            files.push(("telemetry/device_data", Attribute::read_only("")));
        }
        files.extend(heartbeat_files(Heartbeat {
            alive: true,
            queries_sent: 0,
            queries_failed: 0,
        }));
        files
    }
}

/// Makes `cfg_services` and debugfs say this.
pub(super) fn set_services(pf: &mut Function, text: &str) -> Result<(), DescriptionError> {
    replace(pf, SERVICES, format!("{text}\n").into_bytes())?;
    if let Some(file) = debugfs(pf)?.files.get_mut(DEV_CFG) {
        file.bytes = dev_cfg(Some(text)).into_bytes();
    }
    Ok(())
}

/// What a stopped device shows: no error counters, no rate limits, hardly any debugfs.
pub(super) fn set_down(pf: &mut Function) -> Result<(), DescriptionError> {
    replace(pf, STATE, b"down\n".to_vec())?;
    let stays = |name: &String| name.starts_with("qat/");
    let attributes = &mut pf.spec.driver_attributes;
    let stopped = attributes.extract_if(.., |name, _| !stays(name));
    pf.stopped.attributes.extend(stopped);
    if let Some(debugfs) = &mut pf.spec.debugfs {
        let stopped = debugfs.files.extract_if(.., |name, _| name != DEV_CFG);
        pf.stopped.debugfs.extend(stopped);
    }
    Ok(())
}

/// The reverse. The error counters start at 0.
pub(super) fn set_up(pf: &mut Function) -> Result<(), DescriptionError> {
    replace(pf, STATE, b"up\n".to_vec())?;
    let stopped = mem::take(&mut pf.stopped);
    pf.spec.driver_attributes.extend(stopped.attributes);
    if let Some(debugfs) = &mut pf.spec.debugfs {
        debugfs.files.extend(stopped.debugfs);
    }
    zero_errors(pf);
    Ok(())
}

/// Makes a device what it is after a probe: up, with the default services of its number
/// (`adf_gen4_cfg_dev_init`).
pub(super) fn reset(pf: &mut Function, number: usize) -> Result<(), DescriptionError> {
    match value(pf, STATE) {
        None => return Ok(()),
        Some("down") => set_up(pf)?,
        Some(_) => {}
    }
    pf.literal.remove(SERVICES);
    set_services(
        pf,
        if number.is_multiple_of(2) {
            "sym;asym"
        } else {
            "dc"
        },
    )?;
    set_value(pf, AUTO_RESET, "off")?;
    set_value(pf, PM_IDLE, "1")
}

/// Makes the error counters say 0, if there are any.
pub(super) fn zero_errors(pf: &mut Function) {
    for (name, attribute) in &mut pf.spec.driver_attributes {
        if name.starts_with("qat_ras/errors_") {
            pf.literal.remove(name);
            attribute.bytes = b"0\n".to_vec();
        }
    }
}

/// What a file of a QAT device holds, without the newline. Nothing if it has none of the name.
pub(super) fn value<'a>(pf: &'a Function, name: &str) -> Option<&'a str> {
    let bytes = match pf.literal.get(name) {
        Some(bytes) => bytes,
        None => &pf.spec.driver_attributes.get(name)?.bytes,
    };
    str::from_utf8(bytes).ok().map(str::trim_end)
}

/// Makes a file of a QAT device hold this text and a newline.
pub(super) fn set_value(pf: &mut Function, name: &str, text: &str) -> Result<(), DescriptionError> {
    pf.literal.remove(name);
    replace(pf, name, format!("{text}\n").into_bytes())
}

/// Makes the heartbeat files say this, or takes them away.
pub(super) fn set_heartbeat(
    pf: &mut Function,
    heartbeat: Option<Heartbeat>,
) -> Result<(), DescriptionError> {
    let files = &mut debugfs(pf)?.files;
    match heartbeat {
        Some(heartbeat) => {
            let said = heartbeat_files(heartbeat);
            files.extend(said.map(|(name, attribute)| (name.to_owned(), attribute)));
        }
        None => files.retain(|name, _| !name.starts_with("heartbeat/")),
    }
    Ok(())
}

fn replace(pf: &mut Function, name: &str, bytes: Vec<u8>) -> Result<(), DescriptionError> {
    let address = pf.spec.address;
    let attribute = pf.spec.driver_attributes.get_mut(name);
    let attribute = attribute.ok_or_else(|| DescriptionError::NoAttribute {
        address,
        name: name.to_owned(),
    })?;
    attribute.bytes = bytes;
    Ok(())
}

fn debugfs(pf: &mut Function) -> Result<&mut Debugfs, DescriptionError> {
    let address = pf.spec.address;
    let debugfs = pf.spec.debugfs.as_mut();
    debugfs.ok_or_else(|| DescriptionError::NoAttribute {
        address,
        name: "debugfs".to_owned(),
    })
}

/// The sequence files of the heartbeat end in a newline and a NUL.
fn heartbeat_files(heartbeat: Heartbeat) -> [(&'static str, Attribute); 3] {
    let status = if heartbeat.alive { "0" } else { "-1" };
    let number = |text: &str| secret(&format!("{text}\n\0"));
    [
        ("heartbeat/status", number(status)),
        (
            "heartbeat/queries_sent",
            number(&heartbeat.queries_sent.to_string()),
        ),
        (
            "heartbeat/queries_failed",
            number(&heartbeat.queries_failed.to_string()),
        ),
    ]
}

fn dev_cfg(services: Option<&str>) -> String {
    let services = services.map_or_else(String::new, |s| format!("ServicesEnabled = {s}\n"));
    format!("[GENERAL]\n{services}[KERNEL]\n[KERNEL_QAT]\n[Accelerator0]\n")
}

/// Mode 0400, as most of debugfs.
fn secret(text: &str) -> Attribute {
    Attribute::new(text, 0o400)
}
