//! What the daemon counts, and whether it is alive and ready.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use device_plugin::{AllocateError, Call, DeviceSet, Health, Observer, ResourceName, State};
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use qat_policy::health::Sickness;
use sysfs_pci::PciAddress;
use tokio::sync::watch;

use crate::Look;

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
    looks: Counter,
    look_seconds: Histogram,
    withheld: Family<Reason, Gauge>,
    sick: Family<SickPf, Gauge>,
    /// What `withheld` and `sick` say now, so that what is no more goes.
    said: Mutex<Said>,
    states: OnceLock<watch::Receiver<BTreeMap<ResourceName, State>>>,
    looked: AtomicBool,
    started: Instant,
    /// When the owner last came by, in milliseconds since the start.
    beat: AtomicU64,
}

#[derive(Debug, Default)]
struct Said {
    withheld: BTreeMap<Reason, i64>,
    sick: BTreeMap<SickPf, i64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Resource {
    resource: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResourceHealth {
    resource: String,
    health: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabel {
    call: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    resource: String,
    call: String,
    result: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct Reason {
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct SickPf {
    pf: String,
    reason: String,
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
            looks: Counter::default(),
            look_seconds: histogram(),
            withheld: Family::default(),
            sick: Family::default(),
            said: Mutex::default(),
            states: OnceLock::new(),
            looked: AtomicBool::new(false),
            started: Instant::now(),
            beat: AtomicU64::new(0),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "devices",
            "VFs that the kubelet was told of",
            self.devices.clone(),
        );
        registry.register(
            "serving",
            "Whether the kubelet listens to the resource",
            self.serving.clone(),
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
        registry.register("looks", "Looks at the machine", self.looks.clone());
        registry.register(
            "look_seconds",
            "How long a look took",
            self.look_seconds.clone(),
        );
        registry.register(
            "withheld",
            "VFs that are not offered, by reason",
            self.withheld.clone(),
        );
        registry.register(
            "pf_sick",
            "PFs that are not well by their driver's word",
            self.sick.clone(),
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

    /// Whether everything that there is to offer is offered: the machine was looked at, and the kubelet listens to each
    /// resource.
    ///
    /// # Errors
    ///
    /// A line for each resource that is not, with its state.
    pub fn ready(&self) -> Result<(), String> {
        if !self.looked.load(Ordering::Relaxed) {
            return Err("the machine was not looked at yet".to_owned());
        }
        let Some(states) = self.states.get() else {
            return Ok(());
        };
        let states = states.borrow();
        let not = states.iter().filter(|(_, state)| !state.is_serving());
        let lines: Vec<String> = not
            .map(|(resource, state)| format!("{resource}: {state}"))
            .collect();
        if lines.is_empty() {
            Ok(())
        } else {
            Err(lines.join("\n"))
        }
    }

    /// The owner comes by.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(now, Ordering::Relaxed);
    }

    /// How resources stand, now and as it changes.
    pub(crate) fn watch(&self, states: watch::Receiver<BTreeMap<ResourceName, State>>) {
        let _first_only = self.states.set(states);
    }

    /// Takes note of a look.
    pub(crate) fn looked(
        &self,
        look: &Look,
        sick: &BTreeMap<PciAddress, Sickness>,
        took: Duration,
    ) {
        self.looks.inc();
        self.look_seconds.observe(took.as_secs_f64());
        let mut now = Said::default();
        for (_, reason) in look.inventory.withheld() {
            let reason = reason.code().to_owned();
            *now.withheld.entry(Reason { reason }).or_default() += 1;
        }
        for (pf, sickness) in sick {
            let (pf, reason) = (pf.to_string(), sickness.code().to_owned());
            now.sick.insert(SickPf { pf, reason }, 1);
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in said
            .withheld
            .keys()
            .filter(|key| !now.withheld.contains_key(key))
        {
            self.withheld.remove(gone);
        }
        for gone in said.sick.keys().filter(|key| !now.sick.contains_key(key)) {
            self.sick.remove(gone);
        }
        for (reason, count) in &now.withheld {
            self.withheld.get_or_create(reason).set(*count);
        }
        for (pf, one) in &now.sick {
            self.sick.get_or_create(pf).set(*one);
        }
        *said = now;
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
