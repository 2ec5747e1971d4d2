//! QEMU as a program of the machine itself, for a virtual machine in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{Archive, Kit};

/// The folder in the machine: a root of its own, with the program, its libraries and its firmware.
const ROOT: &str = "qemu";

/// The program, and the part of it that emulates a processor. They find each other by where they are.
const PROGRAM: &str = "usr/bin/qemu-system-x86_64";
const EMULATOR: &str = "usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so";

/// What a machine without disks, screens and networks reads of QEMU's data.
const FIRMWARE: [(&str, &str); 2] = [
    ("usr/share/seabios", "bios-256k.bin"),
    ("usr/share/qemu", "kvmvapic.bin"),
];

/// Adds it.
///
/// # Errors
///
/// When a file is missing or a library cannot be found.
pub(crate) fn add(archive: &mut Archive, kit: &Kit) -> Result<()> {
    let program = kit.qemu.join(PROGRAM);
    for path in [PROGRAM, EMULATOR] {
        archive.copy(&format!("{ROOT}/{path}"), &kit.qemu.join(path))?;
    }
    for (name, file) in libraries(kit, &program)? {
        archive.copy(&format!("{ROOT}/{name}"), &file)?;
    }
    for (folder, name) in FIRMWARE {
        archive.copy(
            &format!("{ROOT}/firmware/{name}"),
            &kit.qemu.join(folder).join(name),
        )?;
    }
    for directory in ["dev", "sys", "tmp", "proc"] {
        archive.directory(&format!("{ROOT}/{directory}"))?;
    }
    Ok(())
}

/// The libraries that the loader takes for the program here, each with where it is to be in the machine: the loader at
/// the path that is written in the program, all others in `lib`.
fn libraries(kit: &Kit, program: &Path) -> Result<Vec<(String, PathBuf)>> {
    let output = Command::new("ldd")
        .arg(program)
        .env("LD_LIBRARY_PATH", kit.library_path())
        .output()
        .context("cannot run `ldd`")?;
    if !output.status.success() {
        bail!("`ldd {}` failed: {}", program.display(), output.status);
    }
    parse(&String::from_utf8(output.stdout)?)
}

/// Lines of the form `libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x…)`; the loader has no arrow, and what the kernel
/// gives no path.
fn parse(text: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut libraries = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [name, "=>", "not", ..] => bail!("the library {name} of QEMU is not on this machine"),
            [name, "=>", path, _] => libraries.push((format!("lib/{name}"), path.into())),
            [loader, _] if loader.starts_with('/') => {
                libraries.push((loader.trim_start_matches('/').to_owned(), loader.into()));
            }
            _ => {}
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_library_has_its_place() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f12)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f13)\n";
        let found = parse(text).unwrap();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["lib/libz.so.1", "lib64/ld-linux-x86-64.so.2"]);
        let error = parse("\tlibfoo.so => not found\n").unwrap_err();
        assert!(error.to_string().contains("libfoo.so"), "{error}");
    }
}
