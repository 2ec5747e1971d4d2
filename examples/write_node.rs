//! Writes a simulated node into a directory, to try the tools on.
//!
//! ```sh
//! cargo run --example write_node -- Xeon4xxx /tmp/node
//! cargo run -p qat-inspect -- list --sysfs-root=/tmp/node/sys --dev-root=/tmp/node/dev
//! ```
//!
//! The first argument is a profile of `node_sim::Profile`, or `PFSxVFS` for a node of that size.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it says what it has written")]

use std::env;
use std::path::Path;

use anyhow::{Context as _, bail};
use node_sim::{Machine, Profile};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, dir] = arguments.as_slice() else {
        bail!("usage: write_node PROFILE DIR; profiles: {}", known());
    };
    let node = Machine::profile(profile(name)?).write(Path::new(dir))?;
    println!(
        "{} PFs and {} VFs in {dir}; look at them with --sysfs-root={dir}/sys --dev-root={dir}/dev",
        node.pfs().len(),
        node.vfs().len(),
    );
    Ok(())
}

fn profile(name: &str) -> anyhow::Result<Profile> {
    let same = |profile: &Profile| format!("{profile:?}").eq_ignore_ascii_case(name);
    if let Some(profile) = Profile::ALL.into_iter().find(same) {
        return Ok(profile);
    }
    let (pfs, vfs) = name
        .split_once('x')
        .with_context(|| format!("no profile `{name}`; there are {}", known()))?;
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
