//! Who holds which device.
//!
//! A plugin hears when a device is given away ([`allocate`](crate::DevicePlugin::allocate)), and
//! never when it comes back. The kubelet knows, and tells in two places:
//!
//! * **Its pod resources interface**, gRPC on `/var/lib/kubelet/pod-resources/kubelet.sock`
//!   (KEP-606, KEP-2403). It names pod and container, and takes ten questions at once, a hundred
//!   a second. [`PodResources`] is a client of it.
//! * **Its checkpoint**, the file `kubelet_internal_checkpoint` beside the plugins' sockets. The
//!   kubelet writes it for itself, at each allocation and each list of devices, and reads it when
//!   it starts. It has no names of pods, only their UIDs, and keeps what ended pods held until the
//!   next allocation: it may say too much, but not too little.
//!
//! [`Pods`] asks the first and falls back to the second. It asks no more than once a second,
//! however many want to know.
//!
//! A kubelet that was just started answers at once, but may not have heard of its pods from the
//! API server yet. So in its first seconds what the checkpoint says counts too.
//!
//! # What it is for
//!
//! The kubelet counts each resource by itself. A device that is listed under two resources, or
//! that moves from one to another, is given away twice, unless the plugin looks who
//! [holds it elsewhere](Holdings::elsewhere). And a device may leave a list for good only when
//! nobody holds it.
//!
//! # Examples
//!
//! ```no_run
//! use device_plugin::{KubeletDir, pods::Pods};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let pods = Pods::new("/var/lib/kubelet/pod-resources/kubelet.sock", &KubeletDir::default());
//! let view = pods.view().await;
//! for (id, resource, holder) in view.holdings.iter() {
//!     println!("{id} of {resource} is held by {holder}");
//! }
//! # }
//! ```

mod checkpoint;
mod client;
mod holdings;
mod view;

pub use checkpoint::{CHECKPOINT, CheckpointError, read_checkpoint};
pub use client::{PodResources, PodResourcesError};
pub use holdings::{Holder, Holdings, Pod};
pub use view::{PodView, Pods, Source};
