# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by the scripts that source it
# Sourced by every script in this folder: paths, versions and shared functions.
set -euo pipefail

KIT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$KIT/../.." && pwd)
# --help prints the comment at the start of a script.
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^[^#]/ { /^# shellcheck/d; s/^# \{0,1\}//p }' "$0"
    exit
fi
# shellcheck source=tests/kubernetes/versions
. "$KIT/versions"
KUBERNETES=${KUBELETS%% *}
FLOOR=${KUBELETS##* }
# The version that modules/node requires.
GO_VERSION=1.26.8
KUBERNETES_PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet)
NODE_PROGRAMS=(
    github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr}
    github.com/containernetworking/plugins/plugins/{ipam/host-local,main/bridge,main/loopback}
    github.com/opencontainers/runc
    go.etcd.io/etcd/server/v3
    helm.sh/helm/v4/cmd/helm
)

# Programs are built once; all checkouts share them.
CACHE=${QAT_KUBERNETES_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/qat-plugin-kubernetes}
BIN=$CACHE/bin
# The name allows several clusters at once. A cluster writes only to its own folder.
CLUSTER=${QAT_CLUSTER:-default}
DIR=$CACHE/clusters/$CLUSTER
# The environment for further commands on this cluster, for messages.
THIS=${QAT_KUBERNETES_CACHE:+$(printf 'QAT_KUBERNETES_CACHE=%q ' "$CACHE")}${QAT_CLUSTER:+QAT_CLUSTER=$CLUSTER }
ETC=$DIR/etc LOG=$DIR/log STATE=$DIR/state MANIFESTS=$DIR/manifests IMAGES=$CACHE/images MACHINE=$DIR/machine
# Two caches may each have a cluster of that name.
CGROUP=qat-kubernetes-$CLUSTER-$(cksum <<< "$CACHE" | cut -d' ' -f1)
# Inside the namespaces, so all clusters use the same values.
RUN=/run/qat-kubernetes SOCK=$RUN/containerd.sock NODE=localhost BRIDGE=qat0 NODE_IP=10.88.0.1
export PATH=$BIN:$PATH

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

[[ $CACHE == /* ]] || die "QAT_KUBERNETES_CACHE must be an absolute path, not \`$CACHE\`"
[[ ! $CACHE =~ ^/(dev|etc|proc|run|sys)/ ]] || die "QAT_KUBERNETES_CACHE must not be below /dev, /etc, /proc, /run or /sys: the cluster has its own"
[[ " $KUBELETS " == *" ${KUBELET_VERSION:-$KUBERNETES} "* ]] || die "unknown KUBELET_VERSION \`$KUBELET_VERSION\`: expected one of $KUBELETS"
[[ $CLUSTER =~ ^[a-z0-9-]{1,40}$ ]] || die "QAT_CLUSTER must be 1 to 40 of a-z, 0-9 and -, not \`$CLUSTER\`"

need_root() {
    ((EUID == 0)) || die "root is required to create namespaces and device nodes; run: sudo env PATH=\"\$PATH\" $0"
}

need_go() {
    local version
    version=$(go env GOVERSION 2> /dev/null) || version=
    version=${version#go}
    if [[ -z $version || $(printf '%s\n' $GO_VERSION "$version" | sort -V | head -n 1) != "$GO_VERSION" ]]; then
        die "Go $GO_VERSION or newer is needed to build Kubernetes (found: ${version:-none}): install it from https://go.dev/dl, or with Go 1.21 or newer set GOTOOLCHAIN=auto"
    fi
}

need_tools() { # TOOL:PACKAGE...
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}")
    done
    ((${#missing[@]} == 0)) || die "missing programs; on Debian: apt-get install ${missing[*]}"
}

# A pid file contains "PID START-TIME", since the kernel reuses PIDs.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d' ' -f20; }

alive() { # NAME
    local pid start
    [[ -s $RUN/$1.pid ]] || return 1
    read -r pid start < "$RUN/$1.pid"
    [[ -n $start && $(start_time "$pid") == "$start" ]]
}

pid_of() { cut -d' ' -f1 "$RUN/$1.pid"; }

# claim: creates the cluster's folder. When this script ends, however that happens, `keeper` ends the cluster, unless $DIR/keep exists.
claim() {
    local owner
    owner=$$-$(start_time $$)
    setsid "$KIT/keeper" $$ "$owner" > /dev/null 2>&1 < /dev/null 9>&- &
    # Marks all processes that the script starts from here on; `keeper` kills them.
    export QAT_KUBERNETES_OWNER=$owner
    # The folder appears with its owner in it. A rename onto a folder that is not empty fails.
    mkdir -p "$DIR.$owner"
    echo "$owner" > "$DIR.$owner/owner"
    mv -T "$DIR.$owner" "$DIR" 2> /dev/null ||
        die "the cluster \`$CLUSTER\` exists already: end it with \`${THIS}tests/kubernetes/down\`, or choose another name with QAT_CLUSTER=NAME"
    trap 'exit 130' INT
}

# save_logs FOLDER: copies the logs of the cluster's components, which end with the cluster.
save_logs() {
    rm -rf "$1"
    mkdir -p "$1"
    cp "$LOG"/*.log "$1" 2> /dev/null || true
    timeout 20 cp -rL "$DIR/fs/log/pods" "$1/pods" 2> /dev/null || true
}

# with_images COMMAND...: runs COMMAND while no other script builds the images.
with_images() { flock "$CACHE/images.lock" "$@"; }

# images NAME...: copies built images to the cluster.
images() {
    local archives=("${@/%/.tar}")
    mkdir -p "$DIR/images"
    with_images cp "${archives[@]/#/$REPO/target/image/}" "$DIR/images"
}

# clients: writes kubectl and helm to $DIR/bin. They run on the host, with its files, and reach the API server in the cluster's network.
clients() {
    local program
    mkdir -p "$DIR/bin"
    for program in kubectl helm; do
        printf '#!/bin/sh\nexec nsenter --target %s --net -- env KUBECONFIG=%q HELM_CACHE_HOME=%q %q "$@"\n' \
            "$(cut -d' ' -f1 "$DIR/ns.pid")" "$ETC/admin.kubeconfig" "$STATE/helm" "$BIN/$program" > "$DIR/bin/$program"
    done
    chmod +x "$DIR"/bin/*
}

# The functions below are for scripts inside the namespaces (`ns COMMAND`).

ctr() { timeout 60 "$BIN/ctr" --address $SOCK --namespace k8s.io "$@"; }

k() { "$BIN/kubectl" --kubeconfig "$ETC/admin.kubeconfig" --cache-dir "$STATE/kubectl-cache" "$@"; }

start() { # NAME COMMAND...: starts COMMAND in the background and logs to $LOG/NAME.log
    local name=$1 pid
    shift
    ! alive "$name" || return 0
    setsid nohup "$@" >> "$LOG/$name.log" 2>&1 < /dev/null 9>&- &
    pid=$!
    echo "$pid $(start_time $pid)" > "$RUN/$name.pid"
}

stop() { # NAME [SIGNAL]: stops NAME and waits until it exits; SIGKILL after 15 s
    local pid end=$((SECONDS + 15))
    if alive "$1"; then
        pid=$(pid_of "$1")
        kill "-${2:-TERM}" "$pid" 2> /dev/null || true
        while alive "$1"; do
            ((SECONDS < end)) || kill -9 "$pid" 2> /dev/null || true
            sleep 0.1
        done
    fi
    rm -f "$RUN/$1.pid"
}

wait_for() { # NAME SECONDS COMMAND...: waits until COMMAND succeeds; fails if the process NAME exits
    local name=$1 limit=$2 end=$((SECONDS + $2))
    shift 2
    until "$@" > /dev/null 2>&1; do
        if ! alive "$name"; then
            tail -n 5 "$LOG/$name.log" >&2
            die "$name ended while waiting for: $*; see $name.log"
        fi
        ((SECONDS < end)) || die "no success within $limit s: $*; see $name.log"
        sleep 0.1
    done
}
