-- SPDX-License-Identifier: Apache-2.0

-- How workers take jobs and keep them.
--
-- The planner settings on these functions hold whatever the statistics say: the queue can go from empty to a million
-- rows between two looks of autovacuum, and a plan that reads the whole table would then stop every worker.

CREATE FUNCTION deltakv.register_worker(host text, pid integer, version text) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO deltakv.workers (host, pid, version)
    VALUES (register_worker.host, register_worker.pid, register_worker.version)
    RETURNING worker_id
$$;
COMMENT ON FUNCTION deltakv.register_worker(text, integer, text) IS 'Signs a daemon on; it claims under the id returned.';

CREATE FUNCTION deltakv.retire_worker(worker_id bigint) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE deltakv.workers w SET stopped_at = now(), heartbeat_at = now()
    WHERE w.worker_id = retire_worker.worker_id AND w.stopped_at IS NULL
$$;
COMMENT ON FUNCTION deltakv.retire_worker(bigint) IS
    'Notes that a daemon stopped in good order. It hands its jobs back with deltakv.release first.';

CREATE FUNCTION deltakv.promote_due(max_jobs integer) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    promoted integer;
BEGIN
    WITH due AS MATERIALIZED (
        SELECT q.job_id FROM deltakv.queue q
        WHERE q.state IN ('scheduled', 'retryable') AND q.run_at <= now()
        ORDER BY q.run_at
        LIMIT promote_due.max_jobs
        FOR UPDATE SKIP LOCKED
    )
    UPDATE deltakv.queue q
    SET state = 'available', available_at = now(), scheduled_at = NULL, retryable_at = NULL
    FROM due WHERE q.job_id = due.job_id;
    GET DIAGNOSTICS promoted = ROW_COUNT;
    RETURN promoted;
END
$$;
COMMENT ON FUNCTION deltakv.promote_due(integer) IS
    'Makes scheduled and retryable jobs available whose time has come. Every claim does it; there is no leader.';

CREATE FUNCTION deltakv.claim(
    worker_id bigint,
    max_jobs integer,
    lease interval,
    attempt_timeout interval DEFAULT NULL,
    max_input_bytes bigint DEFAULT NULL
) RETURNS TABLE (
    job_id bigint, token bigint, attempt integer, max_attempts integer, attempt_deadline timestamptz, tenant text,
    batch text, custom_id text, template text, document text, options jsonb, variables jsonb, submitted_at timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM deltakv.workers w WHERE w.worker_id = claim.worker_id;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING
            MESSAGE = format('there is no worker %s', claim.worker_id),
            HINT = 'Sign on with deltakv.register_worker and claim under the id it returns.';
    END IF;
    PERFORM deltakv.promote_due(1000);

    RETURN QUERY
    -- Rows are picked and locked behind a fence: joined into the UPDATE, the LIMIT could be evaluated again and again.
    WITH picked AS MATERIALIZED (
        SELECT q.job_id, q.priority, q.input_bytes FROM deltakv.queue q
        WHERE q.state = 'available'
        ORDER BY q.priority DESC, q.job_id
        LIMIT claim.max_jobs
        FOR UPDATE SKIP LOCKED
    ), sized AS (
        SELECT p.job_id,
            row_number() OVER waiting AS place,
            sum(p.input_bytes) OVER (waiting ROWS UNBOUNDED PRECEDING) AS bytes
        FROM picked p
        WINDOW waiting AS (ORDER BY p.priority DESC, p.job_id)
    ), claimed AS (
        UPDATE deltakv.queue q
        SET state = 'running', available_at = NULL, running_at = now(), attempt = q.attempt + 1,
            token = nextval('deltakv.fencing_token'), worker_id = claim.worker_id, lease_expires_at = now() + claim.lease,
            attempt_deadline = now() + claim.attempt_timeout, prompt_tokens_done = 0, output_tokens_done = 0
        FROM sized s
        -- The first job is taken whatever its size, or it would wait for ever.
        WHERE q.job_id = s.job_id
            AND (claim.max_input_bytes IS NULL OR s.bytes <= claim.max_input_bytes OR s.place = 1)
        RETURNING q.job_id, q.token, q.attempt, q.attempt_deadline, q.priority
    ), logged AS (
        INSERT INTO deltakv.job_events (job_id, worker_id, token, attempt, event)
        SELECT c.job_id, claim.worker_id, c.token, c.attempt, 'claimed' FROM claimed c
    )
    SELECT c.job_id, c.token, c.attempt, j.max_attempts, c.attempt_deadline, j.tenant, b.name, j.custom_id, j.template,
        j.document, j.options, j.variables, j.submitted_at
    FROM claimed c
    JOIN deltakv.jobs j ON j.job_id = c.job_id
    JOIN deltakv.batches b ON b.batch_id = j.batch_id
    ORDER BY c.priority DESC, c.job_id;
END
$$;
COMMENT ON FUNCTION deltakv.claim(bigint, integer, interval, interval, bigint) IS
    'Starts up to max_jobs waiting jobs for a worker, larger priorities and older jobs first, and returns them with their '
    'fencing tokens. The worker keeps them by deltakv.heartbeat within the lease. With max_input_bytes it takes no more '
    'than that many bytes of documents and variables, but at least one job.';

CREATE FUNCTION deltakv.heartbeat(
    worker_id bigint,
    lease interval,
    job_ids bigint[] DEFAULT '{}',
    tokens bigint[] DEFAULT '{}',
    prompt_tokens_done integer[] DEFAULT '{}',
    output_tokens_done integer[] DEFAULT '{}'
) RETURNS TABLE (job_id bigint, signal text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    UPDATE deltakv.workers w SET heartbeat_at = now() WHERE w.worker_id = heartbeat.worker_id;

    RETURN QUERY
    WITH reported AS MATERIALIZED (
        SELECT r.* FROM unnest(
            heartbeat.job_ids, heartbeat.tokens, heartbeat.prompt_tokens_done, heartbeat.output_tokens_done
        ) AS r (job_id, token, prompt_done, output_done)
    ), held AS MATERIALIZED (
        SELECT q.job_id, r.prompt_done, r.output_done
        FROM reported r JOIN deltakv.queue q ON q.job_id = r.job_id AND q.token = r.token
        ORDER BY q.job_id
        FOR UPDATE OF q
    ), renewed AS (
        UPDATE deltakv.queue q
        SET lease_expires_at = now() + heartbeat.lease,
            prompt_tokens_done = coalesce(h.prompt_done, q.prompt_tokens_done),
            output_tokens_done = coalesce(h.output_done, q.output_tokens_done)
        FROM held h
        WHERE q.job_id = h.job_id
        RETURNING q.job_id, q.cancel_requested_at, q.attempt_deadline
    )
    SELECT n.job_id, CASE WHEN n.cancel_requested_at IS NOT NULL THEN 'cancel' ELSE 'timeout' END
    FROM renewed n
    WHERE n.cancel_requested_at IS NOT NULL OR n.attempt_deadline <= now()
    UNION ALL
    SELECT r.job_id, 'lost' FROM reported r WHERE r.job_id NOT IN (SELECT n.job_id FROM renewed n);
END
$$;
COMMENT ON FUNCTION deltakv.heartbeat(bigint, interval, bigint[], bigint[], integer[], integer[]) IS
    'Keeps a worker''s jobs for another lease and notes their progress. Returns only the jobs to stop: lost (another '
    'worker may have it; write nothing), cancel (hand it back with deltakv.release), timeout (report it with '
    'deltakv.fail).';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
