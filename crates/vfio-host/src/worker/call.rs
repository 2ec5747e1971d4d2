//! The caller's side.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Error as IoError, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sysfs_pci::{AttrError, DriverName, PciAddress, SysfsRoot, Write};

use super::{Answer, Hands, HandsError, Request, Slow};
use crate::DeviceLock;

/// Most bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024;

/// How to start a worker: this program again, with arguments that make it call
/// [`serve`](super::serve) for the same sysfs root.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program; `/proc/self/exe` is the running one, even after an upgrade has replaced its file.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The sysfs root that they name.
    pub sysfs: SysfsRoot,
    /// How long to wait.
    pub patience: Patience,
}

/// How long a command is waited for before its worker is abandoned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// For commands to a physical function, which load firmware, and make or remove all its virtual
    /// functions.
    pub device: Duration,
    /// For commands to, and reads of, a single function.
    pub function: Duration,
}

/// A worker that waits for requests. Dropping it ends it; one that is stuck is left behind.
#[derive(Debug)]
pub struct Worker {
    command: WorkerCommand,
    /// `None` once it was left behind.
    child: Option<Child>,
    stream: UnixStream,
    /// What has no answer: there will be no further ones.
    stuck: Option<Stuck>,
}

#[derive(Debug)]
struct Stuck {
    command: String,
    since: Instant,
}

/// A worker that was left behind with a command in the kernel.
#[derive(Debug)]
pub struct Abandoned {
    /// What it is stuck in.
    pub command: String,
    /// Since when it is.
    pub since: Instant,
    child: Child,
}

// === impl Patience ===

impl Default for Patience {
    /// 90 s for a device (the driver gives virtual functions 10 s to be quiet, and each may take its
    /// time), 30 s for a function.
    fn default() -> Self {
        Self {
            device: Duration::from_secs(90),
            function: Duration::from_secs(30),
        }
    }
}

// === impl WorkerCommand ===

impl WorkerCommand {
    /// Starts a worker that holds the lock of the device too.
    ///
    /// # Errors
    ///
    /// [`HandsError::Start`].
    pub fn start(&self, lock: &DeviceLock) -> Result<Worker, HandsError> {
        self.spawn(lock)
            .map_err(|source| HandsError::Start { source })
    }

    fn spawn(&self, lock: &DeviceLock) -> Result<Worker, IoError> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(lock.share()?))
            .spawn()?;
        Ok(Worker {
            command: self.clone(),
            child: Some(child),
            stream: ours,
            stuck: None,
        })
    }
}

// === impl Worker ===

impl Worker {
    /// Reads what the kernel would say about a function in a uevent.
    ///
    /// # Errors
    ///
    /// [`HandsError`].
    pub fn uevent(&mut self, address: PciAddress) -> Result<BTreeMap<String, String>, HandsError> {
        let request = Request::Read {
            attribute: Slow::Uevent,
            address,
        };
        match self.ask(&request)? {
            Answer::Lines(lines) => Ok(lines),
            other => Err(self.refused(&request, &other)),
        }
    }

    /// Takes leave of a worker that is stuck in the kernel; of any other it is `None`, and the worker ends.
    #[must_use]
    pub fn abandon(mut self) -> Option<Abandoned> {
        let Stuck { command, since } = self.stuck.take()?;
        let child = self.child.take()?;
        Some(Abandoned {
            command,
            since,
            child,
        })
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, HandsError> {
        let text = request.text();
        if self.stuck.is_some() {
            return Err(HandsError::Lost { command: text });
        }
        let patience = self.patience(request);
        let since = Instant::now();
        let answer = self
            .exchange(request, since + patience)
            .and_then(|line| Ok(serde_json::from_slice(&line)?));
        answer.map_err(|error| {
            self.stuck = Some(Stuck {
                command: text.clone(),
                since,
            });
            match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => HandsError::Stuck {
                    command: text,
                    waited: patience,
                },
                _ => lost(&text),
            }
        })
    }

    fn exchange(&mut self, request: &Request, until: Instant) -> Result<Vec<u8>, IoError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.write_all(&line)?;
        self.line(until)
    }

    /// One line of the worker's. There is one answer to each request, so nothing comes after it.
    fn line(&mut self, until: Instant) -> Result<Vec<u8>, IoError> {
        let mut line = Vec::new();
        let mut room = [0; 1024];
        while line.last() != Some(&b'\n') {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => line.extend_from_slice(room.get(..bytes).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if line.len() > MAX_ANSWER {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        Ok(line)
    }

    fn patience(&self, request: &Request) -> Duration {
        let Patience { device, function } = self.command.patience;
        match request {
            Request::Write(Write::NumVfs { .. } | Write::Attribute { .. }) => device,
            _ => function,
        }
    }

    fn refused(&self, request: &Request, answer: &Answer) -> HandsError {
        let root = &self.command.sysfs;
        match (request, answer) {
            (Request::Write(command), Answer::Errno(errno)) => command.refused(root, *errno).into(),
            (Request::Read { attribute, address }, answer) => {
                let path = root.pci_device(*address).join(attribute.name());
                match answer {
                    Answer::Errno(errno) => AttrError::answered(&path, *errno).into(),
                    Answer::Invalid(value) => {
                        AttrError::invalid(&path, value, "what the kernel writes there").into()
                    }
                    _ => lost(&request.text()),
                }
            }
            _ => lost(&request.text()),
        }
    }
}

impl Hands for Worker {
    fn write(&mut self, command: &Write) -> Result<(), HandsError> {
        let request = Request::Write(command.clone());
        match self.ask(&request)? {
            Answer::Done => Ok(()),
            other => Err(self.refused(&request, &other)),
        }
    }

    fn driver_override(&mut self, address: PciAddress) -> Result<Option<DriverName>, HandsError> {
        let request = Request::Read {
            attribute: Slow::DriverOverride,
            address,
        };
        match self.ask(&request)? {
            Answer::Driver(driver) => Ok(driver),
            other => Err(self.refused(&request, &other)),
        }
    }

    fn num_vfs(&mut self, address: PciAddress) -> Result<u16, HandsError> {
        let request = Request::Read {
            attribute: Slow::NumVfs,
            address,
        };
        match self.ask(&request)? {
            Answer::Number(number) => Ok(number),
            other => Err(self.refused(&request, &other)),
        }
    }
}

// === impl Abandoned ===

impl Abandoned {
    /// Whether the kernel has returned at last, and the worker has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Worker {
    /// Hangs up on a worker that is idle and waits for its end, which is near. One that is not idle ends
    /// when the kernel lets it.
    fn drop(&mut self) {
        if let (Some(child), None) = (&mut self.child, &self.stuck) {
            let _hung_up = self.stream.shutdown(Shutdown::Both);
            let _status = child.wait();
        }
    }
}

fn lost(command: &str) -> HandsError {
    HandsError::Lost {
        command: command.to_owned(),
    }
}
