//! The kubelet that a test holds in its hands.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kubelet_api::deviceplugin::v1beta1::{KUBELET_SOCKET, registration_server::RegistrationServer};
use tokio::{select, sync::Mutex, time::sleep};
use tokio_stream::{StreamExt, wrappers::UnixListenerStream};
use tonic::transport::Server;

use super::{
    admission::admit,
    connections::Connections,
    options::{Fault, KubeletOptions, Restart, Times},
    pod::{AdmissionError, Pod, PodSpec},
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
        let how = options.sockets;
        let kubelet = Self {
            shared: Arc::new(Shared::new(dir.as_ref().to_owned(), options)),
            run: Mutex::new(None),
        };
        kubelet.resume(how, Duration::ZERO).await?;
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
    /// Pods keep their devices. Does nothing if the kubelet is stopped.
    pub async fn stop(&self) {
        let mut current = self.run.lock().await;
        if let Some(run) = current.take() {
            run.end().await;
            self.shared.with(|state| {
                for resource in state.resources.values_mut() {
                    if let Some(endpoint) = &mut resource.endpoint {
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
    /// The assignments of pods come from the checkpoint. Resources that were known start
    /// with no devices, and are forgotten if their plugin does not come back in time.
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
        self.shared.with(|state| {
            state.begin();
            state.record(EventKind::Started {
                dir: self.shared.dir.clone(),
                seed: self.shared.options.seed,
                removed,
            });
        });
        let run = Run {
            tasks: Tasks::default(),
            connections: Connections::default(),
        };
        let registrar = RegistrationServer::new(Registrar {
            shared: Arc::clone(&self.shared),
            tasks: run.tasks.clone(),
        });
        let connections = run.connections.clone();
        let incoming = UnixListenerStream::new(listener)
            .map(move |stream| stream.and_then(|stream| connections.track(stream)));
        let token = run.tasks.token.clone();
        run.tasks.spawn(async move {
            let server = Server::builder().serve_with_incoming(registrar, incoming);
            select! {
                () = token.cancelled() => {}
                result = server => drop(result),
            }
        });
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
            let found = state.pods.remove(&pod.uid).is_some();
            if found {
                state.record(EventKind::Deleted {
                    pod: pod.name.clone(),
                });
            }
            found
        })
    }

    /// All events so far.
    pub fn transcript(&self) -> Transcript {
        self.shared.look(|state| state.log.transcript())
    }
}
