# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by ops/demo and ops/test: gets a Debian machine ready and builds the program. Safe to run again and again.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
build_flags=(-c release -Xswiftc -enable-testing)

say() { printf '\n==> %s\n' "$*"; }
die() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root for: $*  (install sudo, or run that as root first)"
    fi
}

# Installs the Debian packages that are missing, and asks the package server only then.
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

prepare() {
    command -v swift >/dev/null || die "Swift 6.3 is not on the PATH: install it from swift.org and try again"
    # The package's postinst starts a cluster of its own; ours is private, on a socket of its own, and does not meet it.
    install_packages postgresql libpq-dev libopenblas-dev liblz4-dev pkg-config python3 python3-pip "$@"
}

# build [--build-tests]
build() {
    say "Building (the first time takes several minutes)"
    swift build "${build_flags[@]}" "$@"
    # shellcheck disable=SC2034  # for the script that sources this
    deltakv="$(swift build "${build_flags[@]}" --show-bin-path)/deltakv"
}

# Runs tests that are built. Left to itself, swift test builds everything once more, with flags of its own.
# run_tests [swift test options]; one after another: tests that compute on all cores would starve those that talk to a server.
run_tests() { swift test "${build_flags[@]}" --skip-build --no-parallel "$@"; }
