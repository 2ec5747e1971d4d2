//! Who is told what happens.

use crate::{
    device_set::DeviceSet, error::AllocateError, resource_name::ResourceName, state::State,
};
use std::time::Duration;

/// Is told what happens between the resources and the kubelet, to count it, say.
///
/// The methods are called in the middle of things, from several tasks at once: be quick, and do not
/// block. Each does nothing unless it is written. To act on a state, read
/// [`Supervisor::states`](crate::Supervisor::states) instead.
pub trait Observer: Send + Sync + 'static {
    /// A resource stands with the kubelet in another way now.
    fn state_changed(&self, resource: &ResourceName, state: &State) {
        let _ = (resource, state);
    }

    /// A list of devices is on its way to the kubelet.
    fn list_sent(&self, resource: &ResourceName, devices: &DeviceSet) {
        let _ = (resource, devices);
    }

    /// A call of the kubelet is answered, after `took`, with an error or not.
    fn call_answered(
        &self,
        resource: &ResourceName,
        call: Call,
        took: Duration,
        error: Option<&AllocateError>,
    ) {
        let _ = (resource, call, took, error);
    }
}

/// The calls of the kubelet that the plugin itself answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Call {
    /// `Allocate`: a container is to be given devices.
    Allocate,
    /// `GetPreferredAllocation`: which free devices it should be. This never has an error.
    Prefer,
    /// `PreStartContainer`: a container with devices is about to start.
    PreStart,
}

/// Nobody watches.
pub(crate) struct Nobody;

impl Observer for Nobody {}
