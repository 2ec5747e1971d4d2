//! From a machine to an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::mem;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use sysfs_pci::PciAddress;
use sysfs_pci::fs::stat;

use super::{Archive, Entry, VERSION};
use crate::memory::FILE;
use crate::{Look, Roots, Runtime, runtimes};

/// No attribute is longer.
const LONGEST: u64 = 256 << 10;

/// What is read of a VF and of those that share a group with a QAT function.
const OF_VFS: [&str; 5] = ["class", "enable", "local_cpulist", "modalias", "numa_node"];

/// What is read of a PF.
const OF_PFS: [&str; 22] = [
    "aer_dev_correctable",
    "aer_dev_fatal",
    "aer_dev_nonfatal",
    "class",
    "current_link_speed",
    "current_link_width",
    "device",
    "enable",
    "local_cpulist",
    "max_link_speed",
    "max_link_width",
    "modalias",
    "numa_node",
    "power_state",
    "revision",
    "sriov_drivers_autoprobe",
    "sriov_offset",
    "sriov_stride",
    "sriov_totalvfs",
    "sriov_vf_device",
    "subsystem_device",
    "vendor",
];

/// What is read of every other function.
const OF_OTHERS: [&str; 3] = ["class", "modalias", "numa_node"];

/// Modules whose parameters, version and taint say something of QAT and VFIO.
const MODULES: [&str; 8] = [
    "intel_qat",
    "qat_",
    "vfio",
    "iommu",
    "usdm",
    "igb_uio",
    "uio",
    "pci_stub",
];

/// Words of the kernel's command line that are kept.
const WORDS: [&str; 6] = [
    "iommu",
    "vfio",
    "pci",
    "qat",
    "hugepage",
    "module_blacklist",
];

impl Archive {
    /// Takes a snapshot of what `look` has seen, and of what there is around it. `by` names the program.
    ///
    /// Nothing is changed, and nothing is read that could block or have an effect. What cannot be read is named in
    /// [`unread`](Self::unread).
    #[must_use]
    pub fn collect(roots: &Roots, proc: &Path, state_dir: &Path, look: &Look, by: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut archive = Self {
            version: VERSION,
            by: by.to_owned(),
            taken: now.unwrap_or_default().as_secs(),
            entries: BTreeMap::new(),
            unread: BTreeMap::new(),
        };
        let mut below = |base: &Path, name, collect: &mut dyn FnMut(&mut Collector)| {
            let mut collector = Collector {
                base: base.to_owned(),
                name,
                archive: mem::take(&mut archive),
            };
            collect(&mut collector);
            archive = collector.archive;
        };
        below(roots.sysfs.path(), "sys", &mut |sys| {
            sys.machine();
            sys.functions(look);
        });
        below(roots.debugfs.path(), "sys/kernel/debug", &mut |debugfs| {
            for pf in look.inventory.pfs.values() {
                let driver = pf.family.spec().pf_driver;
                debugfs.debugfs(&format!("qat_{driver}_{}", pf.address));
            }
        });
        below(roots.dev.path(), "dev", &mut Collector::nodes);
        below(proc, "proc", &mut Collector::proc);
        below(state_dir, "state", &mut |state| state.text(FILE));
        archive
    }
}

/// Collects below one root.
struct Collector {
    base: PathBuf,
    /// The name of the root in the archive.
    name: &'static str,
    archive: Archive,
}

impl Collector {
    /// What is true of the machine as a whole.
    fn machine(&mut self) {
        for directory in [
            "bus/pci/drivers",
            "class/iommu",
            "class/vfio",
            "devices/system/node",
        ] {
            self.dir(directory);
            for name in self.list(directory) {
                // Only that it is there; a link to somewhere else is of no use.
                self.dir(&format!("{directory}/{name}"));
            }
        }
        for group in self.list("class/vfio") {
            self.text(&format!("class/vfio/{group}/dev"));
        }
        self.text("class/misc/vfio/dev");
        self.text("fs/selinux/enforce");
        self.text("module/apparmor/parameters/enabled");
        for module in self.list("module") {
            if MODULES.iter().any(|wanted| module.starts_with(wanted)) {
                let directory = format!("module/{module}");
                self.dir(&directory);
                for file in ["version", "taint", "refcnt"] {
                    self.text(&format!("{directory}/{file}"));
                }
                self.texts(&format!("{directory}/parameters"), |_| true);
            }
        }
    }

    fn functions(&mut self, look: &Look) {
        self.dir("bus/pci/devices");
        let mut groups = BTreeSet::new();
        let ours: Vec<PciAddress> = {
            let pfs = look.inventory.pfs.keys();
            pfs.chain(look.inventory.vfs.keys()).copied().collect()
        };
        let links = |group| Some(format!("kernel/iommu_groups/{group}"));
        groups.extend(
            look.inventory
                .pfs
                .values()
                .filter_map(|pf| links(pf.iommu_group?)),
        );
        groups.extend(
            look.inventory
                .vfs
                .values()
                .filter_map(|vf| links(vf.iommu_group?)),
        );
        let mut members = Vec::new();
        for group in &groups {
            self.dir(group);
            self.text(&format!("{group}/type"));
            self.text(&format!("{group}/name"));
            let devices = format!("{group}/devices");
            self.dir(&devices);
            for name in self.list(&devices) {
                self.link(&format!("{devices}/{name}"));
                members.extend(name.parse::<PciAddress>());
            }
        }
        for name in self.list("bus/pci/devices") {
            let link = format!("bus/pci/devices/{name}");
            let Some(directory) = self.link(&link) else {
                continue;
            };
            self.dir(&directory);
            let address = name.parse::<PciAddress>().ok();
            let close = address.is_some_and(|one| ours.contains(&one) || members.contains(&one));
            let pf = address.is_some_and(|one| look.inventory.pfs.contains_key(&one));
            let attributes: &[&str] = match (pf, close) {
                (true, _) => &OF_PFS,
                (false, true) => &OF_VFS,
                (false, false) => &OF_OTHERS,
            };
            for attribute in attributes {
                self.text(&format!("{directory}/{attribute}"));
            }
            self.link(&format!("{directory}/driver"));
            self.link(&format!("{directory}/iommu_group"));
            if close {
                self.closely(&directory);
            }
        }
    }

    /// What QAT functions and their neighbours have beside attributes.
    fn closely(&mut self, directory: &str) {
        for name in self.list(directory) {
            if name == "physfn" || name.starts_with("virtfn") {
                self.link(&format!("{directory}/{name}"));
            }
        }
        self.texts(&format!("{directory}/qat"), |name| {
            // `rp2srv` answers only who has put a question to it before.
            ["auto_reset", "cfg_services", "num_rps", "state"].contains(&name)
        });
        self.texts(&format!("{directory}/qat_ras"), |name| {
            name.starts_with("errors_")
        });
        let nodes = format!("{directory}/vfio-dev");
        let names = self.list(&nodes);
        if !names.is_empty() {
            self.dir(&nodes);
        }
        for name in names {
            self.dir(&format!("{nodes}/{name}"));
            self.text(&format!("{nodes}/{name}/dev"));
        }
    }

    /// What a PF tells in debugfs, but for `heartbeat/status`: reading that is a check, which may make the plugin's next one
    /// fail.
    fn debugfs(&mut self, directory: &str) {
        self.text(&format!("{directory}/dev_cfg"));
        self.texts(&format!("{directory}/heartbeat"), |name| name != "status");
        self.texts(&format!("{directory}/version"), |_| true);
    }

    fn nodes(&mut self) {
        for directory in ["vfio", "vfio/devices"] {
            for name in self.list(directory) {
                let relative = format!("{directory}/{name}");
                match stat(&self.base.join(&relative)) {
                    Ok(found) if found.is_char_device => {
                        let (major, minor) = found.device_numbers;
                        self.put(&relative, Entry::Node(major, minor));
                    }
                    _ => {}
                }
            }
        }
    }

    fn proc(&mut self) {
        self.text("version");
        self.text("sys/kernel/random/boot_id");
        if let Some(line) = self.read("cmdline") {
            let words = line.split_ascii_whitespace();
            let kept: Vec<&str> = words
                .filter(|word| WORDS.iter().any(|wanted| word.contains(wanted)))
                .collect();
            self.put("cmdline", Entry::Text(kept.join(" ") + "\n"));
        }
        for Runtime { pid, .. } in runtimes(&self.base) {
            self.text(&format!("{pid}/comm"));
            self.text(&format!("{pid}/limits"));
        }
    }

    /// The texts in a directory, if there is one.
    fn texts(&mut self, directory: &str, wanted: impl Fn(&str) -> bool) {
        let names = self.list(directory);
        if !names.is_empty() {
            self.dir(directory);
        }
        for name in names.iter().filter(|name| wanted(name)) {
            self.text(&format!("{directory}/{name}"));
        }
    }

    fn text(&mut self, relative: &str) {
        if let Some(text) = self.read(relative) {
            self.put(relative, Entry::Text(text));
        }
    }

    /// The text of a file. One that is not there is nothing; one that cannot be read is noted.
    fn read(&mut self, relative: &str) -> Option<String> {
        let path = self.base.join(relative);
        if !fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            return None;
        }
        let mut bytes = Vec::new();
        let read =
            fs::File::open(&path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
        match read.map(|_| String::from_utf8(bytes)) {
            Ok(Ok(text)) => Some(text),
            Ok(Err(_binary)) => None,
            Err(error) => {
                let name = format!("{}/{relative}", self.name);
                self.archive.unread.insert(name, error.to_string());
                None
            }
        }
    }

    /// Keeps a link that leads to something in the same tree, and returns what that is.
    fn link(&mut self, relative: &str) -> Option<String> {
        let target = fs::read_link(self.base.join(relative)).ok()?;
        let text = target.to_str()?.to_owned();
        let parent = Path::new(relative).parent()?;
        let leads = resolved(parent, &target)?;
        self.put(relative, Entry::Link(text));
        Some(leads)
    }

    fn dir(&mut self, relative: &str) {
        if self.base.join(relative).is_dir() {
            self.put(relative, Entry::Dir);
        }
    }

    fn list(&self, relative: &str) -> Vec<String> {
        let entries = fs::read_dir(self.base.join(relative)).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    fn put(&mut self, relative: &str, entry: Entry) {
        let name = format!("{}/{relative}", self.name);
        self.archive.entries.insert(name, entry);
    }
}

/// Where a link in `directory` leads, relative to the root, if that is below it.
fn resolved(directory: &Path, target: &Path) -> Option<String> {
    let mut path = directory.to_owned();
    for component in target.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    path.to_str().map(str::to_owned)
}
