//! When to look, and at what: hints that something happened, and the pace without them.
//!
//! The kernel tells of functions that come, go and change their driver ([`uevent`]), and of nodes in `/dev/vfio`
//! (inotify). Neither tells what is true now, and both can be lost, so a hint only brings the next look forward: a moment
//! later, since there is seldom one alone ([`Debounce`]). A hint also names what it is about ([`Scope`]), so that the look
//! need not be at everything. Without hints there is a look at everything now and then, as a net ([`Pace`]): seldom where
//! the kernel's events are known to arrive, often while something waits for time to pass.

mod debounce;
mod kernel;
mod nodes;
mod pace;
mod scope;

use std::mem::take;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qat_policy::health::Recovery;
use sysfs_pci::PciAddress;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

pub use self::debounce::Debounce;
pub use self::pace::{Expect, Pace};
pub use self::scope::Scope;
use crate::Roots;

/// What hints have told since they were asked last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct News {
    /// What to look at.
    pub scope: Scope,
    /// Functions that the kernel recovers from an error on the bus, in the order of its words.
    pub recoveries: Vec<(PciAddress, Recovery)>,
}

/// Listens to both, for as long as this is kept.
#[derive(Debug)]
pub struct Hints {
    heard: Arc<Heard>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// What was heard so far.
#[derive(Debug, Default)]
struct Heard {
    news: Mutex<News>,
    bell: Notify,
    /// Whether the kernel's events arrive: one has. In a user namespace of its own a process hears none, and is not
    /// told so.
    kernel: AtomicBool,
    hints: AtomicU64,
    lost: AtomicU64,
}

impl Hints {
    /// Starts to listen. Within a tokio runtime.
    #[must_use]
    pub fn new(roots: &Roots) -> Self {
        let heard = Arc::<Heard>::default();
        let kernel = tokio::spawn(kernel::listen(Arc::clone(&heard)));
        let nodes = tokio::spawn(nodes::listen(
            roots.dev.path().to_owned(),
            Arc::clone(&heard),
        ));
        Self {
            heard,
            _tasks: [kernel, nodes].map(AbortOnDropHandle::new),
        }
    }

    /// Waits for the next hint, or returns at once if there was one since the last call.
    pub async fn next(&mut self) {
        self.heard.bell.notified().await;
    }

    /// Takes what was told since the last call.
    #[must_use]
    pub fn take(&mut self) -> News {
        take(&mut *self.heard.news())
    }

    /// Whether the kernel's events arrive.
    #[must_use]
    pub fn hears_the_kernel(&self) -> bool {
        self.heard.kernel.load(Ordering::Relaxed)
    }

    /// How many hints there were so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.heard.hints.load(Ordering::Relaxed)
    }

    /// How often events of the kernel were lost so far, because they came faster than they were read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.heard.lost.load(Ordering::Relaxed)
    }
}

impl Heard {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hint(&self, scope: Scope) {
        self.hints.fetch_add(1, Ordering::Relaxed);
        self.news().scope.add(scope);
        self.bell.notify_one();
    }

    fn recovery(&self, address: PciAddress, recovery: Recovery) {
        self.news().recoveries.push((address, recovery));
    }
}
