-- SPDX-License-Identifier: Apache-2.0

-- What is done to whole batches: pause, resume, reprioritise, clone, estimate, follow up, clean up.

CREATE FUNCTION deltakv.batch_ids(batch text, tenant text) RETURNS integer[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(b.batch_id ORDER BY b.batch_id), '{}') FROM deltakv.batches b
    WHERE b.name = batch_ids.batch AND b.tenant = coalesce(batch_ids.tenant, b.tenant) AND deltakv.acts_for(b.tenant)
$$;
COMMENT ON FUNCTION deltakv.batch_ids(text, text) IS 'The batches of that name that the caller may act on.';

-- deltakv.cancel and deltakv.redrive keep what they do; what they touch is now what the caller may act on.
CREATE FUNCTION deltakv.own_selection(batch text, job_id bigint, tenant text, OUT batch_ids integer[], OUT own_job_id bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT deltakv.batch_ids(own_selection.batch, own_selection.tenant), (
        SELECT j.job_id FROM deltakv.jobs j WHERE j.job_id = own_selection.job_id AND deltakv.acts_for(j.tenant))
$$;
COMMENT ON FUNCTION deltakv.own_selection(text, bigint, text) IS 'Of a selection, what the caller may act on.';

CREATE OR REPLACE FUNCTION deltakv.cancel(batch text DEFAULT NULL, job_id bigint DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    own record;
    locked_ids bigint[];
    affected bigint;
BEGIN
    PERFORM deltakv.require_selection('cancel', cancel.batch, cancel.job_id);
    SELECT * INTO own FROM deltakv.own_selection(cancel.batch, cancel.job_id, cancel.tenant);
    -- Locked in a statement of its own: an UPDATE checks constraints on the row that its snapshot shows before it
    -- notices that a worker has changed the row since.
    SELECT array_agg(l.job_id) INTO locked_ids FROM (
        SELECT q.job_id FROM deltakv.queue q
        WHERE q.job_id = own.own_job_id OR q.batch_id = ANY (own.batch_ids)
        ORDER BY q.job_id
        FOR UPDATE OF q
    ) l;
    WITH locked AS MATERIALIZED (
        SELECT q.job_id, q.batch_id, q.state, q.attempt, q.worker_id, q.token, q.cancel_requested_at
        FROM unnest(locked_ids) AS i (job_id) JOIN deltakv.queue q ON q.job_id = i.job_id
    ), requested AS (
        UPDATE deltakv.queue q SET cancel_requested_at = now()
        FROM locked l
        WHERE q.job_id = l.job_id AND l.state = 'running' AND l.cancel_requested_at IS NULL
        RETURNING q.job_id
    ), removed AS (
        DELETE FROM deltakv.queue q USING locked l WHERE q.job_id = l.job_id AND l.state <> 'running'
        RETURNING q.job_id
    ), recorded AS (
        INSERT INTO deltakv.outcomes (job_id, batch_id, state, cancelled_at, attempts)
        SELECT l.job_id, l.batch_id, 'cancelled', now(), l.attempt FROM locked l WHERE l.state <> 'running'
    ), logged AS (
        INSERT INTO deltakv.job_events (job_id, worker_id, token, attempt, event)
        SELECT l.job_id, l.worker_id, l.token, l.attempt,
            CASE WHEN l.state = 'running' THEN 'cancel_requested' ELSE 'cancelled' END
        FROM locked l
        WHERE l.cancel_requested_at IS NULL
    )
    SELECT (SELECT count(*) FROM requested) + (SELECT count(*) FROM removed) INTO affected;
    IF affected > 0 THEN
        PERFORM pg_notify('deltakv_jobs', 'cancel');
    END IF;
    RETURN affected;
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
            job_id, batch_id, tenant, priority, input_bytes, state, available_at, scheduled_at, run_at, max_attempts)
        SELECT j.job_id, j.batch_id, j.tenant, j.priority, deltakv.input_bytes(j.document, j.variables),
            CASE WHEN w.waits THEN 'scheduled' ELSE 'available' END::deltakv.job_state,
            CASE WHEN NOT w.waits THEN now() END, CASE WHEN w.waits THEN now() END,
            CASE WHEN w.waits THEN 'infinity' ELSE now() END, j.max_attempts
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

CREATE FUNCTION deltakv.pause(batch text, tenant text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    ids CONSTANT integer[] := deltakv.batch_ids(pause.batch, pause.tenant);
    affected bigint;
BEGIN
    UPDATE deltakv.batches b SET paused_at = coalesce(b.paused_at, now()) WHERE b.batch_id = ANY (ids);
    PERFORM FROM deltakv.queue q WHERE q.batch_id = ANY (ids) ORDER BY q.job_id FOR UPDATE;
    -- A job that was tried waits as retryable: scheduled ones have not begun.
    UPDATE deltakv.queue q
    SET state = CASE WHEN q.attempt = 0 THEN 'scheduled' ELSE 'retryable' END::deltakv.job_state,
        scheduled_at = CASE WHEN q.attempt = 0 THEN now() END, retryable_at = CASE WHEN q.attempt > 0 THEN now() END,
        available_at = NULL, run_at = 'infinity'
    WHERE q.batch_id = ANY (ids) AND q.state IN ('available', 'scheduled', 'retryable') AND q.run_at <> 'infinity';
    GET DIAGNOSTICS affected = ROW_COUNT;
    RETURN affected;
END
$$;
COMMENT ON FUNCTION deltakv.pause(text, text) IS
    'Lets no more jobs of a batch start and returns how many wait; running ones go on. Jobs submitted meanwhile wait too.';

CREATE FUNCTION deltakv.resume(batch text, tenant text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    ids CONSTANT integer[] := deltakv.batch_ids(resume.batch, resume.tenant);
    affected bigint;
BEGIN
    UPDATE deltakv.batches b SET paused_at = NULL WHERE b.batch_id = ANY (ids);
    PERFORM FROM deltakv.queue q WHERE q.batch_id = ANY (ids) ORDER BY q.job_id FOR UPDATE;
    UPDATE deltakv.queue q SET run_at = greatest(j.run_at, now())
    FROM deltakv.jobs j
    WHERE q.batch_id = ANY (ids) AND j.job_id = q.job_id AND q.run_at = 'infinity' AND q.state IN ('scheduled', 'retryable')
        AND NOT EXISTS (
            SELECT FROM deltakv.dependencies d WHERE d.job_id = q.job_id AND d.ended_as IS DISTINCT FROM 'completed');
    GET DIAGNOSTICS affected = ROW_COUNT;
    PERFORM pg_notify('deltakv_jobs', 'available');
    RETURN affected;
END
$$;
COMMENT ON FUNCTION deltakv.resume(text, text) IS 'Lets the jobs of a paused batch start again and returns how many.';

CREATE FUNCTION deltakv.reprioritise(batch text, priority integer, tenant text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    ids CONSTANT integer[] := deltakv.batch_ids(reprioritise.batch, reprioritise.tenant);
    affected bigint;
BEGIN
    PERFORM FROM deltakv.queue q WHERE q.batch_id = ANY (ids) ORDER BY q.job_id FOR UPDATE;
    UPDATE deltakv.queue q SET priority = reprioritise.priority
    WHERE q.batch_id = ANY (ids) AND q.priority <> reprioritise.priority;
    GET DIAGNOSTICS affected = ROW_COUNT;
    RETURN affected;
END
$$;
COMMENT ON FUNCTION deltakv.reprioritise(text, integer, text) IS
    'Gives the unfinished jobs of a batch another priority and returns how many have changed.';

CREATE FUNCTION deltakv.clone(batch text, new_batch text, options jsonb DEFAULT '{}', tenant text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    ids CONSTANT integer[] := deltakv.batch_ids(clone.batch, clone.tenant);
    source record;
    renamed jsonb := '{}';
    cloned bigint := 0;
BEGIN
    IF clone.batch = clone.new_batch THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a batch cannot be cloned into itself';
    END IF;
    FOR source IN
        SELECT j.*, ARRAY(SELECT d.depends_on FROM deltakv.dependencies d WHERE d.job_id = j.job_id) AS needs
        FROM deltakv.jobs j WHERE j.batch_id = ANY (ids) ORDER BY j.job_id
    LOOP
        renamed := CASE WHEN source.needs = '{}' AND NOT EXISTS (
                SELECT FROM deltakv.dependencies d WHERE d.depends_on = source.job_id) THEN renamed
            ELSE renamed || jsonb_build_object(source.job_id::text, NULL) END;
        IF renamed ? source.job_id::text THEN
            renamed := renamed || jsonb_build_object(source.job_id::text, deltakv.submit(
                source.template, document => source.document, custom_id => source.custom_id, batch => clone.new_batch,
                options => source.options || clone.options, variables => source.variables, priority => source.priority,
                tenant => source.tenant, max_attempts => source.max_attempts, tags => source.tags,
                messages => source.messages, document_id => source.document_id, gathers => source.gathers,
                depends_on => ARRAY(SELECT coalesce((renamed ->> n::text)::bigint, n) FROM unnest(source.needs) n)));
        ELSE
            PERFORM deltakv.submit(
                source.template, document => source.document, custom_id => source.custom_id, batch => clone.new_batch,
                options => source.options || clone.options, variables => source.variables, priority => source.priority,
                tenant => source.tenant, max_attempts => source.max_attempts, tags => source.tags,
                messages => source.messages, document_id => source.document_id);
        END IF;
        cloned := cloned + 1;
    END LOOP;
    RETURN cloned;
END
$$;
COMMENT ON FUNCTION deltakv.clone(text, text, jsonb, text) IS
    'Submits all jobs of a batch again as another batch, with some options changed and the templates'' latest versions, '
    'and returns how many: deltakv.clone(''q3'', ''q3-longer'', ''{"max_tokens": 300}'').';

CREATE FUNCTION deltakv.estimate(batch text, tenant text DEFAULT NULL)
RETURNS TABLE (jobs bigint, prompt_tokens bigint, output_tokens bigint, seconds double precision, measured_on bigint)
LANGUAGE plpgsql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    past record;
BEGIN
    -- Rates from what finished in the last day, of whatever tenant: the machines are the same.
    SELECT sum(m.completed)::bigint AS jobs, sum(m.prompt_tokens - m.cached_tokens) / nullif(sum(m.prefill_seconds), 0) AS prefill,
        sum(m.output_tokens) / nullif(sum(m.decode_seconds), 0) AS decode,
        sum(m.output_tokens) / nullif(sum(m.completed), 0) AS output
    INTO past
    FROM (
        SELECT m.completed, m.prompt_tokens, m.cached_tokens, m.output_tokens, m.prefill_seconds, m.decode_seconds
        FROM deltakv.minutes m WHERE m.minute > now() - interval '1 day'
        UNION ALL
        SELECT c.completed, c.prompt_tokens, c.cached_tokens, c.output_tokens, c.prefill_seconds, c.decode_seconds
        FROM deltakv.batch_counts c WHERE c.slice > '-infinity'
    ) m;
    RETURN QUERY
    SELECT e.jobs, e.prompt, e.output, e.prompt / past.prefill + e.output / past.decode, past.jobs
    FROM (
        SELECT count(*) AS jobs, coalesce(sum(60 + q.input_bytes / 4), 0)::bigint AS prompt,
            (count(*) * coalesce(past.output, 160))::bigint AS output
        FROM deltakv.queue q WHERE q.batch_id = ANY (deltakv.batch_ids(estimate.batch, estimate.tenant))
    ) e;
END
$$;
COMMENT ON FUNCTION deltakv.estimate(text, text) IS
    'What the unfinished jobs of a batch will take: tokens (four bytes each, and outputs as long as the last day''s) and '
    'seconds of one daemon at the rates measured on the last day''s jobs; null while there are none. Submit a batch, '
    'pause it, estimate, resume.';

CREATE FUNCTION deltakv.on_finish(
    batch text, template text, document text DEFAULT NULL, variables jsonb DEFAULT '{}', options jsonb DEFAULT '{}',
    custom_id text DEFAULT NULL, into_batch text DEFAULT NULL, tenant text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    owner CONSTANT text := deltakv.require_tenant(on_finish.tenant);
    id CONSTANT integer := deltakv.batch_id_for(owner, on_finish.batch);
BEGIN
    UPDATE deltakv.batches b
    SET followed_up_at = NULL, follow_up = jsonb_build_object(
        'template', on_finish.template, 'document', on_finish.document, 'variables', on_finish.variables,
        'options', on_finish.options, 'custom_id', on_finish.custom_id,
        'batch', coalesce(on_finish.into_batch, on_finish.batch || ' follow-up'))
    WHERE b.batch_id = id;
END
$$;
COMMENT ON FUNCTION deltakv.on_finish(text, text, text, jsonb, jsonb, text, text, text) IS
    'Has a job submitted, once, when the last job of a batch has ended. Listeners on the channel deltakv_batch are told too.';

CREATE FUNCTION deltakv.follow_up(batch_id integer) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    batch deltakv.batches;
BEGIN
    UPDATE deltakv.batches b SET followed_up_at = now()
    WHERE b.batch_id = follow_up.batch_id AND b.follow_up IS NOT NULL AND b.followed_up_at IS NULL
    RETURNING b.* INTO batch;
    IF FOUND THEN
        INSERT INTO deltakv.follow_ups (tenant, job) VALUES (batch.tenant, batch.follow_up);
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.follow_up(integer) IS 'Notes that a batch''s follow-up job is due.';

-- Whoever ends a batch may be somebody who may not act for its tenant, such as a worker: the next claim submits the job.
CREATE TABLE deltakv.follow_ups (
    follow_up_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    job jsonb NOT NULL
);
COMMENT ON TABLE deltakv.follow_ups IS 'Follow-up jobs that are due and not submitted yet.';

CREATE OR REPLACE FUNCTION deltakv.announce_if_finished(batch_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Sets these advisory locks apart from those of other programs: "dkvb" in ASCII.
    lock_class CONSTANT integer := 1684764258;
    many CONSTANT integer := 100;
BEGIN
    IF deltakv.has_unfinished(batch_id, many) AND pg_try_advisory_xact_lock_shared(lock_class, batch_id)
        AND deltakv.has_unfinished(batch_id, many)
    THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(lock_class, batch_id);
    IF NOT deltakv.has_unfinished(batch_id, 0) THEN
        -- The number, not the name: any login may listen, and a payload of more than 8,000 bytes would be an error.
        PERFORM pg_notify('deltakv_batch', batch_id::text);
        PERFORM deltakv.follow_up(batch_id);
    END IF;
END
$$;

CREATE FUNCTION deltakv.tidy(retention interval DEFAULT NULL, max_jobs integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    started CONSTANT timestamptz := clock_timestamp();
    removed bigint := 0;
    due record;
BEGIN
    FOR due IN
        DELETE FROM deltakv.follow_ups f USING (
            SELECT l.follow_up_id FROM deltakv.follow_ups l ORDER BY 1 LIMIT 100 FOR UPDATE SKIP LOCKED) l
        WHERE f.follow_up_id = l.follow_up_id RETURNING f.*
    LOOP
        PERFORM deltakv.submit(
            due.job ->> 'template', document => due.job ->> 'document', custom_id => due.job ->> 'custom_id',
            batch => due.job ->> 'batch', options => due.job -> 'options', variables => due.job -> 'variables',
            tenant => due.tenant);
    END LOOP;
    PERFORM deltakv.fold_counts();
    DELETE FROM deltakv.minutes m WHERE m.minute < now() - interval '60 days';
    IF tidy.retention IS NOT NULL AND deltakv.is_time_for('tidy') THEN
        WITH old AS MATERIALIZED (
            SELECT o.job_id FROM deltakv.outcomes o
            WHERE coalesce(o.completed_at, o.failed_at, o.cancelled_at) < now() - tidy.retention
                AND NOT EXISTS (SELECT FROM deltakv.dependencies d JOIN deltakv.queue q USING (job_id)
                    WHERE d.depends_on = o.job_id)
            ORDER BY o.job_id LIMIT tidy.max_jobs
        ), jobs AS (
            DELETE FROM deltakv.jobs j USING old WHERE j.job_id = old.job_id
        ), events AS (
            DELETE FROM deltakv.job_events e USING old WHERE e.job_id = old.job_id
        ), errors AS (
            DELETE FROM deltakv.job_errors e USING old WHERE e.job_id = old.job_id
        ), keys AS (
            DELETE FROM deltakv.job_keys k USING old WHERE k.job_id = old.job_id
        ), needs AS (
            DELETE FROM deltakv.dependencies d USING old WHERE d.job_id = old.job_id
        ), gone AS (
            DELETE FROM deltakv.outcomes o USING old WHERE o.job_id = old.job_id RETURNING 1
        )
        SELECT count(*) INTO removed FROM gone;
        PERFORM deltakv.note_done('tidy', started);
    END IF;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION deltakv.tidy(interval, integer) IS
    'What has to be done now and then: submits follow-up jobs, folds counts and, where a retention is given, removes jobs '
    'that ended longer ago. Daemons call it; with a retention only if they are told to.';
CREATE INDEX job_keys_job ON deltakv.job_keys (job_id);

-- A pause holds its jobs back until somebody ends it: nobody has to wait for them.
CREATE OR REPLACE FUNCTION deltakv.unfinished(batch text DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS TABLE (scheduled bigint, available bigint, running bigint, retryable bigint, next_run_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT coalesce(sum(p.scheduled), 0)::bigint, coalesce(sum(p.available), 0)::bigint,
        coalesce(sum(p.running), 0)::bigint, coalesce(sum(p.retryable), 0)::bigint, (
            SELECT min(q.run_at) FROM deltakv.queue q
            WHERE q.state IN ('scheduled', 'retryable') AND q.run_at < 'infinity' AND (unfinished.batch IS NULL
                OR q.batch_id = ANY (ARRAY(SELECT b.batch_id FROM deltakv.batches b
                    WHERE b.name = unfinished.batch AND b.tenant = coalesce(unfinished.tenant, b.tenant)))))
    FROM deltakv.batch_progress p JOIN deltakv.batches b USING (batch_id)
    WHERE (b.paused_at IS NULL OR p.running > 0) AND (unfinished.batch IS NULL
        OR p.batch = unfinished.batch AND p.tenant = coalesce(unfinished.tenant, p.tenant));
END
$$;
COMMENT ON FUNCTION deltakv.unfinished(text, text) IS
    'Counts the jobs of a batch, or of all that are not paused, that have not ended, and when the next waiting one is due.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
