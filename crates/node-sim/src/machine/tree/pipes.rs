//! Command files while they are listened to.
//!
//! In sysfs two programs can write to one `bind` at a time, and both are heard. In a plain file the
//! one would overwrite the other. So a command file is a pipe as long as a reactor is at work: what
//! is written stays in it until it is taken, in order, and it always seems empty.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read},
    mem,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, mkfifoat};

use super::super::{Attribute, SimError};
use super::{Tree, files, paths};

/// Where a file is while it becomes what it is, below the root.
const FRESH: &str = ".fresh";

/// Pipes by path below `/sys`.
#[derive(Debug, Default)]
pub(super) struct Pipes(BTreeMap<PathBuf, Pipe>);

/// A pipe that is never without a reader, so that nobody blocks who opens it for writing.
#[derive(Debug)]
struct Pipe {
    file: File,
    /// What was read and not taken yet.
    rest: Vec<u8>,
    /// How many bytes were taken so far.
    taken: usize,
}

/// The files of a driver that take commands which something here obeys.
pub(super) const COMMANDS: [&str; 2] = ["bind", "unbind"];

/// Where the bus takes commands, below `/sys`.
const PROBE: &str = "bus/pci/drivers_probe";

impl Tree {
    /// Makes pipes of all command files.
    pub(super) fn open_pipes(&self, drivers: &[PathBuf]) -> Result<(), SimError> {
        self.pipe(Path::new(PROBE))?;
        for driver in drivers {
            for name in COMMANDS {
                self.pipe(&driver.join(name))?;
            }
        }
        Ok(())
    }

    /// Makes files of them again.
    pub(super) fn close_pipes(&self, pipes: Pipes) -> Result<(), SimError> {
        for path in pipes.0.into_keys() {
            files::replace(self.root(), &self.sys(path), &Attribute::write_only())?;
        }
        Ok(())
    }

    /// Puts a pipe in the place of a command file, or where one is to be.
    fn pipe(&self, name: &Path) -> Result<(), SimError> {
        let (fresh, path) = (self.root().join(FRESH), self.sys(name));
        let make = || {
            // Its owner could not open it for reading with the mode that it has in the end.
            mkfifoat(CWD, &fresh, Mode::RUSR | Mode::WUSR)?;
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            let mut open = OpenOptions::new();
            open.read(true).write(true).custom_flags(flags).open(&fresh)
        };
        let file = make().map_err(failed("make pipe", &fresh))?;
        let mut watch = self.watch();
        if let Some(watch) = &*watch {
            // inotify wants to read what it watches, too.
            watch.twice(&fresh)?;
        }
        files::set_mode(&fresh, Attribute::write_only().mode)?;
        fs::rename(&fresh, &path).map_err(failed("make pipe", &path))?;
        if let Some(watch) = &mut *watch {
            watch.pipes.0.insert(
                name.to_owned(),
                Pipe {
                    file,
                    rest: Vec::new(),
                    taken: 0,
                },
            );
        }
        Ok(())
    }

    /// Makes pipes of the command files of a driver that has just come, if any is one.
    pub(super) fn pipe_driver(&self, driver: &str) -> Result<(), SimError> {
        if !self.is_watched() {
            return Ok(());
        }
        for name in COMMANDS {
            self.pipe(&paths::driver_dir(driver).join(name))?;
        }
        Ok(())
    }

    /// Whether a file is a pipe now.
    pub(in super::super) fn is_pipe(&self, name: &Path) -> bool {
        let watch = self.watch();
        watch
            .as_ref()
            .is_some_and(|watch| watch.pipes.0.contains_key(name))
    }

    /// Takes the next command from a pipe; nothing if that is no pipe or there is no command in it.
    pub(super) fn next_command(&self, name: &Path) -> Result<Option<Vec<u8>>, SimError> {
        let mut watch = self.watch();
        let pipe = watch.as_mut().and_then(|watch| watch.pipes.0.get_mut(name));
        let Some(pipe) = pipe else {
            return Ok(None);
        };
        pipe.fill().map_err(failed("read", name))?;
        Ok(Some(pipe.next()))
    }
}

impl Tree {
    /// The pipes with commands that nobody has taken, and how many bytes each has ever had.
    pub(in super::super) fn commands(&self) -> BTreeMap<PathBuf, usize> {
        let mut watch = self.watch();
        let pipes = watch.iter_mut().flat_map(|watch| &mut watch.pipes.0);
        pipes
            .filter_map(|(name, pipe)| {
                // What cannot be read is no command; whoever takes one is told.
                pipe.fill().ok()?;
                let given = pipe.taken + pipe.rest.len();
                (!pipe.rest.is_empty()).then(|| (name.clone(), given))
            })
            .collect()
    }

    /// How many bytes of commands were taken from a pipe.
    pub(in super::super) fn taken(&self, name: &Path) -> usize {
        let watch = self.watch();
        let pipe = watch.as_ref().and_then(|watch| watch.pipes.0.get(name));
        pipe.map_or(usize::MAX, |pipe| pipe.taken)
    }
}

impl Pipe {
    /// Reads what there is.
    fn fill(&mut self) -> io::Result<()> {
        match self.file.read_to_end(&mut self.rest) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn next(&mut self) -> Vec<u8> {
        let rest = self.rest.split_off(command_len(&self.rest));
        self.taken += self.rest.len();
        mem::replace(&mut self.rest, rest)
    }
}

/// How long the first command is: a line, or the name of a function, after whose dot is one digit.
fn command_len(bytes: &[u8]) -> usize {
    let line = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None => bytes.len(),
    };
    let dot = bytes[..line].iter().position(|byte| *byte == b'.');
    match dot.map(|dot| bytes.get(dot + 2)) {
        // Another name begins at once: two were written without a newline.
        Some(Some(next)) if next.is_ascii_hexdigit() => dot.map_or(line, |dot| dot + 2),
        _ => line,
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SimError {
    move |source| SimError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart() {
        for (bytes, first) in [
            ("0000:6b:00.1\n0000:6b:00.2\n", "0000:6b:00.1\n"),
            ("0000:6b:00.10000:6b:00.2", "0000:6b:00.1"),
            ("0000:6b:00.1", "0000:6b:00.1"),
            ("10000:e1:00.010000:e1:00.1\n", "10000:e1:00.0"),
            ("junk\n0000:6b:00.2\n", "junk\n"),
            ("\n", "\n"),
            ("", ""),
        ] {
            assert_eq!(&bytes[..command_len(bytes.as_bytes())], first, "{bytes:?}");
        }
    }
}
