# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by those who source it
# Sourced by `run` and `first-cluster`, after lib.sh: how a story is told, checked and cleaned up.

RESOURCE=qat.intel.com/cy

chapter() { printf '\n== %s\n' "$*"; }

# Every wait is for a condition, with a deadline.
until_true() { # SECONDS WHAT COMMAND...
    local limit=$1 what=$2 end=$((SECONDS + $1))
    shift 2
    until "$@"; do
        ((SECONDS < end)) || die "not within $limit s: $what"
        sleep 0.2
    done
}

expect() { # WHAT WANTED FOUND
    [[ $2 == "$3" ]] || die "$1: expected \`$2\`, found \`$3\`"
    printf '    %s: %s\n' "$1" "$3"
}

kubelet() { curl -sk "https://127.0.0.1:10250/$1"; }

registered() { # COUNT: whether this process of the kubelet has had so many Register calls
    kubelet metrics |
        grep -q "^kubelet_device_plugin_registration_total{resource_name=\"$RESOURCE\"} $1\$"
}

show() { sed 's/^/    /'; }

build_plugin() {
    (cd "$REPO" && cargo build --quiet --locked --release --package qat-plugin --package qat-inspect)
    RELEASE=${CARGO_TARGET_DIR:-$REPO/target}/release
}

# What a story could leave on the machine, as text that can be compared.
traces() {
    {
        awk '{ print "mount", $1, $2 }' /proc/mounts |
            grep -E " ($CACHE|$RUN|$KUBELET_DIR|/dev/vfio|/run/netns|/run/containerd)"
        ip -o link | awk '$2 ~ /^(veth|qatring)/ { print "link", $2 }'
        ls -d /dev/vfio /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /run/containerd \
            /run/netns /opt/cni /opt/containerd /etc/cni "$RUN" /sys/fs/cgroup/{,*/}kubepods
        sysctl kernel.panic kernel.panic_on_oops vm.overcommit_memory vm.panic_on_oom net.ipv4.ip_forward
        for name in qat-plugin kubelet kube-apiserver kube-scheduler kube-controller-manager etcd containerd \
            containerd-shim-runc-v2; do
            # An executable of another checkout or another user of this machine is not ours.
            for exe in /proc/[0-9]*/exe; do
                case $(readlink "$exe") in
                    "$CACHE"/*/"$name" | "$REPO"/*/"$name") echo "process $name" ;;
                esac
            done
        done
    } 2> /dev/null || true
}

begin() { # from a machine on which nothing of ours is left
    mkdir -p "$CACHE"
    exec 8> "$CACHE/lock"
    flock -n 8 || die "another run is under way"
    if [[ -d $RUN ]]; then "$KIT/down" --purge > /dev/null; fi
    rm -rf "$LOG" "$MANIFESTS"
    TRACES=$(traces)
    mkdir -p "$RUN" "$LOG" "$MANIFESTS"
    trap finish EXIT
}

finish() {
    local code=$?
    trap - EXIT
    if ((code != 0)); then
        shopt -s nullglob
        for log in /var/log/pods/*/*/*.log "$LOG"/{containerd,kubelet,qat-plugin}*.log; do
            printf '\n--- the end of %s\n' "$log" >&2
            tail -n 30 "$log" | cut -c 1-300 >&2 || true
        done
        [[ -z ${KEEP:-} ]] || {
            printf '\nFAILED; everything is left as it is: tests/kubelet/down --purge\n' >&2
            exit "$code"
        }
    fi
    chapter "Teardown"
    "$KIT/down" --purge | show
    local now
    now=$(traces)
    if [[ $now != "$TRACES" ]]; then
        printf 'FAILED: the teardown left something behind:\n' >&2
        diff <(echo "$TRACES") <(echo "$now") >&2 || true
        exit 1
    fi
    say "    the machine is as it was: mounts, links, directories, cgroups, sysctls, processes"
    ((code == 0)) || printf '\nFAILED (%s)\n' "$code" >&2
    exit "$code"
}
