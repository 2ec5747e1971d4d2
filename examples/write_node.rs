//! Writes a simulated node into a directory, to try the tools on.
//!
//! ```sh
//! cargo run --example write_node -- Xeon4xxx /tmp/node
//! cargo run -p qat-inspect -- list --sysfs-root=/tmp/node/sys --dev-root=/tmp/node/dev
//! ```
//!
//! The first argument is a profile of `node_sim::Profile`, `PFSxVFS` for a node of that size, or a file that `qat-inspect snapshot` has made
//! somewhere else: a node that somebody has reported. With `--nodes=DIR` before it, a device
//! node that does what `/dev/null` does is made in DIR for `vfio` and each IOMMU group, as container runtimes want to see one;
//! that takes the right to make device nodes. What an earlier run has left in the directory of the node is removed.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it says what it has written")]

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use node_sim::{Machine, Profile};
use qat_node::archive::Archive;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;

/// The numbers of `/dev/null`, which the simulated sysfs has for every node.
const NULL: (u32, u32) = (1, 3);

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let nodes = arguments
        .first()
        .and_then(|first| Some(first.strip_prefix("--nodes=")?.to_owned()));
    if nodes.is_some() {
        arguments.remove(0);
    }
    let [name, dir] = arguments.as_slice() else {
        bail!(
            "usage: write_node [--nodes=DIR] PROFILE|SNAPSHOT DIR; profiles: {}",
            known()
        );
    };
    let (file, dir) = (Path::new(name), Path::new(dir));
    let what = if file.is_file() {
        let archive = Archive::read(file)?;
        empty(dir)?;
        archive.unpack(dir)?;
        format!("the node of `{name}`")
    } else {
        let machine = Machine::profile(profile(name)?);
        empty(dir)?;
        let node = machine.write(dir)?;
        format!("{} PFs and {} VFs", node.pfs().len(), node.vfs().len())
    };
    if let Some(nodes) = nodes {
        make_nodes(&dir.join("dev/vfio"), Path::new(&nodes))?;
    }
    let dir = dir.display();
    println!("{what} in {dir}; look at it with --sysfs-root={dir}/sys --dev-root={dir}/dev");
    Ok(())
}

/// Removes a simulated node, and nothing else.
fn empty(dir: &Path) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    let names = entries.map(|entry| Ok(entry?.file_name()));
    let names: Vec<_> = names.collect::<anyhow::Result<_>>()?;
    let is_ours = |name: &_| {
        ["sys", "dev", "kubelet", "proc", "state", "lost+found"]
            .iter()
            .any(|ours| name == ours)
    };
    ensure!(
        names.iter().all(is_ours),
        "`{dir}` has other things in it than a simulated node; name an empty directory",
        dir = dir.display()
    );
    for name in names.iter().filter(|name| *name != "lost+found") {
        let path = dir.join(name);
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
    }
    Ok(())
}

/// Makes a node for each that is simulated. One that is there stays.
fn make_nodes(simulated: &Path, real: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(real)?;
    for entry in fs::read_dir(simulated)? {
        let entry = entry?;
        if entry.path().is_dir() {
            continue;
        }
        let path = real.join(entry.file_name());
        let mode = Mode::from_raw_mode(0o666);
        match mknodat(
            CWD,
            &path,
            FileType::CharacterDevice,
            mode,
            makedev(NULL.0, NULL.1),
        ) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                bail!("cannot make the device node `{}`: {error}", path.display());
            }
        }
    }
    Ok(())
}

fn profile(name: &str) -> anyhow::Result<Profile> {
    let same = |profile: &Profile| format!("{profile:?}").eq_ignore_ascii_case(name);
    if let Some(profile) = Profile::ALL.into_iter().find(same) {
        return Ok(profile);
    }
    let (pfs, vfs) = name
        .split_once('x')
        .with_context(|| format!("no file and no profile `{name}`; there are {}", known()))?;
    let count = || format!("`{name}` is neither a profile nor PFSxVFS, such as 16x256");
    Ok(Profile::Scale {
        pfs: pfs.parse().with_context(count)?,
        vfs: vfs.parse().with_context(count)?,
    })
}

fn known() -> String {
    let names: Vec<_> = Profile::ALL
        .iter()
        .map(|profile| format!("{profile:?}"))
        .collect();
    names.join(", ")
}
