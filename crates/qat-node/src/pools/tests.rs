use device_plugin::cdi::Owner;
use passthrough::VfioInterface;
use qat_policy::{PoolName, ResourceNames};

use super::*;

fn name(text: &str) -> PoolName {
    text.parse().unwrap()
}

fn rule(pool: &str) -> PoolRule {
    PoolRule {
        pool: Some(name(pool)),
        ..PoolRule::default()
    }
}

fn called(pool: &str, other: &str) -> PoolRule {
    PoolRule {
        name: Some(name(other)),
        ..rule(pool)
    }
}

fn problem(rules: impl Into<Vec<PoolRule>>) -> String {
    PoolConfig::new(rules.into()).unwrap_err().to_string()
}

#[test]
fn without_rules_a_pool_is_what_intels_plugin_gives() {
    let settings = PoolConfig::default().of(&name("cy"));
    assert_eq!(settings, PoolSettings::default());
    assert_eq!(settings.interface, VfioInterface::Group);
    assert_eq!(settings.cdi, CdiMode::Off);
    assert_eq!(settings.numbered_prefix.unwrap().to_string(), "QAT");
}

#[test]
fn the_rule_of_a_pool_wins_key_by_key() {
    let every = PoolRule {
        cdi: Some(CdiMode::Spec),
        numbering: Some(Numbering::Off),
        ..PoolRule::default()
    };
    let cy = PoolRule {
        interface: Some(VfioInterface::Cdev),
        ..rule("cy")
    };
    let dc = PoolRule {
        cdi: Some(CdiMode::Off),
        numbering: Some(Numbering::With("DC".parse().unwrap())),
        ..called("dc", "compress")
    };
    let config = PoolConfig::new(vec![cy, every, dc]).unwrap();
    let usual = PoolSettings::default();
    let expected = PoolSettings {
        interface: VfioInterface::Cdev,
        cdi: CdiMode::Spec,
        numbered_prefix: None,
        ..usual.clone()
    };
    assert_eq!(config.of(&name("cy")), expected);
    let expected = PoolSettings {
        numbered_prefix: "DC".parse().ok(),
        ..usual.clone()
    };
    assert_eq!(config.of(&name("compress")), expected);
    assert_eq!(
        config.names(ResourceNames::Canonical).renamed[&name("dc")],
        name("compress")
    );
    let expected = PoolSettings {
        cdi: CdiMode::Spec,
        numbered_prefix: None,
        ..usual
    };
    assert_eq!(config.of(&name("sym")), expected);
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    assert_eq!(
        problem([rule("cy"), PoolRule::default(), rule("cy")]),
        "pool rules 1 and 3 are both for pool `cy`; put them into one"
    );
    assert_eq!(
        problem([PoolRule::default(), PoolRule::default()]),
        "pool rules 1 and 2 are both for every pool; put them into one"
    );
    let of_all = PoolRule {
        name: Some(name("x")),
        ..PoolRule::default()
    };
    assert!(problem([of_all]).contains("every pool would be called `x`"));
}

#[test]
fn no_two_pools_have_one_name_or_lead_to_one_variable() {
    assert_eq!(
        problem([called("cy", "fast"), called("dc", "fast")]),
        "pools `cy` and `dc` would both be called `fast`; give each its own `name`"
    );
    assert!(problem([called("cy", "dc")]).contains("VFs with other services are called"));
    assert!(problem([called("cy", "dc-sym")]).contains("other services"));
    assert!(problem([called("cy", "generic")]).contains("other services"));
    // Unless that one is called otherwise.
    PoolConfig::new(vec![called("cy", "dc"), called("dc", "cy")]).unwrap();
    let text = problem([called("cy", "a.b"), called("dc", "a_b")]);
    assert!(text.contains("PCIDEVICE_QAT_INTEL_COM_A_B"), "{text}");
}

/// The kubelet asks once for each pool and keeps one of two equal variables.
#[test]
fn numbers_that_were_chosen_for_two_pools_differ() {
    let numbered = |pool, prefix: &str| PoolRule {
        numbering: Some(Numbering::With(prefix.parse().unwrap())),
        ..rule(pool)
    };
    assert_eq!(
        problem([numbered("cy", "QAT"), numbered("dc", "QAT")]),
        "pools `cy` and `dc` would both set `QAT0`, and a container that asks for both would keep one; give them prefixes \
         of their own"
    );
    PoolConfig::new(vec![
        numbered("cy", "CY"),
        numbered("dc", "DC"),
        rule("sym"),
    ])
    .unwrap();
}

#[test]
fn what_cdi_cannot_say_is_refused() {
    let with = |interface, cdi| PoolRule {
        interface: Some(interface),
        cdi: Some(cdi),
        ..rule("cy")
    };
    for cdi in [CdiMode::Spec, CdiMode::Field] {
        assert!(problem([with(VfioInterface::Both, cdi)]).contains("one node"));
        assert!(problem([with(VfioInterface::None, cdi)]).contains("no node"));
        PoolConfig::new(vec![with(VfioInterface::Cdev, cdi)]).unwrap();
    }
    // Also where the two come from different rules.
    let every = PoolRule {
        cdi: Some(CdiMode::Spec),
        ..PoolRule::default()
    };
    let both = PoolRule {
        interface: Some(VfioInterface::Both),
        ..rule("cy")
    };
    assert!(problem([every, both]).starts_with("pool `cy` would have `vfio: both`"));
}

#[test]
fn an_owner_needs_somebody_who_is_told() {
    let owned = |pool: Option<&str>, cdi, mode| PoolRule {
        pool: pool.map(name),
        cdi,
        owner: Some(Owner {
            mode: Some(mode),
            ..Owner::default()
        }),
        ..PoolRule::default()
    };
    assert!(problem([owned(None, None, 0o660)]).starts_with("every pool has an `owner`"));
    assert!(problem([owned(Some("cy"), None, 0o660)]).starts_with("pool `cy` has an `owner`"));
    let field = PoolRule {
        cdi: Some(CdiMode::Field),
        ..rule("cy")
    };
    let config = PoolConfig::new(vec![owned(None, None, 0o660), field]).unwrap();
    assert_eq!(config.of(&name("cy")).owner.mode, Some(0o660));
    let text = problem([owned(Some("cy"), Some(CdiMode::Field), 0o1777)]);
    assert!(text.contains("mode 1777"), "{text}");
}
