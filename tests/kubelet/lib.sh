# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by those who source it
# Sourced by every script of the ring: where things are, and the functions that they share.
set -euo pipefail

KIT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$KIT/../.." && pwd)

# What is downloaded, built and written. It survives `cargo clean`: building the kubelet takes minutes.
CACHE=${KUBELET_RING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/qat-plugin-kubelet-ring}
BIN=$CACHE/bin SRC=$CACHE/src ETC=$CACHE/etc LOG=$CACHE/log STATE=$CACHE/state
# Where a kubelet without an apiserver looks for its pods.
MANIFESTS=$CACHE/manifests

# What is only there while something is up: process ids, sockets, what has to be put back.
RUN=/run/qat-kubelet-ring
SOCK=$RUN/containerd.sock BRIDGE=qatring0 NODE_IP=10.88.0.1 NODE=localhost
DEV_MOUNT=qat-kubelet-ring
# The kubelet's own directories cannot be moved: the one of device plugins is a constant in its source.
KUBELET_DIR=/var/lib/kubelet
MARK=$KUBELET_DIR/.made-by-qat-kubelet-ring

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

need_root() {
    ((EUID == 0)) || die "must run as root: it starts a container runtime and makes device nodes"
}

need_tools() {
    local missing=()
    for tool in "$@"; do
        command -v "$tool" > /dev/null || missing+=("$tool")
    done
    ((${#missing[@]} == 0)) || die "missing tools: ${missing[*]}"
}

case $CACHE in /*) ;; *) die "KUBELET_RING_CACHE must be an absolute path, not \`$CACHE\`" ;; esac

ctr() { timeout 60 "$BIN/ctr" --address $SOCK --namespace k8s.io "$@"; }

# A pid file holds "PID START", so that a number that was given out again is never taken for ours.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d' ' -f20; }

alive() { # NAME
    local pid start
    [[ -s $RUN/$1.pid ]] || return 1
    read -r pid start < "$RUN/$1.pid"
    [[ -n $start && $(start_time "$pid") == "$start" ]]
}

pid_of() { cut -d' ' -f1 "$RUN/$1.pid"; }

start() { # NAME COMMAND...: in the background, its output in $LOG/NAME.log
    local name=$1 pid
    shift
    if alive "$name"; then
        say "$name is up already ($(pid_of "$name"))"
        return
    fi
    setsid nohup "$@" >> "$LOG/$name.log" 2>&1 < /dev/null 8>&- 9>&- &
    pid=$!
    echo "$pid $(start_time $pid)" > "$RUN/$name.pid"
    say "$name started ($pid)"
}

stop() { # NAME: TERM; KILL if it is still there after 15 s
    local pid end=$((SECONDS + 15))
    if alive "$1"; then
        pid=$(pid_of "$1")
        kill "$pid" 2> /dev/null || true
        while alive "$1"; do
            ((SECONDS < end)) || kill -9 "$pid" 2> /dev/null || true
            sleep 0.1
        done
        say "stopped $1 ($pid)"
    fi
    rm -f "$RUN/$1.pid"
}

wait_for() { # NAME SECONDS COMMAND...: until the command succeeds, while the process NAME lives
    local name=$1 limit=$2 end=$((SECONDS + $2))
    shift 2
    until "$@" > /dev/null 2>&1; do
        alive "$name" || die "$name has died while waiting for: $*; see $LOG/$name.log"
        ((SECONDS < end)) || die "not within $limit s: $*; see $LOG/$name.log"
        sleep 0.1
    done
}
