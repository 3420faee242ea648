-- SPDX-License-Identifier: Apache-2.0

-- What dashboards read beside the views of 0011: what daemons do at this moment, throughput up to now, errors, slow jobs,
-- a job's course. No texts of anybody. Every view looks at a bounded number of rows, however many jobs there are.

CREATE TABLE deltakv.worker_samples (
    worker_id bigint NOT NULL,
    sampled_at timestamptz NOT NULL DEFAULT now(),
    seconds double precision NOT NULL CHECK (seconds > 0),
    running integer NOT NULL,
    kv_used_bytes bigint NOT NULL,
    kv_bytes bigint NOT NULL,
    resident_bytes bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    prefill_seconds double precision NOT NULL,
    decode_seconds double precision NOT NULL,
    steps bigint NOT NULL,
    sequence_steps bigint NOT NULL,
    PRIMARY KEY (worker_id, sampled_at),
    CONSTRAINT worker_samples_positive CHECK (
        least(running, kv_used_bytes, kv_bytes, resident_bytes, prompt_tokens, output_tokens, prefill_seconds, decode_seconds,
            steps, sequence_steps) >= 0)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE deltakv.worker_samples IS
    'What each daemon did in the seconds before sampled_at, a row every ten seconds, for six hours.';
COMMENT ON COLUMN deltakv.worker_samples.seconds IS 'How long a time the sums of this row are about.';
COMMENT ON COLUMN deltakv.worker_samples.running IS 'Sequences in the batch.';
COMMENT ON COLUMN deltakv.worker_samples.kv_used_bytes IS 'Keys and values that sequences hold, of kv_bytes.';
COMMENT ON COLUMN deltakv.worker_samples.prompt_tokens IS 'Prompt tokens computed; what came from a cache is not among them.';
COMMENT ON COLUMN deltakv.worker_samples.prefill_seconds IS 'Of the engine''s time, the share that went into prompts.';
COMMENT ON COLUMN deltakv.worker_samples.sequence_steps IS
    'The sum over all steps of the sequences in each: divided by steps, the mean size of the batch.';
ALTER TABLE deltakv.worker_samples ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION deltakv.report_load(
    worker_id bigint, seconds double precision, running integer, kv_used_bytes bigint, kv_bytes bigint,
    resident_bytes bigint, prompt_tokens bigint, output_tokens bigint, prefill_seconds double precision,
    decode_seconds double precision, steps bigint, sequence_steps bigint
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    INSERT INTO deltakv.worker_samples AS s VALUES (
        report_load.worker_id, now(), report_load.seconds, report_load.running, report_load.kv_used_bytes,
        report_load.kv_bytes, report_load.resident_bytes, report_load.prompt_tokens, report_load.output_tokens,
        report_load.prefill_seconds, report_load.decode_seconds, report_load.steps, report_load.sequence_steps)
    ON CONFLICT DO NOTHING;
    DELETE FROM deltakv.worker_samples s
    WHERE s.worker_id = report_load.worker_id AND s.sampled_at < now() - interval '6 hours';
    -- Those of daemons that are gone nobody else removes; a few at a time.
    DELETE FROM deltakv.worker_samples s USING (
        SELECT w.worker_id FROM deltakv.workers w
        WHERE w.heartbeat_at BETWEEN now() - interval '8 hours' AND now() - interval '6 hours' LIMIT 10) gone
    WHERE s.worker_id = gone.worker_id;
END
$$;
COMMENT ON FUNCTION deltakv.report_load(
    bigint, double precision, integer, bigint, bigint, bigint, bigint, bigint, double precision, double precision, bigint,
    bigint) IS 'Adds to deltakv.worker_samples what a daemon did since its last call. Daemons call it every ten seconds.';

-- The sum of all batches, without putting each of them together first.
CREATE OR REPLACE VIEW deltakv.dashboard_states AS
SELECT coalesce(sum(c.scheduled), 0) AS scheduled, coalesce(sum(c.available), 0) AS available,
    coalesce(sum(c.running), 0) AS running, coalesce(sum(c.retryable), 0) AS retryable,
    coalesce(sum(c.completed), 0) AS completed, coalesce(sum(c.failed), 0) AS failed,
    coalesce(sum(c.cancelled), 0) AS cancelled
FROM deltakv.batch_counts c;

CREATE OR REPLACE VIEW deltakv.dashboard_batches AS
SELECT a.*, b.paused_at FROM deltakv.all_batches a JOIN deltakv.batches b USING (batch_id);

CREATE VIEW deltakv.dashboard_throughput AS
SELECT m.minute, sum(m.completed)::bigint AS completed, sum(m.failed)::bigint AS failed,
    sum(m.cancelled)::bigint AS cancelled, sum(m.prompt_tokens)::bigint AS prompt_tokens,
    sum(m.cached_tokens)::bigint AS cached_tokens, sum(m.output_tokens)::bigint AS output_tokens,
    sum(m.prefill_seconds) AS prefill_seconds, sum(m.decode_seconds) AS decode_seconds
FROM (
    SELECT m.minute, m.completed, m.failed, m.cancelled, m.prompt_tokens, m.cached_tokens, m.output_tokens,
        m.prefill_seconds, m.decode_seconds
    FROM deltakv.minutes m
    UNION ALL
    -- What is not folded yet.
    SELECT date_trunc('minute', c.slice), c.completed, c.failed, c.cancelled, c.prompt_tokens, c.cached_tokens,
        c.output_tokens, c.prefill_seconds, c.decode_seconds
    FROM deltakv.batch_counts c WHERE c.slice > '-infinity'
) m
GROUP BY m.minute;
COMMENT ON VIEW deltakv.dashboard_throughput IS 'Jobs and tokens finished by minute, of all tenants, up to now.';

CREATE VIEW deltakv.dashboard_load AS
SELECT m.minute, sum(m.running) AS running, sum(m.kv_used_bytes) AS kv_used_bytes, sum(m.kv_bytes) AS kv_bytes,
    sum(m.prefill_tokens_per_second) AS prefill_tokens_per_second,
    sum(m.decode_tokens_per_second) AS decode_tokens_per_second,
    sum(m.sequence_steps) / nullif(sum(m.steps), 0) AS batch_size, count(*) AS workers
FROM (
    SELECT date_trunc('minute', s.sampled_at) AS minute, avg(s.running) AS running, avg(s.kv_used_bytes) AS kv_used_bytes,
        max(s.kv_bytes) AS kv_bytes, sum(s.prompt_tokens) / sum(s.seconds) AS prefill_tokens_per_second,
        sum(s.output_tokens) / sum(s.seconds) AS decode_tokens_per_second, sum(s.sequence_steps) AS sequence_steps,
        sum(s.steps) AS steps
    FROM deltakv.worker_samples s
    WHERE s.sampled_at > now() - interval '1 hour'
    GROUP BY 1, s.worker_id
) m
GROUP BY m.minute;
COMMENT ON VIEW deltakv.dashboard_load IS
    'What all daemons together did in each minute of the last hour: tokens a second, mean batch size, memory of keys and values.';
COMMENT ON COLUMN deltakv.dashboard_load.batch_size IS 'Mean number of sequences in a step; null where no step was made.';

CREATE OR REPLACE VIEW deltakv.dashboard_workers AS
SELECT w.worker_id, w.host, w.pid, w.version, w.started_at, w.heartbeat_at, w.stopped_at, w.fenced_writes,
    now() - w.heartbeat_at AS silent_for,
    s.running, s.kv_used_bytes, s.kv_bytes, s.resident_bytes, s.prompt_tokens / s.seconds AS prefill_tokens_per_second,
    s.output_tokens / s.seconds AS decode_tokens_per_second, s.sequence_steps::double precision / nullif(s.steps, 0) AS batch_size,
    s.sampled_at
FROM deltakv.workers w
LEFT JOIN LATERAL (
    SELECT * FROM deltakv.worker_samples s WHERE s.worker_id = w.worker_id ORDER BY s.sampled_at DESC LIMIT 1) s ON true
WHERE coalesce(w.stopped_at, w.heartbeat_at) > now() - interval '1 day';
COMMENT ON VIEW deltakv.dashboard_workers IS
    'Daemons heard of in the last day, and what each did in the ten seconds before sampled_at.';

-- The waiting jobs of a tenant and a priority lie together in the index queue_waiting, oldest first: one look for each.
CREATE VIEW deltakv.dashboard_waiting AS
WITH RECURSIVE fronts AS (
    (SELECT q.tenant, - q.priority::bigint AS rank, q.job_id FROM deltakv.queue q WHERE q.state = 'available'
        ORDER BY q.tenant, - q.priority::bigint, q.job_id LIMIT 1)
    UNION ALL
    SELECT n.* FROM fronts f CROSS JOIN LATERAL (
        SELECT q.tenant, - q.priority::bigint, q.job_id FROM deltakv.queue q
        WHERE q.state = 'available' AND (q.tenant, - q.priority::bigint) > (f.tenant, f.rank)
        ORDER BY q.tenant, - q.priority::bigint, q.job_id LIMIT 1) n
)
SELECT f.tenant, (- f.rank)::integer AS priority, f.job_id AS oldest_job_id, j.submitted_at AS oldest_submitted_at
FROM fronts f JOIN deltakv.jobs j USING (job_id);
COMMENT ON VIEW deltakv.dashboard_waiting IS 'The oldest job that could start now, by tenant and priority.';

CREATE VIEW deltakv.dashboard_errors AS
SELECT e.code, count(*) AS errors, count(DISTINCT e.job_id) AS jobs, max(e.occurred_at) AS last_occurred_at,
    max(e.job_id) AS last_job_id
FROM (SELECT * FROM deltakv.job_errors e ORDER BY e.error_id DESC LIMIT 10000) e
WHERE e.occurred_at > now() - interval '1 day'
GROUP BY e.code;
COMMENT ON VIEW deltakv.dashboard_errors IS 'Errors of the last day by code, of the latest ten thousand.';

CREATE VIEW deltakv.dashboard_jobs AS
SELECT j.job_id, b.name AS batch, j.tenant, j.custom_id, j.template, coalesce(o.state, q.state) AS state,
    coalesce(q.priority, j.priority) AS priority, coalesce(o.attempts, q.attempt) AS attempts, j.max_attempts,
    coalesce(o.worker_id, q.worker_id) AS worker_id, coalesce(o.prompt_tokens, q.prompt_tokens_done) AS prompt_tokens,
    o.cached_tokens, coalesce(o.output_tokens, q.output_tokens_done) AS output_tokens, o.prefill_seconds,
    o.decode_seconds, o.finish_reason, o.error_code, j.submitted_at,
    CASE WHEN isfinite(q.run_at) THEN q.run_at ELSE j.run_at END AS run_at,
    coalesce(o.started_at, q.running_at) AS started_at, q.cancel_requested_at,
    coalesce(o.completed_at, o.failed_at, o.cancelled_at) AS finished_at, b.paused_at
FROM deltakv.jobs j
JOIN deltakv.batches b USING (batch_id)
LEFT JOIN deltakv.outcomes o USING (job_id)
LEFT JOIN deltakv.queue q USING (job_id);
COMMENT ON VIEW deltakv.dashboard_jobs IS 'Jobs of all tenants without their texts. Ask for them by job_id.';

CREATE VIEW deltakv.dashboard_running AS
SELECT q.job_id, b.name AS batch, q.tenant, j.template, q.worker_id, q.running_at AS started_at,
    now() - q.running_at AS running_for, q.attempt, q.max_attempts, q.prompt_tokens_done AS prompt_tokens,
    q.output_tokens_done AS output_tokens, q.lease_expires_at, q.cancel_requested_at
FROM deltakv.queue q JOIN deltakv.jobs j USING (job_id) JOIN deltakv.batches b ON b.batch_id = q.batch_id
WHERE q.state = 'running';
COMMENT ON VIEW deltakv.dashboard_running IS 'Jobs that run now.';

CREATE VIEW deltakv.dashboard_ended AS
SELECT o.job_id, b.name AS batch, j.tenant, j.template, o.state, o.worker_id, o.attempts, o.prompt_tokens, o.cached_tokens,
    o.output_tokens, o.prefill_seconds, o.decode_seconds, o.error_code, o.started_at, e.occurred_at AS finished_at,
    extract(epoch FROM e.occurred_at - o.started_at)::double precision AS seconds
FROM (
    SELECT DISTINCT ON (l.job_id) l.job_id, l.occurred_at FROM (
        SELECT * FROM deltakv.job_events l ORDER BY l.event_id DESC LIMIT 3000) l
    WHERE l.event IN ('completed', 'failed', 'cancelled') ORDER BY l.job_id, l.event_id DESC) e
JOIN deltakv.outcomes o USING (job_id)
JOIN deltakv.jobs j USING (job_id)
JOIN deltakv.batches b ON b.batch_id = o.batch_id;
COMMENT ON VIEW deltakv.dashboard_ended IS 'Jobs that ended lately: among the last three thousand events.';

CREATE VIEW deltakv.dashboard_timeline AS
SELECT j.job_id, 0::bigint AS event_id, j.submitted_at AS occurred_at, 'submitted' AS event, NULL::bigint AS worker_id,
    NULL::integer AS attempt, NULL AS code
FROM deltakv.jobs j
UNION ALL
SELECT e.job_id, e.event_id, e.occurred_at, e.event, e.worker_id, e.attempt, e.code FROM deltakv.job_events e;
COMMENT ON VIEW deltakv.dashboard_timeline IS
    'What happened to a job and when: SELECT * FROM deltakv.dashboard_timeline WHERE job_id = 17 ORDER BY event_id.';

CREATE VIEW deltakv.dashboard_queue AS
SELECT s.*, extract(epoch FROM now() - w.oldest_submitted_at)::double precision AS oldest_seconds, w.oldest_job_id
FROM deltakv.dashboard_states s
LEFT JOIN (
    SELECT w.oldest_submitted_at, w.oldest_job_id FROM deltakv.dashboard_waiting w ORDER BY 1 LIMIT 1) w ON true;
COMMENT ON VIEW deltakv.dashboard_queue IS 'Jobs by state, and how long ago the oldest that could start now was submitted.';

CREATE VIEW deltakv.dashboard_summary AS
SELECT s.*, d.workers, d.silent_workers, d.prefill_tokens_per_second, d.decode_tokens_per_second, d.batch_size, d.kv_used_bytes,
    d.kv_bytes, r.jobs_per_second, h.completed_last_hour, h.failed_last_hour,
    ((s.available + s.running + s.retryable) / nullif(r.jobs_per_second, 0))::double precision AS seconds_left,
    y.prompt_tokens_last_day, y.cached_tokens_last_day, y.output_tokens_last_day,
    -- What the cached tokens would have cost at the price of the others.
    y.cached_tokens_last_day * y.prefill_seconds / nullif(y.prompt_tokens_last_day - y.cached_tokens_last_day, 0)
        AS seconds_saved_last_day
FROM deltakv.dashboard_queue s
CROSS JOIN (
    SELECT count(*) FILTER (WHERE w.silent_for < interval '1 minute') AS workers,
        count(*) FILTER (WHERE w.silent_for BETWEEN interval '1 minute' AND interval '1 hour') AS silent_workers,
        sum(w.prefill_tokens_per_second) FILTER (WHERE w.sampled_at > now() - interval '30 seconds') AS prefill_tokens_per_second,
        sum(w.decode_tokens_per_second) FILTER (WHERE w.sampled_at > now() - interval '30 seconds') AS decode_tokens_per_second,
        avg(w.batch_size) FILTER (WHERE w.sampled_at > now() - interval '30 seconds') AS batch_size,
        sum(w.kv_used_bytes) FILTER (WHERE w.sampled_at > now() - interval '30 seconds') AS kv_used_bytes,
        sum(w.kv_bytes) FILTER (WHERE w.sampled_at > now() - interval '30 seconds') AS kv_bytes
    FROM deltakv.dashboard_workers w WHERE w.stopped_at IS NULL) d
CROSS JOIN (
    SELECT sum(t.completed + t.failed) / greatest(extract(epoch FROM now() - min(t.minute)), 10) AS jobs_per_second
    FROM deltakv.dashboard_throughput t WHERE t.minute > now() - interval '10 minutes') r
CROSS JOIN (
    SELECT coalesce(sum(t.completed), 0)::bigint AS completed_last_hour, coalesce(sum(t.failed), 0)::bigint AS failed_last_hour
    FROM deltakv.dashboard_throughput t WHERE t.minute > now() - interval '1 hour') h
CROSS JOIN (
    SELECT coalesce(sum(t.prompt_tokens), 0)::bigint AS prompt_tokens_last_day,
        coalesce(sum(t.cached_tokens), 0)::bigint AS cached_tokens_last_day,
        coalesce(sum(t.output_tokens), 0)::bigint AS output_tokens_last_day, sum(t.prefill_seconds) AS prefill_seconds
    FROM deltakv.dashboard_throughput t WHERE t.minute > now() - interval '1 day') y;
COMMENT ON VIEW deltakv.dashboard_summary IS 'How everything stands, in one row.';
COMMENT ON COLUMN deltakv.dashboard_summary.oldest_seconds IS 'How long ago the oldest job that could start now was submitted.';
COMMENT ON COLUMN deltakv.dashboard_summary.jobs_per_second IS 'Jobs completed or failed a second in the last ten minutes.';
COMMENT ON COLUMN deltakv.dashboard_summary.seconds_left IS
    'Until all jobs that may run have ended, at that rate; scheduled and paused ones are not counted.';
COMMENT ON COLUMN deltakv.dashboard_summary.workers IS 'Daemons heard of in the last minute.';
COMMENT ON COLUMN deltakv.dashboard_summary.silent_workers IS 'Daemons that vanished in the last hour without saying so.';

GRANT SELECT ON deltakv.dashboard_queue TO deltakv_worker;
GRANT SELECT ON deltakv.dashboard_queue, deltakv.dashboard_batches, deltakv.dashboard_states, deltakv.dashboard_workers,
    deltakv.dashboard_summary, deltakv.dashboard_throughput, deltakv.dashboard_load, deltakv.dashboard_waiting, deltakv.dashboard_errors,
    deltakv.dashboard_jobs, deltakv.dashboard_running, deltakv.dashboard_ended, deltakv.dashboard_timeline
    TO deltakv_reader, deltakv_admin;
GRANT SELECT ON deltakv.worker_samples TO deltakv_admin;
REVOKE ALL ON FUNCTION deltakv.report_load(
    bigint, double precision, integer, bigint, bigint, bigint, bigint, bigint, double precision, double precision, bigint,
    bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deltakv.report_load(
    bigint, double precision, integer, bigint, bigint, bigint, bigint, bigint, double precision, double precision, bigint,
    bigint) TO deltakv_worker, deltakv_admin;
