# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by ops/soak.

tokens=200000 kill=50
while [ $# -gt 0 ]; do
    case "$1" in
    --tokens | --kill) printf -v "${1#--}" %s "$2"; shift 2 ;;
    *) die "there is no option $1" ;;
    esac
done
daemon=
finish() {
    [ -z "$daemon" ] || kill -9 "$daemon" 2>/dev/null || true
    server_remove
    rm -rf "${work:-}"
}
trap finish EXIT
server_make shared_buffers=128MB
work=$(mktemp -d /tmp/deltakv-soak-XXXXXX)
"$bin/deltakv" db migrate >/dev/null
"$bin/deltakv" model fetch >/dev/null

# Perl's manual, which every Debian machine with perl-doc has, until there is enough text. Four bytes are about a token here;
# what it was in tokens is counted afterwards.
pods=$(perl -MConfig -e 'print $Config{privlib}')/pod
for pod in "$pods"/perl[a-z]*.pod; do
    pod2text "$pod" 2>/dev/null || true
    printf '\n\n'
done >"$work/manual"
head -c $((tokens * 4)) "$work/manual" | iconv -c -f UTF-8 -t UTF-8 >"$work/document"
[ "$(wc -c <"$work/document")" -gt $((tokens * 4 - 8)) ] || die "Perl's manual is too short: install perl-doc"

submit() {
    psql -X -q -At -v ON_ERROR_STOP=1 -v file="$work/document" -v batch="$1" -f - <<'SQL'
\set body `cat :file`
SELECT deltakv.summarize(:'body', custom_id => 'all', batch => :'batch');
SQL
}
start() { "$bin/deltakv" daemon --drain --lease 5s --poll 500ms --kv-memory 1GiB >>"$work/log" 2>&1 & daemon=$!; }
# The most memory that the daemon had at once, in MiB; empty when it has ended.
peak() { sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$daemon/status" 2>/dev/null | awk '{print int($1 / 1024)}'; }
# follow CONDITION: until it says t or the daemon ends; notes the peak.
follow() {
    local now
    while kill -0 "$daemon" 2>/dev/null; do
        now=$(peak)
        [ -z "$now" ] || [ "$now" -le "$most" ] || most=$now
        [ "$(sql -c "$1")" != t ] || return 0
        sleep 1
    done
}
count() { sql -c "SELECT count(*) FROM deltakv.results WHERE batch = '$1' AND $2"; }

say "A document of about $tokens tokens, in one go"
submit whole >/dev/null
parts=$(count whole "template = 'summarize-part'")
most=0 began=$SECONDS
start
follow "SELECT false"
wait "$daemon" || die "the daemon failed: $(tail -n 5 "$work/log")"
echo "  $parts parts and $(count whole "template = 'summarize-merge'") summaries of summaries, $((SECONDS - began)) s, peak memory $most MiB"
echo "  $(sql -c "SELECT sum(prompt_tokens) || ' prompt tokens, ' || sum(output_tokens) || ' output tokens' FROM deltakv.results WHERE batch = 'whole'")"
whole_peak=$most

say "Again, the daemon killed after $kill % of the parts"
submit killed >/dev/null
most=0 began=$SECONDS
start
follow "SELECT count(*) >= $((parts * kill / 100)) FROM deltakv.results WHERE batch = 'killed' AND state = 'completed'"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
reused=$(count killed "state = 'completed'")
interrupted=$(count killed "state = 'running'")
echo "  killed after $((SECONDS - began)) s: $reused jobs were done, $interrupted running"
start
follow "SELECT false"
wait "$daemon" || die "the daemon failed: $(tail -n 5 "$work/log")"
echo "  finished after $((SECONDS - began)) s, peak memory $most MiB"

say "Comparing"
failed=0
for batch in whole killed; do
    [ "$(count $batch "state <> 'completed'")" = 0 ] || { echo "  batch $batch: not all jobs completed"; failed=1; }
done
twice=$(sql -c "SELECT count(*) FROM deltakv.results r WHERE batch = 'killed' AND
    (SELECT count(*) FROM deltakv.job_events e WHERE e.job_id = r.job_id AND e.event = 'claimed') > 1")
[ "$twice" = "$interrupted" ] || { echo "  $twice jobs were started twice, not the $interrupted that were interrupted"; failed=1; }
other=$(sql -c "SELECT count(*) FROM (SELECT template, output FROM deltakv.results WHERE batch = 'killed'
    EXCEPT SELECT template, output FROM deltakv.results WHERE batch = 'whole') t")
[ "$other" = 0 ] || { echo "  $other texts differ from the uninterrupted run"; failed=1; }
[ "$most" -lt $((whole_peak * 5 / 4)) ] || { echo "  the second run took more memory than the first"; failed=1; }
echo "  $reused finished jobs were not run again, $twice interrupted ones were; texts that differ: $other"
sql -c "SELECT output FROM deltakv.results WHERE batch = 'killed' AND custom_id = 'all'" | sed 's/^/  | /'
[ "$failed" = 0 ] || die "see above"
