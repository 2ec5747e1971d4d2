//! A container as a manifest describes it: arguments, environment and mounts, in a root of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use node_sim::SimNode;
use serde_json::Value;
use tests::{Daemon, binary};
use tokio::process;

/// The name of the simulated node.
pub(crate) const NODE: &str = "node-1";

/// A container of a pod's template.
pub(crate) struct Container {
    /// The environment, as the kubelet makes it.
    env: BTreeMap<String, String>,
    args: Vec<String>,
    mounts: Vec<Mount>,
}

struct Mount {
    /// Where it is in the container.
    path: String,
    /// What is there: a path of the host, or files.
    source: Source,
    read_only: bool,
}

enum Source {
    Host(String),
    Files(BTreeMap<String, String>),
    /// An empty directory, or a `ConfigMap` that is not there.
    Nothing,
}

/// Where what is a path of a host is on a simulated one.
fn on_the_node(node: &SimNode, path: &str) -> PathBuf {
    let kubelet = node.kubelet_dir();
    let root = kubelet.parent().unwrap();
    match path.strip_prefix("/var/lib/kubelet/") {
        Some(rest) => root.join(rest),
        None => node.root().join(path.trim_start_matches('/')),
    }
}

impl Container {
    /// The first of these containers in a manifest, with the data of `ConfigMap`s by their name.
    pub(crate) fn new(
        manifest: &Value,
        which: &str,
        maps: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Self {
        let spec = &manifest["spec"]["template"]["spec"];
        let container = &spec[which][0];
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut env = BTreeMap::new();
        for variable in list(&container["env"]) {
            let from = &variable["valueFrom"];
            let value = if let Some(key) = from["configMapKeyRef"].as_object() {
                maps[key["name"].as_str().unwrap()][key["key"].as_str().unwrap()].clone()
            } else {
                assert_eq!(from["fieldRef"]["fieldPath"], "spec.nodeName");
                NODE.to_owned()
            };
            env.insert(text(&variable["name"]), value);
        }
        // `$(NAME)` becomes the variable, as the kubelet does it.
        let expanded = |arg: String| {
            env.iter().fold(arg, |arg, (name, value)| {
                arg.replace(&format!("$({name})"), value)
            })
        };
        let args = list(&container["args"]).into_iter();
        let args = args.map(|arg| expanded(text(&arg)));
        let args = args.collect();
        let volumes = list(&spec["volumes"]);
        let mounts = list(&container["volumeMounts"]).into_iter().map(|mount| {
            let volume = volumes.iter().find(|one| one["name"] == mount["name"]);
            let volume = volume.unwrap();
            let source = if let Some(path) = volume["hostPath"]["path"].as_str() {
                Source::Host(path.to_owned())
            } else {
                let map = volume["configMap"]["name"].as_str();
                let files = map.and_then(|name| maps.get(name));
                files.map_or(Source::Nothing, |files| Source::Files(files.clone()))
            };
            Mount {
                path: text(&mount["mountPath"]),
                source,
                read_only: mount["readOnly"] == true,
            }
        });
        let mounts = mounts.collect();
        Self { env, args, mounts }
    }

    /// Lays out a root for it below `root`: the container's own sysfs, which shows the same kernel read-only, then its mounts.
    pub(crate) fn lay_out(&self, node: &SimNode, root: &Path) {
        for path in ["dev/shm", "proc", "tmp", "sys"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        // What the plugin needs beside what it is given, as it is not linked statically here.
        for path in ["usr", "lib", "lib64"] {
            let host = Path::new("/").join(path);
            if host.exists() {
                fs::create_dir_all(root.join(path)).unwrap();
                bind(&host, &root.join(path), true);
            }
        }
        for file in ["dev/null", "qat-plugin"] {
            fs::write(root.join(file), "").unwrap();
        }
        for path in ["dev/null", "proc"] {
            bind(&Path::new("/").join(path), &root.join(path), false);
        }
        let plugin = binary("qat-plugin").unwrap();
        bind(&plugin, &root.join("qat-plugin"), true);
        bind(&node.sysfs(), &root.join("sys"), true);
        for mount in &self.mounts {
            let there = root.join(mount.path.trim_start_matches('/'));
            // Of a file system that is mounted read-only nothing can be made; the kernel has what is below /sys.
            if !there.exists() {
                fs::create_dir_all(&there).unwrap();
            }
            match &mount.source {
                Source::Host(path) => {
                    let host = on_the_node(node, path);
                    fs::create_dir_all(&host).unwrap();
                    bind(&host, &there, mount.read_only);
                }
                Source::Files(files) => {
                    for (name, text) in files {
                        fs::write(there.join(name), text).unwrap();
                    }
                }
                Source::Nothing => {}
            }
        }
    }

    /// Starts it with this entry point, and `more` in the environment.
    pub(crate) fn start(&self, root: &Path, entry: &[&str], more: &[(&str, &str)]) -> Daemon {
        let mut command = process::Command::new("/usr/sbin/chroot");
        command.arg(root).arg("/qat-plugin").args(entry);
        command.args(&self.args).env_clear().envs(&self.env);
        command.envs(more.iter().copied());
        Daemon::spawn("qat-plugin", command).unwrap()
    }
}

/// Mounts what is at one place at another.
fn bind(from: &Path, to: &Path, read_only: bool) {
    let mount = |args: &[&str]| {
        let output = Command::new("mount").args(args).arg(to).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "mount {args:?} {}: {text}",
            to.display()
        );
    };
    mount(&["--rbind", from.to_str().unwrap()]);
    if read_only {
        mount(&["-o", "remount,bind,ro"]);
    }
}
