//! One life of a kubelet after the other.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{FileTypeExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use device_plugin::{KubeletDir, State, Supervisor};
use node_sim::{Event, EventKind, Fault, Kubelet, KubeletOptions, PodResources};
use tokio::{
    select,
    time::{Instant, sleep, timeout},
};

use crate::{
    disk::Disk,
    figures::Figures,
    leaks::Holdings,
    plan::{Arrival, Behaviour, Edit, Obstacle, Plan, Step, Until},
    truth::{Devices, RESOURCES, Truth, name},
};

/// How long anything may take. A lost trigger is made up for by the framework's poll, and the
/// longest wait between two attempts is 10 s, so all beyond this is never.
const LIMIT: Duration = Duration::from_secs(15);

/// How often to look where nothing tells.
const LOOK: Duration = Duration::from_millis(1);

/// A supervisor and its kubelet.
pub(crate) struct Node {
    disk: Disk,
    supervisor: Supervisor,
    kubelet: Kubelet,
    truth: Truth,
    pub(crate) figures: Figures,
}

impl Node {
    pub(crate) async fn new(disk: Disk) -> Self {
        let kubelet = Kubelet::start(disk.dir()).await.unwrap();
        Self {
            supervisor: Supervisor::new(KubeletDir::new(disk.dir())),
            kubelet,
            truth: Truth::default(),
            figures: Figures::default(),
            disk,
        }
    }

    /// Lives one life.
    pub(crate) async fn live(&mut self, plan: &Plan) -> Result<(), String> {
        self.kubelet.stop().await;
        for edit in &plan.before {
            self.truth.edit(&mut self.supervisor, edit).await;
        }
        self.arrive(plan).await?;
        let begun = Instant::now();
        self.until_told().await?;
        self.figures.add(plan.arrival.name(), begun.elapsed());
        for step in &plan.steps {
            let begun = Instant::now();
            let result = self.step(step).await;
            result.map_err(|error| format!("{step:?}\n{error}"))?;
            self.figures.add(step.name(), begun.elapsed());
        }
        let transcript = self.kubelet.transcript();
        if let Some(warning) = transcript.warnings().next() {
            return Err(format!("a complaint: {warning}\n{transcript}"));
        }
        Ok(())
    }

    /// Offers all, waits for rest, and counts.
    pub(crate) async fn holdings(&mut self) -> Holdings {
        for resource in 0..RESOURCES {
            let devices = Devices::all(resource);
            let edit = Edit::Offer(resource, devices.clone());
            self.truth.edit(&mut self.supervisor, &edit).await;
            let edit = Edit::Devices(resource, devices);
            self.truth.edit(&mut self.supervisor, &edit).await;
        }
        self.live(&Plan::calm()).await.unwrap();
        Holdings::at_rest().await
    }

    /// Ends plugin and kubelet.
    pub(crate) async fn end(self) {
        self.supervisor.shutdown(LIMIT).await;
        self.kubelet.stop().await;
    }

    async fn arrive(&mut self, plan: &Plan) -> Result<(), String> {
        match &plan.arrival {
            Arrival::Plain => self.start(&plan.kubelet).await,
            Arrival::Twice(first, until) => {
                self.start(first).await?;
                self.until(*until).await?;
                self.kubelet.stop().await;
                self.start(&plan.kubelet).await
            }
            Arrival::DirectoryGone => {
                remove_directory(&self.disk.dir())?;
                self.start(&plan.kubelet).await
            }
            Arrival::DiskFull if self.disk.can_be_full() => self.arrive_full(plan).await,
            Arrival::DiskFull => self.arrive_blocked(plan, 0, Obstacle::Link).await,
            Arrival::InTheWay(resource, obstacle) => {
                self.arrive_blocked(plan, *resource, *obstacle).await
            }
        }
    }

    async fn start(&mut self, behaviour: &Behaviour) -> Result<(), String> {
        let options = KubeletOptions::new();
        self.start_with(options, behaviour).await
    }

    async fn start_with(
        &mut self,
        options: KubeletOptions,
        behaviour: &Behaviour,
    ) -> Result<(), String> {
        let options = options
            .sockets(behaviour.sockets)
            .late_socket(behaviour.late)
            .reregistration(behaviour.reregistration);
        let faults = behaviour.faults.iter().cloned();
        let options = faults.fold(options, KubeletOptions::once);
        let started = Kubelet::start_with(self.disk.dir(), options).await;
        self.kubelet = started.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Starts the kubelet with the last free inode.
    async fn arrive_full(&mut self, plan: &Plan) -> Result<(), String> {
        remove_sockets(&self.disk.dir())?;
        let at_rest = async {
            while !self.disk.is_at_rest() {
                sleep(LOOK).await;
            }
        };
        let at_rest = timeout(LIMIT, at_rest).await;
        at_rest.map_err(|late| format!("old sockets stay open: {late}"))?;
        self.disk.fill();
        let options = KubeletOptions::new().pod_resources(PodResources::Absent);
        let started = self.start_with(options, &plan.kubelet).await;
        let seen = self.until_failed_or_told().await;
        self.disk.free();
        started.and(seen)
    }

    /// Starts the kubelet while the path of a socket is taken.
    async fn arrive_blocked(
        &mut self,
        plan: &Plan,
        resource: usize,
        obstacle: Obstacle,
    ) -> Result<(), String> {
        let path = self.socket(resource);
        put(&path, obstacle)?;
        let started = self.start(&plan.kubelet).await;
        let seen = if self.truth.has(resource) {
            self.until_failed_or_told().await
        } else {
            Ok(())
        };
        let removed = match obstacle {
            Obstacle::Directory => fs::remove_dir(&path),
            Obstacle::File | Obstacle::Link => fs::remove_file(&path),
        };
        removed.map_err(|error| error.to_string())?;
        started.and(seen)
    }

    /// Waits for a resource that cannot have its socket, if there is to be one.
    async fn until_failed_or_told(&mut self) -> Result<(), String> {
        let mut states = self.supervisor.states();
        let failed = states.wait_for(|states| {
            let mut states = states.values();
            states.any(|state| matches!(state, State::SocketFailed { .. }))
        });
        let failed = select! {
            state = timeout(LIMIT, failed) => state.is_ok_and(|state| state.is_ok()),
            told = self.until_told() => return told,
        };
        if !failed {
            return Err("neither a failed socket nor the truth".to_owned());
        }
        self.figures.failed_sockets += 1;
        Ok(())
    }

    /// Waits until the plugin has come so far with this kubelet.
    async fn until(&self, until: Until) -> Result<(), String> {
        if !self.truth.has_any() {
            return Ok(());
        }
        let fits = |kind: &EventKind| match until {
            Until::Started => true,
            Until::Register => matches!(kind, EventKind::Register { .. }),
            Until::Options => matches!(kind, EventKind::Options { .. }),
            Until::Registered => matches!(kind, EventKind::Registered { .. }),
            Until::StreamOpened => matches!(kind, EventKind::StreamOpened { .. }),
            Until::List => matches!(kind, EventKind::List { .. }),
            Until::NotDialled => {
                let fault = Fault::NoDialBack;
                matches!(kind, EventKind::Misbehaved { fault: now, .. } if *now == fault)
            }
        };
        self.event("the plugin", 0, fits).await
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let mark = self.kubelet.transcript().events().len();
        match step {
            Step::Edit(edit) => self.truth.edit(&mut self.supervisor, edit).await,
            Step::LoseSocket { resource, late_end } if self.truth.has(*resource) => {
                if *late_end {
                    self.kubelet.once(Fault::LateStreamEnd);
                }
                if fs::remove_file(self.socket(*resource)).is_ok() {
                    let resource = name(*resource);
                    let again = |kind: &EventKind| matches!(kind, EventKind::Registered { resource: of, .. } if *of == resource.as_str());
                    self.event("a registration", mark, again).await?;
                }
            }
            Step::HangUp(resource) if self.truth.has(*resource) => {
                if self.kubelet.hang_up(name(*resource).as_str()) {
                    let ended = |kind: &EventKind| matches!(kind, EventKind::StreamEnded { .. });
                    self.event("the end of a stream", mark, ended).await?;
                }
            }
            Step::LoseSocket { .. } | Step::HangUp(_) => {}
        }
        self.until_told().await?;
        self.kubelet.behave();
        Ok(())
    }

    /// Waits for an event after the first `skip` ones.
    async fn event(
        &self,
        what: &str,
        skip: usize,
        fits: impl FnMut(&EventKind) -> bool,
    ) -> Result<(), String> {
        let event = self.kubelet.wait_for_event(what, skip, fits, LIMIT);
        event.await.map(drop).map_err(|late| late.to_string())
    }

    /// Waits until the kubelet shows the truth, and no stream is open that does not count.
    async fn until_told(&self) -> Result<(), String> {
        let fail = |late: String| {
            let states = self.supervisor.states();
            let states = states.borrow().clone();
            format!("{late}\nstates: {states:#?}\nthe truth:\n{}", self.truth)
        };
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = |views: &_| self.truth.is_told(views);
            let told = self.kubelet.wait_until("the truth", told, left);
            told.await.map_err(|late| fail(late.to_string()))?;
            let transcript = self.kubelet.transcript();
            let views = self.kubelet.resources();
            let counting = views.values().filter(|view| view.streaming).count();
            if open_streams(transcript.events()) == counting && self.truth.is_told(&views) {
                return Ok(());
            }
            let skip = transcript.events().len();
            let any = self
                .kubelet
                .wait_for_event("the end of an old stream", skip, |_| true, left);
            any.await.map_err(|late| fail(late.to_string()))?;
        }
    }

    fn socket(&self, resource: usize) -> PathBuf {
        let file = name(resource).as_str().replace('/', "-");
        self.disk.dir().join(format!("{file}.sock"))
    }
}

/// How many streams are open.
fn open_streams(events: &[Event]) -> usize {
    let mut open = BTreeSet::new();
    for event in events {
        match &event.kind {
            EventKind::StreamOpened { stream, .. } => drop(open.insert(stream)),
            EventKind::StreamEnded { stream, .. } => drop(open.remove(stream)),
            _ => {}
        }
    }
    open.len()
}

/// Removes all sockets, as a kubelet that starts does.
fn remove_sockets(dir: &Path) -> Result<(), String> {
    let remove = || {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_socket() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    again(remove)
}

/// The plugin may just be making a socket in there.
fn remove_directory(dir: &Path) -> Result<(), String> {
    again(|| fs::remove_dir_all(dir))
}

/// Puts something in the place of a socket. The plugin may just be making that.
fn put(path: &Path, obstacle: Obstacle) -> Result<(), String> {
    again(|| {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match obstacle {
            Obstacle::Directory => fs::create_dir(path),
            Obstacle::File => fs::File::create_new(path).map(drop),
            Obstacle::Link => symlink(path, path),
        }
    })
}

/// Does something that the plugin can spoil by chance.
fn again(mut attempt: impl FnMut() -> io::Result<()>) -> Result<(), String> {
    const ATTEMPTS: u32 = 1_000;
    let mut result = attempt();
    for _ in 0..ATTEMPTS {
        if result.is_ok() {
            break;
        }
        result = attempt();
    }
    result.map_err(|error| error.to_string())
}
