//! The kubelet that a test holds in its hands.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kubelet_api::{
    deviceplugin::v1beta1::{KUBELET_SOCKET, registration_server::RegistrationServer},
    podresources::v1::pod_resources_lister_server::PodResourcesListerServer,
};
use tokio::{sync::Mutex, time::sleep};
use tonic::transport::Server;

use super::{
    admission::admit,
    connections::Connections,
    options::{Fault, KubeletOptions, Restart, Times},
    pod::{AdmissionError, Pod, PodSpec},
    pod_resources::Lister,
    registration::Registrar,
    resource::Endpoint,
    shared::{Run, Shared, Tasks},
    sockets,
    start::{self, StartError},
    transcript::{Event, EventKind, Transcript},
    view::ResourceView,
    wait::WaitTimeout,
};

#[doc = include_str!("kubelet.md")]
#[doc = include_str!("differences.md")]
#[derive(Debug)]
pub struct Kubelet {
    shared: Arc<Shared>,
    run: Mutex<Option<Run>>,
}

impl Kubelet {
    /// Starts a kubelet on `dir`, which plays `/var/lib/kubelet/device-plugins`.
    ///
    /// Makes the directory, removes every socket in it, then listens on `kubelet.sock`.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or read, or the socket cannot be made. The path of a
    /// socket has at most 107 bytes (`unix(7)`), so choose a short directory.
    pub async fn start(dir: impl AsRef<Path>) -> io::Result<Self> {
        Self::start_with(dir, KubeletOptions::new()).await
    }

    /// Starts a kubelet with options. See [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn start_with(dir: impl AsRef<Path>, options: KubeletOptions) -> io::Result<Self> {
        let (how, delay) = (options.sockets, options.late_socket);
        let kubelet = Self {
            shared: Arc::new(Shared::new(dir.as_ref().to_owned(), options)),
            run: Mutex::new(None),
        };
        kubelet.resume(how, delay).await?;
        Ok(kubelet)
    }

    /// The device plugin directory.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// The path of `kubelet.sock`.
    pub fn socket(&self) -> PathBuf {
        self.shared.dir.join(KUBELET_SOCKET)
    }

    /// Stops the kubelet as a kill does: all connections end, the socket file stays behind.
    ///
    /// So it is on the pod resources socket. Pods keep their devices. Does nothing if the kubelet is stopped.
    pub async fn stop(&self) {
        let mut current = self.run.lock().await;
        if let Some(run) = current.take() {
            run.end().await;
            self.shared.with(|state| {
                for resource in state.resources.values_mut() {
                    for endpoint in resource.endpoints() {
                        endpoint.streaming = false;
                        endpoint.close();
                    }
                }
                state.record(EventKind::Stopped);
            });
        }
    }

    /// Starts a stopped kubelet again. Does nothing if it runs.
    ///
    /// Sockets are removed at once, `kubelet.sock` appears after `delay`. A plugin that
    /// watches its own socket sees a node without a kubelet in between.
    ///
    /// The assignments of pods and the names of resources come from the
    /// [`Checkpoint`](crate::Checkpoint) in the directory. Resources start with no devices,
    /// and are forgotten if their plugin does not come back in time. Without the file, or
    /// with a broken one, nothing is known.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn resume(&self, how: Restart, delay: Duration) -> io::Result<()> {
        let mut current = self.run.lock().await;
        if current.is_some() {
            return Ok(());
        }
        let removed = sockets::prepare(&self.shared.dir, how)?;
        sleep(delay).await;
        let listener = sockets::listen(&self.shared.dir)?;
        let pod_resources = self.shared.pod_resources();
        let lister = pod_resources.as_deref().map(sockets::listen_renamed);
        let lister = lister.transpose()?;
        self.shared.with(|state| {
            state.record(EventKind::Started {
                dir: self.shared.dir.clone(),
                seed: self.shared.options.seed,
                removed,
            });
            state.begin();
        });
        let run = Run {
            tasks: Tasks::default(),
            connections: Connections::default(),
        };
        let registrar = RegistrationServer::new(Registrar {
            shared: Arc::clone(&self.shared),
            tasks: run.tasks.clone(),
        });
        run.serve(listener, |incoming| {
            Server::builder().serve_with_incoming(registrar, incoming)
        });
        if let Some(listener) = lister {
            let token = run.tasks.token.clone();
            let lister = Lister::new(Arc::clone(&self.shared), token);
            let lister = PodResourcesListerServer::new(lister);
            run.serve(listener, |incoming| {
                Server::builder().serve_with_incoming(lister, incoming)
            });
        }
        *current = Some(run);
        Ok(())
    }

    /// Stops the kubelet and starts it again. See [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn restart(&self, how: Restart, delay: Duration) -> io::Result<()> {
        self.stop().await;
        self.resume(how, delay).await
    }

    /// Misbehaves the next time the step of `fault` is reached.
    pub fn once(&self, fault: Fault) {
        self.shared
            .look(|state| state.faults.push((fault, Times::Once)));
    }

    /// Misbehaves every time the step of `fault` is reached.
    pub fn always(&self, fault: Fault) {
        self.shared
            .look(|state| state.faults.push((fault, Times::Always)));
    }

    /// Forgets all faults. What strikes already goes on.
    pub fn behave(&self) {
        self.shared.look(|state| state.faults.clear());
    }

    /// Hangs up on the plugin of `resource`, now: the connection ends. Returns whether there was a stream.
    pub fn hang_up(&self, resource: &str) -> bool {
        self.shared.with(|state| {
            let known = state.resources.get_mut(resource);
            let endpoint = known.and_then(|known| known.endpoint.as_mut());
            let open = endpoint.filter(|endpoint| endpoint.streaming);
            open.map(Endpoint::close).is_some()
        })
    }

    /// What is known about `resource` now. `None`: nothing, or no longer.
    pub fn resource(&self, resource: &str) -> Option<ResourceView> {
        self.resources().remove(resource)
    }

    /// What is known about all resources now.
    pub fn resources(&self) -> BTreeMap<String, ResourceView> {
        self.shared.look(|state| {
            state.expire();
            state.views()
        })
    }

    /// Waits until `resource` is known and `fits`. Looks after each change, also at once.
    ///
    /// # Errors
    ///
    /// [`WaitTimeout`] after `limit`. It prints the transcript.
    pub async fn wait_for(
        &self,
        resource: &str,
        fits: impl FnMut(&ResourceView) -> bool,
        limit: Duration,
    ) -> Result<ResourceView, WaitTimeout> {
        self.shared.until_view(resource, limit, fits).await
    }

    /// Waits until the resources as a whole fit, for example until one is forgotten. `what`
    /// is for the error.
    ///
    /// # Errors
    ///
    /// [`WaitTimeout`] after `limit`. It prints the transcript.
    pub async fn wait_until(
        &self,
        what: &str,
        fits: impl FnMut(&BTreeMap<String, ResourceView>) -> bool,
        limit: Duration,
    ) -> Result<(), WaitTimeout> {
        self.shared.until_views(what, limit, fits).await
    }

    /// Waits for an event, among those after the first `skip` ones. `what` is for the error.
    ///
    /// Use `skip` 0 for "ever", and the length of an earlier transcript for "since then".
    ///
    /// # Errors
    ///
    /// [`WaitTimeout`] after `limit`. It prints the transcript.
    pub async fn wait_for_event(
        &self,
        what: &str,
        skip: usize,
        fits: impl FnMut(&EventKind) -> bool,
        limit: Duration,
    ) -> Result<Event, WaitTimeout> {
        self.shared.until_event(what, skip, limit, fits).await
    }

    /// Admits a pod with one container, and starts the container.
    ///
    /// For each resource: picks healthy free devices, calls `GetPreferredAllocation` if the
    /// plugin wants that, calls `Allocate`. Pods are admitted one by one, and a plugin may
    /// take as long as it likes: give the call a limit if you need one. A pod that is not
    /// admitted, or whose future is dropped, has no devices afterwards.
    ///
    /// Then comes the start, with `PreStartContainer` if the plugin wants that. If it fails,
    /// the pod is admitted all the same: [`Pod::started`] tells.
    ///
    /// # Errors
    ///
    /// [`AdmissionError`], whose text is what the user of a real cluster sees.
    pub async fn admit(&self, pod: impl Into<PodSpec>) -> Result<Pod, AdmissionError> {
        admit(&self.shared, pod.into()).await
    }

    /// Starts the container of `pod` again: `PreStartContainer` if the plugin wants that,
    /// never `Allocate`. A plugin that does not want it need not be there.
    ///
    /// # Errors
    ///
    /// [`StartError`]. The pod keeps its devices.
    pub async fn restart_container(&self, pod: &Pod) -> Result<(), StartError> {
        start::container(&self.shared, pod).await
    }

    /// Deletes a pod. Its devices are free again. Returns whether there was such a pod.
    ///
    /// The plugin is not told, as in a real cluster.
    pub fn delete(&self, pod: &Pod) -> bool {
        self.shared.with(|state| {
            let found = state.pods.remove(pod.number);
            if found {
                state.record(EventKind::Deleted {
                    pod: pod.name.clone(),
                });
            }
            found
        })
    }

    /// Ends all containers of a pod. Its devices are free again, the pod object stays until
    /// it is deleted. Returns whether there was such a pod, not completed yet.
    ///
    /// A pod that is merely being deleted holds its devices until its containers have ended:
    /// to this kubelet it is a pod that runs.
    pub fn complete(&self, pod: &Pod) -> bool {
        self.shared.with(|state| {
            let found = state.pods.complete(pod.number);
            if found {
                state.record(EventKind::Completed {
                    pod: pod.name.clone(),
                });
            }
            found
        })
    }

    /// The pods of the node, oldest first, with what they hold now.
    ///
    /// After a start on a checkpoint that somebody else has left there are pods that this
    /// kubelet has not admitted. They are in the namespace `default`, and their name is their
    /// UID, because the checkpoint has no names.
    pub fn pods(&self) -> Vec<Pod> {
        self.shared.look(|state| state.pods.pods())
    }

    /// The path of the pod resources socket, in the directory `pod-resources` beside the
    /// device plugin directory. `None` if there is none: the device plugin directory is not
    /// called `device-plugins` as in a kubelet's root, or the options say
    /// [`Absent`](crate::PodResources::Absent).
    pub fn pod_resources_socket(&self) -> Option<PathBuf> {
        let dir = self.shared.pod_resources();
        dir.map(|dir| dir.join(KUBELET_SOCKET))
    }

    /// All events so far.
    pub fn transcript(&self) -> Transcript {
        self.shared.look(|state| state.log.transcript())
    }
}
