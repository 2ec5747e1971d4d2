//! `qat-inspect snapshot`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use qat_node::archive::Archive;

use crate::site::Site;

/// Writes what there is to see of the machine into a file, and says what is in it.
pub(crate) fn take(site: &Site, file: &Path) -> anyhow::Result<String> {
    let by = concat!("qat-inspect ", env!("CARGO_PKG_VERSION"));
    let archive = Archive::collect(&site.roots, &site.proc, &site.state_dir, &site.look, by);
    archive.write(file).context("no snapshot was taken")?;
    let mut text = format!(
        "{}: {} entries of {} PFs and {} VFs; look at it with --from {}\n",
        file.display(),
        archive.entries.len(),
        site.look.inventory.pfs.len(),
        site.look.inventory.vfs.len(),
        file.display(),
    );
    for (name, why) in &archive.unread {
        // Writing to a text does not fail.
        let _written = writeln!(text, "not readable: {name}: {why}");
    }
    text.push_str("it is text: read it before you give it away\n");
    Ok(text)
}
