"""Renders the chart and the kustomizations with the real tools, and holds them against Kubernetes' schemas and golden files.

    deploy/manifests            checks
    BLESS=1 deploy/manifests    writes the golden files anew
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions

HERE = pathlib.Path(__file__).parent
CHART = HERE / "helm" / "qat-plugin"
GOLDEN = HERE / "golden"
TOOLS = pathlib.Path(sys.argv[1])
SET = {"image": {"repository": "registry.example.org/qat-plugin"}}

# What the chart must render: the name of the golden file, and the values. Those without a golden file are only validated.
GOOD = {
    "chart-plain": {},
    "chart-everything": {
        "config": {
            "version": 1,
            "offer": {"allocationPolicy": "balanced"},
            "provisioning": [{"services": "sym;asym"}],
            "pools": [{"cdi": "spec"}, {"name": "fast", "select": {"vfs": "0-7"}}],
        },
        "image": {"repository": "r/qat", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "provisioning": {"enabled": True},
        "binding": False,
        "cdi": True,
        "hostNetwork": True,
        "extraArgs": ["-v=3"],
        "tolerations": [{"operator": "Exists"}],
        "securityContext": {"appArmorProfile": "RuntimeDefault"},
        "nfd": {"rule": True, "labels": True, "onlyLabelled": True},
        "monitoring": {"podMonitor": True, "rules": True, "dashboard": True},
        "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    },
    "chart-groups": {
        "nodeGroups": [
            {"name": "storage", "nodeSelector": {"role": "storage"}, "config": {"version": 1, "offer": {"maxDevices": 8}}},
            {"name": "edge", "nodeSelector": {"role": "edge"}, "tolerations": [{"key": "edge", "operator": "Exists"}]},
        ]
    },
    "chart-simulated": {"simulated": {"enabled": True, "repository": "r/qat-simulated"}},
    "chart-intel-config": {"provisioning": {"enabled": True, "intelConfigMap": "qat-config", "repository": "r/init", "tag": "1"}},
}
for switch in [True, False]:
    for distribution in ["standard", "k0s", "microk8s", "k3s", "rke2"]:
        for profile in ["", "Unconfined", "my-profile"]:
            GOOD[f"matrix {switch} {distribution} {profile}"] = {
                "binding": switch,
                "cdi": switch,
                "hostNetwork": not switch,
                "provisioning": {"enabled": not switch},
                "kubelet": {"distribution": distribution},
                "securityContext": {"appArmorProfile": profile, "seLinuxType": "spc_t" if switch else ""},
                "nodeSelector": {} if switch else {"a": "b"},
            }
GOOD["a root of its own"] = {"kubelet": {"root": "/data/kubelet/"}}
# A rule for every pool and closer ones together.
GOOD["owners"] = {"cdi": True, "config": {"version": 1, "pools": [{"pool": "cy", "owner": {"gid": 107}}, {"cdi": "field"}]}}
GOOD["an owner"] = {"cdi": True, "config": {"version": 1, "pools": [{"pool": "cy", "cdi": "field", "owner": {"mode": "0660"}}]}}

# What it must refuse, and a part of the sentence.
BAD = [
    ({"image": {"repository": ""}}, "set image.repository"),
    ({"image": {"digest": "latest"}}, "digest"),
    ({"simulated": {"enabled": True}}, "set simulated.repository"),
    ({"simulated": {"enabled": True, "repository": "x"}, "provisioning": {"enabled": True}}, "choose one"),
    ({"provisioning": {"intelConfigMap": "x"}}, "nobody would read it"),
    ({"provisioning": {"enabled": True, "intelConfigMap": "x"}, "config": {"version": 1, "provisioning": [{"vfs": "all"}]}}, "choose one"),
    ({"kubelet": {"root": "/x", "distribution": "k0s"}}, "both say where"),
    ({"kubelet": {"distribution": "k9s"}}, "distribution"),
    ({"config": {"version": 1, "pools": [{"cdi": "spec"}]}}, "set cdi: true"),
    ({"config": {"version": 1, "admin": {"listen": "127.0.0.1:1"}}}, "admin.port"),
    ({"config": {"version": 1, "offer": {"manageBinding": False}}}, "overruled by binding"),
    ({"config": {"version": 1, "poolz": []}}, "poolz"),
    ({"config": {"version": 1, "health": {"goodChecks": "many"}}}, "goodChecks"),
    ({"nodeGroups": [{"name": "a", "nodeSelector": {"x": "y"}}] * 2}, "two nodeGroups are called a"),
    ({"nodeGroups": [{"name": "a"}]}, "no nodeSelector"),
    ({"nodeGroups": [{"name": "Not A Name", "nodeSelector": {"x": "y"}}]}, "name"),
    ({"imagee": {}}, "imagee"),
    ({"admin": {"port": 0}}, "port"),
    ({"test": {"nodes": 0}}, "nodes"),
    ({"test": {"wait": "2m"}}, "wait"),
    # What the plugin would refuse.
    ({"config": {"version": 2}}, "version"),
    ({"config": {"version": 1, "offer": {"families": ["4xx"]}}}, "families"),
    ({"config": {"version": 1, "offer": {"rescanInterval": "1h"}}}, "rescanInterval"),
    ({"config": {"version": 1, "pools": [{"name": "fast"}]}}, "config.pools[0] renames no pool"),
    ({"config": {"version": 1, "pools": [{"select": {"vfs": "0-7"}}]}}, "config.pools[0] selects VFs for a pool without a name"),
    ({"config": {"version": 1, "pools": [{"pool": "cy", "name": "fast", "select": {"vfs": 1}}]}}, "pool and select conflict"),
    ({"config": {"version": 1, "pools": [{"name": "fast", "select": {"pf": "6b:00.0"}}]}}, "pf"),
    ({"config": {"version": 1, "pools": [{"owner": {"gid": 107}}]}}, "config.pools[0].owner requires `cdi: field`"),
    ({"cdi": True, "config": {"version": 1, "pools": [{"cdi": "spec", "owner": {"gid": 107}}]}}, "config.pools[0].owner requires"),
    (
        {"cdi": True, "config": {"version": 1, "pools": [{"cdi": "field"}, {"pool": "cy", "cdi": "off", "owner": {"gid": 107}}]}},
        "config.pools[1].owner requires",
    ),
    (
        {"provisioning": {"enabled": True}, "config": {"version": 1, "provisioning": [{"services": "sim"}]}},
        "services",
    ),
    # What nothing would read.
    ({"config": {"version": 1, "provisioning": [{"vfs": "all"}]}}, "config.provisioning requires provisioning.enabled=true"),
    (
        {"nodeGroups": [{"name": "a", "nodeSelector": {"x": "y"}, "config": {"version": 1, "provisioning": [{"vfs": "all"}]}}]},
        "config.provisioning requires provisioning.enabled=true",
    ),
]

KUSTOMIZATIONS = ["base", "overlays/initcontainer", "overlays/debug", "overlays/simulated", "article"]


class Wrong(Exception):
    """Something is not as it should be."""


def minors():
    """The three newest minor versions of Kubernetes whose schemas are there."""
    known = {tuple(map(int, version.split(".")[:2])) for version in all_versions()}
    return [f"{major}.{minor}" for major, minor in sorted(known)[-3:]]


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def helm(values):
    merged = {**SET, **values}
    if "image" in values:
        merged["image"] = {**SET["image"], **values["image"]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(merged, file)
        file.flush()
        return run(TOOLS / "helm", "template", "qat", CHART, "--namespace", "kube-system", "--values", file.name)


def validate(where, text, versions):
    """How many objects were held against a schema. What belongs to other projects has none here."""
    count = 0
    for thing in yaml.safe_load_all(text):
        if thing is None:
            continue
        if "." in thing["apiVersion"].split("/")[0] and "k8s.io" not in thing["apiVersion"] or "nfd" in thing["apiVersion"]:
            continue
        for version in versions:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                raise Wrong(f"{where}: Kubernetes {version}: {error}") from error
        if thing["kind"] in ("DaemonSet", "Job"):
            careful(where, thing["spec"]["template"]["spec"])
        count += 1
    return count


def careful(where, pod):
    """What the container of the plugin and that of the test must have, however they are rendered."""
    if "article" in where:
        return
    security = pod["containers"][0]["securityContext"]
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    for key, value in wanted.items():
        if security.get(key) != value:
            raise Wrong(f"{where}: the plugin's {key} is {security.get(key)}")
    if security.get("privileged"):
        raise Wrong(f"{where}: the plugin is privileged")
    if pod.get("automountServiceAccountToken") is not False:
        raise Wrong(f"{where}: a token of the API server is mounted")


def golden(name, text):
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("BLESS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        raise Wrong(f"{path.relative_to(HERE)} is not what is rendered; BLESS=1 writes it anew")


def check():
    versions = minors()
    lint = run(TOOLS / "helm", "lint", "--strict", CHART, "--set", "image.repository=x")
    if lint.returncode:
        raise Wrong(f"helm lint: {lint.stdout}{lint.stderr}")
    objects = 0
    for name, values in GOOD.items():
        rendered = helm(values)
        if rendered.returncode:
            raise Wrong(f"{name}: {rendered.stderr}")
        if rendered.stderr:
            raise Wrong(f"{name}: helm should have nothing to remark: {rendered.stderr}")
        objects += validate(name, rendered.stdout, versions)
        if name.startswith("chart-"):
            golden(name, rendered.stdout)
    for values, part in BAD:
        rendered = helm(values)
        if not rendered.returncode or part not in rendered.stderr:
            raise Wrong(f"{json.dumps(values)} should be refused with `{part}`: {rendered.stdout[:200]}{rendered.stderr}")
    for name in KUSTOMIZATIONS:
        rendered = run(TOOLS / "kubectl", "kustomize", HERE / "kustomize" / name)
        if rendered.returncode:
            raise Wrong(f"{name}: {rendered.stderr}")
        objects += validate(name, rendered.stdout, versions)
        golden("kustomize-" + name.split("/")[-1], rendered.stdout)
    print(f"{objects} objects are valid for Kubernetes {', '.join(versions)}; {len(BAD)} wrong values are refused")


try:
    check()
except Wrong as wrong:
    sys.exit(f"error: {wrong}")
