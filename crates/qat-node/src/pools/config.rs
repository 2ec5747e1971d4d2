//! Rules for pools, and what they come to.

use std::collections::BTreeMap;

use device_plugin::cdi::Owner;
use passthrough::{NumberedPrefix, VfioInterface, clash};
use qat_policy::{AllocationPolicy, PoolName, PoolNames, ResourceNames, Selector};

use super::{CdiMode, PoolProblem};
use crate::resource_name;

/// Intel's images read the VFs' addresses from `QAT0`, `QAT1`, ….
const USUAL_PREFIX: &str = "QAT";

/// What an operator says of a pool. What is `None` is as it is for every pool, or as usual.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PoolRule {
    /// The pool, by the name that its services give.
    pub pool: Option<PoolName>,
    /// The VFs of a pool that there is not by itself; it needs a `name`. A rule with neither is for every pool.
    pub select: Option<Selector>,
    /// What the pool is called.
    pub name: Option<PoolName>,
    /// Which free VFs a pod gets first.
    pub policy: Option<AllocationPolicy>,
    /// Whether the kubelet hears at which NUMA node a VF is.
    pub topology: Option<bool>,
    /// The nodes that a container gets.
    pub interface: Option<VfioInterface>,
    /// How much of CDI there is.
    pub cdi: Option<CdiMode>,
    /// Whose nodes are in a container.
    pub owner: Option<Owner>,
    /// Whether there are numbered variables.
    pub numbering: Option<Numbering>,
}

/// Whether a container gets a numbered variable for each VF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Numbering {
    /// No.
    Off,
    /// Yes, with this start of their names.
    With(NumberedPrefix),
}

/// How the VFs of one pool reach containers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolSettings {
    /// The nodes that a container gets.
    pub interface: VfioInterface,
    /// Which free VFs a pod gets first.
    pub policy: AllocationPolicy,
    /// Whether the kubelet hears at which NUMA node a VF is.
    pub topology: bool,
    /// How much of CDI there is.
    pub cdi: CdiMode,
    /// Whose nodes are in a container, where CDI is applied.
    pub owner: Owner,
    /// The start of numbered variables, if there are such.
    pub numbered_prefix: Option<NumberedPrefix>,
}

/// The rules for all pools, checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PoolConfig {
    every: PoolRule,
    /// By the name that the pool is called.
    by_name: BTreeMap<PoolName, PoolRule>,
    renamed: BTreeMap<PoolName, PoolName>,
    /// Pools with VFs that the operator chose, in the order of the rules.
    selected: Vec<(Selector, PoolName)>,
}

impl PoolConfig {
    /// Takes rules.
    ///
    /// # Errors
    ///
    /// [`PoolProblem`], the first.
    pub fn new(rules: Vec<PoolRule>) -> Result<Self, PoolProblem> {
        check_once(&rules)?;
        let mut config = Self::default();
        for (number, rule) in (1..).zip(rules) {
            match (rule.pool.clone(), rule.select.clone()) {
                (Some(_), Some(_)) => return Err(PoolProblem::PoolAndSelect { rule: number }),
                (Some(pool), None) => config.add(pool, rule)?,
                (None, Some(select)) => config.select(number, select, rule)?,
                (None, None) => match rule.name.clone() {
                    Some(name) => return Err(PoolProblem::NameOfAll { rule: number, name }),
                    None => config.every = rule,
                },
            }
        }
        config.check_names()?;
        config.check_prefixes()?;
        let every = PoolRule::default();
        for rule in config.by_name.values().chain([&every]) {
            check_settings(rule.pool.as_ref(), &config.settings(rule))?;
        }
        config.check_owners()?;
        Ok(config)
    }

    /// How the VFs of the pool reach containers, by the name that it is called.
    #[must_use]
    pub fn of(&self, pool: &PoolName) -> PoolSettings {
        let none = PoolRule::default();
        self.settings(self.by_name.get(pool).unwrap_or(&none))
    }

    /// How pools are called, those without a name of their own in this spelling.
    #[must_use]
    pub fn names(&self, spelling: ResourceNames) -> PoolNames {
        PoolNames {
            spelling,
            selected: self.selected.clone(),
            renamed: self.renamed.clone(),
        }
    }

    /// The same with another order in which free VFs are given, for pools of which no rule says one.
    #[must_use]
    pub fn with_policy(mut self, policy: AllocationPolicy) -> Self {
        self.every.policy.get_or_insert(policy);
        self
    }

    /// Pools with VFs that the operator chose, in the order in which they choose.
    #[must_use]
    pub fn selected(&self) -> &[(Selector, PoolName)] {
        &self.selected
    }

    /// The rules for single pools, by the name that each pool is called.
    pub fn named(&self) -> impl Iterator<Item = &PoolName> {
        self.by_name.keys()
    }

    fn select(
        &mut self,
        number: usize,
        selector: Selector,
        rule: PoolRule,
    ) -> Result<(), PoolProblem> {
        let Some(name) = rule.name.clone() else {
            return Err(PoolProblem::NoName {
                rule: number,
                selector: Box::new(selector),
            });
        };
        if self.by_name.contains_key(&name) {
            return Err(PoolProblem::NameTwice { name });
        }
        let mut before = self.selected.iter();
        if let Some((first, taker)) = before.find(|(first, _)| first.covers(&selector)) {
            return Err(PoolProblem::Covered {
                name,
                selector: Box::new(selector),
                taker: taker.clone(),
                first: Box::new(first.clone()),
            });
        }
        self.selected.push((selector, name.clone()));
        self.by_name.insert(name, rule);
        Ok(())
    }

    fn add(&mut self, pool: PoolName, rule: PoolRule) -> Result<(), PoolProblem> {
        let name = rule.name.clone().unwrap_or_else(|| pool.clone());
        match self.by_name.get(&name).map(|rule| rule.pool.clone()) {
            Some(Some(one)) => {
                let other = pool;
                return Err(PoolProblem::SameName { one, other, name });
            }
            Some(None) => return Err(PoolProblem::NameTwice { name }),
            None => {}
        }
        if name != pool {
            self.renamed.insert(pool, name.clone());
        }
        self.by_name.insert(name, rule);
        Ok(())
    }

    fn settings(&self, rule: &PoolRule) -> PoolSettings {
        let every = &self.every;
        let numbering = rule.numbering.as_ref().or(every.numbering.as_ref());
        PoolSettings {
            interface: rule.interface.or(every.interface).unwrap_or_default(),
            policy: rule.policy.or(every.policy).unwrap_or_default(),
            topology: rule.topology.or(every.topology).unwrap_or(true),
            cdi: rule.cdi.or(every.cdi).unwrap_or_default(),
            owner: rule.owner.or(every.owner).unwrap_or_default(),
            numbered_prefix: match numbering {
                None => USUAL_PREFIX.parse().ok(),
                Some(Numbering::Off) => None,
                Some(Numbering::With(prefix)) => Some(prefix.clone()),
            },
        }
    }

    /// No two pools are called the same or lead to one variable.
    fn check_names(&self) -> Result<(), PoolProblem> {
        for (pool, name) in &self.renamed {
            if name.is_of_services() && !self.renamed.contains_key(name) {
                let (pool, name) = (pool.clone(), name.clone());
                return Err(PoolProblem::NameOfServices { pool, name });
            }
        }
        for (_, name) in &self.selected {
            if name.is_of_services() && !self.renamed.contains_key(name) {
                let name = name.clone();
                return Err(PoolProblem::SelectedOfServices { name });
            }
        }
        for (one, other) in pairs(&self.by_name) {
            let (Ok(first), Ok(second)) = (resource_name(one.0), resource_name(other.0)) else {
                continue;
            };
            if let Some(variable) = clash(&first, &second) {
                return Err(PoolProblem::SameVariable {
                    one: one.0.clone(),
                    other: other.0.clone(),
                    variable,
                });
            }
        }
        Ok(())
    }

    /// An owner is of use where CDI tells the runtime. That of every pool is, if one has CDI.
    fn check_owners(&self) -> Result<(), PoolProblem> {
        let off = |rule: &PoolRule| self.settings(rule).cdi == CdiMode::Off;
        let of_all = self.every.owner.is_some()
            && off(&PoolRule::default())
            && self.by_name.values().all(off);
        let mut own = self.by_name.values().filter(|rule| rule.owner.is_some());
        match own.find(|rule| off(rule)) {
            Some(rule) => Err(PoolProblem::OwnerWithoutCdi {
                pool: rule.pool.clone(),
            }),
            None if of_all => Err(PoolProblem::OwnerWithoutCdi { pool: None }),
            None => Ok(()),
        }
    }

    /// What was said of two pools each must not be the same. What is usual, or was said of all, may be: that is how
    /// Intel's plugin numbers, and a container that asks for one pool is well served.
    fn check_prefixes(&self) -> Result<(), PoolProblem> {
        for (one, other) in pairs(&self.by_name) {
            if let Some(Numbering::With(prefix)) = &one.1.numbering
                && one.1.numbering == other.1.numbering
            {
                let prefix = prefix.clone();
                return Err(PoolProblem::SamePrefix {
                    one: one.0.clone(),
                    other: other.0.clone(),
                    prefix,
                });
            }
        }
        Ok(())
    }
}

impl Default for PoolSettings {
    /// The node of the group, no CDI, `QAT0` and so on: what Intel's plugin gives.
    fn default() -> Self {
        PoolConfig::default().settings(&PoolRule::default())
    }
}

fn check_once(rules: &[PoolRule]) -> Result<(), PoolProblem> {
    let mut seen: BTreeMap<Option<&PoolName>, usize> = BTreeMap::new();
    for (second, rule) in (1..).zip(rules).filter(|(_, rule)| rule.select.is_none()) {
        if let Some(first) = seen.insert(rule.pool.as_ref(), second) {
            let pool = rule.pool.clone();
            return Err(PoolProblem::Twice {
                pool,
                first,
                second,
            });
        }
    }
    Ok(())
}

fn check_settings(pool: Option<&PoolName>, settings: &PoolSettings) -> Result<(), PoolProblem> {
    let pool = pool.cloned();
    let PoolSettings {
        interface,
        cdi,
        owner,
        ..
    } = settings;
    match (interface, *cdi) {
        (VfioInterface::Both, CdiMode::Spec | CdiMode::Field) => {
            Err(PoolProblem::BothWithCdi { pool, cdi: *cdi })
        }
        (VfioInterface::None, CdiMode::Spec | CdiMode::Field) => {
            Err(PoolProblem::NoneWithCdi { pool, cdi: *cdi })
        }
        _ => match owner.mode {
            Some(mode) if mode > 0o777 => Err(PoolProblem::Mode { pool, mode }),
            _ => Ok(()),
        },
    }
}

/// Every two rules, with the names of their pools.
fn pairs(
    rules: &BTreeMap<PoolName, PoolRule>,
) -> impl Iterator<Item = ((&PoolName, &PoolRule), (&PoolName, &PoolRule))> {
    let with_rest = rules.iter().enumerate();
    with_rest.flat_map(|(n, one)| rules.iter().skip(n + 1).map(move |other| (one, other)))
}
