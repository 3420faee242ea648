# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by ops/soak.

jobs=100000 workers=20 seconds=300 restarts=2 hold= lease=3
while [ $# -gt 0 ]; do
    case "$1" in
    --jobs | --workers | --seconds | --restarts | --hold | --lease) printf -v "${1#--}" %s "$2"; shift 2 ;;
    *) die "there is no option $1" ;;
    esac
done
# The jobs are to last for about as long as the killing.
hold=${hold:-$((workers * seconds * 1000 / jobs))}
# Longer than a lease, and than the five seconds in which nothing is rescued after a start of the server.
pause=$((lease * 2 + 6))

declare -A running=()
finish() {
    local pid
    for pid in "${!running[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    server_remove
    rm -rf "${journals:-}"
}
trap finish EXIT
server_make shared_buffers=256MB max_wal_size=2GB random_page_cost=1.1 max_connections=200
journals=$(mktemp -d /tmp/deltakv-soak-XXXXXX)
"$bin/deltakv" db migrate >/dev/null

say "Submitting $jobs jobs"
sql -c "SELECT count(deltakv.submit('soak', document => 'document ' || n, custom_id => n::text, batch => 'soak'))
        FROM generate_series(1, $jobs) n" >/dev/null

number=0
start_worker() {
    number=$((number + 1))
    "$bin/queue-worker" --claim 10 --hold "$hold" --lease "$lease" --drain --journal "$journals/$number" \
        >/dev/null 2>>"$journals/errors" &
    running[$!]=1
}
pick() {
    local pids=("${!running[@]}")
    victim=${pids[RANDOM % ${#pids[@]}]}
}
say "Running $workers workers for $seconds s, one killed each second"
for ((i = 0; i < workers; i++)); do start_worker; done
began=$SECONDS kills=0 stops=0 done_restarts=0
while [ $((SECONDS - began)) -lt "$seconds" ]; do
    sleep 1
    pick
    if kill -9 "$victim" 2>/dev/null; then kills=$((kills + 1)); fi
    wait "$victim" 2>/dev/null || true
    unset "running[$victim]"
    start_worker
    if [ $((kills % 5)) = 2 ]; then
        pick
        if kill -STOP "$victim" 2>/dev/null; then
            stops=$((stops + 1))
            (sleep "$pause"; kill -CONT "$victim" 2>/dev/null || true) &
        fi
    fi
    if [ "$done_restarts" -lt "$restarts" ] && [ $((SECONDS - began)) -ge $((seconds * (done_restarts + 1) / (restarts + 1))) ]; then
        done_restarts=$((done_restarts + 1))
        if [ "$done_restarts" = "$restarts" ]; then way=immediate; else way=fast; fi
        server_stop "$way"
        server_start
        echo "  restarted the server ($way) after $((SECONDS - began)) s: $(sql -c 'SELECT count(*) FROM deltakv.outcomes') jobs done"
    fi
done
left=$(sql -c "SELECT count(*) FROM deltakv.queue")
echo "  $kills kills, $stops workers stopped for $pause s, $done_restarts restarts; $left jobs left"
[ "$kills" -ge $((seconds / 2)) ] || die "only $kills workers were killed in $seconds s: the machine is too busy for this"

say "Letting the workers finish"
wait
running=()
wrong=$(sql -c "SELECT count(*) FROM deltakv.outcomes WHERE state <> 'completed' AND error_code IS DISTINCT FROM 'poison_job'")
[ "$wrong" = 0 ] || die "$wrong jobs failed that did not kill two workers"
# A job that killed two workers that ran it alone is parked; it has to be asked for again.
parked=$(sql -c "SELECT deltakv.redrive(batch => 'soak')")
[ "$parked" = 0 ] || "$bin/queue-worker" --claim 10 --lease "$lease" --drain --journal "$journals/last" >/dev/null
took=$((SECONDS - began))

say "Counting"
cat "$journals"/[0-9]* "$journals"/last >"$journals/all" 2>/dev/null || true
sql -c "CREATE TABLE public.acknowledged (job_id bigint, token bigint)" \
    -c "\copy public.acknowledged FROM '$journals/all' WITH (DELIMITER ' ')"
failed=0
must() {
    local found
    found=$(sql -c "$3")
    if [ "$found" = "$2" ]; then echo "  $1: $found"; else echo "  $1: $found, not $2"; failed=1; fi
}
must "jobs completed" "$jobs" "SELECT count(*) FROM deltakv.results WHERE state = 'completed'"
must "jobs with a number of completions other than one" 0 "SELECT count(*) FROM (SELECT j.job_id FROM deltakv.jobs j
    LEFT JOIN deltakv.job_events e ON e.job_id = j.job_id AND e.event = 'completed' GROUP BY j.job_id HAVING count(e) <> 1) t"
must "results that are not from the attempt on record" 0 \
    "SELECT count(*) FROM deltakv.outcomes WHERE output IS DISTINCT FROM worker_id || ':' || token"
must "results acknowledged to two workers" 0 \
    "SELECT count(*) FROM (SELECT job_id FROM public.acknowledged GROUP BY job_id HAVING count(DISTINCT token) > 1) t"
must "results acknowledged and not on record" 0 "SELECT count(*) FROM public.acknowledged a
    LEFT JOIN deltakv.outcomes o USING (job_id, token) WHERE o.job_id IS NULL"
must "jobs whose interrupted attempts were charged" 0 "SELECT count(*) FROM deltakv.outcomes WHERE attempts <> 1"
must "jobs counted in batch_progress" "$jobs 0 0" \
    "SELECT completed || ' ' || failed || ' ' || scheduled + available + running + retryable FROM deltakv.batch_progress"
must "fenced writes that no worker was charged with" 0 "SELECT (SELECT count(*) FROM deltakv.job_events WHERE event = 'fenced')
    - (SELECT sum(fenced_writes) FROM deltakv.workers)"
fenced=$(sql -c "SELECT sum(fenced_writes) FROM deltakv.workers")
rescued=$(sql -c "SELECT count(*) FROM deltakv.job_events WHERE event = 'rescued'")
acknowledged=$(sql -c "SELECT count(*) FROM public.acknowledged")
echo "  fenced writes: $fenced; attempts rescued: $rescued; jobs parked and redriven: $parked; acknowledged results: $acknowledged"
# A single one may have held no job when it was stopped, or have gone on too late to write.
[ "$stops" -lt 5 ] || [ "$fenced" -gt 0 ] || { echo "  workers were stopped and none was fenced"; failed=1; }
[ "$rescued" -gt 0 ] || { echo "  nothing was rescued: workers were not killed while they had jobs"; failed=1; }
[ "$failed" = 0 ] || die "the queue did not keep its promises"
echo "  $jobs jobs in $took s, each completed exactly once"
