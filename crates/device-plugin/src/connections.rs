//! Who is connected, and for what.
//!
//! The kubelet needs one connection to a plugin. Whoever else may open the socket, by mistake or not,
//! must not cost it that, nor the node its memory: a server keeps some 15 KB for a peer that says
//! nothing, for ever. So there are few connections, and one on which nothing is asked ends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The most connections at once.
pub(crate) const MOST: usize = 16;
/// How long a connection may be without a call. The kubelet's has one all the time: its stream.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// The open connections of a socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: BTreeMap<u64, Use>,
}

/// What a connection is used for.
#[derive(Debug)]
struct Use {
    cut: CancellationToken,
    /// Whether it was ever used.
    called: bool,
    /// Calls that go on.
    calls: u32,
    /// Since when there is none, if there is none.
    since: Instant,
}

/// An open connection. It is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    number: u64,
    all: Connections,
    cut: CancellationToken,
}

/// The connection that a call came on.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    number: u64,
    all: Connections,
}

/// A call that goes on. It is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Caller);

impl Connections {
    /// Takes a new connection, which is to end with `cut`. When there are too many, the one that was
    /// without a call for longest is cut, of those that never had one if there are such. Returns none
    /// when all have one.
    pub(crate) fn admit(&self, cut: &CancellationToken) -> Option<Connection> {
        let mut open = self.lock();
        if open.by_number.len() >= MOST {
            let idle = open.by_number.iter().filter(|(_, used)| used.calls == 0);
            let (&number, _) = idle.min_by_key(|(_, used)| (used.called, used.since))?;
            if let Some(used) = open.by_number.remove(&number) {
                used.cut.cancel();
            }
        }
        let number = open.next;
        open.next += 1;
        let cut = cut.child_token();
        let used = Use {
            cut: cut.clone(),
            called: false,
            calls: 0,
            since: Instant::now(),
        };
        open.by_number.insert(number, used);
        Some(Connection {
            number,
            all: self.clone(),
            cut,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing in here panics, and no half-made change could be seen if it did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Cancelled when the connection is to end.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller {
            number: self.number,
            all: self.all.clone(),
        }
    }

    /// Returns when the connection is to end unless a call comes. None while one goes on.
    pub(crate) fn idle_at(&self) -> Option<Instant> {
        let open = self.all.lock();
        let used = open.by_number.get(&self.number)?;
        (used.calls == 0).then_some(used.since + IDLE)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.lock().by_number.remove(&self.number);
    }
}

impl Caller {
    /// Notes that a call begins.
    pub(crate) fn call(&self) -> Busy {
        if let Some(used) = self.all.lock().by_number.get_mut(&self.number) {
            used.called = true;
            used.calls += 1;
        }
        Busy(self.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Self(Caller { number, all }) = self;
        if let Some(used) = all.lock().by_number.get_mut(number) {
            used.calls -= 1;
            used.since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_goes_first_and_the_busy_stay() {
        let (all, cut) = (Connections::default(), CancellationToken::new());
        let mut open = Vec::new();
        for _ in 0..MOST {
            open.push(all.admit(&cut).unwrap());
            advance(Duration::from_millis(1)).await;
        }
        let kubelet = open[0].caller().call();
        drop(open[1].caller().call());
        let newcomer = all.admit(&cut).unwrap();
        let cut_now = |open: &[Connection]| -> Vec<usize> {
            let ended = |index: &usize| open[*index].cut().is_cancelled();
            (0..open.len()).filter(ended).collect()
        };
        assert_eq!(cut_now(&open), [2], "one that never called");
        assert!(!newcomer.cut().is_cancelled());

        let busy: Vec<Busy> = open.iter().map(|one| one.caller().call()).collect();
        let last = newcomer.caller().call();
        assert!(all.admit(&cut).is_none(), "everybody has a call");
        drop((busy, last));
        assert!(all.admit(&cut).is_some());
        assert!(!open[0].cut().is_cancelled(), "its first call goes on");
        drop(kubelet);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_its_last_call_on() {
        let (all, cut) = (Connections::default(), CancellationToken::new());
        let one = all.admit(&cut).unwrap();
        assert_eq!(one.idle_at(), Some(Instant::now() + IDLE));
        let call = one.caller().call();
        assert_eq!(one.idle_at(), None);
        advance(IDLE).await;
        drop(call);
        assert_eq!(one.idle_at(), Some(Instant::now() + IDLE));
        drop(one);
        assert!(all.lock().by_number.is_empty());
    }
}
