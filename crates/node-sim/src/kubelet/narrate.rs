//! Events as lines for people.

use std::fmt;

use super::transcript::{Event, EventKind, StreamEnd};

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:9.3}s] {}", self.at.as_secs_f64(), self.kind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { dir, seed, removed } => write!(
                f,
                "kubelet listens in {} (seed {seed}), sockets removed: {}",
                dir.display(),
                List(removed)
            ),
            Self::Stopped => f.write_str("kubelet stopped"),
            Self::Misbehaved { resource, fault } => write!(f, "{resource}: kubelet {fault}"),
            Self::Register {
                resource,
                endpoint,
                version,
            } => write!(f, "{resource}: Register, endpoint {endpoint}, {version}"),
            Self::Dialled { resource, stream } => {
                write!(f, "{resource}: plugin dialled, stream {stream}")
            }
            Self::Options {
                resource, options, ..
            } => write!(
                f,
                "{resource}: GetDevicePluginOptions, preferred allocation {}, pre-start {}",
                yes_no(options.preferred_allocation),
                yes_no(options.pre_start)
            ),
            Self::Registered { resource, stream } => {
                write!(f, "{resource}: registered, stream {stream}")
            }
            Self::Refused { resource, message } => write!(f, "{resource}: refused: {message}"),
            Self::Abandoned { resource } => {
                write!(f, "{resource}: plugin gave up Register before the answer")
            }
            Self::StreamOpened { resource, stream } => {
                write!(f, "{resource}: stream {stream} open")
            }
            Self::List {
                resource,
                stream,
                healthy,
                unhealthy,
            } => write!(
                f,
                "{resource}: list on stream {stream}, {healthy} healthy, {unhealthy} unhealthy"
            ),
            Self::StreamEnded {
                resource,
                stream,
                end,
            } => write!(f, "{resource}: stream {stream} ended: {end}"),
            Self::MarkedUnhealthy { resource } => {
                write!(f, "{resource}: all devices count as unhealthy")
            }
            Self::Forgotten { resource } => write!(f, "{resource}: forgotten"),
            Self::Preferred {
                resource,
                available,
                must_include,
                size,
                answer,
            } => write!(
                f,
                "{resource}: GetPreferredAllocation, {size} of {} available, must include {}: {}",
                available.len(),
                List(must_include),
                List(answer)
            ),
            Self::Allocated { pod, resource, ids } => {
                write!(f, "{pod}: Allocate {resource}: {}", List(ids))
            }
            Self::PreStarted { pod, resource, ids } => {
                write!(f, "{pod}: PreStartContainer {resource}: {}", List(ids))
            }
            Self::Conflict { pod, conflict } => write!(f, "{pod}: conflict: {conflict}"),
            Self::Admitted { pod } => write!(f, "{pod}: admitted"),
            Self::Rejected { pod, message } => write!(f, "{pod}: failed: {message}"),
            Self::StartFailed { pod, message } => {
                write!(f, "{pod}: container not started: {message}")
            }
            Self::Deleted { pod } => write!(f, "{pod}: deleted"),
            Self::Completed { pod } => write!(f, "{pod}: completed"),
            Self::PodResources { method, error } => {
                let outcome = error.as_deref().unwrap_or("answered");
                write!(f, "pod-resources: {method}: {outcome}")
            }
            Self::CheckpointFailed { message } => write!(f, "checkpoint: {message}"),
            Self::Warning { resource, text } => write!(f, "{resource}: WARNING: {text}"),
        }
    }
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin => f.write_str("by the plugin"),
            Self::Failed(status) => f.write_str(status),
            Self::Kubelet => f.write_str("by the kubelet"),
        }
    }
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// IDs on one line: all of a few, the first of many.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let shown = self.0.len().min(SHOWN);
        f.write_str(&self.0[..shown].join(", "))?;
        match self.0.len() - shown {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
