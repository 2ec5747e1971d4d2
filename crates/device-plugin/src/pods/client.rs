//! The kubelet's pod resources interface.

use super::holdings::{Holder, Holdings, Pod};
use crate::dial::{dial, innermost};
use kubelet_api::podresources::v1::{
    self as api, pod_resources_lister_client::PodResourcesListerClient,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;
use tonic::{Code, Status, transport::Channel};

/// How long the kubelet may take to answer. It answers from its memory.
const LIMIT: Duration = Duration::from_secs(2);
/// The largest answer taken, in bytes: what the kubelet itself allows.
const MAX_MESSAGE: usize = 16 << 20;

/// Asks the kubelet who holds what, on the socket of its pod resources interface.
///
/// Each call makes a connection of its own: calls are rare, and a restarted kubelet has a new
/// socket. A call that a kubelet of that age does not know is
/// [`Unsupported`](PodResourcesError::Unsupported).
#[derive(Clone, Debug)]
pub struct PodResources {
    socket: PathBuf,
}

/// Why the kubelet did not say who holds what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PodResourcesError {
    /// There is no socket.
    #[error(
        "there is no socket `{}`; in a pod, mount its directory from the host",
        path.display()
    )]
    Absent {
        /// The path of the socket.
        path: PathBuf,
    },
    /// Nobody answers on the socket.
    #[error("nobody answers on `{}`: {reason}", path.display())]
    Unreachable {
        /// The path of the socket.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The kubelet is too old for this call, or has it switched off.
    #[error("this kubelet does not answer `{call}`")]
    Unsupported {
        /// The name of the call.
        call: &'static str,
    },
    /// The kubelet was asked too often, by whomever. It takes 100 questions a second.
    #[error("the kubelet is asked too often; ask again later")]
    Busy,
    /// The kubelet took too long.
    #[error("the kubelet did not answer `{call}` within {} s", LIMIT.as_secs())]
    TimedOut {
        /// The name of the call.
        call: &'static str,
    },
    /// The kubelet answers with an error, because there is no such pod, say.
    #[error("the kubelet answers `{call}` with an error: {message}")]
    Refused {
        /// The name of the call.
        call: &'static str,
        /// What the kubelet said.
        message: String,
    },
}

impl PodResources {
    /// Makes a client of the interface at `socket`, which need not be there yet. By default the
    /// kubelet has it at `/var/lib/kubelet/pod-resources/kubelet.sock`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        let socket = socket.into();
        Self { socket }
    }

    /// Returns the path of the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for the devices of all pods (`List`, Kubernetes 1.20 and later).
    ///
    /// Kubelets before 1.34 also name pods that have ended, for as long as the API server keeps
    /// them.
    ///
    /// # Errors
    ///
    /// [`PodResourcesError`].
    pub async fn list(&self) -> Result<Holdings, PodResourcesError> {
        let answer = self.ask("List", async |mut client| {
            client.list(api::ListPodResourcesRequest {}).await
        });
        let mut held = Holdings::default();
        for pod in answer.await?.pod_resources {
            note(pod, &mut held);
        }
        Ok(held)
    }

    /// Asks for the devices of one pod (`Get`: Kubernetes 1.27 behind a feature gate, by default
    /// since 1.34).
    ///
    /// # Errors
    ///
    /// [`PodResourcesError::Refused`] when there is no such pod; the others as they say.
    pub async fn get(&self, namespace: &str, pod: &str) -> Result<Holdings, PodResourcesError> {
        let answer = self.ask("Get", async |mut client| {
            let request = api::GetPodResourcesRequest {
                pod_name: pod.to_owned(),
                pod_namespace: namespace.to_owned(),
            };
            client.get(request).await
        });
        let mut held = Holdings::default();
        if let Some(pod) = answer.await?.pod_resources {
            note(pod, &mut held);
        }
        Ok(held)
    }

    /// Asks for the devices that exist and may be given away, held or not, by resource
    /// (`GetAllocatableResources`, Kubernetes 1.23 and later).
    ///
    /// # Errors
    ///
    /// [`PodResourcesError`].
    pub async fn allocatable(
        &self,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, PodResourcesError> {
        let answer = self.ask("GetAllocatableResources", async |mut client| {
            let request = api::AllocatableResourcesRequest {};
            client.get_allocatable_resources(request).await
        });
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        // A resource comes in several parts, one for each NUMA node.
        for part in answer.await?.devices {
            let ids = all.entry(part.resource_name).or_default();
            ids.extend(part.device_ids);
        }
        Ok(all)
    }

    /// Connects and asks, within the limit.
    async fn ask<T>(
        &self,
        call: &'static str,
        question: impl AsyncFnOnce(
            PodResourcesListerClient<Channel>,
        ) -> Result<tonic::Response<T>, Status>,
    ) -> Result<T, PodResourcesError> {
        let answer = async {
            let client = self.connect().await?;
            let client = client.max_decoding_message_size(MAX_MESSAGE);
            let answer = question(client).await;
            answer.map_err(|status| self.explain(call, &status))
        };
        match timeout(LIMIT, answer).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_elapsed) => Err(PodResourcesError::TimedOut { call }),
        }
    }

    async fn connect(&self) -> Result<PodResourcesListerClient<Channel>, PodResourcesError> {
        if let Err(error) = self.socket.symlink_metadata()
            && error.kind() == io::ErrorKind::NotFound
        {
            let path = self.socket.clone();
            return Err(PodResourcesError::Absent { path });
        }
        let channel = dial(&self.socket).await;
        let channel = channel.map_err(|reason| self.unreachable(reason))?;
        Ok(PodResourcesListerClient::new(channel))
    }

    fn unreachable(&self, reason: String) -> PodResourcesError {
        PodResourcesError::Unreachable {
            path: self.socket.clone(),
            reason,
        }
    }

    fn explain(&self, call: &'static str, status: &Status) -> PodResourcesError {
        match status.code() {
            Code::Unimplemented => PodResourcesError::Unsupported { call },
            Code::ResourceExhausted => PodResourcesError::Busy,
            // What the peer said has no source. What our own side ran into has one.
            _ if status.source().is_some() => self.unreachable(innermost(status)),
            code => PodResourcesError::Refused {
                call,
                message: match status.message() {
                    "" => code.description().to_owned(),
                    message => message.to_owned(),
                },
            },
        }
    }
}

fn note(pod: api::PodResources, held: &mut Holdings) {
    let named = Pod::Named {
        namespace: pod.namespace,
        name: pod.name,
    };
    for container in pod.containers {
        let holder = Holder {
            pod: named.clone(),
            container: container.name,
        };
        for devices in container.devices {
            for id in devices.device_ids {
                held.insert(&devices.resource_name, &id, holder.clone());
            }
        }
    }
}
