//! Command lines written for the Go plugin.
//!
//! Go's `flag` package takes `-name value`, `-name=value` and the same with two dashes. Its logger
//! (klog) adds flags of its own that manifests in the field carry. [`translate`] turns such a
//! command line into the usual form, and says what it left out.

use std::ffi::{OsStr, OsString};

/// Long options, which Go takes with a single dash too.
const LONG: [&str; 18] = [
    "dpdk-driver",
    "kernel-vf-drivers",
    "max-num-devices",
    "allocation-policy",
    "resource-names",
    "rescan-interval",
    "log-format",
    "sysfs-root",
    "dev-root",
    "debugfs-root",
    "kubelet-dir",
    "pod-resources-socket",
    "manage-binding",
    "state-dir",
    "config",
    "admin",
    "cdi-dir",
    "nfd-file",
];

/// klog flags that are either there or not.
const KLOG_SWITCHES: [&str; 7] = [
    "add_dir_header",
    "alsologtostderr",
    "legacy_stderr_threshold_behavior",
    "logtostderr",
    "one_output",
    "skip_headers",
    "skip_log_headers",
];

/// klog flags that take a value.
const KLOG_VALUES: [&str; 7] = [
    "alsologtostderrthreshold",
    "log_backtrace_at",
    "log_dir",
    "log_file",
    "log_file_max_size",
    "stderrthreshold",
    "vmodule",
];

/// A command line in the usual form, and the klog flags that were in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    /// The command line without klog flags, long options with two dashes.
    pub(crate) line: Vec<OsString>,
    /// klog flags that have no meaning here, as they were typed.
    pub(crate) ignored: Ignored,
}

/// Flags that were left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ignored(Vec<String>);

impl Ignored {
    /// What to say about them, if there are any.
    pub(crate) fn warning(&self) -> Option<String> {
        (!self.0.is_empty())
            .then(|| format!("klog flags without a meaning here: {}", self.0.join(" ")))
    }
}

/// Translates a whole command line, program name first.
pub(crate) fn translate(args: impl IntoIterator<Item = OsString>) -> Translated {
    let mut args = args.into_iter();
    let mut line: Vec<OsString> = args.next().into_iter().collect();
    let mut ignored = Vec::new();
    while let Some(arg) = args.next() {
        let Some((name, has_value)) = flag_name(&arg) else {
            line.push(arg);
            continue;
        };
        if KLOG_SWITCHES.contains(&name) {
            ignored.push(arg.to_string_lossy().into_owned());
        } else if KLOG_VALUES.contains(&name) {
            ignored.push(arg.to_string_lossy().into_owned());
            if !has_value {
                args.next();
            }
        } else if LONG.contains(&name) && !arg.to_string_lossy().starts_with("--") {
            let mut long = OsString::from("-");
            long.push(&arg);
            line.push(long);
        } else {
            line.push(arg);
        }
    }
    Translated {
        line,
        ignored: Ignored(ignored),
    }
}

/// The name of a flag, and whether its value is in the same argument.
fn flag_name(arg: &OsStr) -> Option<(&str, bool)> {
    let text = arg.to_str()?;
    let bare = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
    Some(match bare.split_once('=') {
        Some((name, _)) => (name, true),
        None => (bare, false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> (Vec<String>, Vec<String>) {
        let translated = translate(args.iter().map(OsString::from));
        let line = translated
            .line
            .iter()
            .map(|arg| arg.to_string_lossy().into_owned());
        (line.collect(), translated.ignored.0)
    }

    #[test]
    fn single_dashes_become_two() {
        let (line, ignored) = run(&[
            "p",
            "-dpdk-driver",
            "vfio-pci",
            "-max-num-devices=32",
            "-v",
            "1",
        ]);
        assert_eq!(
            line,
            [
                "p",
                "--dpdk-driver",
                "vfio-pci",
                "--max-num-devices=32",
                "-v",
                "1"
            ]
        );
        assert!(ignored.is_empty());
    }

    #[test]
    fn klog_flags_are_left_out_with_their_values() {
        let (line, ignored) = run(&[
            "p",
            "-logtostderr",
            "-stderrthreshold",
            "2",
            "--vmodule=a=1",
            "-log_dir",
            "/tmp",
            "-v=4",
        ]);
        assert_eq!(line, ["p", "-v=4"]);
        assert_eq!(
            ignored,
            [
                "-logtostderr",
                "-stderrthreshold",
                "--vmodule=a=1",
                "-log_dir"
            ]
        );
    }

    #[test]
    fn values_that_look_like_nothing_are_kept() {
        let (line, _) = run(&["p", "--kernel-vf-drivers", "", "-", "--"]);
        assert_eq!(line, ["p", "--kernel-vf-drivers", "", "-", "--"]);
    }
}
