-- SPDX-License-Identifier: Apache-2.0

-- Claims that keep jobs together whose prompts begin alike: the first computes that beginning, the others find it in the
-- cache while it is there. And claims no larger than the worker's free memory for keys and values.

CREATE INDEX queue_prefix ON deltakv.queue (tenant, prefix_key, (- priority::bigint), job_id)
    WHERE state = 'available' AND prefix_key IS NOT NULL;

CREATE FUNCTION deltakv.pick_alike(tenant text, max_jobs integer, with_suspects boolean, prefixes bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    head CONSTANT bigint[] := deltakv.pick_quickly(pick_alike.tenant, max_jobs, with_suspects);
BEGIN
    -- Looked up one by one: a join might read the queue from its first dead row on.
    IF coalesce(cardinality(head), 0) = 0 OR prefixes = '{}' AND NOT EXISTS (
        SELECT FROM unnest(head) h (id)
        WHERE (SELECT q.prefix_key FROM deltakv.queue q WHERE q.job_id = h.id) IS NOT NULL)
    THEN
        RETURN head;
    END IF;
    -- The worker's own beginnings first, then those of the next jobs, each with all that have it and are as urgent.
    RETURN ARRAY(
        WITH leaders AS MATERIALIZED (
            SELECT h.place, q.job_id, q.prefix_key, - q.priority::bigint AS rank
            FROM unnest(head) WITH ORDINALITY AS h (job_id, place) CROSS JOIN LATERAL (
                SELECT * FROM deltakv.queue q WHERE q.job_id = h.job_id LIMIT 1) q
        ), beginnings AS MATERIALIZED (
            SELECT b.prefix_key, b.rank, min(b.place) AS place
            FROM (
                SELECT p.prefix_key, l.rank, 0 AS place FROM unnest(prefixes) p (prefix_key), leaders l WHERE l.place = 1
                UNION ALL
                SELECT l.prefix_key, l.rank, l.place FROM leaders l WHERE l.prefix_key IS NOT NULL) b
            GROUP BY b.prefix_key, b.rank
        ), alike AS MATERIALIZED (
            SELECT b.place, q.job_id
            FROM beginnings b CROSS JOIN LATERAL (
                SELECT q.job_id FROM deltakv.queue q
                WHERE q.state = 'available' AND q.tenant = pick_alike.tenant AND q.prefix_key = b.prefix_key
                    AND - q.priority::bigint = b.rank AND (pick_alike.with_suspects OR q.interruptions = 0)
                    AND (q.deadline IS NULL OR q.deadline > now())
                ORDER BY q.tenant, q.prefix_key, - q.priority::bigint, q.job_id
                LIMIT pick_alike.max_jobs
                FOR UPDATE SKIP LOCKED) q
        )
        SELECT c.job_id
        FROM (SELECT a.place, a.job_id FROM alike a UNION ALL SELECT l.place, l.job_id FROM leaders l) c
        GROUP BY c.job_id ORDER BY min(c.place), c.job_id LIMIT pick_alike.max_jobs);
END
$$;
COMMENT ON FUNCTION deltakv.pick_alike(text, integer, boolean, bigint[]) IS
    'Locks the next waiting jobs of a tenant, and instead of the last of these others that begin like the first.';

CREATE FUNCTION deltakv.pick_fairly_2(max_jobs integer, with_suspects boolean, prefixes bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    picked bigint[] := '{}';
    share record;
BEGIN
    IF NOT EXISTS (SELECT FROM deltakv.tenants t WHERE t.max_running IS NOT NULL)
        AND (SELECT count(*) FROM (SELECT FROM deltakv.tenants LIMIT 2) t) < 2
    THEN
        RETURN coalesce(deltakv.pick_alike(
            (SELECT t.tenant FROM deltakv.tenants t), max_jobs, with_suspects, prefixes), '{}');
    END IF;
    -- A cap holds however many workers claim at the same time.
    PERFORM pg_advisory_xact_lock(1684764258, -2)
    FROM (SELECT FROM deltakv.tenants t WHERE t.max_running IS NOT NULL LIMIT 1) capped;
    -- Every tenant's next jobs stand for the running jobs that it would then have, by weight; the smallest go first.
    FOR share IN
        WITH running AS MATERIALIZED (
            SELECT q.tenant, count(*) AS jobs FROM deltakv.queue q WHERE q.state = 'running' GROUP BY q.tenant
        ), waiting AS (
            SELECT t.tenant, t.weight, coalesce(r.jobs, 0) AS running,
                least(max_jobs, t.max_running - coalesce(r.jobs, 0)) AS room
            FROM deltakv.tenants t LEFT JOIN running r USING (tenant)
            WHERE t.max_running IS NULL OR t.max_running > coalesce(r.jobs, 0)
        ), places AS (
            SELECT w.tenant, (w.running + row_number() OVER (PARTITION BY w.tenant)) / w.weight AS place
            FROM waiting w CROSS JOIN LATERAL (
                SELECT FROM deltakv.queue q WHERE q.state = 'available' AND q.tenant = w.tenant
                    AND (- q.priority::bigint, q.job_id) >= (
                        SELECT coalesce(t.front_rank, -9223372036854775807), coalesce(t.front_job_id, 0)
                        FROM deltakv.tenants t WHERE t.tenant = w.tenant AND t.swept_at IS NOT NULL
                        UNION ALL SELECT -9223372036854775807, 0 LIMIT 1)
                LIMIT w.room) q
        ), chosen AS (
            SELECT p.tenant FROM places p ORDER BY p.place, p.tenant LIMIT max_jobs
        )
        SELECT c.tenant, count(*)::integer AS jobs FROM chosen c GROUP BY c.tenant ORDER BY c.tenant
    LOOP
        picked := picked || coalesce(deltakv.pick_alike(share.tenant, share.jobs, with_suspects, prefixes), '{}');
    END LOOP;
    RETURN picked;
END
$$;
COMMENT ON FUNCTION deltakv.pick_fairly_2(integer, boolean, bigint[]) IS
    'Locks the next jobs to start: tenants with few running jobs for their weight come first, a tenant''s own jobs go by '
    'priority and age, and jobs with the same beginning go together.';
-- For those that still call it.
CREATE OR REPLACE FUNCTION deltakv.pick_fairly(max_jobs integer, with_suspects boolean) RETURNS bigint[]
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT deltakv.pick_fairly_2(max_jobs, with_suspects, '{}') $$;

CREATE FUNCTION deltakv.claim_3(
    worker_id bigint, holding integer, max_jobs integer, lease interval, attempt_timeout interval DEFAULT NULL,
    max_input_bytes bigint DEFAULT NULL, prefixes bigint[] DEFAULT '{}'
) RETURNS TABLE (
    job_id bigint, token bigint, attempt integer, max_attempts integer, attempt_deadline timestamptz, tenant text,
    batch text, custom_id text, template text, document text, options jsonb, variables jsonb, submitted_at timestamptz,
    template_body jsonb, messages jsonb, alone boolean, prefix_key bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    suspect record;
    picked bigint[];
BEGIN
    PERFORM deltakv.require_worker(claim_3.worker_id);
    PERFORM deltakv.start_ready(1000);
    PERFORM deltakv.promote_due(1000);
    SELECT * INTO suspect FROM deltakv.pick_suspect(claim_3.worker_id, claim_3.holding);
    IF suspect.job_id IS NULL AND suspect.must_wait THEN
        RETURN;
    END IF;
    picked := CASE WHEN suspect.job_id IS NOT NULL THEN ARRAY[suspect.job_id]
        ELSE deltakv.pick_fairly_2(claim_3.max_jobs, false, claim_3.prefixes) END;
    RETURN QUERY
    SELECT c.job_id, c.token, c.attempt, j.max_attempts, c.attempt_deadline, j.tenant, b.name, j.custom_id, j.template,
        deltakv.document_of(j), j.options, j.variables, j.submitted_at,
        (SELECT t.body FROM deltakv.templates t WHERE t.name = j.template AND t.version = j.template_version),
        j.messages, suspect.job_id IS NOT NULL,
        (SELECT q.prefix_key FROM deltakv.queue q WHERE q.job_id = c.job_id)
    FROM deltakv.start_jobs(
        claim_3.worker_id, picked, claim_3.lease, claim_3.attempt_timeout, claim_3.max_input_bytes,
        suspect.job_id IS NOT NULL) c
    JOIN deltakv.jobs j ON j.job_id = c.job_id
    JOIN deltakv.batches b ON b.batch_id = j.batch_id
    ORDER BY c.place;
END
$$;
COMMENT ON FUNCTION deltakv.claim_3(bigint, integer, integer, interval, interval, bigint, bigint[]) IS
    'Starts up to max_jobs waiting jobs for a worker that holds so many already, and returns them with their fencing '
    'tokens. Jobs that share the beginning of their prompts come together, first those that share it with jobs whose '
    'prefix_key the worker gives in prefixes. It takes no more than max_input_bytes bytes of inputs, but at least one job. A '
    'job that comes alone is run with nothing beside it: its worker has died once.';

-- What daemons before this migration call: the same signature, meaning and rows as ever.
CREATE OR REPLACE FUNCTION deltakv.claim_2(
    worker_id bigint, holding integer, max_jobs integer, lease interval, attempt_timeout interval DEFAULT NULL,
    max_input_bytes bigint DEFAULT NULL
) RETURNS TABLE (
    job_id bigint, token bigint, attempt integer, max_attempts integer, attempt_deadline timestamptz, tenant text,
    batch text, custom_id text, template text, document text, options jsonb, variables jsonb, submitted_at timestamptz,
    template_body jsonb, messages jsonb, alone boolean)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.job_id, c.token, c.attempt, c.max_attempts, c.attempt_deadline, c.tenant, c.batch, c.custom_id, c.template,
        c.document, c.options, c.variables, c.submitted_at, c.template_body, c.messages, c.alone
    FROM deltakv.claim_3(
        claim_2.worker_id, claim_2.holding, claim_2.max_jobs, claim_2.lease, claim_2.attempt_timeout,
        claim_2.max_input_bytes) c;
END
$$;

CREATE OR REPLACE FUNCTION deltakv.redrive(batch text DEFAULT NULL, job_id bigint DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    own record;
    affected bigint;
BEGIN
    PERFORM deltakv.require_selection('redrive', redrive.batch, redrive.job_id);
    SELECT * INTO own FROM deltakv.own_selection(redrive.batch, redrive.job_id, redrive.tenant);
    WITH locked AS MATERIALIZED (
        SELECT o.job_id, o.error_code
        FROM deltakv.outcomes o
        WHERE o.failed_at IS NOT NULL AND (o.job_id = own.own_job_id OR o.batch_id = ANY (own.batch_ids))
        ORDER BY o.job_id
        FOR UPDATE OF o
    ), reopened AS (
        DELETE FROM deltakv.outcomes o USING locked l WHERE o.job_id = l.job_id
        RETURNING o.job_id
    ), waiting AS (
        -- Jobs that wait for these, or are among these, wait again.
        UPDATE deltakv.dependencies d SET ended_as = NULL FROM reopened r WHERE d.depends_on = r.job_id
        RETURNING d.job_id
    ), queued AS (
        INSERT INTO deltakv.queue (
            job_id, batch_id, tenant, priority, input_bytes, state, available_at, scheduled_at, run_at, max_attempts,
            prefix_key)
        SELECT j.job_id, j.batch_id, j.tenant, j.priority,
            deltakv.input_bytes(j.document, j.variables) + coalesce(pg_column_size(j.messages), 0) + coalesce((
                SELECT octet_length(d.content) FROM deltakv.documents d WHERE d.document_id = j.document_id), 0),
            CASE WHEN w.waits THEN 'scheduled' ELSE 'available' END::deltakv.job_state,
            CASE WHEN NOT w.waits THEN now() END, CASE WHEN w.waits THEN now() END,
            CASE WHEN w.waits THEN 'infinity' ELSE now() END, j.max_attempts,
            deltakv.prefix_key(j.template, j.template_version, j.document, j.document_id, j.messages)
        FROM reopened r JOIN deltakv.jobs j USING (job_id)
        CROSS JOIN LATERAL (
            SELECT j.job_id IN (SELECT job_id FROM waiting) OR EXISTS (
                SELECT FROM deltakv.dependencies d WHERE d.job_id = j.job_id AND d.ended_as IS DISTINCT FROM 'completed')
                OR EXISTS (SELECT FROM deltakv.batches b WHERE b.batch_id = j.batch_id AND b.paused_at IS NOT NULL) AS waits
        ) w
        RETURNING job_id, state
    ), checked AS (
        INSERT INTO deltakv.ready_checks (job_id) SELECT q.job_id FROM queued q WHERE q.state = 'scheduled'
    ), logged AS (
        INSERT INTO deltakv.job_events (job_id, event, code) SELECT l.job_id, 'redriven', l.error_code FROM locked l
    )
    SELECT count(*) INTO affected FROM reopened;
    RETURN affected;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deltakv.claim_3(bigint, integer, integer, interval, interval, bigint, bigint[])
    TO deltakv_worker, deltakv_admin;
