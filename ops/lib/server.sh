# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by scripts that want a PostgreSQL server of their own: in a temporary folder, on a socket, gone when they end.
# fsync is on. Programs started by the script find it by PGHOST, PGUSER and PGDATABASE.

as_server() { if [ "$(id -u)" = 0 ]; then su postgres -c "$1"; else sh -c "$1"; fi; }

# server_make [SETTING=VALUE...]: makes and starts it, without a schema.
server_make() {
    server_bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    server_folder=$(mktemp -d /tmp/deltakv-server-XXXXXX)
    chmod 755 "$server_folder"
    [ "$(id -u)" != 0 ] || chown postgres "$server_folder"
    server_options="-c listen_addresses='' -k $server_folder"
    local setting
    for setting in "$@"; do server_options+=" -c $setting"; done
    as_server "$server_bin/initdb -D $server_folder/data -U postgres -A trust -E UTF8 --locale=C --data-checksums" >/dev/null
    server_start
    export PGHOST="$server_folder" PGUSER=postgres PGDATABASE=postgres DATABASE_URL=
}
server_start() {
    as_server "$server_bin/pg_ctl -D $server_folder/data -w -l $server_folder/log -o \"$server_options\" start" >/dev/null
}
# server_stop fast|immediate: immediate is a crash, after which the server recovers from its log.
server_stop() { as_server "$server_bin/pg_ctl -D $server_folder/data -m $1 stop" >/dev/null; }
server_remove() {
    [ -n "${server_folder:-}" ] || return 0
    server_stop immediate 2>/dev/null || true
    rm -rf "$server_folder"
}
sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
