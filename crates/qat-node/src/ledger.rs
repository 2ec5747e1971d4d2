//! What may be in use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use device_plugin::ResourceName;
use device_plugin::pods::{PodView, Source};
use qat_policy::PoolName;
use sysfs_pci::PciAddress;
use tokio::time::Instant;
use vfio_host::bind::Claim;

use crate::leaks::Leak;
use crate::resource::pool_of;
use crate::resource_text;

/// How long a VF counts as held after it was handed out, whatever the kubelet says. It writes down
/// what it has given to a pod after our answer has come.
const ANSWER: Duration = Duration::from_secs(30);

/// What pods may hold: what the kubelet says, what we have just handed out, and which VFs are open.
///
/// The kubelet counts each resource by itself. So a VF that is held as `qat.intel.com/cy` must not be
/// offered as anything else, whoever gave it away: this plugin under an earlier configuration, the Go
/// plugin, or a plugin for SR-IOV devices of any kind.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    view: Option<Arc<PodView>>,
    answers: BTreeMap<PciAddress, Answer>,
    open: BTreeMap<PciAddress, bool>,
    /// VFs that are open although no pod holds them, with who held them last.
    leaked: BTreeMap<PciAddress, Option<String>>,
    /// Who held each VF last.
    holders: BTreeMap<PciAddress, String>,
}

#[derive(Clone, Debug)]
struct Answer {
    pool: PoolName,
    resource: String,
    at: Instant,
}

impl Ledger {
    /// Learns who holds what.
    pub fn learn(&mut self, view: Arc<PodView>) {
        self.answers
            .retain(|_, answer| answer.at + ANSWER > view.asked);
        for (id, _, holder) in view.holdings.iter() {
            if let Ok(vf) = id.parse() {
                self.holders.insert(vf, holder.to_string());
            }
        }
        self.view = Some(view);
    }

    /// Notes which VFs are open although no pod holds them.
    pub(crate) fn leaked(&mut self, leaks: &BTreeMap<PciAddress, Leak>) {
        let leaks = leaks.iter();
        self.leaked = leaks
            .map(|(vf, leak)| (*vf, leak.last_holder.clone()))
            .collect();
    }

    /// Forgets who held VFs that are none of `known`.
    pub(crate) fn forget(&mut self, known: &BTreeSet<PciAddress>) {
        self.holders.retain(|vf, _| known.contains(vf));
    }

    /// What was handed out a moment ago.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (PciAddress, &PoolName, Instant)> {
        let answers = self.answers.iter();
        answers.map(|(vf, answer)| (*vf, &answer.pool, answer.at))
    }

    /// Whether what pods hold is known: somebody has answered, and had the time to hear of all pods.
    pub(crate) fn knows_the_pods(&self) -> bool {
        let view = self.view.as_ref();
        view.is_some_and(|view| view.settled && !matches!(view.source, Source::Nobody { .. }))
    }

    /// The resources of this plugin of which a pod has a device, or may have one soon. `None` while that is not known.
    pub(crate) fn resources(&self) -> Option<BTreeSet<ResourceName>> {
        let view = self.view.as_ref().filter(|_| self.knows_the_pods())?;
        let held = view.holdings.iter().map(|(_, resource, _)| resource);
        let ours = held.filter(|resource| pool_of(resource).is_some());
        let recent = self.answers.values().map(|answer| answer.resource.as_str());
        let all: BTreeSet<&str> = ours.chain(recent).collect();
        Some(all.into_iter().filter_map(|one| one.parse().ok()).collect())
    }

    /// The VFs that pods have under a name of this plugin, each with the pool of that name.
    pub(crate) fn allocated(&self) -> impl Iterator<Item = (PciAddress, PoolName)> {
        let holdings = self.view.iter().flat_map(|view| view.holdings.iter());
        holdings.filter_map(|(id, resource, _)| Some((id.parse().ok()?, pool_of(resource)?)))
    }

    /// Whether a pod holds a VF, or may soon as it was just handed out.
    pub(crate) fn is_held(&self, vf: PciAddress) -> bool {
        let held = |view: &Arc<PodView>| view.holdings.is_held(&vf.to_string());
        self.answers.contains_key(&vf) || self.view.as_ref().is_some_and(held)
    }

    /// Who held a VF last, as far as this process has heard.
    pub(crate) fn last_holder(&self, vf: PciAddress) -> Option<String> {
        self.holders.get(&vf).cloned()
    }

    /// Notes that VFs of `pool` were handed out.
    pub fn answered(&mut self, pool: &PoolName, vfs: &[PciAddress], at: Instant) {
        for vf in vfs {
            let (pool, resource) = (pool.clone(), resource_text(pool));
            self.answers.insert(*vf, Answer { pool, resource, at });
        }
    }

    /// Notes which VFs are open, as far as anybody looked: their enable count is 1 or more. VFIO
    /// enables a function when it is opened.
    pub fn see(&mut self, open: BTreeMap<PciAddress, bool>) {
        self.open = open;
    }

    /// The latest word on who holds what.
    pub fn view(&self) -> Option<&PodView> {
        self.view.as_deref()
    }

    /// Whether the question who holds what was put and nobody has answered.
    pub fn nobody_knows(&self) -> bool {
        let view = self.view.as_ref();
        view.is_some_and(|view| matches!(view.source, Source::Nobody { .. }))
    }

    /// Why a VF must not be handed out as one of `pool`: it is held as something else, or it is open and
    /// nobody can be asked what as.
    pub fn objection(&self, vf: PciAddress, pool: &PoolName) -> Option<Objection> {
        let resource = resource_text(pool);
        let view = self.view.as_ref();
        let elsewhere = view.and_then(|view| view.holdings.elsewhere(&vf.to_string(), &resource));
        if let Some((resource, holder)) = elsewhere {
            return Some(Objection::Held {
                resource: resource.to_owned(),
                by: holder.to_string(),
            });
        }
        let answer = self.answers.get(&vf);
        if let Some(answer) = answer.filter(|answer| answer.resource != resource) {
            return Some(Objection::JustGiven {
                resource: answer.resource.clone(),
            });
        }
        if let Some(last_holder) = self.leaked.get(&vf) {
            return Some(Objection::Open {
                last_holder: last_holder.clone(),
            });
        }
        (self.nobody_knows() && self.open.get(&vf) != Some(&false)).then_some(Objection::Unknown)
    }

    /// Who holds a VF, for those who want to bind it or take it from its driver.
    pub fn claim(&self, vf: PciAddress) -> Claim {
        match (self.answers.get(&vf), &self.view) {
            (Some(answer), _) => Claim::Held {
                by: format!("a pod that was just given {}", answer.resource),
            },
            (None, Some(view)) => claim(view, vf),
            (None, None) => Claim::Unknown {
                why: "nobody was asked yet".to_owned(),
            },
        }
    }

    /// Whether a VF may leave its pool: nobody holds it, as of a question that was put after `since`.
    ///
    /// Where nobody can be asked, the VF itself says whether it is open, if it is still there.
    pub fn is_free(&self, vf: PciAddress, since: Instant) -> bool {
        let Some(view) = &self.view else {
            return false;
        };
        if self.answers.contains_key(&vf) || view.asked < since {
            return false;
        }
        match self.open.get(&vf) {
            Some(true) => false,
            None if self.nobody_knows() => false,
            _ => !view.holdings.is_held(&vf.to_string()),
        }
    }
}

/// Who holds a VF, as a view of the pods has it.
pub fn claim(view: &PodView, vf: PciAddress) -> Claim {
    match (view.holdings.holder(&vf.to_string()), &view.source) {
        (Some((resource, holder)), _) => Claim::Held {
            by: format!("{holder} as {resource}"),
        },
        (None, source @ Source::Nobody { .. }) => Claim::Unknown {
            why: source.shortcoming().unwrap_or_default(),
        },
        (None, Source::Kubelet | Source::Checkpoint { .. }) => Claim::None,
    }
}

/// Why a VF must not be handed out under a resource, although nothing is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Objection {
    /// A pod holds it as something else.
    #[error("{by} holds it as {resource}; it is offered here when that pod is gone")]
    Held {
        /// As what.
        resource: String,
        /// By whom.
        by: String,
    },
    /// It was handed out a moment ago as something else.
    #[error("it was just given to a pod as {resource}; it is offered here when that pod is gone")]
    JustGiven {
        /// As what.
        resource: String,
    },
    /// It is open although no pod holds it, so VFIO would refuse it to the next pod.
    #[error(
        "it is open although no pod holds it{}; `qat-inspect show` names the process that has it",
        last_holder.as_ref().map(|holder| format!(" (last: {holder})")).unwrap_or_default()
    )]
    Open {
        /// Who held it last, if that is known.
        last_holder: Option<String>,
    },
    /// It is open, or may be, and nobody says who holds it.
    #[error(
        "it may be in use, and nothing says whether a pod holds it as another resource; mount the \
         kubelet's pod-resources directory"
    )]
    Unknown,
}

impl Objection {
    /// A stable short code, for metrics and programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Held { .. } | Self::JustGiven { .. } => "held",
            Self::Open { .. } => "leaked",
            Self::Unknown => "holder-unknown",
        }
    }

    /// Whether it may end with a pod, of which nobody tells.
    #[must_use]
    pub const fn ends_with_a_pod(&self) -> bool {
        !matches!(self, Self::Open { .. })
    }
}
