//! The first file system of a machine, as an archive that the kernel unpacks into memory.
//!
//! The format is cpio's "newc" (`Documentation/driver-api/early-userspace/buffer-format.rst`): per entry
//! the magic `070701`, 13 numbers of eight hexadecimal digits, the name with a NUL, and the data, both
//! padded to four bytes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_000;

/// An archive in the making.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    /// Adds a directory, and those that it is in.
    ///
    /// # Errors
    ///
    /// When the archive has grown too large.
    pub fn directory(&mut self, path: &str) -> Result<()> {
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let path = &path[..end];
            if self.directories.insert(path.to_owned()) {
                self.entry(path, DIRECTORY, &[])?;
            }
        }
        Ok(())
    }

    /// Adds a file.
    ///
    /// # Errors
    ///
    /// When it, or the archive, is too large.
    pub fn file(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.directory(directory)?;
        }
        self.entry(path, FILE | mode, data)
    }

    /// Adds a copy of a file, with its permissions.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is too large.
    pub fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let cannot = || format!("cannot read `{}`", from.display());
        let mode = fs::metadata(from)
            .with_context(cannot)?
            .permissions()
            .mode()
            & 0o777;
        self.file(path, mode, &fs::read(from).with_context(cannot)?)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    ///
    /// When the archive has grown too large.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.directory(directory)?;
        }
        self.entry(path, LINK, target.as_bytes())
    }

    /// The finished archive.
    ///
    /// # Errors
    ///
    /// When the archive has grown too large.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(data.len()).with_context(|| format!("`{path}` is too large"))?;
        let name = u32::try_from(path.len() + 1)?;
        // Inode, mode, uid, gid, links, mtime, size, device (2), device of a node (2), name, checksum.
        let numbers = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name, 0];
        self.bytes.extend_from_slice(b"070701");
        for number in numbers {
            self.bytes
                .extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_are_laid_out_as_the_kernel_reads_them() {
        let mut archive = Archive::default();
        archive.file("a/b", 0o755, b"12345").unwrap();
        archive.directory("a").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        // The directory, made once: 110 bytes of header, "a" and its NUL.
        assert!(text.starts_with("07070100000001000041ed"), "{text}");
        assert_eq!(text.matches("070701").count(), 3, "{text}");
        let file = &text[112..];
        assert!(file.starts_with("07070100000002000081ed"), "{file}");
        assert_eq!(&file[54..62], "00000005");
        assert_eq!(&file[110..116], "a/b\0\0\0");
        assert!(
            file[114..].starts_with(concat!("\0\0", "12345", "\0\0\0", "070701")),
            "{file:?}"
        );
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
    }
}
