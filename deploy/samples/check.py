"""Validates the samples. `validate` runs it, with the packages that it needs.

Kubernetes objects against the schemas of the newest minors, fields that they do not know refused; objects of KubeVirt and of its
operator against the schemas beside this file; Kata's files against the keys of its configuration. And each of these checks
against a broken sample, which must be found.
"""

import copy
import json
import pathlib
import sys
import tomllib

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions

HERE = pathlib.Path(__file__).resolve().parent
MINORS = 3

# Keys of Kata's configuration and what they may be, after src/runtime/config/configuration-qemu.toml.in and
# src/runtime-rs/config/configuration-qemu-runtime-rs.toml.in of kata-containers/kata-containers.
PORTS = {"no-port", "root-port", "switch-port", "bridge-port"}
KATA = {
    ("hypervisor", "qemu", "hot_plug_vfio"): PORTS,
    ("hypervisor", "qemu", "cold_plug_vfio"): PORTS,
    ("hypervisor", "qemu", "pcie_root_port"): int,
    ("hypervisor", "qemu", "enable_iommu"): bool,
    ("runtime", "vfio_mode"): {"guest-kernel", "vfio"},
    ("runtime", "pod_resource_api_sock"): str,
}


class Wrong(Exception):
    """A sample is not as it should be."""


def versions():
    """The newest minors of which there are strict schemas."""
    minors = {tuple(map(int, version.split(".")[:2])) for version in all_versions()}
    newest = sorted(minors)[-MINORS:]
    if len(newest) < MINORS:
        raise Wrong(f"there are schemas of {len(newest)} minors only")
    return [f"{major}.{minor}" for major, minor in newest]


def kubernetes(thing):
    for version in versions():
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except Exception as error:
            raise Wrong(f"Kubernetes {version}: {error}") from error


def against(schema, thing):
    errors = list(jsonschema.Draft7Validator(schema).iter_errors(thing))
    if errors:
        error = errors[0]
        raise Wrong(f"{'.'.join(map(str, error.absolute_path))}: {error.message}")


def kubevirt(thing):
    schema = json.loads((HERE / "kubevirt.schema.json").read_text())
    kind = thing["kind"]
    if kind not in schema["kinds"]:
        raise Wrong(f"there is no schema of {kind}")
    against({**schema["kinds"][kind], "definitions": schema["definitions"]}, thing)


def hyperconverged(thing):
    against(json.loads((HERE / "hyperconverged.schema.json").read_text()), thing)


def manifest(thing):
    group = thing["apiVersion"].split("/")[0]
    {"kubevirt.io": kubevirt, "hco.kubevirt.io": hyperconverged}.get(group, kubernetes)(thing)


def restricted(pod):
    """What the Pod Security level `restricted` asks of a pod, of all that our samples use."""
    kubernetes(pod)
    spec = pod["spec"]
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            raise Wrong(f"{key} is not allowed under `restricted`")
    if any(set(volume) - {"name", "emptyDir", "configMap", "secret", "projected"} for volume in spec.get("volumes", [])):
        raise Wrong("a volume is of a type that `restricted` does not allow")
    whole = spec.get("securityContext", {})
    for container in spec["containers"] + spec.get("initContainers", []):
        own = container.get("securityContext", {})
        merged = {**whole, **own}
        if (
            merged.get("runAsNonRoot") is not True
            or merged.get("runAsUser") == 0
            or merged.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost")
            or own.get("allowPrivilegeEscalation") is not False
            or own.get("capabilities", {}).get("drop") != ["ALL"]
            or set(own["capabilities"]) - {"drop"}
            or own.get("privileged")
        ):
            raise Wrong(f"container {container['name']} is not as `restricted` demands")


# Pods in ordinary containers. The others need what their own guides say.
RESTRICTED = ["pod/pod.yaml", "dpdk/pod.yaml", "qatlib/pod.yaml"]


def leaves(table, path=()):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def kata(table):
    values = dict(leaves(table))
    for path, value in values.items():
        allowed = KATA.get(path)
        if allowed is None:
            raise Wrong(f"{'.'.join(path)} is no key of Kata that is known here")
        good = value in allowed if isinstance(allowed, set) else type(value) is allowed
        if not good:
            raise Wrong(f"{'.'.join(path)} cannot be {value!r}")
    ports = [values[("hypervisor", "qemu", f"{way}_plug_vfio")] for way in ("hot", "cold")]
    if ports.count("no-port") != 1:
        raise Wrong("exactly one of hot and cold plug must have a port")
    sock = ("runtime", "pod_resource_api_sock") in values
    if sock != (ports[1] != "no-port"):
        raise Wrong("cold plug needs pod_resource_api_sock, and hot plug does not")


def broken(check, thing, path, value):
    """A check must not accept this sample with `value` at `path`."""
    thing = copy.deepcopy(thing)
    at = thing
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    try:
        check(thing)
    except Wrong:
        return
    raise Wrong(f"{'.'.join(map(str, path))} = {value!r} was not found wrong")


def load(name):
    return next(yaml.safe_load_all((HERE / name).read_text()))


def self_test():
    pod = load("dpdk/pod.yaml")
    broken(manifest, pod, ["spec", "containers", 0, "ressources"], {})
    broken(manifest, pod, ["spec", "restartPolicy"], 7)
    broken(restricted, pod, ["spec", "securityContext", "runAsNonRoot"], False)
    broken(restricted, pod, ["spec", "containers", 0, "securityContext"], {})
    broken(restricted, pod, ["spec", "volumes", 0], {"name": "hugepages", "hostPath": {"path": "/dev/hugepages"}})
    vmi = load("kubevirt/vmi.yaml")
    broken(manifest, vmi, ["spec", "domain", "devices", "hostDevices", 0, "deviceNames"], "x")
    broken(manifest, vmi, ["spec", "domain", "devices", "hostDevices", 0], {"deviceName": "x"})
    permitted = ["spec", "permittedHostDevices", "pciHostDevices", 0]
    broken(manifest, load("kubevirt/hyperconverged.yaml"), [*permitted, "pciVendorSelector"], "x")
    toml = tomllib.loads((HERE / "kata/go-hot-plug.toml").read_text())
    broken(kata, toml, ["hypervisor", "qemu", "hot_plug_vfio"], "root")
    broken(kata, toml, ["hypervisor", "qemu", "hotplug_vfio"], "root-port")
    broken(kata, toml, ["hypervisor", "qemu", "cold_plug_vfio"], "root-port")


def main():
    checked = 0
    for path in sorted(HERE.glob("*/*")):
        name = path.relative_to(HERE)
        if name.parts[0] == "plugin":
            # The plugin's own files: `cargo test -p tests` reads them with the plugin's own code.
            continue
        try:
            if path.suffix == ".toml":
                kata(tomllib.loads(path.read_text()))
                checked += 1
            elif path.suffix == ".yaml":
                for thing in yaml.safe_load_all(path.read_text()):
                    manifest(thing)
                    checked += 1
            else:
                raise Wrong("nobody knows how to check such a file")
        except Wrong as wrong:
            sys.exit(f"{name}: {wrong}")
    for name in RESTRICTED:
        try:
            restricted(load(name))
        except Wrong as wrong:
            sys.exit(f"{name}: {wrong}")
    self_test()
    print(f"{checked} samples are valid, for Kubernetes {', '.join(versions())}")


main()
