//! When to look: hints that something happened, and the pace without them.
//!
//! The kernel tells of functions that come, go and change their driver ([`uevent`]), and of nodes in `/dev/vfio`
//! (inotify). Neither tells what is true now, and both can be lost, so a hint only brings the next look forward: a moment
//! later, since there is seldom one alone ([`Debounce`]). Without hints there is a look now and then, as a net
//! ([`Pace`]): seldom where the kernel's events are known to arrive, often while something waits for time to pass.

mod debounce;
mod kernel;
mod nodes;
mod pace;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub use self::debounce::Debounce;
pub use self::pace::{Expect, Pace};
use crate::Roots;

/// What was heard so far. The number has no meaning, but changes with each hint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// Hints so far.
    pub hints: u64,
    /// Whether the kernel's events arrive: one has. In a user namespace of its own a process hears none, and is not
    /// told so.
    pub kernel: bool,
}

/// Listens to both, for as long as this is kept.
#[derive(Debug)]
pub struct Hints {
    heard: watch::Receiver<Heard>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Hints {
    /// Starts to listen. Within a tokio runtime.
    #[must_use]
    pub fn new(roots: &Roots) -> Self {
        let (sender, heard) = watch::channel(Heard::default());
        let sender = Arc::new(sender);
        let kernel = tokio::spawn(kernel::listen(Arc::clone(&sender)));
        let nodes = tokio::spawn(nodes::listen(roots.dev.path().to_owned(), sender));
        Self {
            heard,
            _tasks: [kernel, nodes].map(AbortOnDropHandle::new),
        }
    }

    /// Waits for the next hint, or returns at once if there was one since the last call.
    pub async fn next(&mut self) {
        // Both tasks go on for ever, so that there is always a sender.
        let _open = self.heard.changed().await;
    }

    /// Whether the kernel's events arrive.
    #[must_use]
    pub fn hears_the_kernel(&self) -> bool {
        self.heard.borrow().kernel
    }
}

fn hint(sender: &watch::Sender<Heard>) {
    sender.send_modify(|heard| heard.hints = heard.hints.wrapping_add(1));
}
