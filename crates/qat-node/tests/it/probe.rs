//! Asking VFIO on a simulated machine, where nothing is VFIO: what matters is who is left alone.

use std::collections::BTreeSet;
use std::fs;

use device_plugin::pods::{CHECKPOINT, Holder, Holdings, Pod, PodView, Source};
use node_sim::{Change, Machine, Profile};
use qat_node::{NodeProbe, probe};
use sysfs_pci::IommuGroupId;
use tokio::time::Instant;
use vfio_host::ProbeError;

use crate::machine::Site;

fn ask(site: &mut Site, pods: Option<&PodView>) -> NodeProbe {
    let look = site.look();
    probe(&site.settings.roots, &look.inventory, pods)
}

/// The groups that were opened, and the errors of those that were not.
fn sorted(probe: NodeProbe) -> (BTreeSet<IommuGroupId>, Vec<ProbeError>) {
    let mut opened = BTreeSet::new();
    let mut others = Vec::new();
    for (group, answer) in probe.groups.unwrap() {
        match answer.unwrap_err() {
            // The simulated node is no VFIO, which only an open can tell.
            ProbeError::NotVfio { .. } => {
                opened.insert(group);
            }
            error => others.push(error),
        }
    }
    (opened, others)
}

#[test]
fn groups_that_nobody_uses_are_opened() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let probe = ask(&mut site, None);
    let error = probe.container.as_ref().unwrap_err();
    assert!(matches!(error, ProbeError::NotVfio { .. }), "{error:?}");
    let (opened, others) = sorted(probe);
    assert_eq!((opened.len(), others.len()), (64, 0));
}

#[test]
fn a_group_whose_vf_is_open_or_held_is_left_alone() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let vfs = site.node.vfs();
    site.node.write_attr(vfs[0], "enable", b"1\n").unwrap();
    let mut holdings = Holdings::default();
    let holder = Holder {
        pod: Pod::Uid("7".to_owned()),
        container: "c".to_owned(),
    };
    holdings.insert("qat.intel.com/other", &vfs[1].to_string(), holder);
    let view = PodView {
        asked: Instant::now(),
        settled: true,
        source: Source::Kubelet,
        holdings,
    };
    let (opened, others) = sorted(ask(&mut site, Some(&view)));
    assert_eq!(opened.len(), 62);
    assert!(
        matches!(
            others.as_slice(),
            [ProbeError::Open { member, .. }, ProbeError::Held { why, .. }]
                if *member == vfs[0] && why.contains("container c of the pod with UID 7 holds")
        ),
        "{others:?}"
    );
}

#[tokio::test]
async fn nothing_is_opened_when_nothing_says_what_pods_hold() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    // The checkpoint is damaged, and the kubelet does not answer.
    let checkpoint = site.node.kubelet_dir().join(CHECKPOINT);
    fs::write(&checkpoint, "{").unwrap();
    let view = site.settings.roots.pods().view().await;
    let text = ask(&mut site, Some(&view)).groups.unwrap_err().to_string();
    assert!(
        text.starts_with("nothing says which VFs pods hold, so no group was asked: "),
        "{text}"
    );
    // A kubelet that has given nothing away has no checkpoint.
    fs::remove_file(&checkpoint).unwrap();
    let view = site.settings.roots.pods().view().await;
    assert_eq!(sorted(ask(&mut site, Some(&view))).0.len(), 64);
    // Without a kubelet there is none either.
    site.settings.roots = site.settings.roots.clone().with_kubelet("/nowhere");
    let view = site.settings.roots.pods().view().await;
    let text = ask(&mut site, Some(&view)).groups.unwrap_err().to_string();
    assert!(text.contains("checkpoint `/nowhere/"), "{text}");
}

#[test]
fn vfs_that_vfio_does_not_have_are_not_asked_about() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let vfs = machine.vfs();
    let machine = machine
        .with(Change::Driver {
            address: vfs[0],
            driver: None,
        })
        .with(Change::NoNode(vfs[1]));
    let (opened, others) = sorted(ask(&mut Site::new(machine), None));
    assert_eq!((opened.len(), others.len()), (62, 0));
}
