# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by ops/soak.d/daemons: machines of their own for daemons, as far as one machine can play several. Networks of their own
# that are cut, clocks that are wrong, a disk that is slow and hangs. Where the system refuses, the reason is said and the soak goes
# on without.

# network_make COUNT: a bridge, and on it COUNT network namespaces. Sets network_address, where the host is reached, or leaves it empty.
network_make() {
    network_address='' network_bridge=dkv$$ network_count=$1
    local index
    if [ "$(id -u)" != 0 ] || ! ip link add "$network_bridge" type bridge; then
        echo "  no network can be made here (root, or a kernel with bridges, is missing): no daemon is cut off by its network"
        return
    fi
    ip address add 10.213.7.1/24 dev "$network_bridge"
    ip link set "$network_bridge" up
    for ((index = 0; index < network_count; index++)); do
        ip netns add "$network_bridge-$index"
        ip link add "${network_bridge}h$index" type veth peer name eth0 netns "$network_bridge-$index"
        ip link set "${network_bridge}h$index" master "$network_bridge" up
        ip -n "$network_bridge-$index" address add "10.213.7.$((index + 2))/24" dev eth0
        ip -n "$network_bridge-$index" link set eth0 up
        ip -n "$network_bridge-$index" link set lo up
    done
    network_address=10.213.7.1
}
# Packets vanish, as when a cable is pulled: nobody is told that a connection is gone.
network_cut() { ip link set "${network_bridge}h$1" nomaster; }
network_mend() { ip link set "${network_bridge}h$1" master "$network_bridge"; }
network_remove() {
    local index
    [ -n "${network_address:-}" ] || return 0
    for ((index = 0; index < network_count; index++)); do ip netns delete "$network_bridge-$index" || true; done
    ip link delete "$network_bridge" || true
}

# clock_prepare FOLDER: builds there what shifts a program's clock.
clock_prepare() {
    clock_library=$1/shifted_clock.so
    clang -shared -fPIC -O2 -o "$clock_library" ops/lib/shifted_clock.c
}
# clock_of INDEX: sets clock_words, which go in front of a command that is to live in another time: the first daemon an hour ahead, the
# second an hour behind.
clock_of() {
    local shifts=(3600 -3600)
    clock_words=()
    [ -z "${shifts[$1]:-}" ] || clock_words=(env "LD_PRELOAD=$clock_library" "CLOCK_SHIFT=${shifts[$1]}")
}

# disk_make FOLDER BYTES_A_SECOND: a file system that reads and writes at that rate, with everything really under FOLDER.disk.
disk_make() {
    disk_folder='' disk_pid=''
    install_packages bindfs fuse3
    mkdir -p "$1" "$1.disk"
    bindfs -f "--read-rate=$2" "--write-rate=$2" "$1.disk" "$1" 2>/dev/null &
    disk_pid=$!
    for _ in $(seq 50); do
        if mountpoint -q "$1"; then
            disk_folder=$1
            return
        fi
        sleep 0.1
    done
    echo "  no slow disk can be made here (FUSE is missing): the cache lies on a quick one"
}
disk_hang() { kill -STOP "$disk_pid"; }
disk_mend() { kill -CONT "$disk_pid"; }
disk_remove() {
    [ -n "${disk_folder:-}" ] || return 0
    disk_mend || true
    umount -l "$disk_folder" || true
}
