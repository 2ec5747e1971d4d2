//! The machine that the cases run on, and what they do to it.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, read_link};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use rustix::system::{delete_module, finit_module};
use sysfs_pci::PciAddress;
use vfio_host::Host;

/// How long the kernel is given for what it does at once, on an emulated and busy processor.
const SOON: Duration = Duration::from_secs(10);

/// The machine.
#[derive(Debug)]
pub(crate) struct Guest {
    /// As our crates see it.
    pub(crate) host: Host,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self {
            host: Host::default(),
        }
    }

    /// The path of a function's attribute.
    pub(crate) fn attribute(&self, address: PciAddress, name: &str) -> PathBuf {
        self.host.sysfs.pci_device(address).join(name)
    }

    /// Reads a function's attribute, as a person would with `cat`.
    pub(crate) fn read(&self, address: PciAddress, name: &str) -> String {
        let path = self.attribute(address, name);
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim_end().to_owned()
    }

    /// Writes to a function's attribute, as a person would with `echo`.
    pub(crate) fn write(&self, address: PciAddress, name: &str, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .open(self.attribute(address, name))?;
        file.write_all(text.as_bytes())
    }

    /// Has a physical function make its virtual functions, and lists them as the kernel numbers them.
    pub(crate) fn make_vfs(&self, pf: PciAddress) -> Vec<PciAddress> {
        let total = self.read(pf, "sriov_totalvfs");
        if self.read(pf, "sriov_numvfs") == "0" {
            self.write(pf, "sriov_numvfs", &total).unwrap();
        }
        self.vfs(pf)
    }

    /// Has a physical function remove its virtual functions.
    pub(crate) fn remove_vfs(&self, pf: PciAddress) {
        self.write(pf, "sriov_numvfs", "0").unwrap();
        assert_eq!(self.vfs(pf), []);
    }

    /// The virtual functions that a physical one links to, in the order of the links' numbers.
    pub(crate) fn vfs(&self, pf: PciAddress) -> Vec<PciAddress> {
        let link = |number: usize| read_link(self.attribute(pf, &format!("virtfn{number}"))).ok();
        let targets = (0..).map_while(link);
        let address = |target: PathBuf| {
            target
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        };
        targets.map(address).collect()
    }
}

/// An address that is written down in a case.
pub(crate) fn at(address: &str) -> PciAddress {
    address.parse().expect("an address")
}

/// Loads a module of the archive.
pub(crate) fn insmod(name: &str, parameters: &str) {
    let path = format!("/modules/{name}.ko");
    let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let parameters = CString::new(parameters).unwrap();
    finit_module(file, &parameters, 0).unwrap_or_else(|error| panic!("module {name}: {error}"));
}

/// Unloads a module.
pub(crate) fn rmmod(name: &str) {
    let text = CString::new(name).unwrap();
    delete_module(&text, 0).unwrap_or_else(|error| panic!("module {name}: {error}"));
}

/// Tells the harness something that is worth showing even if all is well.
pub(crate) fn note(text: &str) {
    println!("\n@@ note {text}");
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not happen that {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Does something that must not hang, and tells how long it took. A failure in it is one here.
pub(crate) fn within(
    what: &str,
    limit: Duration,
    work: impl FnOnce() + Send + 'static,
) -> Duration {
    let before = Instant::now();
    let (done, waits) = channel();
    let thread = spawn(move || {
        work();
        // Only who gave up is not there to be told.
        let _told = done.send(());
    });
    match waits.recv_timeout(limit) {
        Err(RecvTimeoutError::Timeout) => panic!("{what}: not done within {} s", limit.as_secs()),
        _ => thread.join().expect(what),
    }
    before.elapsed()
}
