//! What confines containers on this machine: security policies, and the limit of locked memory.

use qat_node::runtimes;
use qat_policy::{Reason, Standing, Vf};

use crate::finding::{Finding, Kind};
use crate::site::Site;

/// What qatlib locks for each VF, in bytes, without what its user needs.
const LEAST_LOCKED: u64 = 16 << 20;

/// Hints only: what a policy says of one container nobody can read from the machine.
pub(crate) fn findings(site: &Site) -> Vec<Finding> {
    let inventory = &site.look.inventory;
    if inventory.pfs.is_empty() && inventory.vfs.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::from_iter(selinux(site));
    findings.extend(apparmor(site));
    findings.extend(locked_memory(site));
    findings
}

fn finding(name: String, code: &'static str, text: String) -> Finding {
    Finding::new(Kind::Machine, name, code, text)
}

fn selinux(site: &Site) -> Option<Finding> {
    let enforce = site.sysfs_text("fs/selinux/enforce")?;
    (enforce == "1").then(|| {
        let text =
            "`/sys/fs/selinux/enforce` is 1; a container may need container_use_devices".to_owned();
        finding("selinux".to_owned(), "selinux", text)
    })
}

/// The profile that runtimes give by default leaves `/dev/vfio` alone, and refuses writes to `/sys`. So it matters only where
/// there is something to bind.
fn apparmor(site: &Site) -> Option<Finding> {
    let file = "module/apparmor/parameters/enabled";
    let enabled = site.sysfs_text(file)?;
    let to_bind = |vf: &&Vf| {
        matches!(
            vf.standing,
            Standing::Withheld(Reason::NotBound { .. } | Reason::KernelDriver { .. })
        )
    };
    let unbound = site.look.inventory.vfs.values().filter(to_bind).count();
    (enabled == "Y" && unbound > 0).then(|| {
        let text = format!(
            "`/sys/{file}` is Y and {unbound} VFs are to be bound; a container that binds them and is not privileged needs the profile Unconfined"
        );
        finding("apparmor".to_owned(), "apparmor", text)
    })
}

fn locked_memory(site: &Site) -> impl Iterator<Item = Finding> {
    let runtimes = runtimes(&site.proc).into_iter();
    let tight = runtimes.filter(|runtime| runtime.locked_memory < LEAST_LOCKED);
    tight.map(|runtime| {
        let limits = site.proc.join(runtime.pid.to_string()).join("limits");
        let text = format!(
            "containers of {} may lock {} KiB of memory (`{}`), and qatlib needs {} KiB for each VF, beside what its user needs",
            runtime.name,
            runtime.locked_memory >> 10,
            limits.display(),
            LEAST_LOCKED >> 10
        );
        finding(runtime.name, "memlock", text)
    })
}
