#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes deltakv.json, the Grafana board, from the queries below. usage: ops/grafana/make_board.py > ops/grafana/deltakv.json"""

import json

SOURCE = {"type": "postgres", "uid": "${DS_DELTAKV}"}
panels = []
place = {"x": 0, "y": 0, "row": 0}


def target(sql, form):
    return [{"refId": "A", "datasource": SOURCE, "format": form, "rawQuery": True, "rawSql": " ".join(sql.split())}]


def add(kind, title, sql, width, height, form="table", unit=None, description=None, **options):
    if place["x"] + width > 24:
        place.update(x=0, y=place["y"] + place["row"], row=0)
    defaults = {"unit": unit} if unit else {}
    defaults.update(options.pop("defaults", {}))
    panels.append({
        "id": len(panels) + 1, "type": kind, "title": title, "description": description or "", "datasource": SOURCE,
        "gridPos": {"x": place["x"], "y": place["y"], "w": width, "h": height}, "targets": target(sql, form),
        "fieldConfig": {"defaults": defaults, "overrides": options.pop("overrides", [])}, "options": options,
    })
    place.update(x=place["x"] + width, row=max(place["row"], height))


def stat(title, column, unit=None, steps=None, description=None):
    thresholds = {"mode": "absolute", "steps": [{"color": "text", "value": None}, *(steps or [])]}
    add("stat", title, f"SELECT {column} FROM deltakv.dashboard_summary", 3, 4, unit=unit, description=description,
        defaults={"thresholds": thresholds}, colorMode="value", graphMode="none", reduceOptions={"calcs": ["lastNotNull"]})


def lines(title, sql, unit=None, stacked=False, width=12):
    custom = {"drawStyle": "bars" if stacked else "line", "fillOpacity": 70 if stacked else 10, "lineWidth": 1,
              "stacking": {"mode": "normal" if stacked else "none"}, "spanNulls": False}
    add("timeseries", title, sql, width, 8, form="time_series", unit=unit, defaults={"custom": custom, "min": 0},
        legend={"displayMode": "list", "placement": "bottom"}, tooltip={"mode": "multi"})


stat("Waiting", "available")
stat("Oldest waiting", "coalesce(oldest_seconds, 0) AS oldest", "s", [{"color": "orange", "value": 21600}])
stat("Running", "running")
stat("Time left", "seconds_left", "s", description="At the rate of the last ten minutes; scheduled and paused jobs are not counted.")
stat("Failed, last hour", "failed_last_hour", None, [{"color": "red", "value": 1}])
stat("Daemons", "workers", None, [{"color": "red", "value": None}, {"color": "green", "value": 1}])
stat("KV memory", "kv_used_bytes / nullif(kv_bytes, 0) AS used", "percentunit", [{"color": "orange", "value": 0.9}])
stat("Prompt tokens from cache, last day", "cached_tokens_last_day::float / nullif(prompt_tokens_last_day, 0) AS share", "percentunit")

lines("Jobs a minute",
      """SELECT minute AS time, completed, failed, cancelled FROM deltakv.dashboard_throughput
         WHERE $__timeFilter(minute) ORDER BY minute""", stacked=True)
lines("Tokens of finished jobs a second",
      """SELECT minute AS time, (prompt_tokens - cached_tokens) / 60.0 AS prefilled, cached_tokens / 60.0 AS cached,
             output_tokens / 60.0 AS generated FROM deltakv.dashboard_throughput WHERE $__timeFilter(minute) ORDER BY minute""")
lines("Prefill and decode, tokens a second (last hour)",
      """SELECT minute AS time, prefill_tokens_per_second AS prefill, decode_tokens_per_second AS decode
         FROM deltakv.dashboard_load WHERE $__timeFilter(minute) ORDER BY minute""")
lines("Sequences in a step (last hour)",
      "SELECT minute AS time, batch_size FROM deltakv.dashboard_load WHERE $__timeFilter(minute) ORDER BY minute", width=6)
lines("KV memory (last hour)",
      """SELECT minute AS time, kv_used_bytes AS used, kv_bytes AS size FROM deltakv.dashboard_load
         WHERE $__timeFilter(minute) ORDER BY minute""", unit="bytes", width=6)
lines("Seconds of engine time a minute",
      """SELECT minute AS time, prefill_seconds AS prefill, decode_seconds AS decode FROM deltakv.dashboard_throughput
         WHERE $__timeFilter(minute) ORDER BY minute""", unit="s", stacked=True)
lines("Jobs by tenant",
      """SELECT minute AS time, tenant AS metric, completed + failed AS jobs FROM deltakv.dashboard_minutes
         WHERE $__timeFilter(minute) ORDER BY minute""", stacked=True)
add("table", "Batches",
    """SELECT batch, tenant, percent, scheduled + available + retryable AS waiting, running, completed, failed, cancelled,
           prompt_tokens, cached_tokens, output_tokens, eta, paused_at FROM deltakv.dashboard_batches
       ORDER BY batch_id DESC LIMIT 50""", 24, 9)
add("table", "Daemons",
    """SELECT worker_id, host, pid, version, heartbeat_at, stopped_at, running, batch_size, prefill_tokens_per_second,
           decode_tokens_per_second, kv_used_bytes, resident_bytes, fenced_writes FROM deltakv.dashboard_workers
       ORDER BY stopped_at DESC NULLS FIRST, worker_id DESC LIMIT 50""", 14, 8)
add("table", "Errors of the last day",
    "SELECT code, errors, jobs, last_occurred_at, last_job_id FROM deltakv.dashboard_errors ORDER BY errors DESC", 10, 8)
add("table", "Cache directories",
    """SELECT host, directory, bytes, budget_bytes, chunks, tokens, hits, misses, seconds_saved, evicted, damaged
       FROM deltakv.dashboard_cache_stores ORDER BY synced_at DESC LIMIT 20""", 16, 7)
add("table", "Cache misses by reason",
    "SELECT reason, sum(misses)::bigint AS misses FROM deltakv.dashboard_cache_misses GROUP BY reason ORDER BY misses DESC", 8, 7)
add("table", "Oldest waiting jobs by tenant and priority",
    "SELECT * FROM deltakv.dashboard_waiting ORDER BY oldest_submitted_at LIMIT 20", 8, 8)
add("table", "Slowest of the jobs that ended lately",
    """SELECT job_id, batch, template, seconds, prompt_tokens, cached_tokens, output_tokens FROM deltakv.dashboard_ended
       WHERE state = 'completed' ORDER BY seconds DESC NULLS LAST LIMIT 20""", 10, 8)
add("table", "Tables",
    "SELECT table_name, live_rows, dead_rows, bytes, last_autovacuum FROM deltakv.dashboard_tables ORDER BY bytes DESC", 6, 8)

print(json.dumps({
    "__inputs": [{"name": "DS_DELTAKV", "label": "deltakv", "description": "PostgreSQL, a login admitted as reader",
                  "type": "datasource", "pluginId": "postgres", "pluginName": "PostgreSQL"}],
    "title": "deltakv", "uid": "deltakv", "tags": ["deltakv"], "schemaVersion": 38, "editable": True, "refresh": "10s",
    "time": {"from": "now-6h", "to": "now"}, "timezone": "browser", "panels": panels,
}, indent=1, sort_keys=True))
