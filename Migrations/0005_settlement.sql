-- SPDX-License-Identifier: Apache-2.0

-- How attempts end. Every function here takes the fencing tokens that the claims gave, changes only jobs whose running
-- attempt has that token, and returns for every job asked about the state that this put it in, or null where the attempt
-- was no longer the caller's to end.

CREATE FUNCTION deltakv.retry_delay(attempt integer) RETURNS interval
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT make_interval(secs => least(3600, 5 * 2.0 ^ least(attempt - 1, 20)) * (0.75 + 0.5 * random()))
$$;
COMMENT ON FUNCTION deltakv.retry_delay(integer) IS
    'How long to wait after that many attempts: 5 seconds, doubled each time, at most an hour, give or take a quarter.';

CREATE FUNCTION deltakv.answer(
    worker_id bigint, job_ids bigint[], tokens bigint[], settled bigint[], states deltakv.job_state[]
) RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = on
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH answers AS MATERIALIZED (
        SELECT r.job_id, r.token, coalesce(s.state, o.state) AS state
        FROM unnest(answer.job_ids, answer.tokens) AS r (job_id, token)
        LEFT JOIN unnest(answer.settled, answer.states) AS s (job_id, state) ON s.job_id = r.job_id
        -- The same call made twice, as after a lost connection, gets the same answer.
        LEFT JOIN LATERAL (
            SELECT o.state FROM deltakv.outcomes o
            WHERE s.state IS NULL AND o.job_id = r.job_id AND o.token = r.token
        ) o ON true
    ), logged AS (
        INSERT INTO deltakv.job_events (job_id, worker_id, token, event)
        SELECT a.job_id, answer.worker_id, a.token, 'fenced' FROM answers a
        WHERE a.state IS NULL AND a.job_id IS NOT NULL
        RETURNING 1
    ), counted AS (
        UPDATE deltakv.workers w SET fenced_writes = w.fenced_writes + l.refused
        FROM (SELECT count(*) AS refused FROM logged) l
        WHERE w.worker_id = answer.worker_id AND l.refused > 0
    )
    SELECT a.job_id, a.state FROM answers a;
END
$$;
COMMENT ON FUNCTION deltakv.answer(bigint, bigint[], bigint[], bigint[], deltakv.job_state[]) IS
    'Says for each job asked about the state that its attempt ended in, and counts as fenced those without.';

CREATE FUNCTION deltakv.complete(
    worker_id bigint,
    job_ids bigint[],
    tokens bigint[],
    outputs text[],
    finish_reasons text[],
    prompt_tokens integer[],
    cached_tokens integer[],
    output_tokens integer[],
    prefill_seconds double precision[],
    decode_seconds double precision[]
) RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    done bigint[];
BEGIN
    WITH results AS MATERIALIZED (
        SELECT r.* FROM unnest(
            complete.job_ids, complete.tokens, complete.outputs, complete.finish_reasons, complete.prompt_tokens,
            complete.cached_tokens, complete.output_tokens, complete.prefill_seconds, complete.decode_seconds
        ) AS r (
            job_id, token, output, finish_reason, prompt_tokens, cached_tokens, output_tokens, prefill_seconds,
            decode_seconds)
    ), held AS MATERIALIZED (
        SELECT r.*
        FROM results r JOIN deltakv.queue q ON q.job_id = r.job_id AND q.token = r.token
        ORDER BY q.job_id
        FOR UPDATE OF q
    ), removed AS (
        DELETE FROM deltakv.queue q USING held h WHERE q.job_id = h.job_id
        RETURNING q.batch_id, q.attempt, q.running_at, q.worker_id, h.*
    ), recorded AS (
        INSERT INTO deltakv.outcomes (
            job_id, batch_id, state, attempts, started_at, completed_at, worker_id, token, prompt_tokens, cached_tokens,
            output_tokens, prefill_seconds, decode_seconds, finish_reason, output)
        SELECT d.job_id, d.batch_id, 'completed', d.attempt, d.running_at, now(), d.worker_id, d.token, d.prompt_tokens,
            d.cached_tokens, d.output_tokens, d.prefill_seconds, d.decode_seconds, d.finish_reason, d.output
        FROM removed d
        RETURNING job_id, worker_id, token, attempts
    ), logged AS (
        INSERT INTO deltakv.job_events (job_id, worker_id, token, attempt, event)
        SELECT w.job_id, w.worker_id, w.token, w.attempts, 'completed' FROM recorded w
    )
    SELECT array_agg(w.job_id) INTO done FROM recorded w;

    RETURN QUERY SELECT * FROM deltakv.answer(
        complete.worker_id, complete.job_ids, complete.tokens, done,
        array_fill('completed'::deltakv.job_state, ARRAY[coalesce(cardinality(done), 0)]));
END
$$;
COMMENT ON FUNCTION deltakv.complete(
    bigint, bigint[], bigint[], text[], text[], integer[], integer[], integer[], double precision[],
    double precision[]) IS
    'Writes results and takes their jobs out of the queue, in one transaction: each job completes once. Element i of '
    'every array belongs to the same job.';

CREATE TYPE deltakv.verdict AS (
    job_id bigint, state deltakv.job_state, event text, charged boolean, interrupted boolean, code text, message text,
    detail jsonb);
COMMENT ON TYPE deltakv.verdict IS
    'How a running attempt ends without a result: the job''s next state, whether the attempt counts against it, and the '
    'error if there was one.';

CREATE FUNCTION deltakv.settle(verdicts deltakv.verdict[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    WITH ruling AS MATERIALIZED (
        SELECT q.job_id, q.batch_id, q.worker_id, q.token, q.running_at, v.state, v.event, v.code, v.message, v.detail,
            q.attempt AS attempt_ended,
            q.attempt - CASE WHEN v.charged THEN 0 ELSE 1 END AS attempts,
            q.interruptions + CASE WHEN v.interrupted THEN 1 ELSE 0 END AS interruptions
        FROM unnest(verdicts) v JOIN deltakv.queue q ON q.job_id = v.job_id
    ), returned AS (
        UPDATE deltakv.queue q
        SET state = r.state, attempt = r.attempts, interruptions = r.interruptions,
            running_at = NULL, token = NULL, worker_id = NULL, lease_expires_at = NULL, attempt_deadline = NULL,
            cancel_requested_at = NULL, prompt_tokens_done = NULL, output_tokens_done = NULL,
            available_at = CASE WHEN r.state = 'available' THEN now() END,
            retryable_at = CASE WHEN r.state = 'retryable' THEN now() END,
            run_at = CASE WHEN r.state = 'retryable' THEN now() + deltakv.retry_delay(r.attempts) ELSE q.run_at END
        FROM ruling r
        WHERE q.job_id = r.job_id AND r.state IN ('available', 'retryable')
    ), removed AS (
        DELETE FROM deltakv.queue q USING ruling r WHERE q.job_id = r.job_id AND r.state IN ('failed', 'cancelled')
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
COMMENT ON FUNCTION deltakv.settle(deltakv.verdict[]) IS
    'Ends attempts as told. The caller has locked the jobs'' queue rows, in an earlier statement, and checked their '
    'tokens.';

CREATE FUNCTION deltakv.fail(
    worker_id bigint,
    job_ids bigint[],
    tokens bigint[],
    codes text[],
    messages text[],
    details jsonb[],
    retryable boolean[]
) RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    verdicts deltakv.verdict[];
BEGIN
    WITH held AS MATERIALIZED (
        SELECT q.job_id, r.code, r.message, r.detail,
            CASE WHEN NOT r.may_pass OR q.attempt >= q.max_attempts THEN 'failed'
                WHEN q.cancel_requested_at IS NOT NULL THEN 'cancelled'
                ELSE 'retryable' END::deltakv.job_state AS state
        FROM unnest(fail.job_ids, fail.tokens, fail.codes, fail.messages, fail.details, fail.retryable)
            AS r (job_id, token, code, message, detail, may_pass)
        JOIN deltakv.queue q ON q.job_id = r.job_id AND q.token = r.token
        ORDER BY q.job_id
        FOR UPDATE OF q
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
COMMENT ON FUNCTION deltakv.fail(bigint, bigint[], bigint[], text[], text[], jsonb[], boolean[]) IS
    'Reports errors. A retryable one sends its job back to wait, until its attempts are used up; any other ends it.';

CREATE FUNCTION deltakv.release(worker_id bigint, job_ids bigint[], tokens bigint[])
RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    verdicts deltakv.verdict[];
BEGIN
    WITH held AS MATERIALIZED (
        SELECT q.job_id, q.cancel_requested_at IS NOT NULL AS cancelled
        FROM unnest(release.job_ids, release.tokens) AS r (job_id, token)
        JOIN deltakv.queue q ON q.job_id = r.job_id AND q.token = r.token
        ORDER BY q.job_id
        FOR UPDATE OF q
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
COMMENT ON FUNCTION deltakv.release(bigint, bigint[], bigint[]) IS
    'Hands jobs back unfinished: they may start again at once and the attempt is not counted. A job that somebody '
    'cancelled meanwhile ends as cancelled.';

CREATE FUNCTION deltakv.rescue(max_jobs integer DEFAULT 1000)
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
    verdicts deltakv.verdict[];
BEGIN
    WITH overdue AS MATERIALIZED (
        SELECT q.job_id, q.attempt, q.max_attempts, q.interruptions, q.cancel_requested_at,
            coalesce(q.attempt_deadline < now(), false) AS timed_out
        FROM deltakv.queue q
        WHERE q.state = 'running' AND (q.lease_expires_at < now() OR q.attempt_deadline < now())
        ORDER BY q.job_id
        LIMIT rescue.max_jobs
        FOR UPDATE SKIP LOCKED
    ), ruled AS (
        SELECT o.job_id, o.timed_out, o.interruptions,
            CASE WHEN o.cancel_requested_at IS NOT NULL THEN 'cancelled'
                WHEN o.timed_out AND o.attempt < o.max_attempts THEN 'retryable'
                WHEN o.timed_out OR o.interruptions + 1 >= most_interruptions THEN 'failed'
                ELSE 'available' END::deltakv.job_state AS state
        FROM overdue o
    )
    SELECT array_agg((
        r.job_id, r.state,
        CASE r.state WHEN 'retryable' THEN 'retried' WHEN 'available' THEN 'rescued' ELSE r.state::text END,
        r.timed_out, NOT r.timed_out,
        CASE WHEN r.state = 'cancelled' THEN NULL
            WHEN r.timed_out THEN 'attempt_timeout'
            WHEN r.state = 'failed' THEN 'interrupted_too_often' END,
        CASE WHEN r.timed_out THEN 'the attempt ran longer than it may'
            ELSE format('the worker vanished %s times while it ran this job', r.interruptions + 1) END,
        NULL)::deltakv.verdict)
    INTO verdicts FROM ruled r;
    PERFORM deltakv.settle(verdicts);
    RETURN QUERY SELECT v.job_id, v.state FROM unnest(verdicts) v;
END
$$;
COMMENT ON FUNCTION deltakv.rescue(integer) IS
    'Takes running jobs from workers whose lease ended and lets them start again, the attempt not counted; the fifth '
    'time a job fails as interrupted_too_often. Attempts past their deadline count and fail as attempt_timeout. Anybody '
    'may call it at any time.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
