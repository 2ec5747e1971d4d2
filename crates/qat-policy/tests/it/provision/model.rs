//! Plans on a model of the kernel: each is refused, or leads to the goal and back.

use proptest::option::of as option_of;
use proptest::prelude::*;
use proptest::sample::select;
use qat_policy::provision::{
    DeviceState, PfBefore, PfGoal, PfPlan, PfRefusal, PfState, PfStep, VfDriver, VfUse, VfsGoal,
    changes, plan, plan_undo,
};
use qat_policy::{Family, ServiceSet, Services};

use super::{FREE, driver, pf, set, vf};

/// Does a step as a kernel does; an error is one that the kernel would give.
fn apply(pf: &mut PfState, step: &PfStep) -> Result<(), &'static str> {
    let own = pf
        .family
        .spec()
        .vf_module
        .map(|_| driver(pf.family.spec().vf_driver));
    let destroy = |pf: &mut PfState| {
        if pf.vfs.iter().any(|vf| vf.usage != VfUse::Free) {
            return Err("a VF in use is destroyed");
        }
        pf.vfs.clear();
        Ok(())
    };
    match step {
        PfStep::State { to } => {
            pf.state.ok_or("ENOENT: qat/state")?;
            if *to == DeviceState::Down {
                destroy(pf)?;
            }
            pf.state = Some(*to);
        }
        PfStep::Services { set, words } => {
            if pf.state != Some(DeviceState::Down) {
                return Err("EINVAL: services while up");
            }
            if words.parse::<ServiceSet>() != Ok(*set) || !pf.family.spec().services.allows(*set) {
                return Err("EINVAL: services");
            }
            pf.services = Ok(Some(Services::parse(words).unwrap()));
        }
        PfStep::Autoprobe { on } => pf.autoprobe = Some(*on),
        PfStep::CreateVfs { total } => {
            if !pf.vfs.is_empty() {
                return Err("EBUSY: VFs are there");
            }
            if pf.total_vfs != Some(*total) {
                return Err("not all VFs");
            }
            let takes = own.filter(|_| pf.autoprobe != Some(false));
            for number in 0..u8::try_from(*total).unwrap() {
                let mut vf = vf(number, None, FREE);
                vf.driver.clone_from(&takes);
                pf.vfs.push(vf);
            }
            pf.state = pf.state.map(|_| DeviceState::Up);
        }
        PfStep::RemoveVfs => {
            destroy(pf)?;
            pf.state = pf.state.map(|_| DeviceState::Up);
        }
        PfStep::AutoReset { on } => {
            pf.auto_reset.ok_or("ENOENT: auto_reset")?;
            pf.auto_reset = Some(*on);
        }
        PfStep::BindVfs { driver: to, vfs } => {
            for vf in &mut pf.vfs {
                if vfs.is_empty() || vfs.contains(&vf.address) {
                    if vfs.is_empty() && vf.driver.is_some() {
                        return Err("another driver was faster");
                    }
                    vf.driver = Some(driver(to.as_str()));
                }
            }
        }
        _ => return Err("a step that the model does not know"),
    }
    Ok(())
}

fn any_set() -> impl Strategy<Value = ServiceSet> {
    select(vec![
        "sym",
        "asym",
        "dc",
        "asym;sym",
        "sym;dc",
        "asym;dc",
        "dcc",
        "decomp",
        "asym;sym;dc",
    ])
    .prop_map(set)
}

fn any_pf() -> impl Strategy<Value = PfState> {
    let families = vec![
        Family::Gen4_4xxx,
        Family::Gen6_6xxx,
        Family::C62x,
        Family::Gen5_420xx,
    ];
    (
        select(families),
        any_set(),
        any::<(bool, bool, bool, bool)>(),
        select(vec![None, Some("vfio-pci"), Some("own")]),
        option_of((0..16_u8, 0..3_u8)),
    )
        .prop_filter_map("a device has services that it can have", |parts| {
            let (family, services, (up, reset, vfs, autoprobe), vf_driver, used) = parts;
            let spec = family.spec();
            let configurable = spec.services.is_configurable();
            if configurable && !spec.services.allows(services) {
                return None;
            }
            let own = (vf_driver == Some("own")).then_some(spec.vf_driver);
            let name = own.or(vf_driver.filter(|name| *name != "own"));
            let mut pf = PfState {
                family,
                driver: Some(driver(spec.pf_driver)),
                state: configurable.then_some(if up {
                    DeviceState::Up
                } else {
                    DeviceState::Down
                }),
                services: Ok(configurable.then(|| Services::parse(&services.to_string()).unwrap())),
                auto_reset: configurable.then_some(reset),
                autoprobe: Some(autoprobe),
                ..pf("dc", false)
            };
            if vfs && (up || !configurable) {
                pf.vfs = (0..16).map(|number| vf(number, name, FREE)).collect();
                if let Some((number, how)) = used {
                    pf.vfs[usize::from(number)].usage = match how {
                        0 => VfUse::Open { by: Vec::new() },
                        1 => VfUse::Held {
                            by: "a pod".to_owned(),
                        },
                        _ => VfUse::Unknown {
                            why: "nobody".to_owned(),
                        },
                    };
                }
            }
            Some(pf)
        })
}

fn any_goal() -> impl Strategy<Value = PfGoal> {
    let vfs = select(vec![VfsGoal::All, VfsGoal::None, VfsGoal::Keep]);
    let drivers = select(vec![None, Some(VfDriver::VfioPci)]);
    (option_of(any_set()), any::<Option<bool>>(), vfs, drivers).prop_map(
        |(services, auto_reset, vfs, driver)| PfGoal {
            services,
            auto_reset,
            vfs,
            driver,
            autoprobe: None,
        },
    )
}

/// What an undo has to bring back, beside the drivers of VFs that were made anew.
fn essence(
    pf: &PfState,
) -> (
    Option<DeviceState>,
    Option<ServiceSet>,
    Option<bool>,
    Option<bool>,
    usize,
) {
    let services = pf
        .services
        .as_ref()
        .unwrap()
        .as_ref()
        .map(|services| services.set);
    (
        pf.state,
        services,
        pf.auto_reset,
        pf.autoprobe,
        pf.vfs.len(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_plan_is_refused_or_leads_to_the_goal_and_back(start in any_pf(), goal in any_goal()) {
        let Ok(first) = plan(&start, &goal) else { return Ok(()); };
        let mut pf = start.clone();
        for step in &first.steps {
            let done = apply(&mut pf, step);
            prop_assert_eq!(done, Ok(()), "{} of {:?}", step, first.steps);
        }
        match goal.vfs {
            VfsGoal::All => prop_assert_eq!(pf.vfs.len(), 16),
            VfsGoal::None => prop_assert_eq!(pf.vfs.len(), 0),
            VfsGoal::Keep => prop_assert_eq!(pf.vfs.len(), start.vfs.len()),
        }
        prop_assert_eq!(pf.autoprobe, start.autoprobe);
        if goal.driver.is_some() {
            prop_assert!(pf.vfs.iter().all(|vf| vf.driver == Some(driver("vfio-pci"))));
        }
        if let Some(wanted) = goal.services {
            prop_assert_eq!(essence(&pf).1, Some(wanted));
        }
        let again = plan(&pf, &goal);
        prop_assert!(again.as_ref().is_ok_and(PfPlan::is_empty), "again: {:?}", again);
        prop_assert_eq!(changes(&start, &first).is_empty(), first.is_empty());

        let before = PfBefore::of(&start);
        match plan_undo(&pf, &before) {
            Ok(undo) => {
                for step in &undo.steps {
                    prop_assert_eq!(apply(&mut pf, step), Ok(()), "undo {} of {:?}", step, undo.steps);
                }
                prop_assert_eq!(essence(&pf), essence(&start));
            }
            Err(refusal) => prop_assert!(matches!(refusal, PfRefusal::InUse { .. }), "{}", refusal),
        }
    }

    /// A crash after any step: a new plan goes on to the goal, and the way back is the same.
    #[test]
    fn from_the_middle_of_a_plan_there_is_a_way_on_and_a_way_back(
        start in any_pf(), goal in any_goal(), cut in 0..8_usize
    ) {
        let Ok(first) = plan(&start, &goal) else { return Ok(()); };
        let mut middle = start.clone();
        for step in first.steps.iter().take(cut) {
            apply(&mut middle, step).unwrap();
        }
        let mut on = middle.clone();
        let goal = goal.resumed(&PfBefore::of(&start), &middle);
        let rest = plan(&on, &goal);
        prop_assert!(rest.is_ok(), "{:?}", rest);
        for step in &rest.unwrap().steps {
            prop_assert_eq!(apply(&mut on, step), Ok(()), "{}", step);
        }
        let mut whole = start.clone();
        for step in &first.steps {
            apply(&mut whole, step).unwrap();
        }
        prop_assert_eq!(essence(&on), essence(&whole));
        let undo = plan_undo(&middle, &PfBefore::of(&start));
        if let Ok(undo) = undo {
            for step in &undo.steps {
                prop_assert_eq!(apply(&mut middle, step), Ok(()), "undo {} of {:?}", step, undo.steps);
            }
            prop_assert_eq!(essence(&middle), essence(&start));
        }
    }
}
