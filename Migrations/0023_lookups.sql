-- SPDX-License-Identifier: Apache-2.0

-- What workers call finds each row of deltakv.queue once, by a look-up of its own, and goes back to it by its place (ctid) where
-- the row is locked already. A join in its stead depends on statistics: taken while the queue was empty, they made every job of
-- a call be compared with every other, and under an old transaction walks over dead rows of it.
--
-- Then come claims that pass over the dead entries of an index once in a while rather than each time, and lock few more rows than
-- they take; and, last, what was left of submission: records that a new job depends on, and jobs that were refused before.

CREATE OR REPLACE FUNCTION deltakv.promote_due(max_jobs integer) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
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
    WHERE q.job_id = ANY (ARRAY(SELECT d.job_id FROM due d));
    GET DIAGNOSTICS promoted = ROW_COUNT;
    RETURN promoted;
END
$$;

CREATE OR REPLACE FUNCTION deltakv.start_jobs(
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
        SELECT p.place, q.ctid AS row, sum(q.input_bytes) OVER (ORDER BY p.place) AS bytes
        FROM unnest(start_jobs.job_ids) WITH ORDINALITY AS p (job_id, place)
        CROSS JOIN LATERAL (
            SELECT q.ctid, q.input_bytes FROM deltakv.queue q WHERE q.job_id = p.job_id LIMIT 1) q
    ), claimed AS (
        UPDATE deltakv.queue q
        SET state = 'running', available_at = NULL, running_at = now(), attempt = q.attempt + 1,
            token = nextval('deltakv.fencing_token'), worker_id = start_jobs.worker_id,
            lease_expires_at = now() + start_jobs.lease,
            attempt_deadline = least(now() + start_jobs.attempt_timeout, q.deadline),
            prompt_tokens_done = 0, output_tokens_done = 0, is_alone = start_jobs.alone, reserved_by = NULL
        FROM sized s
        -- The first job is taken whatever its size, or it would wait for ever.
        WHERE q.ctid = s.row
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
    'Starts jobs that the caller has locked, in an earlier statement, in the order given, as far as their bytes fit.';

CREATE OR REPLACE FUNCTION deltakv.complete_2(
    worker_id bigint,
    job_ids bigint[],
    tokens bigint[],
    outputs text[],
    finish_reasons text[],
    prompt_tokens integer[],
    cached_tokens integer[],
    output_tokens integer[],
    prefill_seconds double precision[],
    decode_seconds double precision[],
    choices jsonb[] DEFAULT '{}',
    seconds_saved double precision[] DEFAULT '{}',
    cache_misses text[] DEFAULT '{}',
    resumed_tokens integer[] DEFAULT '{}'
) RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    done bigint[];
BEGIN
    WITH results AS MATERIALIZED (
        SELECT DISTINCT ON (r.job_id, r.token) r.* FROM unnest(
            complete_2.job_ids, complete_2.tokens, complete_2.outputs, complete_2.finish_reasons, complete_2.prompt_tokens,
            complete_2.cached_tokens, complete_2.output_tokens, complete_2.prefill_seconds, complete_2.decode_seconds,
            complete_2.choices, complete_2.seconds_saved, complete_2.cache_misses, complete_2.resumed_tokens
        ) AS r (
            job_id, token, output, finish_reason, prompt_tokens, cached_tokens, output_tokens, prefill_seconds,
            decode_seconds, choices, seconds_saved, cache_miss, resumed_tokens)
        ORDER BY r.job_id, r.token
    ), held AS MATERIALIZED (
        SELECT r.*, q.batch_id, q.attempt, q.running_at, q.worker_id
        FROM results r CROSS JOIN LATERAL (
            SELECT q.batch_id, q.attempt, q.running_at, q.worker_id FROM deltakv.queue q
            WHERE q.job_id = r.job_id AND q.token = r.token LIMIT 1 FOR UPDATE) q
    ), removed AS (
        DELETE FROM deltakv.queue q WHERE q.job_id = ANY (ARRAY(SELECT h.job_id FROM held h))
    ), recorded AS (
        INSERT INTO deltakv.outcomes (
            job_id, batch_id, state, attempts, started_at, completed_at, worker_id, token, prompt_tokens, cached_tokens,
            output_tokens, prefill_seconds, decode_seconds, finish_reason, output, choices, seconds_saved, cache_miss,
            resumed_tokens)
        SELECT h.job_id, h.batch_id, 'completed', h.attempt, h.running_at, now(), h.worker_id, h.token, h.prompt_tokens,
            h.cached_tokens, h.output_tokens, h.prefill_seconds, h.decode_seconds, h.finish_reason, h.output,
            h.choices, h.seconds_saved, h.cache_miss, h.resumed_tokens
        FROM held h
    ), logged AS (
        INSERT INTO deltakv.job_events (job_id, worker_id, token, attempt, event)
        SELECT h.job_id, h.worker_id, h.token, h.attempt, 'completed' FROM held h
    )
    SELECT array_agg(h.job_id) INTO done FROM held h;

    RETURN QUERY SELECT * FROM deltakv.answer(
        complete_2.worker_id, complete_2.job_ids, complete_2.tokens, done,
        array_fill('completed'::deltakv.job_state, ARRAY[coalesce(cardinality(done), 0)]));
END
$$;

CREATE OR REPLACE FUNCTION deltakv.settle(verdicts deltakv.verdict[]) RETURNS void
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
    WITH ruling AS MATERIALIZED (
        SELECT q.row, q.job_id, q.batch_id, q.worker_id, q.token, q.running_at, v.state, v.event, v.code, v.message, v.detail,
            q.attempt AS attempt_ended,
            q.attempt - CASE WHEN v.charged THEN 0 ELSE 1 END AS attempts,
            q.interruptions + CASE WHEN v.interrupted THEN 1 ELSE 0 END AS interruptions
        FROM unnest(verdicts) v CROSS JOIN LATERAL (
            SELECT q.ctid AS row, q.* FROM deltakv.queue q WHERE q.job_id = v.job_id LIMIT 1) q
    ), returned AS (
        UPDATE deltakv.queue q
        SET state = r.state, attempt = r.attempts, interruptions = r.interruptions,
            running_at = NULL, token = NULL, worker_id = NULL, lease_expires_at = NULL, attempt_deadline = NULL,
            cancel_requested_at = NULL, prompt_tokens_done = NULL, output_tokens_done = NULL,
            available_at = CASE WHEN r.state = 'available' THEN now() END,
            retryable_at = CASE WHEN r.state = 'retryable' THEN now() END,
            run_at = CASE WHEN r.state = 'retryable' THEN now() + deltakv.retry_delay(r.attempts) ELSE q.run_at END
        FROM ruling r
        WHERE q.ctid = r.row AND r.state IN ('available', 'retryable')
    ), removed AS (
        DELETE FROM deltakv.queue q USING ruling r WHERE q.ctid = r.row AND r.state IN ('failed', 'cancelled')
    ), recorded AS (
        INSERT INTO deltakv.outcomes (
            job_id, batch_id, state, attempts, started_at, failed_at, cancelled_at, worker_id, token, error_code,
            error_message, error_detail)
        SELECT r.job_id, r.batch_id, r.state, r.attempts, r.running_at,
            CASE WHEN r.state = 'failed' THEN now() END, CASE WHEN r.state = 'cancelled' THEN now() END,
            r.worker_id, r.token,
            CASE WHEN r.state = 'failed' THEN r.code END, CASE WHEN r.state = 'failed' THEN r.message END,
            CASE WHEN r.state = 'failed' THEN r.detail END
        FROM ruling r WHERE r.state IN ('failed', 'cancelled')
    ), noted AS (
        INSERT INTO deltakv.job_errors (job_id, attempt, worker_id, code, message, detail)
        SELECT r.job_id, r.attempt_ended, r.worker_id, r.code, r.message, r.detail FROM ruling r WHERE r.code IS NOT NULL
    )
    INSERT INTO deltakv.job_events (job_id, worker_id, token, attempt, event, code)
    SELECT r.job_id, r.worker_id, r.token, r.attempt_ended, r.event, r.code FROM ruling r;

    IF EXISTS (SELECT FROM unnest(verdicts) v WHERE v.state = 'available') THEN
        PERFORM pg_notify('deltakv_jobs', 'available');
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION deltakv.fail(
    worker_id bigint,
    job_ids bigint[],
    tokens bigint[],
    codes text[],
    messages text[],
    details jsonb[],
    retryable boolean[]
) RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    verdicts deltakv.verdict[];
BEGIN
    WITH reported AS MATERIALIZED (
        SELECT r.* FROM unnest(fail.job_ids, fail.tokens, fail.codes, fail.messages, fail.details, fail.retryable)
            AS r (job_id, token, code, message, detail, may_pass)
        ORDER BY r.job_id
    ), held AS MATERIALIZED (
        SELECT r.job_id, r.code, r.message, r.detail,
            CASE WHEN NOT r.may_pass OR q.attempt >= q.max_attempts THEN 'failed'
                WHEN q.cancel_requested_at IS NOT NULL THEN 'cancelled'
                ELSE 'retryable' END::deltakv.job_state AS state
        FROM reported r CROSS JOIN LATERAL (
            SELECT q.attempt, q.max_attempts, q.cancel_requested_at FROM deltakv.queue q
            WHERE q.job_id = r.job_id AND q.token = r.token LIMIT 1 FOR UPDATE) q
    )
    SELECT array_agg((
        h.job_id, h.state, CASE WHEN h.state = 'retryable' THEN 'retried' ELSE h.state::text END, true, false,
        h.code, h.message, h.detail)::deltakv.verdict)
    INTO verdicts FROM held h;
    PERFORM deltakv.settle(verdicts);
    RETURN QUERY SELECT * FROM deltakv.answer(
        fail.worker_id, fail.job_ids, fail.tokens, ARRAY(SELECT v.job_id FROM unnest(verdicts) v),
        ARRAY(SELECT v.state FROM unnest(verdicts) v));
END
$$;

CREATE OR REPLACE FUNCTION deltakv.release(worker_id bigint, job_ids bigint[], tokens bigint[])
RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    verdicts deltakv.verdict[];
BEGIN
    WITH reported AS MATERIALIZED (
        SELECT r.* FROM unnest(release.job_ids, release.tokens) AS r (job_id, token) ORDER BY r.job_id
    ), held AS MATERIALIZED (
        SELECT r.job_id, q.cancel_requested_at IS NOT NULL AS cancelled
        FROM reported r CROSS JOIN LATERAL (
            SELECT q.cancel_requested_at FROM deltakv.queue q
            WHERE q.job_id = r.job_id AND q.token = r.token LIMIT 1 FOR UPDATE) q
    )
    SELECT array_agg((
        h.job_id, CASE WHEN h.cancelled THEN 'cancelled' ELSE 'available' END,
        CASE WHEN h.cancelled THEN 'cancelled' ELSE 'released' END, false, false, NULL, NULL, NULL)::deltakv.verdict)
    INTO verdicts FROM held h;
    PERFORM deltakv.settle(verdicts);
    RETURN QUERY SELECT * FROM deltakv.answer(
        release.worker_id, release.job_ids, release.tokens, ARRAY(SELECT v.job_id FROM unnest(verdicts) v),
        ARRAY(SELECT v.state FROM unnest(verdicts) v));
END
$$;

CREATE OR REPLACE FUNCTION deltakv.heartbeat(
    worker_id bigint,
    lease interval,
    job_ids bigint[] DEFAULT '{}',
    tokens bigint[] DEFAULT '{}',
    prompt_tokens_done integer[] DEFAULT '{}',
    output_tokens_done integer[] DEFAULT '{}'
) RETURNS TABLE (job_id bigint, signal text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    UPDATE deltakv.workers w SET heartbeat_at = now() WHERE w.worker_id = heartbeat.worker_id;
    -- Locked in a statement of its own: the next one sees each row where it is then, and as it is.
    PERFORM FROM (
        SELECT r.* FROM unnest(heartbeat.job_ids, heartbeat.tokens) AS r (job_id, token) ORDER BY r.job_id) r
    CROSS JOIN LATERAL (
        SELECT FROM deltakv.queue q WHERE q.job_id = r.job_id AND q.token = r.token LIMIT 1 FOR UPDATE) q;

    RETURN QUERY
    WITH reported AS MATERIALIZED (
        SELECT r.job_id, r.prompt_done, r.output_done, q.row
        FROM unnest(
            heartbeat.job_ids, heartbeat.tokens, heartbeat.prompt_tokens_done, heartbeat.output_tokens_done
        ) AS r (job_id, token, prompt_done, output_done)
        LEFT JOIN LATERAL (
            SELECT q.ctid AS row FROM deltakv.queue q WHERE q.job_id = r.job_id AND q.token = r.token LIMIT 1) q ON true
    ), renewed AS (
        UPDATE deltakv.queue q
        SET lease_expires_at = now() + heartbeat.lease,
            prompt_tokens_done = coalesce(r.prompt_done, q.prompt_tokens_done),
            output_tokens_done = coalesce(r.output_done, q.output_tokens_done)
        FROM reported r
        WHERE q.ctid = r.row
        RETURNING q.job_id, q.cancel_requested_at, q.attempt_deadline
    )
    SELECT n.job_id, CASE WHEN n.cancel_requested_at IS NOT NULL THEN 'cancel' ELSE 'timeout' END
    FROM renewed n
    WHERE n.cancel_requested_at IS NOT NULL OR n.attempt_deadline <= now()
    UNION ALL
    SELECT r.job_id, 'lost' FROM reported r WHERE r.row IS NULL;
END
$$;

CREATE OR REPLACE FUNCTION deltakv.count_queue() RETURNS trigger
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
        SELECT m.batch_id, own_slice, own_shard, sum(m.scheduled), sum(m.available), sum(m.running), sum(m.retryable)
        FROM (
            SELECT n.batch_id, count(n.scheduled_at) AS scheduled, count(n.available_at) AS available,
                count(n.running_at) AS running, count(n.retryable_at) AS retryable
            FROM after_rows n WHERE n.submitted_in <> own_transaction GROUP BY n.batch_id
            UNION ALL
            SELECT o.batch_id, -count(o.scheduled_at), -count(o.available_at), -count(o.running_at), -count(o.retryable_at)
            FROM before_rows o WHERE o.submitted_in <> own_transaction GROUP BY o.batch_id) m
        GROUP BY m.batch_id
        -- A heartbeat changes no state.
        HAVING sum(m.scheduled) <> 0 OR sum(m.available) <> 0 OR sum(m.running) <> 0 OR sum(m.retryable) <> 0
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

-- Where a tenant's waiting jobs began when this session last looked at all of them, if that took long; text in a setting of the
-- session, since a row would gather dead versions itself where nothing is cleaned.
CREATE TYPE deltakv.front AS (rank bigint, job_id bigint, valid_until timestamptz);
COMMENT ON TYPE deltakv.front IS
    'Where claims begin to look at a tenant''s waiting jobs. A hint only: it ends when forty times as long has passed as '
    'looking at all of them took.';

CREATE FUNCTION deltakv.own_front(tenant text) RETURNS deltakv.front
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    noted CONSTANT deltakv.front := nullif(current_setting('deltakv.front_' || md5(tenant), true), '')::deltakv.front;
BEGIN
    RETURN CASE WHEN noted.valid_until > clock_timestamp() THEN noted ELSE (-9223372036854775807, 0, NULL)::deltakv.front END;
END
$$;
COMMENT ON FUNCTION deltakv.own_front(text) IS
    'The front that this session has noted for a tenant; the beginning of everything where it has none.';

DROP FUNCTION deltakv.pick(text, integer, boolean, boolean);
CREATE FUNCTION deltakv.pick(tenant text, max_jobs integer, with_suspects boolean, front deltakv.front) RETURNS SETOF bigint
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
        AND (- q.priority::bigint, q.job_id) >= (front.rank, front.job_id)
        AND (pick.with_suspects OR q.interruptions = 0)
        AND (q.deadline IS NULL OR q.deadline > now())
    ORDER BY q.tenant, - q.priority::bigint, q.job_id
    LIMIT pick.max_jobs
    FOR UPDATE OF q SKIP LOCKED;
END
$$;
COMMENT ON FUNCTION deltakv.pick(text, integer, boolean, deltakv.front) IS
    'Locks the next waiting jobs of a tenant from a front on.';

-- Reading the index from its beginning means passing over an entry for every job that has started since the oldest open
-- transaction began: nothing on a tidy server, a tenth of a second after a million jobs. Then each claim begins where the last
-- one found its first job, until forty times the time has passed that looking at everything took.
CREATE OR REPLACE FUNCTION deltakv.pick_quickly(tenant text, max_jobs integer, with_suspects boolean) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Counted rather than timed: on a busy machine everything is slow.
    many CONSTANT bigint := 1000;
    index CONSTANT regclass := 'deltakv.queue_waiting';
    beginning CONSTANT deltakv.front := (-9223372036854775807, 0, NULL);
    front deltakv.front := deltakv.own_front(pick_quickly.tenant);
    started timestamptz;
    passed bigint;
    picked bigint[];
BEGIN
    IF front.valid_until IS NOT NULL THEN
        picked := ARRAY(SELECT deltakv.pick(pick_quickly.tenant, max_jobs, with_suspects, front));
    END IF;
    IF coalesce(cardinality(picked), 0) < max_jobs THEN
        started := clock_timestamp();
        passed := pg_stat_get_xact_tuples_returned(index);
        picked := ARRAY(SELECT deltakv.pick(pick_quickly.tenant, max_jobs, with_suspects, beginning));
        passed := pg_stat_get_xact_tuples_returned(index) - passed - cardinality(picked);
        front.valid_until := CASE WHEN passed > many THEN clock_timestamp() + 40 * (clock_timestamp() - started) END;
    END IF;
    IF cardinality(picked) > 0 AND front.valid_until IS NOT NULL THEN
        SELECT - q.priority::bigint, q.job_id INTO front.rank, front.job_id FROM deltakv.queue q WHERE q.job_id = picked[1];
        PERFORM set_config('deltakv.front_' || md5(pick_quickly.tenant), front::text, false);
    END IF;
    RETURN picked;
END
$$;
COMMENT ON FUNCTION deltakv.pick_quickly(text, integer, boolean) IS
    'As deltakv.pick, from the session''s front where looking at everything is slow.';

-- Took all that begins like any of the next jobs, up to max_jobs for each, and locked it.
CREATE OR REPLACE FUNCTION deltakv.pick_alike(tenant text, max_jobs integer, with_suspects boolean, prefixes bigint[])
RETURNS bigint[]
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
    picked bigint[] := '{}';
    beginning record;
BEGIN
    -- Looked up one by one: a join might read the queue from its first dead row on.
    IF coalesce(cardinality(head), 0) = 0 OR prefixes = '{}' AND NOT EXISTS (
        SELECT FROM unnest(head) h (id)
        WHERE (SELECT q.prefix_key FROM deltakv.queue q WHERE q.job_id = h.id) IS NOT NULL)
    THEN
        RETURN head;
    END IF;
    -- The worker's own beginnings first, then those of the next jobs, each with what has it, is as urgent and comes later, until
    -- there are enough.
    FOR beginning IN
        WITH leaders AS MATERIALIZED (
            SELECT h.place, q.job_id, q.prefix_key, - q.priority::bigint AS rank
            FROM unnest(head) WITH ORDINALITY AS h (job_id, place) CROSS JOIN LATERAL (
                SELECT * FROM deltakv.queue q WHERE q.job_id = h.job_id LIMIT 1) q
        )
        SELECT b.prefix_key, b.rank, min(b.job_id) AS first_job_id
        FROM (
            SELECT p.prefix_key, l.rank, l.job_id, p.place - cardinality(prefixes) AS place
            FROM unnest(prefixes) WITH ORDINALITY AS p (prefix_key, place), leaders l WHERE l.place = 1
            UNION ALL SELECT l.prefix_key, l.rank, l.job_id, l.place FROM leaders l) b
        GROUP BY b.prefix_key, b.rank, CASE WHEN b.prefix_key IS NULL THEN b.job_id END
        ORDER BY min(b.place)
    LOOP
        EXIT WHEN cardinality(picked) >= max_jobs;
        picked := picked || CASE WHEN beginning.prefix_key IS NULL THEN ARRAY[beginning.first_job_id] ELSE ARRAY(
            SELECT q.job_id FROM deltakv.queue q
            WHERE q.state = 'available' AND q.tenant = pick_alike.tenant AND q.prefix_key = beginning.prefix_key
                AND - q.priority::bigint = beginning.rank AND q.job_id >= beginning.first_job_id
                AND (pick_alike.with_suspects OR q.interruptions = 0) AND (q.deadline IS NULL OR q.deadline > now())
            ORDER BY q.tenant, q.prefix_key, - q.priority::bigint, q.job_id
            LIMIT max_jobs - cardinality(picked)
            FOR UPDATE SKIP LOCKED) END;
    END LOOP;
    RETURN picked;
END
$$;
COMMENT ON FUNCTION deltakv.pick_alike(text, integer, boolean, bigint[]) IS
    'Locks the next waiting jobs of a tenant, and instead of the last of these others that begin like the first: no more than '
    'twice max_jobs.';

-- The index of running jobs has an entry for every job that has run since the oldest open transaction began. Where passing over
-- them is slow, the counts of all batches say the same, until forty times as long has passed.
CREATE FUNCTION deltakv.running_jobs() RETURNS TABLE (tenant text, jobs bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    many CONSTANT bigint := 1000;
    index CONSTANT regclass := 'deltakv.queue_running';
    started CONSTANT timestamptz := clock_timestamp();
    passed CONSTANT bigint := pg_stat_get_xact_tuples_returned(index);
BEGIN
    IF nullif(current_setting('deltakv.count_batches_until', true), '')::timestamptz > started THEN
        RETURN QUERY
        SELECT b.tenant, sum(c.running)::bigint FROM deltakv.batch_counts c JOIN deltakv.batches b USING (batch_id)
        GROUP BY b.tenant;
        RETURN;
    END IF;
    RETURN QUERY SELECT q.tenant, count(*) FROM deltakv.queue q WHERE q.state = 'running' GROUP BY q.tenant;
    IF pg_stat_get_xact_tuples_returned(index) - passed > many THEN
        PERFORM set_config(
            'deltakv.count_batches_until', (clock_timestamp() + 40 * (clock_timestamp() - started))::text, false);
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.running_jobs() IS 'How many jobs of each tenant run.';

CREATE OR REPLACE FUNCTION deltakv.pick_fairly_2(max_jobs integer, with_suspects boolean, prefixes bigint[]) RETURNS bigint[]
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
            SELECT r.tenant, r.jobs FROM deltakv.running_jobs() r
        ), waiting AS MATERIALIZED (
            SELECT t.tenant, t.weight, coalesce(r.jobs, 0) AS running,
                least(max_jobs, t.max_running - coalesce(r.jobs, 0)) AS room, deltakv.own_front(t.tenant) AS front
            FROM deltakv.tenants t LEFT JOIN running r USING (tenant)
            WHERE t.max_running IS NULL OR t.max_running > coalesce(r.jobs, 0)
        ), places AS (
            SELECT w.tenant, (w.running + row_number() OVER (PARTITION BY w.tenant)) / w.weight AS place
            FROM waiting w CROSS JOIN LATERAL (
                SELECT FROM deltakv.queue q WHERE q.state = 'available' AND q.tenant = w.tenant
                    AND (- q.priority::bigint, q.job_id) >= ((w.front).rank, (w.front).job_id)
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

-- Whoever removes a record looks for what depends on it, ended or not.
DROP INDEX deltakv.dependencies_open;
CREATE INDEX dependencies_on ON deltakv.dependencies (depends_on);

ALTER TABLE deltakv.tenants DROP COLUMN front_rank, DROP COLUMN front_job_id, DROP COLUMN swept_at, DROP COLUMN sweep_seconds;

-- A record that a job being submitted depends on stays: whoever removes it waits for the job, and then sees it.
DO $$
DECLARE
    change record;
    old_text text;
    new_text text;
BEGIN
    FOR change IN
        SELECT p.oid, c.* FROM (VALUES
            (1, 'submit', E'    same boolean;\n', E'    same boolean;\n    unfinished bigint;\n    finished bigint;\n'),
            (2, 'submit', E'ORDER BY q.job_id FOR SHARE OF q;\n', $new$ORDER BY q.job_id FOR SHARE OF q;
            GET DIAGNOSTICS unfinished = ROW_COUNT;
            PERFORM FROM deltakv.outcomes o WHERE o.job_id = ANY (submit.depends_on) ORDER BY o.job_id FOR KEY SHARE;
            GET DIAGNOSTICS finished = ROW_COUNT;
            IF unfinished + finished < (SELECT count(DISTINCT d.id) FROM unnest(submit.depends_on) d (id)) THEN
                RAISE invalid_parameter_value USING MESSAGE = format('%s does not have all jobs in depends_on', owner);
            END IF;
$new$),
            (3, 'remove_old', 'WHERE o.job_id = ANY (old) ORDER BY o.job_id FOR UPDATE) l;',
                $new$WHERE o.job_id = ANY (old) ORDER BY o.job_id FOR UPDATE) l;
    -- Nor what a new job waits for.
    SELECT array_agg(i.job_id ORDER BY i.job_id) INTO old FROM unnest(old) i (job_id)
    WHERE NOT EXISTS (
        SELECT FROM deltakv.dependencies d WHERE d.depends_on = i.job_id
            AND (SELECT q.state FROM deltakv.queue q WHERE q.job_id = d.job_id) IS NOT NULL);$new$),
            (4, 'submit_many', 'WHERE r.job_id = id;', $new$WHERE r.job_id = id;
            IF NOT FOUND THEN
                -- Submitted before, and refused then.
                SELECT o.error_code AS code, o.error_message AS message INTO fault
                FROM deltakv.jobs j JOIN deltakv.outcomes o USING (job_id)
                WHERE j.job_id = id AND o.failed_at = j.submitted_at;
            END IF;$new$)
        ) c (step, name, part, instead)
        JOIN pg_proc p ON p.proname = c.name AND p.pronamespace = 'deltakv'::regnamespace
        ORDER BY c.step
    LOOP
        old_text := pg_get_functiondef(change.oid);
        new_text := replace(old_text, change.part, change.instead);
        -- Once and once only, or the file does not fit the functions that it is for.
        IF length(new_text) - length(old_text) <> length(change.instead) - length(change.part) THEN
            RAISE internal_error USING MESSAGE = format('deltakv.%s does not have "%s" once', change.name, change.part);
        END IF;
        EXECUTE new_text;
    END LOOP;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
