//! What an author writes.

use crate::{
    device::DeviceId,
    device_set::DeviceSet,
    edits::ContainerEdits,
    error::AllocateError,
    prefer::{PreferRequest, first_in_order},
};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

/// A device plugin: the devices of one resource, and what a container needs to use them.
///
/// The framework does the rest. It calls from several tasks at once. Only
/// [`devices`](Self::devices) and [`allocate`](Self::allocate) have to be written.
#[async_trait]
pub trait DevicePlugin: Send + Sync + 'static {
    /// Returns a view of the devices, as they are now and as they change.
    ///
    /// Publish a new set whenever something changed. The kubelet hears of it only if it
    /// differs from what it was told last, and skips sets that it was too slow for. A set that
    /// is empty at first means "not known yet": the resource is registered when it has a
    /// device. A set that becomes empty later is told as such. When the sender is dropped,
    /// the last set stays.
    ///
    /// Never drop a device that a container may hold: the kubelet takes a missing device for a
    /// healthy one, and versions up to 1.36 crash when it goes missing during an allocation.
    /// Turn it [`Unhealthy`](crate::Health::Unhealthy) instead.
    fn devices(&self) -> watch::Receiver<Arc<DeviceSet>>;

    /// Says what a container needs to use these devices.
    ///
    /// There is at least one ID. They are sorted, known, healthy and without duplicates: the
    /// framework has looked. The call has [`ALLOCATE_LIMIT`](crate::ALLOCATE_LIMIT), then it
    /// is dropped at its next `.await`.
    ///
    /// # Errors
    ///
    /// [`AllocateError::Refused`] with a sentence for the person who looks at the failed pod.
    async fn allocate(&self, ids: &[DeviceId]) -> Result<ContainerEdits, AllocateError>;

    /// Chooses among free devices. Called only if [`options`](Self::options) say so.
    ///
    /// This cannot fail. The framework sees to it that the answer has what must be included,
    /// only what is available, and the size asked for: it drops what does not belong, and fills
    /// up in order. By default, the first in order are taken.
    async fn prefer(&self, request: &PreferRequest) -> Vec<DeviceId> {
        first_in_order(request)
    }

    /// Says why a device is unhealthy, to the person whose pod is refused for that. By default nothing.
    ///
    /// The kubelet asks for an unhealthy device only while the list that says so is on its way to it.
    fn why_unhealthy(&self, id: &DeviceId) -> Option<String> {
        let _ = id;
        None
    }

    /// Says which of the optional calls are wanted. By default none.
    fn options(&self) -> PluginOptions {
        PluginOptions::default()
    }

    /// Prepares devices for a container that is about to start or to restart. Called only if
    /// [`options`](Self::options) say so.
    ///
    /// There is at least one ID. They are sorted, known and without duplicates, but not
    /// necessarily healthy: this may be the place to repair one. The call has
    /// [`PRE_START_LIMIT`](crate::PRE_START_LIMIT).
    ///
    /// # Errors
    ///
    /// [`AllocateError::Refused`] when the container must not start.
    async fn pre_start(&self, ids: &[DeviceId]) -> Result<(), AllocateError> {
        let _ = ids;
        Ok(())
    }
}

/// Which optional calls a plugin wants to receive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PluginOptions {
    /// [`DevicePlugin::prefer`] is to be called when the kubelet has a choice.
    pub preferred_allocation: bool,
    /// [`DevicePlugin::pre_start`] is to be called before each start of a container.
    pub pre_start: bool,
}
