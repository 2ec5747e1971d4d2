//! Who holds what, from the best source that there is.

use super::{
    checkpoint::{CHECKPOINT, CheckpointError, read_checkpoint},
    client::{PodResources, PodResourcesError},
    holdings::Holdings,
};
use crate::kubelet_dir::KubeletDir;
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::Mutex, time::Instant};

/// The kubelet is asked no more often than this.
const REST: Duration = Duration::from_secs(1);
/// How long a kubelet may take after its start to hear of its pods. Until then it answers as if
/// there were none.
const SETTLED: Duration = Duration::from_secs(10);

/// Asks who holds what: the kubelet, else its checkpoint.
///
/// Everything that wants to know shares one of these. [`view`](Self::view) asks no more than once
/// a second, and gives the same answer to all who ask meanwhile.
#[derive(Debug)]
pub struct Pods {
    kubelet: PodResources,
    kubelet_socket: PathBuf,
    checkpoint: PathBuf,
    last: Mutex<Option<Arc<PodView>>>,
}

/// Who holds what, as of a moment.
#[derive(Debug)]
pub struct PodView {
    /// When the question was put.
    pub asked: Instant,
    /// Whether the kubelet had its time to hear of its pods: it is up for ten seconds.
    pub settled: bool,
    /// Who has answered.
    pub source: Source,
    /// The answer. Empty when nobody has answered.
    pub holdings: Holdings,
}

/// Who has said who holds what.
#[derive(Debug)]
pub enum Source {
    /// The kubelet.
    Kubelet,
    /// The kubelet's checkpoint, which may name pods that have ended.
    Checkpoint {
        /// Why not the kubelet.
        instead: PodResourcesError,
    },
    /// Nobody.
    Nobody {
        /// Why not the kubelet.
        kubelet: PodResourcesError,
        /// Why not the checkpoint.
        checkpoint: CheckpointError,
    },
}

impl Pods {
    /// Asks on the pod resources `socket`, or in the directory of the plugins' sockets. Neither
    /// need be there yet.
    pub fn new(socket: impl Into<PathBuf>, dir: &KubeletDir) -> Self {
        Self {
            kubelet: PodResources::new(socket),
            kubelet_socket: dir.kubelet_socket(),
            checkpoint: dir.path().join(CHECKPOINT),
            last: Mutex::new(None),
        }
    }

    /// Returns who holds what, no older than a second. This takes two seconds at the longest.
    pub async fn view(&self) -> Arc<PodView> {
        let mut last = self.last.lock().await;
        if let Some(view) = last.as_ref()
            && view.asked.elapsed() < REST
        {
            return Arc::clone(view);
        }
        let view = Arc::new(self.ask().await);
        *last = Some(Arc::clone(&view));
        view
    }

    async fn ask(&self) -> PodView {
        let asked = Instant::now();
        let settled = settled(&self.kubelet_socket);
        let (source, holdings) = match self.kubelet.list().await {
            Ok(mut holdings) => {
                if !settled && let Ok(more) = read_checkpoint(&self.checkpoint) {
                    holdings.merge(more);
                }
                (Source::Kubelet, holdings)
            }
            Err(kubelet) => match read_checkpoint(&self.checkpoint) {
                Ok(holdings) => (Source::Checkpoint { instead: kubelet }, holdings),
                Err(checkpoint) => {
                    let nobody = Source::Nobody {
                        kubelet,
                        checkpoint,
                    };
                    (nobody, Holdings::default())
                }
            },
        };
        PodView {
            asked,
            settled,
            source,
            holdings,
        }
    }
}

impl Source {
    /// Returns what to tell a person, if somebody else than the kubelet had to be asked.
    pub fn shortcoming(&self) -> Option<String> {
        match self {
            Self::Kubelet => None,
            Self::Checkpoint { instead } => Some(format!(
                "{instead}; until then the kubelet's checkpoint says which devices pods hold, \
                 which may be late to see that a pod has ended"
            )),
            Self::Nobody {
                kubelet,
                checkpoint,
            } => {
                let why = checkpoint.source().map(|why| format!(": {why}"));
                let why = why.unwrap_or_default();
                Some(format!("{kubelet}; {checkpoint}{why}"))
            }
        }
    }
}

/// Whether the kubelet runs long enough to know its pods. It makes its socket anew when it starts.
fn settled(kubelet_socket: &Path) -> bool {
    let Ok(made) = fs::metadata(kubelet_socket).and_then(|metadata| metadata.modified()) else {
        return false;
    };
    // A socket from the future, as a clock that was set back makes it, is no reason to wait.
    let age = SystemTime::now().duration_since(made);
    age.unwrap_or(SETTLED) >= SETTLED
}
