-- SPDX-License-Identifier: Apache-2.0

-- What people read: results, progress, and what is left to do.

CREATE VIEW deltakv.results AS
SELECT
    j.custom_id,
    b.name AS batch,
    j.job_id,
    coalesce(o.state, q.state) AS state,
    o.output,
    o.finish_reason,
    coalesce(o.prompt_tokens, q.prompt_tokens_done) AS prompt_tokens,
    o.cached_tokens,
    coalesce(o.output_tokens, q.output_tokens_done) AS output_tokens,
    o.prefill_seconds,
    o.decode_seconds,
    o.error_code || ': ' || o.error_message AS error,
    o.error_code,
    o.error_message,
    o.error_detail,
    j.template,
    j.tenant,
    j.priority,
    coalesce(o.attempts, q.attempt) AS attempts,
    j.max_attempts,
    coalesce(o.worker_id, q.worker_id) AS worker_id,
    j.submitted_at,
    coalesce(q.run_at, j.run_at) AS run_at,
    coalesce(o.started_at, q.running_at) AS started_at,
    o.completed_at,
    o.failed_at,
    o.cancelled_at,
    q.cancel_requested_at
FROM deltakv.jobs j
JOIN deltakv.batches b USING (batch_id)
LEFT JOIN deltakv.outcomes o USING (job_id)
LEFT JOIN deltakv.queue q USING (job_id);
COMMENT ON VIEW deltakv.results IS
    'Every job with its state and, once it has ended, its output and what it cost, or its error: '
    'SELECT custom_id, output, cached_tokens, error FROM deltakv.results WHERE batch = ''q3''.';
COMMENT ON COLUMN deltakv.results.prompt_tokens IS
    'Tokens of the whole prompt, the template''s included; of a running job, how many are done.';
COMMENT ON COLUMN deltakv.results.cached_tokens IS 'How many of prompt_tokens came from a cache and cost no prefill.';
COMMENT ON COLUMN deltakv.results.output_tokens IS 'Tokens generated; of a running job, how many so far.';
COMMENT ON COLUMN deltakv.results.error IS 'error_code and error_message in one text.';
COMMENT ON COLUMN deltakv.results.attempts IS 'Attempts counted so far; earlier errors are in deltakv.job_errors.';
COMMENT ON COLUMN deltakv.results.run_at IS 'When a scheduled or retryable job may start.';
COMMENT ON COLUMN deltakv.results.started_at IS 'When the last attempt began.';

CREATE VIEW deltakv.batch_progress AS
SELECT
    b.name AS batch,
    b.tenant,
    b.batch_id,
    w.scheduled,
    w.available,
    w.running,
    w.retryable,
    f.completed,
    f.failed,
    f.cancelled,
    w.unfinished + f.finished AS total,
    round(100.0 * f.finished / nullif(w.unfinished + f.finished, 0), 1) AS percent,
    f.prompt_tokens,
    f.cached_tokens,
    f.output_tokens,
    b.created_at,
    f.first_started_at,
    f.last_finished_at,
    r.jobs_per_second,
    CASE WHEN w.unfinished > 0 THEN now() + make_interval(secs => w.unfinished / r.jobs_per_second) END AS eta
FROM deltakv.batches b
CROSS JOIN LATERAL (
    SELECT count(*) AS unfinished,
        count(q.scheduled_at) AS scheduled,
        count(q.available_at) AS available,
        count(q.running_at) AS running,
        count(q.retryable_at) AS retryable
    FROM deltakv.queue q WHERE q.batch_id = b.batch_id
) w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.completed), 0)::bigint AS completed,
        coalesce(sum(c.failed), 0)::bigint AS failed,
        coalesce(sum(c.cancelled), 0)::bigint AS cancelled,
        coalesce(sum(c.completed + c.failed + c.cancelled), 0)::bigint AS finished,
        coalesce(sum(c.prompt_tokens), 0)::bigint AS prompt_tokens,
        coalesce(sum(c.cached_tokens), 0)::bigint AS cached_tokens,
        coalesce(sum(c.output_tokens), 0)::bigint AS output_tokens,
        min(c.first_started_at) AS first_started_at,
        max(c.last_finished_at) AS last_finished_at
    FROM deltakv.batch_counters c WHERE c.batch_id = b.batch_id
) f
CROSS JOIN LATERAL (
    SELECT (f.completed + f.failed)
        / nullif(extract(epoch FROM f.last_finished_at - f.first_started_at), 0)::double precision AS jobs_per_second
) r;
COMMENT ON VIEW deltakv.batch_progress IS
    'How far each batch is: jobs by state, tokens of finished jobs, rate and expected end. Quick however many jobs have '
    'finished: SELECT * FROM deltakv.batch_progress WHERE batch = ''q3''.';
COMMENT ON COLUMN deltakv.batch_progress.batch_id IS 'What NOTIFY deltakv_batch carries when the batch has ended.';
COMMENT ON COLUMN deltakv.batch_progress.percent IS 'Share of the jobs that have ended, in whatever way.';
COMMENT ON COLUMN deltakv.batch_progress.created_at IS 'When the first job was submitted.';
COMMENT ON COLUMN deltakv.batch_progress.jobs_per_second IS
    'Jobs completed or failed per second from the first start to the last end.';
COMMENT ON COLUMN deltakv.batch_progress.eta IS 'When the batch ends if it goes on at that rate; null when it has ended.';

CREATE FUNCTION deltakv.unfinished(batch text DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS TABLE (scheduled bigint, available bigint, running bigint, retryable bigint, next_run_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT count(q.scheduled_at), count(q.available_at), count(q.running_at), count(q.retryable_at),
        min(CASE WHEN q.scheduled_at IS NOT NULL OR q.retryable_at IS NOT NULL THEN q.run_at END)
    FROM deltakv.queue q
    WHERE unfinished.batch IS NULL OR q.batch_id = ANY (ARRAY(
        SELECT b.batch_id FROM deltakv.batches b
        WHERE b.name = unfinished.batch AND b.tenant = coalesce(unfinished.tenant, b.tenant)));
END
$$;
COMMENT ON FUNCTION deltakv.unfinished(text, text) IS
    'Counts the jobs of a batch, or of all, that have not ended, wherever they run, and when the next waiting one is due.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
