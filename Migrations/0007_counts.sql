-- SPDX-License-Identifier: Apache-2.0

-- Counts of jobs by batch and state that nothing has to be counted for, however long a forgotten transaction keeps the
-- dead rows of deltakv.queue from being cleaned. A row of deltakv.batch_counts is added to for ten seconds only, so that
-- it gathers few dead versions itself; deltakv.fold_counts puts old rows together.

CREATE TABLE deltakv.batch_counts (
    batch_id integer NOT NULL,
    slice timestamptz NOT NULL,
    shard smallint NOT NULL,
    scheduled bigint NOT NULL DEFAULT 0,
    available bigint NOT NULL DEFAULT 0,
    running bigint NOT NULL DEFAULT 0,
    retryable bigint NOT NULL DEFAULT 0,
    completed bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    prompt_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    prefill_seconds double precision NOT NULL DEFAULT 0,
    decode_seconds double precision NOT NULL DEFAULT 0,
    first_started_at timestamptz,
    last_finished_at timestamptz,
    PRIMARY KEY (batch_id, slice, shard)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE deltakv.batch_counts IS
    'Changes of the number of jobs by batch and state, and tokens of finished jobs, by slices of ten seconds. Their sums '
    'are how the batch stands; a single row may be below zero. The slice -infinity holds everything older.';
COMMENT ON COLUMN deltakv.batch_counts.shard IS
    'Each connection adds to one of eight rows, so that workers on one batch seldom wait for each other.';

CREATE TABLE deltakv.minutes (
    minute timestamptz NOT NULL,
    tenant text NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    prefill_seconds double precision NOT NULL,
    decode_seconds double precision NOT NULL,
    PRIMARY KEY (minute, tenant)
);
COMMENT ON TABLE deltakv.minutes IS 'What was finished in each minute, by tenant: for dashboards. A few minutes behind.';

ALTER TABLE deltakv.queue ADD COLUMN submitted_in xid8 NOT NULL DEFAULT pg_current_xact_id();
COMMENT ON COLUMN deltakv.queue.submitted_in IS
    'The transaction that put the row here. Until it commits, its rows are not in deltakv.batch_counts.';

INSERT INTO deltakv.batch_counts (
    batch_id, slice, shard, scheduled, available, running, retryable, completed, failed, cancelled, prompt_tokens,
    cached_tokens, output_tokens, prefill_seconds, decode_seconds, first_started_at, last_finished_at)
SELECT b.batch_id, '-infinity', 0, q.scheduled, q.available, q.running, q.retryable, c.completed, c.failed, c.cancelled,
    c.prompt_tokens, c.cached_tokens, c.output_tokens, o.prefill_seconds, o.decode_seconds, c.first_started_at,
    c.last_finished_at
FROM deltakv.batches b
CROSS JOIN LATERAL (
    SELECT count(scheduled_at) AS scheduled, count(available_at) AS available, count(running_at) AS running,
        count(retryable_at) AS retryable
    FROM deltakv.queue WHERE batch_id = b.batch_id) q
CROSS JOIN LATERAL (
    SELECT coalesce(sum(completed), 0) AS completed, coalesce(sum(failed), 0) AS failed,
        coalesce(sum(cancelled), 0) AS cancelled, coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
        coalesce(sum(cached_tokens), 0) AS cached_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
        min(first_started_at) AS first_started_at, max(last_finished_at) AS last_finished_at
    FROM deltakv.batch_counters WHERE batch_id = b.batch_id) c
LEFT JOIN (
    SELECT batch_id, coalesce(sum(prefill_seconds), 0) AS prefill_seconds, coalesce(sum(decode_seconds), 0) AS decode_seconds
    FROM deltakv.outcomes GROUP BY batch_id) s USING (batch_id)
CROSS JOIN LATERAL (
    SELECT coalesce(s.prefill_seconds, 0) AS prefill_seconds, coalesce(s.decode_seconds, 0) AS decode_seconds) o;

CREATE FUNCTION deltakv.count_slice() RETURNS timestamptz
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT date_bin('10 seconds', clock_timestamp(), '2000-01-01') $$;
COMMENT ON FUNCTION deltakv.count_slice() IS 'The slice of deltakv.batch_counts that is added to now.';

-- Finished jobs: from the record.
CREATE OR REPLACE FUNCTION deltakv.count_outcomes() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    own_shard CONSTANT smallint := pg_backend_pid() % 8;
    own_slice CONSTANT timestamptz := deltakv.count_slice();
    sign CONSTANT integer := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
BEGIN
    INSERT INTO deltakv.batch_counts AS c (
        batch_id, slice, shard, completed, failed, cancelled, prompt_tokens, cached_tokens, output_tokens, prefill_seconds,
        decode_seconds, first_started_at, last_finished_at)
    SELECT o.batch_id, own_slice, own_shard,
        sign * count(o.completed_at), sign * count(o.failed_at), sign * count(o.cancelled_at),
        sign * coalesce(sum(o.prompt_tokens), 0), sign * coalesce(sum(o.cached_tokens), 0),
        sign * coalesce(sum(o.output_tokens), 0), sign * coalesce(sum(o.prefill_seconds), 0),
        sign * coalesce(sum(o.decode_seconds), 0),
        min(o.started_at), max(coalesce(o.completed_at, o.failed_at, o.cancelled_at))
    FROM changed o
    GROUP BY o.batch_id
    ORDER BY o.batch_id
    ON CONFLICT (batch_id, slice, shard) DO UPDATE SET
        completed = c.completed + excluded.completed,
        failed = c.failed + excluded.failed,
        cancelled = c.cancelled + excluded.cancelled,
        prompt_tokens = c.prompt_tokens + excluded.prompt_tokens,
        cached_tokens = c.cached_tokens + excluded.cached_tokens,
        output_tokens = c.output_tokens + excluded.output_tokens,
        prefill_seconds = c.prefill_seconds + excluded.prefill_seconds,
        decode_seconds = c.decode_seconds + excluded.decode_seconds,
        first_started_at = least(c.first_started_at, excluded.first_started_at),
        last_finished_at = greatest(c.last_finished_at, excluded.last_finished_at);
    RETURN NULL;
END
$$;

-- Unfinished jobs: from the queue. Rows that this transaction put there itself are counted when it commits.
CREATE FUNCTION deltakv.count_queue() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    own_shard CONSTANT smallint := pg_backend_pid() % 8;
    own_slice CONSTANT timestamptz := deltakv.count_slice();
    own_transaction CONSTANT xid8 := pg_current_xact_id();
    batch integer;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO deltakv.batch_counts AS c (batch_id, slice, shard, scheduled, available, running, retryable)
        SELECT m.batch_id, own_slice, own_shard, m.scheduled, m.available, m.running, m.retryable
        FROM (
            SELECT n.batch_id, count(n.scheduled_at) - count(o.scheduled_at) AS scheduled,
                count(n.available_at) - count(o.available_at) AS available,
                count(n.running_at) - count(o.running_at) AS running,
                count(n.retryable_at) - count(o.retryable_at) AS retryable
            FROM before_rows o JOIN after_rows n USING (job_id)
            WHERE n.state <> o.state AND n.submitted_in <> own_transaction
            GROUP BY n.batch_id) m
        ORDER BY m.batch_id
        ON CONFLICT (batch_id, slice, shard) DO UPDATE SET
            scheduled = c.scheduled + excluded.scheduled, available = c.available + excluded.available,
            running = c.running + excluded.running, retryable = c.retryable + excluded.retryable;
        RETURN NULL;
    END IF;
    INSERT INTO deltakv.batch_counts AS c (batch_id, slice, shard, scheduled, available, running, retryable)
    SELECT o.batch_id, own_slice, own_shard,
        -count(o.scheduled_at), -count(o.available_at), -count(o.running_at), -count(o.retryable_at)
    FROM before_rows o
    WHERE o.submitted_in <> own_transaction
    GROUP BY o.batch_id ORDER BY o.batch_id
    ON CONFLICT (batch_id, slice, shard) DO UPDATE SET
        scheduled = c.scheduled + excluded.scheduled, available = c.available + excluded.available,
        running = c.running + excluded.running, retryable = c.retryable + excluded.retryable;
    FOR batch IN SELECT DISTINCT o.batch_id FROM before_rows o ORDER BY o.batch_id LOOP
        PERFORM deltakv.announce_if_finished(batch);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.count_queue() IS
    'Adds to deltakv.batch_counts what a statement changed in deltakv.queue, and announces batches that ended by it.';
CREATE TRIGGER count_changes AFTER UPDATE ON deltakv.queue
REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
FOR EACH STATEMENT EXECUTE FUNCTION deltakv.count_queue();
CREATE TRIGGER count_departures AFTER DELETE ON deltakv.queue REFERENCING OLD TABLE AS before_rows
FOR EACH STATEMENT EXECUTE FUNCTION deltakv.count_queue();

-- New jobs. A million calls of deltakv.submit in one statement must not update one row of counts a million times, so the
-- first call of a transaction leaves a mark, and what the transaction has submitted is counted once, when it commits.
CREATE TABLE deltakv.submission_marks (
    batch_id integer NOT NULL,
    submitted_in xid8 NOT NULL,
    first_job_id bigint NOT NULL,
    PRIMARY KEY (batch_id, submitted_in)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE deltakv.submission_marks IS
    'Batches that transactions under way have submitted jobs to. Always empty to those who look from outside.';

CREATE OR REPLACE FUNCTION deltakv.announce_jobs() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO deltakv.submission_marks AS m (batch_id, submitted_in, first_job_id)
    SELECT n.batch_id, pg_current_xact_id(), min(n.job_id) FROM after_rows n GROUP BY n.batch_id
    ON CONFLICT (batch_id, submitted_in) DO UPDATE SET first_job_id = excluded.first_job_id
        WHERE excluded.first_job_id < m.first_job_id;
    PERFORM pg_notify('deltakv_jobs', 'available');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.announce_jobs() IS 'Wakes workers that listen on deltakv_jobs, and has the new jobs counted.';
DROP TRIGGER announce_jobs ON deltakv.queue;
CREATE TRIGGER announce_jobs AFTER INSERT ON deltakv.queue REFERENCING NEW TABLE AS after_rows
FOR EACH STATEMENT EXECUTE FUNCTION deltakv.announce_jobs();

CREATE FUNCTION deltakv.count_submissions() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    WITH mark AS (
        DELETE FROM deltakv.submission_marks m
        WHERE m.batch_id = NEW.batch_id AND m.submitted_in = NEW.submitted_in
        RETURNING m.*
    )
    INSERT INTO deltakv.batch_counts AS c (batch_id, slice, shard, scheduled, available, running, retryable)
    SELECT m.batch_id, deltakv.count_slice(), pg_backend_pid() % 8,
        count(q.scheduled_at), count(q.available_at), count(q.running_at), count(q.retryable_at)
    FROM mark m
    JOIN deltakv.queue q ON q.batch_id = m.batch_id AND q.job_id >= m.first_job_id AND q.submitted_in = m.submitted_in
    GROUP BY m.batch_id
    ON CONFLICT (batch_id, slice, shard) DO UPDATE SET
        scheduled = c.scheduled + excluded.scheduled, available = c.available + excluded.available,
        running = c.running + excluded.running, retryable = c.retryable + excluded.retryable;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.count_submissions() IS 'Counts, at commit, the jobs that a transaction submitted to a batch.';
CREATE CONSTRAINT TRIGGER count_submissions AFTER INSERT ON deltakv.submission_marks
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION deltakv.count_submissions();

CREATE OR REPLACE FUNCTION deltakv.has_unfinished(batch_id integer, more_than integer) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN coalesce((
        SELECT sum(c.scheduled + c.available + c.running + c.retryable) FROM deltakv.batch_counts c
        WHERE c.batch_id = has_unfinished.batch_id), 0) > has_unfinished.more_than;
END
$$;

CREATE FUNCTION deltakv.fold_counts() RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    folded integer;
BEGIN
    -- One at a time, and nobody waits.
    IF NOT pg_try_advisory_xact_lock(1684764258, -1) THEN
        RETURN 0;
    END IF;
    WITH old AS MATERIALIZED (
        SELECT c.batch_id, c.slice, c.shard FROM deltakv.batch_counts c
        WHERE c.slice > '-infinity' AND c.slice < clock_timestamp() - interval '2 minutes'
        ORDER BY c.batch_id, c.slice, c.shard
        LIMIT 10000
        FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM deltakv.batch_counts c USING old o
        WHERE (c.batch_id, c.slice, c.shard) = (o.batch_id, o.slice, o.shard)
        RETURNING c.*
    ), minutes AS (
        INSERT INTO deltakv.minutes AS m
        SELECT date_trunc('minute', t.slice), b.tenant, sum(t.completed), sum(t.failed), sum(t.cancelled),
            sum(t.prompt_tokens), sum(t.cached_tokens), sum(t.output_tokens), sum(t.prefill_seconds), sum(t.decode_seconds)
        FROM taken t JOIN deltakv.batches b USING (batch_id)
        GROUP BY 1, 2
        HAVING sum(t.completed) <> 0 OR sum(t.failed) <> 0 OR sum(t.cancelled) <> 0
        ON CONFLICT (minute, tenant) DO UPDATE SET
            completed = m.completed + excluded.completed, failed = m.failed + excluded.failed,
            cancelled = m.cancelled + excluded.cancelled, prompt_tokens = m.prompt_tokens + excluded.prompt_tokens,
            cached_tokens = m.cached_tokens + excluded.cached_tokens,
            output_tokens = m.output_tokens + excluded.output_tokens,
            prefill_seconds = m.prefill_seconds + excluded.prefill_seconds,
            decode_seconds = m.decode_seconds + excluded.decode_seconds
    ), summed AS (
        INSERT INTO deltakv.batch_counts AS c
        SELECT t.batch_id, '-infinity', 0, sum(t.scheduled), sum(t.available), sum(t.running), sum(t.retryable),
            sum(t.completed), sum(t.failed), sum(t.cancelled), sum(t.prompt_tokens), sum(t.cached_tokens),
            sum(t.output_tokens), sum(t.prefill_seconds), sum(t.decode_seconds), min(t.first_started_at),
            max(t.last_finished_at)
        FROM taken t GROUP BY t.batch_id
        ON CONFLICT (batch_id, slice, shard) DO UPDATE SET
            scheduled = c.scheduled + excluded.scheduled, available = c.available + excluded.available,
            running = c.running + excluded.running, retryable = c.retryable + excluded.retryable,
            completed = c.completed + excluded.completed, failed = c.failed + excluded.failed,
            cancelled = c.cancelled + excluded.cancelled, prompt_tokens = c.prompt_tokens + excluded.prompt_tokens,
            cached_tokens = c.cached_tokens + excluded.cached_tokens,
            output_tokens = c.output_tokens + excluded.output_tokens,
            prefill_seconds = c.prefill_seconds + excluded.prefill_seconds,
            decode_seconds = c.decode_seconds + excluded.decode_seconds,
            first_started_at = least(c.first_started_at, excluded.first_started_at),
            last_finished_at = greatest(c.last_finished_at, excluded.last_finished_at)
    )
    SELECT count(*) INTO folded FROM taken;
    RETURN folded;
END
$$;
COMMENT ON FUNCTION deltakv.fold_counts() IS
    'Puts old rows of deltakv.batch_counts together and writes deltakv.minutes. Daemons call it; anybody may.';

DROP VIEW deltakv.batch_progress;
DROP TABLE deltakv.batch_counters;
CREATE VIEW deltakv.batch_progress AS
SELECT
    b.name AS batch,
    b.tenant,
    b.batch_id,
    f.scheduled,
    f.available,
    f.running,
    f.retryable,
    f.completed,
    f.failed,
    f.cancelled,
    r.unfinished + r.finished AS total,
    round(100.0 * r.finished / nullif(r.unfinished + r.finished, 0), 1) AS percent,
    f.prompt_tokens,
    f.cached_tokens,
    f.output_tokens,
    b.created_at,
    f.first_started_at,
    f.last_finished_at,
    s.jobs_per_second,
    CASE WHEN r.unfinished > 0 THEN now() + make_interval(secs => r.unfinished / s.jobs_per_second) END AS eta
FROM deltakv.batches b
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.scheduled), 0)::bigint AS scheduled,
        coalesce(sum(c.available), 0)::bigint AS available,
        coalesce(sum(c.running), 0)::bigint AS running,
        coalesce(sum(c.retryable), 0)::bigint AS retryable,
        coalesce(sum(c.completed), 0)::bigint AS completed,
        coalesce(sum(c.failed), 0)::bigint AS failed,
        coalesce(sum(c.cancelled), 0)::bigint AS cancelled,
        coalesce(sum(c.prompt_tokens), 0)::bigint AS prompt_tokens,
        coalesce(sum(c.cached_tokens), 0)::bigint AS cached_tokens,
        coalesce(sum(c.output_tokens), 0)::bigint AS output_tokens,
        min(c.first_started_at) AS first_started_at,
        max(c.last_finished_at) AS last_finished_at
    FROM deltakv.batch_counts c WHERE c.batch_id = b.batch_id
) f
CROSS JOIN LATERAL (
    SELECT f.scheduled + f.available + f.running + f.retryable AS unfinished,
        f.completed + f.failed + f.cancelled AS finished
) r
CROSS JOIN LATERAL (
    SELECT nullif((f.completed + f.failed)
        / nullif(extract(epoch FROM f.last_finished_at - f.first_started_at), 0)::double precision, 0) AS jobs_per_second
) s;
COMMENT ON VIEW deltakv.batch_progress IS
    'How far each batch is: jobs by state, tokens of finished jobs, rate and expected end. Quick however many jobs wait or '
    'have finished: SELECT * FROM deltakv.batch_progress WHERE batch = ''q3''.';
COMMENT ON COLUMN deltakv.batch_progress.batch_id IS 'What NOTIFY deltakv_batch carries when the batch has ended.';
COMMENT ON COLUMN deltakv.batch_progress.percent IS 'Share of the jobs that have ended, in whatever way.';
COMMENT ON COLUMN deltakv.batch_progress.created_at IS 'When the first job was submitted.';
COMMENT ON COLUMN deltakv.batch_progress.jobs_per_second IS
    'Jobs completed or failed per second from the first start to the last end.';
COMMENT ON COLUMN deltakv.batch_progress.eta IS 'When the batch ends if it goes on at that rate; null when it has ended.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
