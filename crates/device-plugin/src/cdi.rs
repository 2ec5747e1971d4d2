//! CDI specifications: what a container runtime does to a container that gets a device.
//!
//! # What CDI is
//!
//! The Container Device Interface (<https://github.com/cncf-tags/container-device-interface>, its
//! SPEC.md) takes the description of a device out of the kubelet's answer and puts it into a file
//! on the node. The file has a *kind*, `vendor.example/class`, and names devices of it. A device is
//! then asked for by its qualified name, `vendor.example/class=device`, and whoever starts the
//! container looks it up in `/etc/cdi` and `/var/run/cdi` and applies the *edits* that it finds:
//! device nodes, variables, mounts. Compared with a device node in an answer to Allocate
//! ([`ContainerEdits`](crate::ContainerEdits)), a CDI node can also have an owner, a group and a
//! mode, so that a program need not be root to open it.
//!
//! # Who reads it
//!
//! * **containerd and CRI-O**, when the name is in the answer
//!   ([`ContainerEdits::cdi_devices`](crate::ContainerEdits::cdi_devices)). The kubelet passes it
//!   on since 1.28, and without a feature gate to turn on since 1.29 (KEP-4009). [`qualified_name`]
//!   makes the name.
//! * **Kata Containers**, when it plugs devices before the machine boots (cold plug). It does not
//!   see the answer. It asks the kubelet's pod resources for the resource and the device IDs of the
//!   pod, and looks up `<resource>=<ID>`. One name that cannot be found fails the pod. Its Rust
//!   runtime plugs every node of the *device*, so there must be exactly one; a node that all
//!   devices share belongs to the edits of the whole file.
//!
//! Hence the form of a [`Spec`]: the kind is the name of the resource, a device has the name of its
//! [`DeviceId`](crate::DeviceId) and one node, and what is shared stands apart ([`Shared`]).
//!
//! # The life of a file
//!
//! There is one file for each resource. **It stays when the plugin stops**: a pod may be started
//! again while the plugin is away, and its runtime looks the devices up again. It goes with its
//! resource: by [`SpecDir::remove`] while the plugin runs, and by [`SpecDir::retain`] at the start,
//! if the resource was taken away between two lives of the plugin. Write it before the kubelet
//! hears of the devices, since a pod may follow at once.
//!
//! Readers watch the directory. So a file appears whole or not at all, and one that already says
//! the same is not touched. The file is JSON below a comment that says who wrote it, and ends in
//! `.yaml`: readers take `.json` and `.yaml` through the same parser, and YAML has comments. By the
//! comment a [`SpecDir`] knows its own files. It never replaces or removes another.
//!
//! ```no_run
//! use device_plugin::{DeviceNode, cdi};
//! use std::collections::BTreeMap;
//!
//! let node = DeviceNode {
//!     container_path: "/dev/port0".into(),
//!     host_path: "/dev/port0".into(),
//!     permissions: "rw".to_owned(),
//! };
//! let port = cdi::Device {
//!     id: "port-0".parse()?,
//!     node: cdi::Node {
//!         node,
//!         owner: cdi::Owner { gid: Some(107), ..cdi::Owner::default() },
//!     },
//!     envs: BTreeMap::new(),
//!     mounts: Vec::new(),
//! };
//! let spec = cdi::Spec::new("example.com/port".parse()?, [port], &cdi::Shared::default())?;
//! cdi::SpecDir::new("/var/run/cdi", "port-plugin").write(&spec)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Not covered
//!
//! Hooks, annotations, network devices and resource control groups of the CPU cache.

mod claim;
mod dir;
mod dir_error;
mod json;
mod name;
mod spec;
mod spec_error;

pub use dir::SpecDir;
pub use dir_error::DirError;
pub use name::qualified_name;
pub use spec::{Device, Node, Owner, Shared, Spec};
pub use spec_error::SpecError;
