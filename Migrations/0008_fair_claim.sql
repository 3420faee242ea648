-- SPDX-License-Identifier: Apache-2.0

-- Claims that share workers out fairly among tenants, keep to their caps, give a job that may have killed its worker a
-- worker of its own, and stay quick while dead rows cannot be cleaned away.

CREATE TABLE deltakv.tenants (
    tenant text PRIMARY KEY,
    weight double precision NOT NULL DEFAULT 1 CHECK (weight > 0),
    max_running integer CHECK (max_running >= 0),
    front_rank bigint,
    front_job_id bigint,
    swept_at timestamptz,
    sweep_seconds double precision
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE deltakv.tenants IS
    'How tenants share the workers: UPDATE deltakv.tenants SET weight = 2, max_running = 8 WHERE tenant = ''ann''.';
COMMENT ON COLUMN deltakv.tenants.weight IS 'A tenant of weight 2 gets twice the running jobs of one of weight 1.';
COMMENT ON COLUMN deltakv.tenants.max_running IS 'Jobs of the tenant that run at once, at most; null for no cap.';
COMMENT ON COLUMN deltakv.tenants.front_rank IS
    'With front_job_id: where the waiting jobs began when somebody last looked at all of them, if that took long. '
    'A hint only: claims start there, and look at everything again often enough to spend a twentieth of their time on it.';

INSERT INTO deltakv.tenants (tenant) SELECT DISTINCT tenant FROM deltakv.batches;
CREATE FUNCTION deltakv.note_tenant() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO deltakv.tenants (tenant) VALUES (NEW.tenant) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.note_tenant() IS 'Adds the tenant of a new batch to deltakv.tenants.';
CREATE TRIGGER note_tenant AFTER INSERT ON deltakv.batches FOR EACH ROW EXECUTE FUNCTION deltakv.note_tenant();

ALTER TABLE deltakv.queue
    ADD COLUMN deadline timestamptz,
    ADD COLUMN is_alone boolean NOT NULL DEFAULT false,
    ADD COLUMN deaths_alone integer NOT NULL DEFAULT 0,
    ADD COLUMN reserved_by bigint,
    ADD COLUMN unique_key text;
COMMENT ON COLUMN deltakv.queue.deadline IS 'A job that has not started by then fails as deadline_passed.';
COMMENT ON COLUMN deltakv.queue.is_alone IS 'The running job is the only one of its worker: if that dies, it was the job.';
COMMENT ON COLUMN deltakv.queue.deaths_alone IS 'How often a worker died while it ran nothing but this job.';
COMMENT ON COLUMN deltakv.queue.reserved_by IS 'The worker that finishes its other jobs first, to run this one alone.';
COMMENT ON COLUMN deltakv.queue.unique_key IS 'Of the unfinished jobs of a tenant one may have this key.';

DROP INDEX deltakv.queue_available;
-- The smaller the rank, the sooner: the negative of the priority, so that one comparison of rows says "after this one".
CREATE INDEX queue_waiting ON deltakv.queue (tenant, (- priority::bigint), job_id) WHERE state = 'available';
CREATE INDEX queue_suspects ON deltakv.queue (job_id) WHERE state = 'available' AND interruptions > 0;
CREATE INDEX queue_deadline ON deltakv.queue (deadline) WHERE deadline IS NOT NULL;
CREATE UNIQUE INDEX queue_unique_key ON deltakv.queue (tenant, unique_key) WHERE unique_key IS NOT NULL;

CREATE FUNCTION deltakv.pick(tenant text, max_jobs integer, with_suspects boolean, from_front boolean)
RETURNS SETOF bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT q.job_id FROM deltakv.queue q
    WHERE q.state = 'available' AND q.tenant = pick.tenant
        AND (- q.priority::bigint, q.job_id) >= (
            SELECT CASE WHEN pick.from_front THEN t.front_rank ELSE -9223372036854775807 END,
                CASE WHEN pick.from_front THEN t.front_job_id ELSE 0 END
            FROM deltakv.tenants t WHERE t.tenant = pick.tenant)
        AND (pick.with_suspects OR q.interruptions = 0)
        AND (q.deadline IS NULL OR q.deadline > now())
    ORDER BY q.tenant, - q.priority::bigint, q.job_id
    LIMIT pick.max_jobs
    FOR UPDATE OF q SKIP LOCKED;
END
$$;
COMMENT ON FUNCTION deltakv.pick(text, integer, boolean, boolean) IS
    'Locks the next waiting jobs of a tenant, from the first on or from the tenant''s front on.';

-- Reading the index from its beginning means passing over an entry for every job that has started since the oldest open
-- transaction began: nothing on a tidy server, half a second after a million jobs. Then the place where live rows begin
-- is noted, and used until twenty times the time has passed that looking at everything took.
CREATE FUNCTION deltakv.pick_quickly(tenant text, max_jobs integer, with_suspects boolean) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slow CONSTANT double precision := 0.005;
    hint deltakv.tenants;
    started timestamptz := clock_timestamp();
    seconds double precision;
    quick boolean;
    picked bigint[];
BEGIN
    SELECT * INTO hint FROM deltakv.tenants t WHERE t.tenant = pick_quickly.tenant;
    quick := coalesce(hint.swept_at + make_interval(secs => 20 * hint.sweep_seconds) > started, false);
    IF quick THEN
        picked := ARRAY(SELECT deltakv.pick(pick_quickly.tenant, max_jobs, with_suspects, true));
    END IF;
    IF coalesce(cardinality(picked), 0) < max_jobs THEN
        quick := false;
        started := clock_timestamp();
        picked := ARRAY(SELECT deltakv.pick(pick_quickly.tenant, max_jobs, with_suspects, false));
    END IF;
    seconds := extract(epoch FROM clock_timestamp() - started);
    IF cardinality(picked) > 0 AND (seconds > slow OR hint.swept_at IS NOT NULL AND NOT quick) THEN
        UPDATE deltakv.tenants t
        SET front_rank = - q.priority::bigint, front_job_id = q.job_id,
            swept_at = CASE WHEN quick THEN t.swept_at WHEN seconds > slow THEN clock_timestamp() END,
            sweep_seconds = CASE WHEN quick THEN t.sweep_seconds ELSE seconds END
        FROM deltakv.queue q
        WHERE q.job_id = picked[1] AND t.tenant = (
            -- Who finds the row locked leaves the hint to the other.
            SELECT l.tenant FROM deltakv.tenants l WHERE l.tenant = pick_quickly.tenant FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN picked;
END
$$;
COMMENT ON FUNCTION deltakv.pick_quickly(text, integer, boolean) IS
    'As deltakv.pick, from the front where looking at everything is slow.';

CREATE FUNCTION deltakv.pick_fairly(max_jobs integer, with_suspects boolean) RETURNS bigint[]
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
        RETURN coalesce(deltakv.pick_quickly((SELECT t.tenant FROM deltakv.tenants t), max_jobs, with_suspects), '{}');
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
        picked := picked || coalesce(deltakv.pick_quickly(share.tenant, share.jobs, with_suspects), '{}');
    END LOOP;
    RETURN picked;
END
$$;
COMMENT ON FUNCTION deltakv.pick_fairly(integer, boolean) IS
    'Locks the next jobs to start: tenants with few running jobs for their weight come first, a tenant''s own jobs go by '
    'priority and age.';

CREATE FUNCTION deltakv.pick_suspect(worker_id bigint, holding integer, OUT job_id bigint, OUT must_wait boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    patience CONSTANT interval := '20 seconds';
    suspect record;
BEGIN
    must_wait := EXISTS (
        SELECT FROM deltakv.queue q WHERE q.state = 'available' AND q.interruptions > 0
            AND q.reserved_by = pick_suspect.worker_id);
    SELECT q.job_id, q.available_at INTO suspect FROM deltakv.queue q
    WHERE q.state = 'available' AND q.interruptions > 0 AND (q.deadline IS NULL OR q.deadline > now())
        AND (q.reserved_by IS NULL OR q.reserved_by = pick_suspect.worker_id OR EXISTS (
            SELECT FROM deltakv.workers w WHERE w.worker_id = q.reserved_by
                AND (w.stopped_at IS NOT NULL OR w.heartbeat_at < now() - interval '1 minute')))
    ORDER BY q.reserved_by = pick_suspect.worker_id DESC NULLS LAST, q.job_id
    LIMIT 1
    FOR UPDATE OF q SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF pick_suspect.holding = 0 THEN
        job_id := suspect.job_id;
        must_wait := true;
    ELSIF NOT must_wait AND suspect.available_at < now() - patience THEN
        UPDATE deltakv.queue q SET reserved_by = pick_suspect.worker_id WHERE q.job_id = suspect.job_id;
        must_wait := true;
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.pick_suspect(bigint, integer) IS
    'A job whose worker vanished is run by a worker that runs nothing else. Gives one to an idle worker; where none has '
    'come for twenty seconds, tells a busy one to take no more jobs until it is idle.';

CREATE FUNCTION deltakv.start_jobs(
    worker_id bigint, job_ids bigint[], lease interval, attempt_timeout interval, max_input_bytes bigint, alone boolean
) RETURNS TABLE (job_id bigint, token bigint, attempt integer, attempt_deadline timestamptz, place bigint)
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
    RETURN QUERY
    WITH sized AS MATERIALIZED (
        SELECT p.job_id, p.place, sum(q.input_bytes) OVER (ORDER BY p.place) AS bytes
        FROM unnest(start_jobs.job_ids) WITH ORDINALITY AS p (job_id, place) JOIN deltakv.queue q ON q.job_id = p.job_id
    ), claimed AS (
        UPDATE deltakv.queue q
        SET state = 'running', available_at = NULL, running_at = now(), attempt = q.attempt + 1,
            token = nextval('deltakv.fencing_token'), worker_id = start_jobs.worker_id,
            lease_expires_at = now() + start_jobs.lease,
            attempt_deadline = least(now() + start_jobs.attempt_timeout, q.deadline),
            prompt_tokens_done = 0, output_tokens_done = 0, is_alone = start_jobs.alone, reserved_by = NULL
        FROM sized s
        -- The first job is taken whatever its size, or it would wait for ever.
        WHERE q.job_id = s.job_id
            AND (start_jobs.max_input_bytes IS NULL OR s.bytes <= start_jobs.max_input_bytes OR s.place = 1)
        RETURNING q.job_id, q.token, q.attempt, q.attempt_deadline, s.place
    ), logged AS (
        INSERT INTO deltakv.job_events (job_id, worker_id, token, attempt, event)
        SELECT c.job_id, start_jobs.worker_id, c.token, c.attempt, 'claimed' FROM claimed c
    )
    SELECT c.* FROM claimed c;
END
$$;
COMMENT ON FUNCTION deltakv.start_jobs(bigint, bigint[], interval, interval, bigint, boolean) IS
    'Starts jobs that the caller has locked, in the order given, as far as their bytes fit.';

CREATE FUNCTION deltakv.require_worker(worker_id bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM deltakv.workers w WHERE w.worker_id = require_worker.worker_id;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING
            MESSAGE = format('there is no worker %s', require_worker.worker_id),
            HINT = 'Sign on with deltakv.register_worker and claim under the id it returns.';
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.require_worker(bigint) IS 'Refuses claims under an id that deltakv.register_worker did not give.';

-- What daemons before this migration call: the same signature, meaning and rows as ever.
CREATE OR REPLACE FUNCTION deltakv.claim(
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
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    picked bigint[];
BEGIN
    PERFORM deltakv.require_worker(claim.worker_id);
    PERFORM deltakv.promote_due(1000);
    picked := deltakv.pick_fairly(claim.max_jobs, true);
    RETURN QUERY
    SELECT c.job_id, c.token, c.attempt, j.max_attempts, c.attempt_deadline, j.tenant, b.name, j.custom_id, j.template,
        j.document, j.options, j.variables, j.submitted_at
    FROM deltakv.start_jobs(
        claim.worker_id, picked, claim.lease, claim.attempt_timeout, claim.max_input_bytes, false) c
    JOIN deltakv.jobs j ON j.job_id = c.job_id
    JOIN deltakv.batches b ON b.batch_id = j.batch_id
    ORDER BY c.place;
END
$$;

CREATE TABLE deltakv.housekeeping (
    task text PRIMARY KEY,
    done_at timestamptz NOT NULL,
    seconds double precision NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE deltakv.housekeeping IS
    'When each slow task of the queue was last done and how long it took: none may take more than a twentieth of the time.';

CREATE FUNCTION deltakv.is_time_for(task text) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NOT EXISTS (
        SELECT FROM deltakv.housekeeping h
        WHERE h.task = is_time_for.task AND h.seconds > 0.02
            AND h.done_at + make_interval(secs => 20 * h.seconds) > clock_timestamp())
$$;
COMMENT ON FUNCTION deltakv.is_time_for(text) IS 'Whether a task may be done again.';

CREATE FUNCTION deltakv.note_done(task text, started timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    took CONSTANT double precision := extract(epoch FROM clock_timestamp() - started);
BEGIN
    -- A quick task leaves no note unless a slow one was there.
    IF took > 0.02 OR EXISTS (SELECT FROM deltakv.housekeeping h WHERE h.task = note_done.task AND h.seconds > 0.02) THEN
        INSERT INTO deltakv.housekeeping AS h VALUES (note_done.task, clock_timestamp(), took)
        ON CONFLICT (task) DO UPDATE SET done_at = excluded.done_at, seconds = excluded.seconds;
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.note_done(text, timestamptz) IS 'Notes how long a slow task took.';

CREATE OR REPLACE FUNCTION deltakv.rescue(max_jobs integer DEFAULT 1000)
RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    most_interruptions CONSTANT integer := 5;
    most_deaths_alone CONSTANT integer := 2;
    started CONSTANT timestamptz := clock_timestamp();
    -- While the server was away nobody could renew a lease: workers from before get a moment to do so.
    server_start CONSTANT timestamptz := pg_postmaster_start_time();
    verdicts deltakv.verdict[];
BEGIN
    IF NOT deltakv.is_time_for('rescue') THEN
        RETURN;
    END IF;
    WITH overdue AS MATERIALIZED (
        SELECT q.job_id, q.attempt, q.max_attempts, q.interruptions, q.cancel_requested_at, q.is_alone, q.deaths_alone,
            coalesce(q.attempt_deadline < now(), false) AS timed_out, coalesce(q.deadline <= now(), false) AS too_late
        FROM deltakv.queue q
        WHERE q.state = 'running' AND (q.attempt_deadline < now() OR q.lease_expires_at < now()
            AND (q.running_at > server_start OR now() > server_start + interval '5 seconds'))
        ORDER BY q.job_id
        LIMIT rescue.max_jobs
        FOR UPDATE SKIP LOCKED
    ), ruled AS (
        SELECT o.job_id, o.timed_out, o.interruptions, o.too_late, o.is_alone,
            o.is_alone AND o.deaths_alone + 1 >= most_deaths_alone AS is_poison,
            CASE WHEN o.cancel_requested_at IS NOT NULL THEN 'cancelled'
                WHEN o.too_late THEN 'failed'
                WHEN o.timed_out AND o.attempt < o.max_attempts THEN 'retryable'
                WHEN o.timed_out OR o.is_alone AND o.deaths_alone + 1 >= most_deaths_alone
                    OR o.interruptions + 1 >= most_interruptions THEN 'failed'
                ELSE 'available' END::deltakv.job_state AS state
        FROM overdue o
    ), counted AS (
        UPDATE deltakv.queue q SET deaths_alone = q.deaths_alone + 1
        FROM ruled r WHERE q.job_id = r.job_id AND r.is_alone AND NOT r.timed_out AND r.state = 'available'
    )
    SELECT array_agg((
        r.job_id, r.state,
        CASE r.state WHEN 'retryable' THEN 'retried' WHEN 'available' THEN 'rescued' ELSE r.state::text END,
        r.timed_out, NOT r.timed_out,
        CASE WHEN r.state = 'cancelled' THEN NULL
            WHEN r.too_late THEN 'deadline_passed'
            WHEN r.timed_out THEN 'attempt_timeout'
            WHEN r.state = 'failed' AND r.is_poison THEN 'poison_job'
            WHEN r.state = 'failed' THEN 'interrupted_too_often' END,
        CASE WHEN r.too_late THEN 'the job had not ended by its deadline'
            WHEN r.timed_out THEN 'the attempt ran longer than it may'
            WHEN r.is_poison THEN 'its worker died twice while it ran this job alone: the job is parked until it is redriven'
            ELSE format('the worker vanished %s times while it ran this job', r.interruptions + 1) END,
        NULL)::deltakv.verdict ORDER BY r.job_id)
    INTO verdicts FROM ruled r;
    PERFORM deltakv.settle(verdicts);
    PERFORM deltakv.note_done('rescue', started);
    RETURN QUERY SELECT v.job_id, v.state FROM unnest(verdicts) v UNION ALL SELECT * FROM deltakv.expire(rescue.max_jobs);
END
$$;
COMMENT ON FUNCTION deltakv.rescue(integer) IS
    'Takes running jobs from workers whose lease ended and lets them start again, the attempt not counted: such a job is '
    'run alone, and if it kills two workers so, it is parked: failed as poison_job. Attempts past their deadline count '
    'and fail as attempt_timeout. Anybody may call it at any time.';

CREATE FUNCTION deltakv.expire(max_jobs integer) RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    verdicts deltakv.verdict[];
BEGIN
    SELECT array_agg((
        l.job_id, 'failed', 'failed', true, false, 'deadline_passed', 'the job had not started by its deadline',
        NULL)::deltakv.verdict ORDER BY l.job_id)
    INTO verdicts
    FROM (
        SELECT q.job_id FROM deltakv.queue q
        WHERE q.deadline IS NOT NULL AND q.deadline <= now() AND q.state <> 'running'
        ORDER BY q.job_id LIMIT expire.max_jobs
        FOR UPDATE SKIP LOCKED
    ) l;
    IF verdicts IS NOT NULL THEN
        PERFORM deltakv.settle(verdicts);
    END IF;
    RETURN QUERY SELECT v.job_id, v.state FROM unnest(verdicts) v;
END
$$;
COMMENT ON FUNCTION deltakv.expire(integer) IS 'Fails waiting jobs whose deadline has passed.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
