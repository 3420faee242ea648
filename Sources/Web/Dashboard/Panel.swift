// SPDX-License-Identifier: Apache-2.0

/// A part of the overview: a query whose one row holds its figures as JSON.
///
/// The database makes the JSON, so that a figure on the page is a figure of the view. Queries read the views of
/// `deltakv_reader` only, and each looks at a bounded number of rows.
struct Panel: Sendable {
    let name: String
    let sql: String
    /// How long its figures are good enough: the database is asked no sooner, however many people look.
    let freshness: Duration

    private init(_ name: String, freshness: Duration, _ sql: String) {
        self.name = name
        self.freshness = freshness
        self.sql = sql
    }

    private static func rows(_ name: String, freshness: Duration = .seconds(1), _ query: String) -> Panel {
        Panel(name, freshness: freshness, "SELECT coalesce(json_agg(t), '[]')::text FROM (\(query)) t")
    }

    /// For figures by the minute, and for those that cost more.
    private static let slow = Duration.seconds(10)

    static let overview: [Panel] = [
        Panel("summary", freshness: .seconds(1), "SELECT row_to_json(s)::text FROM deltakv.dashboard_summary s"),
        rows(
            "throughput", freshness: slow,
            """
            SELECT extract(epoch FROM t.minute)::bigint AS minute, completed, failed, cancelled, prompt_tokens, cached_tokens,
                output_tokens
            FROM deltakv.dashboard_throughput t WHERE t.minute > now() - interval '1 hour' ORDER BY t.minute
            """),
        rows(
            "load", freshness: slow,
            """
            SELECT extract(epoch FROM l.minute)::bigint AS minute, running, kv_used_bytes, kv_bytes,
                prefill_tokens_per_second, decode_tokens_per_second, batch_size, workers
            FROM deltakv.dashboard_load l ORDER BY l.minute
            """),
        // The latest ones, and whatever older ones are being worked on.
        rows(
            "batches",
            """
            SELECT b.* FROM deltakv.dashboard_batches b
            WHERE b.batch_id IN (
                (SELECT batch_id FROM deltakv.dashboard_batches ORDER BY batch_id DESC LIMIT 40)
                UNION SELECT batch_id FROM deltakv.dashboard_running)
            ORDER BY b.batch_id DESC LIMIT 100
            """),
        rows(
            "workers",
            """
            SELECT w.*, extract(epoch FROM w.silent_for)::double precision AS silent_seconds
            FROM deltakv.dashboard_workers w ORDER BY w.stopped_at DESC NULLS FIRST, w.worker_id DESC LIMIT 100
            """),
        rows(
            "waiting",
            "SELECT w.* FROM deltakv.dashboard_waiting w ORDER BY w.oldest_submitted_at LIMIT 20"),
        rows(
            "errors", freshness: slow,
            "SELECT e.* FROM deltakv.dashboard_errors e ORDER BY e.errors DESC, e.code LIMIT 20"),
        rows(
            "running",
            """
            SELECT r.*, extract(epoch FROM r.running_for)::double precision AS seconds
            FROM deltakv.dashboard_running r ORDER BY r.started_at LIMIT 12
            """),
        rows(
            "slowest", freshness: slow,
            """
            SELECT e.* FROM deltakv.dashboard_ended e WHERE e.state = 'completed' ORDER BY e.seconds DESC NULLS LAST LIMIT 12
            """),
        rows(
            "failures", freshness: slow,
            "SELECT e.* FROM deltakv.dashboard_ended e WHERE e.state = 'failed' ORDER BY e.finished_at DESC LIMIT 12"),
        rows(
            "cache", freshness: slow,
            """
            SELECT s.host, s.directory, s.budget_bytes, s.free_bytes, s.chunks, s.tokens, s.bytes, s.hits, s.misses,
                s.seconds_saved, s.evicted, s.damaged, s.synced_at
            FROM deltakv.dashboard_cache_stores s ORDER BY s.synced_at DESC LIMIT 20
            """),
        rows(
            "cache_misses", freshness: slow,
            """
            SELECT m.reason, sum(m.misses)::bigint AS misses FROM deltakv.dashboard_cache_misses m
            GROUP BY m.reason ORDER BY misses DESC LIMIT 12
            """),
    ]

    static let job = Panel(
        "job", freshness: .zero, "SELECT row_to_json(j)::text FROM deltakv.dashboard_jobs j WHERE j.job_id = $1")
    static let timeline = rows(
        "timeline",
        "SELECT t.* FROM deltakv.dashboard_timeline t WHERE t.job_id = $1 ORDER BY t.event_id LIMIT 500")
}
