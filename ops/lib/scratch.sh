# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by checks, after prepare.sh: a migrated database of their own in $scratch, gone when they end, and sql to talk to it.

scratch=$(mktemp -d /tmp/deltakv-check-XXXXXX)
chmod 755 "$scratch"
export DELTAKV_DATA="$scratch/data"
unset DATABASE_URL PGHOST PGSERVICE PGHOSTADDR

endings=()
at_end() { endings+=("$1"); }
finish() {
    local index
    for ((index = ${#endings[@]} - 1; index >= 0; index--)); do eval "${endings[index]}" >/dev/null 2>&1 || true; done
    "$deltakv" db down >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap finish EXIT

sql() { "$deltakv" db psql -- -X -q -v ON_ERROR_STOP=1 "$@"; }

"$deltakv" db up >/dev/null
"$deltakv" db migrate >/dev/null
