# shellcheck shell=bash
# Sourced by every story, after ../lib.sh: functions to create a cluster, report steps and query the cluster.

CHART=$REPO/deploy/helm/qat-plugin
NAMESPACE=qat-system
CY=qat.intel.com/cy DC=qat.intel.com/dc
DEVICE_PLUGINS=$DIR/fs/lib/kubelet/device-plugins
# Timeout of a step in seconds. A step that needs more sets its own LIMIT.
: "${LIMIT:=60}"

inside() { "$KIT/ns" "$@"; }

# Runs a program on the host, with its files, in the cluster's network.
in_net() { nsenter --target "$(cut -d' ' -f1 "$DIR/ns.pid")" --net -- "$@"; }
k() { in_net "$BIN/kubectl" --kubeconfig "$ETC/admin.kubeconfig" --cache-dir "$STATE/kubectl-cache" "$@"; }
helm() { KUBECONFIG=$ETC/admin.kubeconfig HELM_CACHE_HOME=$STATE/helm in_net "$BIN/helm" --namespace $NAMESPACE "$@"; }

# --- the report -------------------------------------------------------------------------------------------------------------------------------

chapter() { printf '\n  %s\n' "$*"; }

elapsed() { # SINCE, of EPOCHREALTIME
    awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", to - from }'
}

passed() { # TEXT SINCE
    if [[ -n ${FAULT:-} ]] && is_known "$FAULT"; then
        printf '    PASSED  %s (%s), although %s is in known-faults: remove it there\n' "$1" "$(elapsed "$2")" "$FAULT"
        echo "$FAULT passes: $1" >> "$DIR/unexpected"
        return
    fi
    printf '    ok      %s (%s)\n' "$1" "$(elapsed "$2")"
}

failed() { # TEXT EXPECTED FOUND
    if [[ -n ${FAULT:-} ]] && is_known "$FAULT"; then
        printf '    known   %s: %s: expected %s, found %s\n' "$FAULT" "$1" "$2" "$(head -c 300 <<< "$3" | tr '\n' ' ')"
        echo "$FAULT" >> "$DIR/known"
        return
    fi
    printf '    FAILED  %s\n            expected: %s\n            found:    %s\n' "$1" "$2" "${3//$'\n'/$'\n'                      }"
    exit 1
}

is_known() { grep -q "^$1 " "$KIT/known-faults"; }

# known FAULT STEP...: a step that must fail while known-faults lists FAULT, and pass otherwise.
known() {
    local FAULT=$1
    shift
    "$@"
}

# step TEXT COMMAND...: does something, once.
step() {
    local text=$1 since=$EPOCHREALTIME output
    shift
    if output=$("$@" 2>&1); then
        passed "$text" "$since"
    else
        failed "$text" "\`$*\` succeeds" "$output"
    fi
}

# expect TEXT WANTED COMMAND...: waits until COMMAND prints WANTED.
expect() {
    local text=$1 wanted=$2 found since=$EPOCHREALTIME end=$((SECONDS + LIMIT))
    shift 2
    while :; do
        found=$("$@" 2>&1) || true
        [[ $found != "$wanted" ]] || break
        if ((SECONDS >= end)); then
            failed "$text" "$wanted, within $LIMIT s" "${found:-nothing}"
            return
        fi
        sleep 0.2
    done
    passed "$text" "$since"
}

# --- the cluster ------------------------------------------------------------------------------------------------------------------------------

# begin PROFILE: creates a cluster with this hardware. It is removed however the story ends.
begin() {
    claim
    trap finish EXIT
    "$KIT/machine" "$1"
    images qat-plugin qat-simulated
    "$KIT/ns" up
    inside "$KIT/start"
    clients
    # User pods run at the restricted level; the plugin mounts host paths, so its namespace must be privileged.
    k label namespace default pod-security.kubernetes.io/enforce=restricted > /dev/null
    k create namespace $NAMESPACE > /dev/null
    k label namespace $NAMESPACE pod-security.kubernetes.io/enforce=privileged > /dev/null
    printf '    a node with %s: kubelet %s\n' "$1" "$(k get node $NODE -o 'jsonpath={.status.nodeInfo.kubeletVersion}, {.status.nodeInfo.containerRuntimeVersion}')"
}

finish() {
    local code=$? kept
    trap - EXIT
    if ((code != 0)) && [[ -d $LOG ]]; then
        kept=$CACHE/failed/$(basename "$0")
        save_logs "$kept"
        {
            k --request-timeout=10s get pods,nodes,daemonsets,events --all-namespaces -o wide
            k --request-timeout=10s describe node $NODE
            k --request-timeout=10s get pods --all-namespaces -o yaml
        } > "$kept/cluster.txt" 2>&1 || true
        cp "$DEVICE_PLUGINS/kubelet_internal_checkpoint" "$DEVICE_PLUGINS/qat-plugin/state.json" "$kept" 2> /dev/null || true
        printf '            logs:     %s\n' "$kept"
    fi
    if [[ -s $DIR/unexpected ]]; then
        sed 's/^/    FAILED  a fault in known-faults no longer fails: /' "$DIR/unexpected"
        code=1
    fi
    if [[ -n ${KNOWN_FAULTS_SEEN:-} && -s $DIR/known ]]; then
        cat "$DIR/known" >> "$KNOWN_FAULTS_SEEN"
    fi
    if [[ -n ${KEEP:-} && $code != 0 ]]; then
        printf '            the cluster is left up:\n                export %sPATH=%q:$PATH\n                kubectl get pods --all-namespaces\n                tests/kubernetes/down\n' \
            "$THIS" "$DIR/bin"
        touch "$DIR/keep"
    else
        "$KIT/down"
    fi
    exit "$code"
}

# --- the plugin -------------------------------------------------------------------------------------------------------------------------------

install_plugin() { # HELM-ARGUMENTS...
    step "helm installs the chart, and the plugin becomes ready" \
        helm install qat "$CHART" --set image.repository=localhost/qat-plugin --wait --timeout 2m "$@"
}

# The PID of the plugin in the cluster's PID namespace.
plugin_pid() { inside pgrep -o -f '^/usr/local/bin/qat-plugin'; }

plugin_log() { k logs --namespace $NAMESPACE daemonset/qat --container qat-plugin "$@"; }

plugin_ready() { k get daemonset qat --namespace $NAMESPACE -o 'jsonpath={.status.numberReady}'; }

qat_inspect() { k exec --namespace $NAMESPACE daemonset/qat --container qat-plugin -- qat-inspect "$@"; }

# Prints `named` if `qat-inspect check` reports a VF.
inspected() { { qat_inspect check 2> /dev/null || true; } | grep -q "$1" && echo named; }

# --- the node ---------------------------------------------------------------------------------------------------------------------------------

of_node() { # capacity|allocatable RESOURCE
    k get node $NODE -o json | jq -r --arg r "$2" ".status.$1[\$r] // \"none\""
}
allocatable() { of_node allocatable "$1"; }
capacity() { of_node capacity "$1"; }

restart_kubelet() { # [VERSION]
    inside "$KIT/stop" kubelet
    inside env KUBELET_VERSION="${1:-${KUBELET_VERSION:-$KUBERNETES}}" "$KIT/start" kubelet
}

kubelet_version() { k get node $NODE -o 'jsonpath={.status.nodeInfo.kubeletVersion}'; }

kubelet_minor() { kubelet_version | cut -d. -f2; }

# --- pods -------------------------------------------------------------------------------------------------------------------------------------

# pod NAME RESOURCE=COUNT...: a pod that passes Pod Security's `restricted`, applied.
pod() {
    local name=$1
    shift
    pod_yaml "$name" "$@" | k apply -f -
}

limits() { # RESOURCE=COUNT...
    local pair
    for pair in "$@"; do printf '%s: "%s", ' "${pair%=*}" "${pair#*=}"; done
}

# For pod specs.
RESTRICTED='securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}'
CONTAINER='image: localhost/busybox:1, imagePullPolicy: Never, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}'

pod_yaml() {
    local name=$1
    shift
    cat << END
apiVersion: v1
kind: Pod
metadata: {name: $name}
spec:
  terminationGracePeriodSeconds: 0
  $RESTRICTED
  containers:
  - {name: main, $CONTAINER, resources: {limits: {$(limits "$@")}}}
END
}

# deployment NAME REPLICAS RESOURCE=COUNT...
deployment() {
    local name=$1 replicas=$2
    shift 2
    k apply -f - << END
apiVersion: apps/v1
kind: Deployment
metadata: {name: $name}
spec:
  replicas: $replicas
  selector: {matchLabels: {app: $name}}
  template:
    metadata: {labels: {app: $name}}
    spec:
      terminationGracePeriodSeconds: 0
      $RESTRICTED
      containers:
      - {name: main, $CONTAINER, resources: {limits: {$(limits "$@")}}}
END
}

phase() { k get pod "$1" -o 'jsonpath={.status.phase}'; }

running() { # SELECTOR: how many run
    k get pods -l "$1" -o json | jq '[.items[] | select(.status.phase == "Running" and (.status.containerStatuses | all(.ready)))] | length'
}

restarts() { k get pod "$1" -o 'jsonpath={.status.containerStatuses[0].restartCount}'; }

# restart_container POD: ends the process of its container; the kubelet starts it again.
restart_container() {
    local id
    id=$(k get pod "$1" -o 'jsonpath={.status.containerStatuses[0].containerID}')
    inside "$BIN/ctr" --address $SOCK --namespace k8s.io tasks kill --signal SIGKILL "${id#containerd://}"
}

remove() { k delete pod --wait --timeout=60s "$@"; }

uid() { k get pod "$1" -o 'jsonpath={.metadata.uid}'; }

# The VFs of a pod by the kubelet's checkpoint, of one resource or all: sorted, with commas.
vfs() { # POD [RESOURCE]
    jq -r --arg uid "$(uid "$1")" --arg resource "${2:-}" '[.Data.PodDeviceEntries[]
        | select(.PodUID == $uid and ($resource == "" or .ResourceName == $resource)) | .DeviceIDs[]] | flatten | sort | unique | join(",")' \
        "$DEVICE_PLUGINS/kubelet_internal_checkpoint"
}

count() { # of words with commas
    local words
    words=$("$@")
    tr ',' '\n' <<< "$words" | grep -c . || true
}

group_of() { basename "$(readlink "$MACHINE/sys/bus/pci/devices/$1/iommu_group")"; }

# check_pod POD RESOURCE...: whether the container has exactly what the kubelet allocated: `ok`, or what differs.
check_pod() {
    local pod=$1 env resource name all='' list vf number=0 wanted nodes open
    shift
    env=$(k exec "$pod" -- env) || return
    for resource in "$@"; do
        list=$(vfs "$pod" "$resource")
        name=${resource^^}
        name=${name//[.\/-]/_}
        for wanted in "PCI_RESOURCE_$name=$list" "PCIDEVICE_$name=$list"; do
            grep -qxF "$wanted" <<< "$env" || { echo "no $wanted in the environment"; return; }
        done
        all+="${all:+,}$list"
    done
    # With two resources in a container, the kubelet keeps the numbered variables of one.
    if (($# == 1)); then
        for vf in ${all//,/ }; do
            grep -qxF "QAT$number=$vf" <<< "$env" || { echo "no QAT$number=$vf in the environment"; return; }
            number=$((number + 1))
        done
    fi
    wanted=$({ echo /dev/vfio/vfio; for vf in ${all//,/ }; do echo "/dev/vfio/$(group_of "$vf")"; done; } | sort | xargs)
    nodes=$(k exec "$pod" -- find /dev/vfio -type c | sort | xargs)
    [[ $nodes == "$wanted" ]] || { echo "device nodes: expected $wanted, found $nodes"; return; }
    # ENXIO: the device cgroup let the open through, and no driver has these numbers.
    open=$(k exec "$pod" -- sh -c ': < /dev/vfio/vfio' 2>&1) || true
    [[ $open == *"No such device or address"* ]] || { echo "open /dev/vfio/vfio: $open"; return; }
    echo ok
}

# Prints every VF that is allocated to two pods.
given_twice() {
    jq -r --argjson uids "$(k get pods --all-namespaces -o json | jq '[.items[] | select(.status.phase != "Failed" and .status.phase != "Succeeded") | .metadata.uid]')" '
        [.Data.PodDeviceEntries[] | select(.PodUID as $u | $uids | index($u))
            | .ContainerName as $c | .PodUID as $u | .DeviceIDs[][] | {vf: ., pod: $u}] | unique | group_by(.vf)[] | select(length > 1) | .[0].vf' \
        "$DEVICE_PLUGINS/kubelet_internal_checkpoint"
}

# reboot [PROFILE]: every process ends and /run and /dev are empty; disks are kept. With PROFILE the machine has other hardware then.
reboot() {
    "$KIT/ns" down
    [[ $# == 0 ]] || "$KIT/machine" "$1"
    "$KIT/ns" up
    inside "$KIT/start"
}

# values YAML: writes a file of values for helm, and prints its path.
values() {
    cat > "$STATE/values.yaml" <<< "$1"
    echo "$STATE/values.yaml"
}
