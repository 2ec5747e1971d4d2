//! A framework for Kubernetes device plugins.
//!
//! A device plugin gives hardware of a node to pods. You write what your devices are and what
//! a container needs to use them ([`DevicePlugin`]). This crate leads the life with the kubelet
//! ([`Supervisor`]).
//!
//! # The protocol
//!
//! The kubelet is the agent of Kubernetes on a node. It and its plugins meet in one directory
//! ([`KubeletDir`]), where each has a unix socket, and talk gRPC (`deviceplugin/v1beta1`).
//!
//! ```text
//!  plugin                                     kubelet
//!    │  serve on example.com-nic.sock            │  serve on kubelet.sock
//!    ├── Register(example.com/nic, socket) ─────►│
//!    │◄───────────── dials the socket back ──────┤
//!    │◄──────────── GetDevicePluginOptions ──────┤
//!    ├── (Register is answered) ────────────────►│
//!    │◄────────────────────── ListAndWatch ──────┤
//!    ├── a list of devices, and each new one ───►│  node status: example.com/nic: 4
//!    │                                           │  a pod asks for example.com/nic: 1
//!    │◄── GetPreferredAllocation (on request) ───┤
//!    │◄── Allocate(one container's devices) ─────┤
//!    ├── environment, device nodes, mounts ─────►│
//!    │◄── PreStartContainer (on request) ────────┤  the container starts
//! ```
//!
//! What one should know, and what the framework does about it:
//!
//! * **Register contains a call back.** The kubelet dials the plugin before it answers. So the
//!   framework serves first and registers after, with a deadline that leaves room for this.
//! * **Each list replaces the one before.** A device is in the list as healthy or unhealthy.
//!   The framework sends the first list that is not empty, and then only lists that differ.
//! * **The stream is the plugin's pulse.** When `ListAndWatch` ends, for whatever reason, the
//!   kubelet takes all devices for unhealthy and does not dial again. The framework notices,
//!   and registers anew.
//! * **A restarted kubelet removes all sockets** in the directory, then makes its own. The
//!   framework watches the directory, ends what is left of the old session, and registers anew.
//!   Its old streams end first: kubelets up to 1.36 mistake the late end of an old stream for
//!   that of the new one.
//! * **A kubelet since 1.37 does not connect a socket twice.** If it gets Register before it notices the
//!   end of the old stream, it rejects this socket until it restarts. The framework then registers
//!   from another one, `<resource>.~1.sock`.
//! * **Allocate decides the fate of a pod.** An error fails the pod for good, and its text is
//!   what the user sees. The kubelet sends the IDs in random order and waits without limit. The
//!   framework checks each ID, sorts them, and bounds the call.
//! * **Nobody tells when a pod ends.** Ask the kubelet's pod resources interface.
//! * **The kubelet may not be there**, or may say no. The framework tries for ever, with growing
//!   and jittered waits, and [`Supervisor::states`] says how each resource stands.
//!
//! # Examples
//!
//! A plugin for network ports that are named in advance:
//!
//! ```no_run
//! use async_trait::async_trait;
//! use device_plugin::{
//!     AllocateError, ContainerEdits, Device, DeviceId, DeviceNode, DevicePlugin, DeviceSet,
//!     KubeletDir, Supervisor, stop_signal,
//! };
//! use std::{error::Error, sync::Arc, time::Duration};
//! use tokio::sync::watch;
//!
//! struct Ports {
//!     devices: watch::Sender<Arc<DeviceSet>>,
//! }
//!
//! #[async_trait]
//! impl DevicePlugin for Ports {
//!     fn devices(&self) -> watch::Receiver<Arc<DeviceSet>> {
//!         self.devices.subscribe()
//!     }
//!
//!     async fn allocate(&self, ids: &[DeviceId]) -> Result<ContainerEdits, AllocateError> {
//!         let mut edits = ContainerEdits::default();
//!         for id in ids {
//!             edits.devices.push(DeviceNode::rw(format!("/dev/{id}")));
//!         }
//!         Ok(edits)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn Error>> {
//!     let port = Device::healthy("port-0".parse()?);
//!     let devices = watch::Sender::new(Arc::new(DeviceSet::new([port])?));
//!     let mut supervisor = Supervisor::new(KubeletDir::default());
//!     supervisor.offer("example.com/port".parse()?, Arc::new(Ports { devices }))?;
//!     stop_signal().await?;
//!     supervisor.shutdown(Duration::from_secs(5)).await;
//!     Ok(())
//! }
//! ```
//!
//! Devices that come and go are found by a [`DeviceWatch`]. The guide `docs/write-a-plugin.md` of the
//! repository leads from nothing to a tested plugin, and the plugins in `examples/src/bin` are
//! there to be copied.
//!
//! # Not covered
//!
//! Registration through `plugins_registry`. The kubelet dials such a plugin with an
//! `:authority` that HTTP/2 in Rust refuses.
#![forbid(unsafe_code)]

mod activity;
mod backoff;
pub mod cdi;
mod check;
mod connections;
mod device;
mod device_set;
mod device_watch;
mod dial;
mod dir_events;
mod dir_watch;
mod edits;
mod error;
mod io;
mod kubelet_dir;
mod lifecycle;
mod list;
mod observer;
mod plugin;
pub mod pods;
mod prefer;
mod resource_name;
mod service;
mod session;
mod socket;
mod state;
mod state_cell;
mod stop;
mod supervisor;

pub use device::{Device, DeviceId, DeviceIdError, Health};
pub use device_set::{DeviceSet, DeviceSetError};
pub use device_watch::DeviceWatch;
pub use dir_events::DirEvents;
pub use edits::{ContainerEdits, DeviceNode, Mount};
pub use error::AllocateError;
pub use kubelet_dir::KubeletDir;
pub use observer::{Call, Observer};
pub use plugin::{DevicePlugin, PluginOptions};
pub use prefer::PreferRequest;
pub use resource_name::{ResourceName, ResourceNameError};
pub use service::{ALLOCATE_LIMIT, PRE_START_LIMIT};
pub use socket::SocketError;
pub use state::State;
pub use stop::stop_signal;
pub use supervisor::{OfferError, Supervisor};
