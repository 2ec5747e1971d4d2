//! What the daemon counts, and whether it is alive and ready.

mod config;
mod current;
mod labels;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use device_plugin::{AllocateError, Call, DeviceSet, Health, Observer, ResourceName, State};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sysfs_pci::fs;
use tokio::sync::watch;

use self::current::{Current, Known as _};
use self::labels::{
    Answered, CallLabel, ConfigVersion, LookLabel, Pf, PfErrors, Reason, Reloaded, Resource,
    ResourceHealth, ResourceReason, ResourceState, SickPf,
};
use crate::hints::Hints;
use crate::{Look, NodeState, Pulse, Verdict, resource_text};

/// Where the buckets of durations end, in seconds.
const BUCKETS: [f64; 8] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0];

const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

/// The owner of the state comes by at least so often. Twice that without it, and it is stuck.
pub(crate) const BEAT: Duration = Duration::from_secs(15);
const STUCK: Duration = Duration::from_mins(1);

/// Counts what happens, for Prometheus and for probes. It learns of calls as the [`Observer`] of the resources.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    devices: Family<ResourceHealth, Gauge>,
    serving: Family<Resource, Gauge>,
    lists: Family<Resource, Counter>,
    calls: Family<Answered, Counter>,
    seconds: Family<CallLabel, Histogram, fn() -> Histogram>,
    transitions: Family<ResourceState, Counter>,
    looks: Family<LookLabel, Counter>,
    look_seconds: Histogram,
    file_system_calls: Counter,
    hints: Counter,
    lost: Counter,
    hearing: Gauge,
    unhealthy: Current<ResourceReason, Gauge>,
    withheld: Current<Reason, Gauge>,
    leaked: Gauge,
    reloads: Family<Reloaded, Counter>,
    stale: Gauge,
    config: Current<ConfigVersion, Gauge>,
    restart_required: Gauge,
    /// What `/readyz` adds about the configuration file.
    config_notes: Mutex<Vec<String>>,
    sick: Current<SickPf, Gauge>,
    heartbeats_failed: Current<Pf, Counter>,
    checks_refused: Current<Pf, Gauge>,
    errors: Current<PfErrors, Counter>,
    states: OnceLock<watch::Receiver<BTreeMap<ResourceName, State>>>,
    looked: AtomicBool,
    /// The resources that need a CDI file which cannot be written, with the reason.
    missing_cdi_files: Mutex<BTreeMap<String, String>>,
    started: Instant,
    /// When the owner last came by, in milliseconds since the start.
    beat: AtomicU64,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Has counted nothing.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("qat_plugin"),
            devices: Family::default(),
            serving: Family::default(),
            lists: Family::default(),
            calls: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            transitions: Family::default(),
            looks: Family::default(),
            look_seconds: histogram(),
            file_system_calls: Counter::default(),
            hints: Counter::default(),
            lost: Counter::default(),
            hearing: Gauge::default(),
            unhealthy: Current::default(),
            withheld: Current::default(),
            leaked: Gauge::default(),
            reloads: Family::default(),
            stale: Gauge::default(),
            config: Current::default(),
            restart_required: Gauge::default(),
            config_notes: Mutex::default(),
            sick: Current::default(),
            heartbeats_failed: Current::default(),
            checks_refused: Current::default(),
            errors: Current::default(),
            states: OnceLock::new(),
            looked: AtomicBool::new(false),
            missing_cdi_files: Mutex::default(),
            started: Instant::now(),
            beat: AtomicU64::new(0),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        self.register_the_kubelets();
        self.register_the_machines();
        self.register_the_pfs();
        self.register_the_configuration();
    }

    fn register_the_kubelets(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "devices",
            "VFs that the kubelet was told of",
            self.devices.clone(),
        );
        registry.register(
            "unhealthy",
            "VFs that the kubelet was told of as Unhealthy, by reason",
            self.unhealthy.family.clone(),
        );
        registry.register(
            "serving",
            "Whether the kubelet listens to the resource",
            self.serving.clone(),
        );
        registry.register(
            "transitions",
            "How often a resource came to a state with the kubelet: registering, registered, streaming and so on",
            self.transitions.clone(),
        );
        registry.register(
            "lists",
            "Lists of devices sent to the kubelet",
            self.lists.clone(),
        );
        registry.register(
            "calls",
            "Calls of the kubelet that were answered",
            self.calls.clone(),
        );
        registry.register(
            "call_seconds",
            "How long an answer took",
            self.seconds.clone(),
        );
    }

    fn register_the_machines(&mut self) {
        let registry = &mut self.registry;
        registry.register("looks", "Looks at the machine", self.looks.clone());
        registry.register(
            "look_seconds",
            "How long a look took",
            self.look_seconds.clone(),
        );
        registry.register(
            "file_system_calls",
            "File system calls that were made to read the machine",
            self.file_system_calls.clone(),
        );
        registry.register(
            "hints",
            "Hints that something may have changed: events of the kernel and of /dev/vfio",
            self.hints.clone(),
        );
        registry.register(
            "events_lost",
            "How often events of the kernel were lost, so that everything was looked at",
            self.lost.clone(),
        );
        registry.register(
            "hearing",
            "Whether the kernel's events arrive",
            self.hearing.clone(),
        );
        registry.register(
            "withheld",
            "VFs that are not offered, by reason",
            self.withheld.family.clone(),
        );
        registry.register(
            "leaked",
            "VFs that are open although no pod holds them",
            self.leaked.clone(),
        );
    }

    fn register_the_pfs(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "pf_sick",
            "PFs that are not well by their driver's word",
            self.sick.family.clone(),
        );
        registry.register(
            "pf_heartbeats_failed",
            "Heartbeat checks that found the PF dead, as its driver counts them",
            self.heartbeats_failed.family.clone(),
        );
        registry.register(
            "pf_checks_refused",
            "Heartbeat checks in a row that were refused because another was made a moment before",
            self.checks_refused.family.clone(),
        );
        registry.register(
            "pf_errors",
            "Errors of the PF, as its driver (device) and the PCI bus (bus) count them",
            self.errors.family.clone(),
        );
    }

    /// All of it in the text form of `OpenMetrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _written = encode(&mut text, &self.registry);
        text
    }

    /// Whether the owner of the state comes by.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub fn live(&self) -> Result<(), String> {
        let now = self.started.elapsed();
        let since = now.saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)));
        if since < STUCK {
            Ok(())
        } else {
            Err(format!(
                "the machine was not looked after for {} s",
                since.as_secs()
            ))
        }
    }

    /// Whether everything that can be advertised is advertised: the first scan is done, the kubelet watches each resource,
    /// and the CDI files that Allocate responses refer to are written.
    ///
    /// # Errors
    ///
    /// A line for each resource that is not, with its state.
    pub fn ready(&self) -> Result<(), String> {
        if !self.looked.load(Ordering::Relaxed) {
            return Err("the machine was not looked at yet".to_owned());
        }
        let files = self.missing_cdi_files();
        let mut lines: Vec<String> = files
            .iter()
            .map(|(resource, why)| format!("{resource}: {why}"))
            .collect();
        if let Some(states) = self.states.get() {
            let states = states.borrow();
            let not = states.iter().filter(|(_, state)| !state.is_serving());
            lines.extend(not.map(|(resource, state)| format!("{resource}: {state}")));
        }
        if lines.is_empty() {
            Ok(())
        } else {
            Err(lines.join("\n"))
        }
    }

    fn missing_cdi_files(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.missing_cdi_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the resources that need a CDI file which cannot be written, with the reason.
    pub(crate) fn described(&self, missing: BTreeMap<String, String>) {
        *self.missing_cdi_files() = missing;
    }

    /// The owner comes by.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(now, Ordering::Relaxed);
    }

    /// Takes note of what was heard so far.
    pub(crate) fn heard(&self, hints: &Hints) {
        self.hints.set_to(hints.count());
        self.lost.set_to(hints.lost());
        self.hearing.set(i64::from(hints.hears_the_kernel()));
        self.file_system_calls.set_to(fs::calls());
    }

    /// Takes note of the PFs' health.
    pub(crate) fn checked(&self, pulse: &Pulse) {
        let mut sick = BTreeMap::new();
        let (mut failed, mut refused, mut errors) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (pf, health, _) in pulse.pfs() {
            let pf = pf.to_string();
            let label = || Pf { pf: pf.clone() };
            if let Some(sickness) = health.sick() {
                let (pf, reason) = (pf.clone(), sickness.code().to_owned());
                sick.insert(SickPf { pf, reason }, 1);
            }
            let vitals = health.vitals();
            failed.extend(vitals.failed.value().map(|count| (label(), *count)));
            refused.insert(label(), u64::from(health.refused()));
            for (source, counted) in [("device", &vitals.ras), ("bus", &vitals.aer)] {
                for (severity, count) in [
                    ("correctable", &counted.correctable),
                    ("nonfatal", &counted.nonfatal),
                    ("fatal", &counted.fatal),
                ] {
                    let [source, severity] = [source, severity].map(str::to_owned);
                    let pf = pf.clone();
                    let label = PfErrors {
                        pf,
                        source,
                        severity,
                    };
                    errors.extend(count.value().map(|count| (label, *count)));
                }
            }
        }
        self.sick.show(sick);
        self.heartbeats_failed.show(failed);
        self.checks_refused.show(refused);
        self.errors.show(errors);
    }

    /// Takes note of what is advertised, and of how many VFs are open that nobody holds.
    pub(crate) fn judged(&self, state: &NodeState, leaked: usize) {
        let mut unhealthy = BTreeMap::new();
        for (pool, vfs) in &state.pools {
            for vf in vfs.values() {
                if let Verdict::Unhealthy { code, .. } = &vf.verdict {
                    let label = ResourceReason {
                        resource: resource_text(pool),
                        reason: code.to_string(),
                    };
                    *unhealthy.entry(label).or_default() += 1;
                }
            }
        }
        self.unhealthy.show(unhealthy);
        self.leaked.set(i64::try_from(leaked).unwrap_or(i64::MAX));
    }

    /// How resources stand, now and as it changes.
    pub(crate) fn watch(&self, states: watch::Receiver<BTreeMap<ResourceName, State>>) {
        let _first_only = self.states.set(states);
    }

    /// Takes note of a look.
    pub(crate) fn looked(&self, look: &Look, took: Duration) {
        let at = if look.partial { "part" } else { "everything" };
        let at = at.to_owned();
        self.looks.get_or_create(&LookLabel { at }).inc();
        self.look_seconds.observe(took.as_secs_f64());
        let mut withheld = BTreeMap::new();
        for (_, reason) in look.inventory.withheld() {
            let reason = reason.code().to_owned();
            *withheld.entry(Reason { reason }).or_default() += 1;
        }
        self.withheld.show(withheld);
        self.looked.store(true, Ordering::Relaxed);
    }

    fn count(&self, resource: &ResourceName, health: &str, count: usize) {
        let labels = ResourceHealth {
            resource: resource.to_string(),
            health: health.to_owned(),
        };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.devices.get_or_create(&labels).set(count);
    }
}

impl Observer for Metrics {
    fn state_changed(&self, resource: &ResourceName, state: &State) {
        let resource = resource.to_string();
        let transition = ResourceState {
            resource: resource.clone(),
            state: state.code().to_owned(),
        };
        self.transitions.get_or_create(&transition).inc();
        let labels = Resource {
            resource: resource.clone(),
        };
        if *state == State::Stopped {
            self.serving.remove(&labels);
            for health in [HEALTHY, UNHEALTHY] {
                let (resource, health) = (resource.clone(), health.to_owned());
                self.devices.remove(&ResourceHealth { resource, health });
            }
            return;
        }
        let serving = i64::from(state.is_serving());
        self.serving.get_or_create(&labels).set(serving);
    }

    fn list_sent(&self, resource: &ResourceName, devices: &DeviceSet) {
        let labels = Resource {
            resource: resource.to_string(),
        };
        self.lists.get_or_create(&labels).inc();
        let healthy = devices
            .iter()
            .filter(|device| device.health == Health::Healthy);
        let healthy = healthy.count();
        self.count(resource, HEALTHY, healthy);
        self.count(resource, UNHEALTHY, devices.len() - healthy);
    }

    fn call_answered(
        &self,
        resource: &ResourceName,
        call: Call,
        took: Duration,
        error: Option<&AllocateError>,
    ) {
        let call = match call {
            Call::Allocate => "allocate",
            Call::Prefer => "prefer",
            Call::PreStart => "pre_start",
            _ => "other",
        };
        let result = if error.is_some() { "refused" } else { "ok" };
        let answered = Answered {
            resource: resource.to_string(),
            call: call.to_owned(),
            result: result.to_owned(),
        };
        self.calls.get_or_create(&answered).inc();
        let label = CallLabel {
            call: call.to_owned(),
        };
        self.seconds
            .get_or_create(&label)
            .observe(took.as_secs_f64());
    }
}
