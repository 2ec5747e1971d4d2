//! Rust bindings to the gRPC interfaces that the kubelet has for device plugins.
//!
//! The kubelet is the agent of Kubernetes on a node. Two of its interfaces matter to
//! someone who brings hardware to pods. Both are gRPC over unix sockets on the node:
//!
//! * [`deviceplugin::v1beta1`]: a plugin tells the kubelet which devices exist, and
//!   answers when a container is given some. It takes two services. The kubelet serves
//!   `Registration` on [`KUBELET_SOCKET`]. The plugin serves `DevicePlugin` on a socket of
//!   its own in the same directory. So each side is server and client at once.
//! * [`podresources::v1`]: the kubelet tells which pod holds which devices. A plugin hears
//!   when a device is given away, but never when it comes back. This is where to ask.
//!
//! There is no logic here, only messages, clients and servers. The crate `device-plugin`
//! is where a plugin gets a life.
//!
//! # Where the code comes from
//!
//! The interfaces are described in the workspace's `proto/` folder. `tests/generated.rs`
//! turns them into Rust, without `protoc`, and fails when the code in `src/generated/`
//! differs. To take over a change: `BLESS=1 cargo test -p kubelet-api --test generated`.
//! Checked-in code means no build script, and a diff that a person can read.
//!
//! Maps are [`BTreeMap`](std::collections::BTreeMap), so that equal messages have equal
//! bytes.
//!
//! # Not covered
//!
//! The registration of plugins through `plugins_registry`, and Dynamic Resource Allocation.
//! The kubelet dials those sockets with an `:authority` that is not valid in HTTP/2 as the
//! `h2` crate reads it, so that a server in Rust cannot answer. The classic device plugin
//! interface is dialled with `localhost` (Kubernetes 1.26 and later).
//!
//! [`KUBELET_SOCKET`]: deviceplugin::v1beta1::KUBELET_SOCKET
//!
//! # Examples
//!
//! ```
//! use kubelet_api::deviceplugin::v1beta1::{Device, HEALTHY, ListAndWatchResponse};
//!
//! let list = ListAndWatchResponse {
//!     devices: vec![Device {
//!         id: "port-0".to_owned(),
//!         health: HEALTHY.to_owned(),
//!         topology: None,
//!     }],
//! };
//! assert_eq!(list.devices.len(), 1);
//! ```
#![forbid(unsafe_code)]

/// The interface between the kubelet and its device plugins.
pub mod deviceplugin {
    /// Version v1beta1, the only one that the kubelet speaks.
    pub mod v1beta1 {
        pub use generated::*;

        /// The version that a plugin names in [`RegisterRequest::version`].
        pub const VERSION: &str = "v1beta1";

        /// The value of [`Device::health`] for a device that may be given to a container.
        /// The kubelet compares it exactly.
        pub const HEALTHY: &str = "Healthy";

        /// The value of [`Device::health`] for a device that exists, but may not be given to a
        /// container. The kubelet takes any text but [`HEALTHY`] for this.
        pub const UNHEALTHY: &str = "Unhealthy";

        /// The file name of the kubelet's own socket in the device plugin directory.
        pub const KUBELET_SOCKET: &str = "kubelet.sock";

        /// The directory of the sockets, unless the kubelet was given another root
        /// directory.
        pub const DEFAULT_DIRECTORY: &str = "/var/lib/kubelet/device-plugins";

        /// The longest [`Device::id`], in characters. The kubelet states the limit, but does
        /// not enforce it.
        pub const MAX_ID_LENGTH: usize = 63;

        /// How long the kubelet waits for an answer to `PreStartContainer`, in seconds. The
        /// other calls have no limit.
        pub const PRE_START_TIMEOUT_SECONDS: u64 = 30;

        #[expect(
            unused_qualifications,
            clippy::pedantic,
            clippy::clone_on_ref_ptr,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::absolute_paths,
            reason = "generated code"
        )]
        mod generated {
            // `include!` keeps rustfmt away from what the generator has written.
            include!("generated/deviceplugin/v1beta1.rs");
        }
    }
}

/// The interface that tells which pod holds which resources.
pub mod podresources {
    /// Version v1.
    pub mod v1 {
        pub use generated::*;

        /// The file name of the kubelet's socket in the pod resources directory.
        pub const KUBELET_SOCKET: &str = "kubelet.sock";

        /// The directory of the socket, unless the kubelet was given another root directory.
        pub const DEFAULT_DIRECTORY: &str = "/var/lib/kubelet/pod-resources";

        #[expect(
            unused_qualifications,
            clippy::pedantic,
            clippy::clone_on_ref_ptr,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::absolute_paths,
            reason = "generated code"
        )]
        mod generated {
            // `include!` keeps rustfmt away from what the generator has written.
            include!("generated/podresources/v1.rs");
        }
    }
}
