//! A kubelet for tests: strict where the real one is strict, talkative where it is silent.
//!
//! [`Kubelet`] has the documentation for users. Inside, `state` owns every fact behind one
//! lock, `registration` and `stream` are the two directions of the wire, `choice` picks
//! devices, `admission`, `start` and `calls` ask plugins, `merge` puts their answers together
//! and `check` looks at them.

mod admission;
mod calls;
mod check;
mod checkpoint;
mod checkpoint_text;
mod choice;
mod connections;
mod dial;
mod ledger;
mod list;
mod merge;
mod name;
mod narrate;
mod options;
mod pod;
mod pod_resources;
mod random;
mod registration;
mod resource;
mod shared;
mod simulator;
mod sockets;
mod start;
mod state;
mod stream;
mod transcript;
mod view;
mod wait;

pub use checkpoint::{Checkpoint, CheckpointEntry, Damage};
pub use merge::{AnswerDevice, AnswerMount, Conflict, ConflictKind, ContainerAnswer};
pub use options::{Fault, KubeletOptions, PodResources, Reregistration, Restart};
pub use pod::{AdmissionError, Pod, PodSpec};
pub use simulator::Kubelet;
pub use start::StartError;
pub use transcript::{Event, EventKind, StreamEnd, Transcript};
pub use view::{PluginOptions, ResourceView, SimDevice};
pub use wait::WaitTimeout;
