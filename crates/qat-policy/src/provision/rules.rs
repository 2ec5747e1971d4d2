//! From rules for many nodes to what is wanted of each PF of one.

use std::collections::BTreeMap;
use std::fmt;

use sysfs_pci::PciAddress;
use thiserror::Error;

use super::{PfGoal, VfDriver, VfsGoal};
use crate::family::Family;
use crate::services::ServiceSet;

/// What is wanted of the PFs that it selects. What it does not say, another rule may.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// Where it stands, for messages: `rule 2`.
    pub name: String,
    /// Names of nodes, with `*` and `?`. Empty: every node.
    pub nodes: Vec<String>,
    /// Only PFs of this family.
    pub family: Option<Family>,
    /// Only this PF.
    pub pf: Option<PciAddress>,
    /// What PFs are to be configured for.
    pub services: Option<ServiceSet>,
    /// Whether PFs are to reset themselves after a fatal error.
    pub auto_reset: Option<bool>,
    /// Which VFs PFs are to have.
    pub vfs: Option<VfsGoal>,
    /// What VFs are to be bound to.
    pub driver: Option<DriverGoal>,
}

/// What VFs are to be bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DriverGoal {
    /// What they are.
    Keep,
    /// This driver.
    To(VfDriver),
}

/// What is wrong with rules on a node. As text it is a sentence.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// A rule names a PF that this node does not have.
    #[error("{rule}: no QAT PF is at {pf}; this node has: {}", listed(there))]
    NoSuchPf {
        /// The rule.
        rule: String,
        /// The PF.
        pf: PciAddress,
        /// Those that there are.
        there: Vec<PciAddress>,
    },
    /// Two rules select the same PF by its address, and neither says more about the node.
    #[error("{first} and {second} both are for the PF {pf}; make one of them")]
    Twice {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// The PF.
        pf: PciAddress,
    },
    /// Two rules select a PF equally closely and say different things of it.
    #[error(
        "{first} and {second} say different things of `{what}` for {pf}; make one of them more specific"
    )]
    Conflict {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// The PF.
        pf: PciAddress,
        /// What they do not agree on.
        what: &'static str,
    },
    /// A PF cannot have the services that a rule wants.
    #[error("{rule}: {why}")]
    Services {
        /// The rule.
        rule: String,
        /// Why not.
        why: String,
    },
}

/// How closely a rule selects: a PF before a family before all, and of equals the one that names nodes.
type Closeness = (bool, bool, bool);

/// Finds out what is wanted of each PF of a node. A PF that no rule selects is not in it.
///
/// Each rule that selects a PF has its say on what it names, and the closest one wins for each matter. What
/// none of them names is: all VFs, bound to `vfio-pci`, services and automatic reset as they are. A rule without
/// `family` and `pf` does not speak of services to devices that have no choice.
///
/// # Errors
///
/// Every [`RuleProblem`]. Nothing should be done then.
pub fn goals(
    rules: &[Rule],
    node: Option<&str>,
    pfs: &[(PciAddress, Family)],
) -> Result<BTreeMap<PciAddress, PfGoal>, Vec<RuleProblem>> {
    let rules: Vec<&Rule> = rules.iter().filter(|rule| rule.is_for(node)).collect();
    let mut problems = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let Some(pf) = rule.pf else { continue };
        if !pfs.iter().any(|(there, _)| *there == pf) {
            problems.push(RuleProblem::NoSuchPf {
                rule: rule.name.clone(),
                pf,
                there: pfs.iter().map(|(pf, _)| *pf).collect(),
            });
        }
        let same = |other: &&&Rule| other.pf == Some(pf) && other.closeness() == rule.closeness();
        if let Some(first) = rules.iter().take(number).find(same) {
            problems.push(RuleProblem::Twice {
                first: first.name.clone(),
                second: rule.name.clone(),
                pf,
            });
        }
    }
    let mut goals = BTreeMap::new();
    for (pf, family) in pfs {
        let ours: Vec<&Rule> = rules
            .iter()
            .copied()
            .filter(|rule| rule.selects(*pf, *family))
            .collect();
        if !ours.is_empty() {
            goals.insert(*pf, goal(&ours, *pf, *family, &mut problems));
        }
    }
    // Two rules for one PF disagree too, and that is said.
    problems.dedup();
    if problems.is_empty() {
        Ok(goals)
    } else {
        Err(problems)
    }
}

fn goal(
    rules: &[&Rule],
    pf: PciAddress,
    family: Family,
    problems: &mut Vec<RuleProblem>,
) -> PfGoal {
    let support = family.spec().services;
    let chooses = support.is_configurable();
    let speaks = |rule: &&&Rule| chooses || rule.family.is_some() || rule.pf.is_some();
    let some: Vec<&Rule> = rules.iter().filter(speaks).copied().collect();
    let services = closest(&some, pf, "services", |rule| rule.services, problems);
    if let Some((rule, wanted)) = services
        && !support.allows(wanted)
    {
        let why = if chooses {
            let sets: Vec<String> = support.allowed().iter().map(ToString::to_string).collect();
            format!(
                "{pf} is a {family}, which cannot serve `{wanted}`; it can: {}",
                sets.join(", ")
            )
        } else {
            format!(
                "{pf} is a {family}, whose services cannot be chosen; leave `services` out for it"
            )
        };
        problems.push(RuleProblem::Services {
            rule: rule.name.clone(),
            why,
        });
    }
    let auto_reset = closest(&some, pf, "autoReset", |rule| rule.auto_reset, problems);
    let vfs = closest(rules, pf, "vfs", |rule| rule.vfs, problems);
    let driver = closest(rules, pf, "driver", |rule| rule.driver, problems);
    PfGoal {
        services: services.map(|(_, services)| services),
        auto_reset: auto_reset.map(|(_, on)| on),
        vfs: vfs.map_or(VfsGoal::All, |(_, vfs)| vfs),
        driver: match driver {
            None => Some(VfDriver::VfioPci),
            Some((_, DriverGoal::To(driver))) => Some(driver),
            Some((_, DriverGoal::Keep)) => None,
        },
        autoprobe: None,
    }
}

/// What the closest rule says that says anything.
fn closest<'a, T: PartialEq + Copy>(
    rules: &[&'a Rule],
    pf: PciAddress,
    what: &'static str,
    say: impl Fn(&Rule) -> Option<T>,
    problems: &mut Vec<RuleProblem>,
) -> Option<(&'a Rule, T)> {
    let mut best: Option<(&Rule, T)> = None;
    for rule in rules {
        let Some(value) = say(rule) else { continue };
        match best {
            Some((first, _)) if first.closeness() > rule.closeness() => {}
            Some((first, other)) if first.closeness() == rule.closeness() => {
                if other != value {
                    problems.push(RuleProblem::Conflict {
                        first: first.name.clone(),
                        second: rule.name.clone(),
                        pf,
                        what,
                    });
                }
            }
            _ => best = Some((*rule, value)),
        }
    }
    best
}

impl Rule {
    fn closeness(&self) -> Closeness {
        (
            self.pf.is_some(),
            self.family.is_some(),
            !self.nodes.is_empty(),
        )
    }

    fn is_for(&self, node: Option<&str>) -> bool {
        is_for_node(&self.nodes, node)
    }

    fn selects(&self, pf: PciAddress, family: Family) -> bool {
        self.pf.is_none_or(|wanted| wanted == pf)
            && self.family.is_none_or(|wanted| wanted == family)
    }
}

/// Whether what names these nodes, with `*` and `?`, is for a node. What names none is for every node, and a node whose name is
/// not known is none of those that are named.
pub fn is_for_node(globs: &[String], node: Option<&str>) -> bool {
    globs.is_empty() || node.is_some_and(|node| globs.iter().any(|glob| matches(glob, node)))
}

/// Whether a name fits a pattern with `*` (any text) and `?` (any character).
fn matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return pattern == name;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where to go on if what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || name.get(seen) == Some(wanted) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((after, from)) = star else {
                    return false;
                };
                star = Some((after, from + 1));
                (at, seen) = (after, from + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

impl fmt::Display for DriverGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.pad("keep"),
            Self::To(driver) => driver.fmt(f),
        }
    }
}

fn listed(pfs: &[PciAddress]) -> String {
    if pfs.is_empty() {
        return "none".to_owned();
    }
    let texts: Vec<String> = pfs.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pfs() -> Vec<(PciAddress, Family)> {
        [
            ("0000:3d:00.0", Family::C62x),
            ("0000:6b:00.0", Family::Gen4_4xxx),
            ("0000:70:00.0", Family::Gen4_4xxx),
            ("0000:e8:00.0", Family::Gen6_6xxx),
        ]
        .map(|(pf, family)| (pf.parse().unwrap(), family))
        .to_vec()
    }

    fn rule(name: &str) -> Rule {
        Rule {
            name: name.to_owned(),
            ..Rule::default()
        }
    }

    fn services(name: &str, text: &str) -> Rule {
        Rule {
            services: Some(text.parse().unwrap()),
            ..rule(name)
        }
    }

    fn text(rules: &[Rule], node: Option<&str>) -> Vec<String> {
        let problems = goals(rules, node, &pfs()).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_for_all_does_not_speak_of_services_to_those_without_a_choice() {
        let goals = goals(&[services("rule 1", "sym;asym")], None, &pfs()).unwrap();
        assert_eq!(goals.len(), 4);
        let services: Vec<_> = goals.values().map(|goal| goal.services.is_some()).collect();
        assert_eq!(services, [false, true, true, true]);
        for goal in goals.values() {
            assert_eq!(
                (goal.vfs, goal.driver),
                (VfsGoal::All, Some(VfDriver::VfioPci))
            );
        }
    }

    #[test]
    fn the_closest_rule_wins_for_each_matter() {
        let rules = [
            services("rule 1", "dc"),
            Rule {
                family: Some(Family::Gen4_4xxx),
                auto_reset: Some(true),
                ..services("rule 2", "sym")
            },
            Rule {
                pf: Some("0000:6b:00.0".parse().unwrap()),
                ..services("rule 3", "asym")
            },
            Rule {
                nodes: vec!["worker-1*".to_owned()],
                family: Some(Family::Gen4_4xxx),
                driver: Some(DriverGoal::Keep),
                ..services("rule 4", "sym;dc")
            },
        ];
        let of = |node| {
            let goals = goals(&rules, node, &pfs()).unwrap();
            let services = goals
                .values()
                .map(|goal| goal.services.map(|set| set.to_string()));
            let services: Vec<_> = services.map(Option::unwrap_or_default).collect();
            (
                services,
                goals["0000:6b:00.0".parse::<PciAddress>().as_ref().unwrap()].clone(),
            )
        };
        let (services, goal) = of(Some("worker-2"));
        assert_eq!(services, ["", "asym", "sym", "dc"]);
        assert_eq!(
            (goal.auto_reset, goal.driver),
            (Some(true), Some(VfDriver::VfioPci))
        );
        let (services, goal) = of(Some("worker-17"));
        assert_eq!(services, ["", "asym", "sym;dc", "dc"]);
        assert_eq!((goal.auto_reset, goal.driver), (Some(true), None));
        assert_eq!(of(None).0, ["", "asym", "sym", "dc"]);
    }

    #[test]
    fn a_pf_that_no_rule_selects_is_left_alone() {
        let only = Rule {
            family: Some(Family::C62x),
            ..rule("rule 1")
        };
        let goals = goals(&[only], None, &pfs()).unwrap();
        assert_eq!(
            goals.keys().map(ToString::to_string).collect::<Vec<_>>(),
            ["0000:3d:00.0"]
        );
    }

    #[test]
    fn every_problem_is_found() {
        let pf = |name, address: &str| Rule {
            pf: Some(address.parse().unwrap()),
            ..rule(name)
        };
        let rules = [
            services("rule 1", "dc"),
            services("rule 2", "sym"),
            pf("rule 3", "0000:ff:00.0"),
            pf("rule 4", "0000:6b:00.0"),
            pf("rule 5", "0000:6b:00.0"),
            Rule {
                family: Some(Family::C62x),
                ..services("rule 6", "sym")
            },
        ];
        let text = text(&rules, None).join("\n");
        for says in [
            "rule 3: no QAT PF is at 0000:ff:00.0; this node has: 0000:3d:00.0, ",
            "rule 4 and rule 5 both are for the PF 0000:6b:00.0",
            "rule 1 and rule 2 say different things of `services` for 0000:70:00.0",
            "rule 6: 0000:3d:00.0 is a c62x, whose services cannot be chosen",
        ] {
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn services_that_a_generation_lacks_are_refused() {
        for (set, families) in [("asym;sym;dc", 2), ("decomp", 2), ("asym;sym;dc;decomp", 3)] {
            let problems = text(&[services("rule 1", set)], None);
            assert_eq!(problems.len(), families, "{problems:?}");
            assert!(problems[0].contains("cannot serve"), "{problems:?}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a.b"),
            ("a*c", "abc"),
            ("a*c", "ac"),
            ("a?c*", "abcd"),
            ("*-gpu-*", "x-gpu-1"),
            ("a**b", "ab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a", ""),
            ("a?", "a"),
            ("a*c", "ab"),
            ("?", "ab"),
            ("*-gpu-*", "gpu"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_a_pattern_for_itself(name in "[a-z0-9.-]{0,20}", cut in 0..20_usize) {
            prop_assert!(matches(&name, &name));
            let head: String = name.chars().take(cut).collect();
            let pattern = format!("{head}*");
            prop_assert!(matches(&pattern, &name));
        }

        #[test]
        fn no_pattern_makes_it_panic(pattern in ".{0,12}", name in ".{0,12}") {
            let _fits = matches(&pattern, &name);
        }
    }
}
