//! What one listener of the device list gets to see.

use crate::{activity::Ongoing, device_set::DeviceSet};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::watch;
use tokio_stream::{Stream, wrappers::WatchStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The device lists for one listener: the first that is not empty, then each that differs from
/// the one before. It ends with its session. When the plugin publishes no more, it stays open,
/// because its end would make the kubelet give up all devices.
pub(crate) struct Lists {
    sets: WatchStream<Arc<DeviceSet>>,
    published_all: bool,
    sent: Option<Arc<DeviceSet>>,
    session_end: Pin<Box<WaitForCancellationFutureOwned>>,
    _ongoing: Ongoing,
}

impl Lists {
    pub(crate) fn new(
        sets: watch::Receiver<Arc<DeviceSet>>,
        session_end: CancellationToken,
        ongoing: Ongoing,
    ) -> Self {
        Self {
            sets: WatchStream::new(sets),
            published_all: false,
            sent: None,
            session_end: Box::pin(session_end.cancelled_owned()),
            _ongoing: ongoing,
        }
    }

    /// Whether the listener has this to hear.
    fn is_news(&self, now: &DeviceSet) -> bool {
        match &self.sent {
            None => !now.is_empty(),
            Some(before) => **before != *now,
        }
    }
}

impl Stream for Lists {
    type Item = Arc<DeviceSet>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.session_end.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        while !this.published_all {
            match ready!(Pin::new(&mut this.sets).poll_next(context)) {
                Some(set) if this.is_news(&set) => {
                    this.sent = Some(Arc::clone(&set));
                    return Poll::Ready(Some(set));
                }
                Some(_) => {}
                None => this.published_all = true,
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        activity::Activity,
        device::{Device, Health},
    };
    use std::task::Waker;
    use tokio_stream::StreamExt;

    fn set(ids: &[&str]) -> Arc<DeviceSet> {
        let device = |id: &&str| Device {
            id: id.parse().unwrap(),
            health: Health::Healthy,
            numa_nodes: Vec::new(),
        };
        Arc::new(DeviceSet::new(ids.iter().map(device)).unwrap())
    }

    /// What the stream has now, without waiting.
    fn now(lists: &mut Lists) -> Poll<Option<Arc<DeviceSet>>> {
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(lists).poll_next(&mut context)
    }

    #[tokio::test]
    async fn the_first_list_is_never_empty_and_each_one_differs() {
        let (sender, receiver) = watch::channel(set(&[]));
        let (end, activity) = (CancellationToken::new(), Activity::new());
        let mut lists = Lists::new(receiver, end.clone(), activity.stream(None));
        assert_eq!(now(&mut lists), Poll::Pending);

        sender.send_replace(set(&["a"]));
        assert_eq!(lists.next().await, Some(set(&["a"])));
        sender.send_replace(set(&["a"]));
        assert_eq!(now(&mut lists), Poll::Pending);

        sender.send_replace(set(&["a", "b"]));
        sender.send_replace(set(&["b"]));
        assert_eq!(lists.next().await, Some(set(&["b"])), "the latest counts");
        sender.send_replace(set(&["a"]));
        sender.send_replace(set(&["b"]));
        assert_eq!(now(&mut lists), Poll::Pending, "there and back is no news");

        sender.send_replace(set(&[]));
        assert_eq!(lists.next().await, Some(set(&[])), "later, empty is news");

        drop(sender);
        assert_eq!(now(&mut lists), Poll::Pending, "the last list stays");
        assert_eq!(activity.watch().borrow().streams_open, 1);
        end.cancel();
        assert_eq!(lists.next().await, None);
        drop(lists);
        assert_eq!(activity.watch().borrow().streams_open, 0);
    }
}
