//! The kernel behind the writes of other processes.

mod events;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, ioctl_fionread, write},
};

use super::super::{Attribute, SimError, SimNode, node::State, tree::files_of};
use super::{WriteOutcome, WriteRecord, overlay, target::Target};
use events::{Events, Written};

/// How long a file that was truncated is left for the write that follows.
const GRACE: Duration = Duration::from_millis(2);

/// How often [`Reactor::settle`] looks.
const LOOK: Duration = Duration::from_micros(100);

/// Plays the kernel for what other processes write to a node's tree; see [`SimNode::react`].
///
/// Stops when it is dropped. Writes then change files and nothing else again.
#[derive(Debug)]
pub struct Reactor {
    node: SimNode,
    inotify: Arc<OwnedFd>,
    stop: Arc<OwnedFd>,
    desk: Arc<Mutex<Desk>>,
    thread: Option<JoinHandle<()>>,
}

/// What is on the reactor's desk. It is locked from before events are taken until they are dealt with.
#[derive(Debug, Default)]
struct Desk {
    /// Files that were found empty, and until when they may be.
    empty: BTreeMap<PathBuf, Instant>,
    /// How many commands of a pipe were obeyed before the event of their file's close came.
    ahead: BTreeMap<PathBuf, usize>,
    problem: Option<SimError>,
}

impl SimNode {
    /// Starts a thread that plays the kernel for writes of others: it watches the tree, and when a
    /// program has written to an attribute and closed it, does what
    /// [`write_as_kernel`](Self::write_as_kernel) does.
    ///
    /// **A moment later.** In a real sysfs all of that has happened when `write(2)` returns. Here the
    /// thread is woken by the close and needs a fraction of a millisecond (tens of milliseconds for
    /// a write that makes 16 VFs appear, on a loaded machine). A program under test must wait for
    /// what it reads back. One that writes to an attribute again before that may overwrite what it wrote
    /// first, which then never happened; writes to different files are dealt with in their order.
    /// Files that take commands (`bind`, `unbind`, `drivers_probe`) are pipes while the thread runs, so
    /// that no command is lost however many programs give some.
    ///
    /// **No errno.** The write has succeeded by the time that the kernel would refuse it.
    /// [`Reactor::refused`] has it; the file says what it said before, and nothing else has changed.
    ///
    /// A file that takes commands is empty again before its command is done. Any other then reads
    /// what the kernel would say. A program that does not truncate should end what it writes with
    /// a newline, as the kernel's own documentation does; else it may be guesswork where the new text ends.
    ///
    /// Does not block for a function that is [held](Self::hold): what waits goes on in
    /// [`release`](Self::release).
    ///
    /// # Errors
    ///
    /// [`SimError::Reacting`] if there is a reactor already; [`SimError::Io`] without inotify.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{fs, thread, time::Duration};
    ///
    /// use node_sim::{Machine, Profile};
    ///
    /// let dir = node_sim::scratch()?;
    /// let node = Machine::profile(Profile::Xeon4xxx).write(dir.path())?;
    /// let reactor = node.react()?;
    ///
    /// fs::write(node.sysfs().join("bus/pci/drivers/vfio-pci/unbind"), "0000:6b:00.1\n")?;
    /// reactor.settle(Duration::from_secs(10))?;
    /// assert_eq!(node.driver_of("0000:6b:00.1".parse()?), None);
    /// assert!(!node.dev().join("vfio/320").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn react(&self) -> Result<Reactor, SimError> {
        let mut state = self.state();
        if state.kernel.reacting {
            return Err(SimError::Reacting);
        }
        let failed = |errno: Errno| SimError::Io {
            operation: "watch",
            path: self.root().to_owned(),
            source: errno.into(),
        };
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(failed)?);
        let inotify = self.tree.start_watch(&state.machine)?;
        let desk = Arc::new(Mutex::new(Desk::default()));
        let worker = Worker {
            node: self.share(),
            inotify: Arc::clone(&inotify),
            stop: Arc::clone(&stop),
            desk: Arc::clone(&desk),
            events: Events::default(),
        };
        let thread = thread::Builder::new().name("kernel".to_owned());
        let thread = thread
            .spawn(|| worker.run())
            .map_err(|source| SimError::Io {
                operation: "watch",
                path: self.root().to_owned(),
                source,
            });
        if thread.is_err() {
            self.tree.stop_watch()?;
        }
        let thread = Some(thread?);
        state.kernel.reacting = true;
        drop(state);
        Ok(Reactor {
            node: self.share(),
            inotify,
            stop,
            desk,
            thread,
        })
    }
}

impl Reactor {
    /// Every write so far, in the order in which the files were closed. Also those that do nothing here.
    ///
    /// A file that was opened for writing and not written to does not count.
    pub fn writes(&self) -> Vec<WriteRecord> {
        self.node.writes()
    }

    /// How often each file was written to.
    pub fn counts(&self) -> BTreeMap<PathBuf, usize> {
        let mut counts = BTreeMap::new();
        for record in self.writes() {
            *counts.entry(record.path).or_default() += 1;
        }
        counts
    }

    /// The writes that the kernel refused.
    pub fn refused(&self) -> Vec<WriteRecord> {
        let mut writes = self.writes();
        writes.retain(|record| matches!(record.outcome, WriteOutcome::Refused(_)));
        writes
    }

    /// Forgets the writes so far.
    pub fn forget(&self) {
        self.node.forget_writes();
    }

    /// Waits until everything is dealt with that was written before the call.
    ///
    /// # Errors
    ///
    /// The first error that kept the reactor from changing the tree; [`SimError::Io`] with
    /// [`TimedOut`](ErrorKind::TimedOut) if others do not stop to write.
    pub fn settle(&self, within: Duration) -> Result<(), SimError> {
        let deadline = Instant::now() + within;
        loop {
            let mut desk = lock(&self.desk);
            if let Some(problem) = desk.problem.take() {
                return Err(problem);
            }
            let queued = ioctl_fionread(&*self.inotify);
            let commands = self.node.tree.commands();
            if queued == Ok(0) && desk.empty.is_empty() && commands.is_empty() {
                return Ok(());
            }
            drop(desk);
            if Instant::now() > deadline {
                return Err(SimError::Io {
                    operation: "follow the writes to",
                    path: self.node.root().to_owned(),
                    source: ErrorKind::TimedOut.into(),
                });
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        // The counter of an eventfd has room for one.
        let told = write(&*self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take()
            && told.is_ok()
        {
            // It has no result, and a panic of it was printed.
            drop(thread.join());
        }
        let mut state = self.node.state();
        // If the tree cannot be changed, what comes next says so better.
        drop(self.node.tree.stop_watch());
        state.kernel.reacting = false;
    }
}

/// The reactor's thread.
struct Worker {
    node: SimNode,
    inotify: Arc<OwnedFd>,
    stop: Arc<OwnedFd>,
    desk: Arc<Mutex<Desk>>,
    events: Events,
}

impl Worker {
    fn run(mut self) {
        while self.wait() {
            let desk = Arc::clone(&self.desk);
            let mut desk = lock(&desk);
            // Whoever gave these commands has written before what comes now.
            let commands = self.node.tree.commands();
            for written in self.events.take(&self.inotify, &self.node.tree) {
                self.keep(&mut desk, |desk, node| node.written(desk, &written));
            }
            self.keep(&mut desk, |desk, node| node.obey(desk, &commands));
            self.keep(&mut desk, |desk, node| node.fill(desk));
        }
    }

    /// Waits for events. False if it is time to stop.
    fn wait(&self) -> bool {
        let patience = Timespec::try_from(GRACE).ok();
        let patience = patience.filter(|_| {
            // inotify makes one of two equal events in a row, so a command may be left without any.
            !lock(&self.desk).empty.is_empty() || !self.node.tree.commands().is_empty()
        });
        let mut fds = [
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.inotify.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, patience.as_ref()) {
            Ok(_) => !fds[0].revents().contains(PollFlags::IN),
            Err(errno) => errno == Errno::INTR,
        }
    }

    fn keep(
        &self,
        desk: &mut Desk,
        deal: impl FnOnce(&mut Desk, &SimNode) -> Result<(), SimError>,
    ) {
        if let Err(error) = deal(desk, &self.node) {
            desk.problem.get_or_insert(error);
        }
    }
}

impl SimNode {
    /// Deals with a file that somebody has written to.
    fn written(&self, desk: &mut Desk, written: &Written) -> Result<(), SimError> {
        let mut state = self.state();
        let Written { path, certain } = written;
        desk.empty.remove(path);
        match Target::parse(&state.machine, path) {
            // One for each event: what a program has written before it must be heard first. A further command may be in the
            // pipe already of a program whose earlier writes are not heard yet, so an event has no command twice.
            Some(target) if target.is_command() && *certain => {
                if let Some(ahead) = desk.ahead.get_mut(path).filter(|ahead| **ahead > 0) {
                    *ahead -= 1;
                    return Ok(());
                }
                let bytes = self.tree.take_command(path)?;
                self.hear(&mut state, path, &bytes)
            }
            Some(target) if target.is_command() => loop {
                let bytes = self.tree.take_command(path)?;
                if bytes.is_empty() {
                    return Ok(());
                }
                self.hear(&mut state, path, &bytes)?;
            },
            Some(target) => self.attribute(&mut state, desk, written, &target),
            None => {
                if *certain && let Some(found) = self.tree.find(path) {
                    let log = &mut state.kernel.log;
                    log.add(path, &found.bytes, WriteOutcome::Ignored);
                }
                Ok(())
            }
        }
    }

    /// Does the commands that are still there of so many bytes in each pipe.
    fn obey(&self, desk: &mut Desk, commands: &BTreeMap<PathBuf, usize>) -> Result<(), SimError> {
        for (path, given) in commands {
            while self.tree.taken(path) < *given {
                let bytes = self.tree.take_command(path)?;
                if bytes.is_empty() {
                    break;
                }
                *desk.ahead.entry(path.clone()).or_default() += 1;
                self.hear(&mut self.state(), path, &bytes)?;
            }
        }
        Ok(())
    }

    fn attribute(
        &self,
        state: &mut State,
        desk: &mut Desk,
        Written { path, certain }: &Written,
        target: &Target,
    ) -> Result<(), SimError> {
        let (Some(mut found), Target::Of(_, knob)) = (self.tree.find(path), target) else {
            return Ok(());
        };
        let mut held = current(state, path, target).map_or_else(Vec::new, |held| held.bytes);
        if !certain && held == found.bytes {
            return Ok(());
        }
        loop {
            if found.bytes.is_empty() {
                // Nothing was written, or nothing yet.
                desk.empty.insert(path.to_owned(), Instant::now() + GRACE);
                return Ok(());
            }
            let is_driver = |name: &str| {
                self.tree.has_driver(name) || state.machine.vfio_drivers.contains(name)
            };
            let bytes = overlay::written(*knob, &held, &found.bytes, is_driver).to_owned();
            self.hear(state, path, &bytes)?;
            let Some(attribute) = current(state, path, target) else {
                return Ok(());
            };
            let replaced = self.tree.restate(path, &found, &attribute)?;
            match found.again() {
                // Somebody had opened it before there was another, and wrote after it was read.
                Ok(bytes) if replaced && bytes != found.bytes && !bytes.is_empty() => {
                    held = found.bytes;
                    found.bytes = bytes;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Gives files back what they said which are empty for long, as a write of no bytes changes nothing.
    fn fill(&self, desk: &mut Desk) -> Result<(), SimError> {
        let now = Instant::now();
        let due = |_: &PathBuf, until: &mut Instant| *until <= now;
        let due: Vec<PathBuf> = desk
            .empty
            .extract_if(.., due)
            .map(|(path, _)| path)
            .collect();
        for path in due {
            let state = self.state();
            let Some(target) = Target::parse(&state.machine, &path) else {
                continue;
            };
            if let (Some(found), Some(attribute)) =
                (self.tree.find(&path), current(&state, &path, &target))
                && found.bytes.is_empty()
            {
                self.tree.restate(&path, &found, &attribute)?;
            }
        }
        Ok(())
    }

    fn hear(&self, state: &mut State, path: &Path, bytes: &[u8]) -> Result<(), SimError> {
        match self.submit(state, path, bytes) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(SimError::Io {
                operation: "do what was written to",
                path: path.to_owned(),
                source,
            }),
            _ => Ok(()),
        }
    }
}

/// What an attribute of a function should hold; nothing if it is gone.
fn current(state: &State, path: &Path, target: &Target) -> Option<Attribute> {
    let Target::Of(address, _) = target else {
        return None;
    };
    let function = state.machine.functions.get(address)?;
    files_of(&state.machine, function).remove(path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
