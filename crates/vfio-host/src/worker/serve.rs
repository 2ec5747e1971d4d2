//! The worker's side.

use std::io::{BufRead as _, BufReader, Error as IoError, Write as _, stdin};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use sysfs_pci::blocking::{self, MayBlock};
use sysfs_pci::{AttrError, SysfsRoot};
use thiserror::Error;

use super::{Answer, Request, Slow};

/// Why a worker ends before its caller does.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Standard input is no socket to a caller. A worker is not for people.
    #[error("a worker is started by the program itself and takes its requests from a socket")]
    Stream {
        /// What the kernel answered.
        #[source]
        source: IoError,
    },
    /// A request could not be understood.
    #[error("cannot understand the request `{}`", line.escape_debug())]
    Request {
        /// The line.
        line: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Serves the caller at the other end of standard input, until it hangs up.
///
/// The program calls this when it was started as [`WorkerCommand`](super::WorkerCommand) says, before
/// it has other threads: this process may be stuck in the kernel for ever.
///
/// # Errors
///
/// [`ServeError`].
pub fn serve(root: &SysfsRoot) -> Result<(), ServeError> {
    let broken = |source| ServeError::Stream { source };
    let stream = stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(UnixStream::from)
        .map_err(broken)?;
    // Fails for a terminal or a pipe.
    stream.peer_addr().map_err(broken)?;
    answer_all(root, &stream)
}

fn answer_all(root: &SysfsRoot, mut stream: &UnixStream) -> Result<(), ServeError> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(line)) = lines.next() {
        let request = serde_json::from_str(&line).map_err(|source| ServeError::Request {
            line: line.clone(),
            source,
        })?;
        let Ok(mut text) = serde_json::to_string(&answer(root, &request)) else {
            return Ok(());
        };
        text.push('\n');
        if stream.write_all(text.as_bytes()).is_err() {
            // The caller did not wait for the answer.
            return Ok(());
        }
    }
    Ok(())
}

fn answer(root: &SysfsRoot, request: &Request) -> Answer {
    let may_block = MayBlock::acknowledged();
    match request {
        Request::Write(command) => match command.perform(&may_block, root) {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Errno(error.errno()),
        },
        Request::Read { attribute, address } => match attribute {
            Slow::DriverOverride => {
                blocking::driver_override(&may_block, root, *address).map(Answer::Driver)
            }
            Slow::NumVfs => blocking::num_vfs(&may_block, root, *address).map(Answer::Number),
            Slow::Uevent => blocking::uevent(&may_block, root, *address).map(Answer::Lines),
        }
        .unwrap_or_else(|error| failed(&error)),
    }
}

fn failed(error: &AttrError) -> Answer {
    match error.errno() {
        Some(errno) => Answer::Errno(errno),
        None => Answer::Invalid(error.to_string()),
    }
}
