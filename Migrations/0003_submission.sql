-- SPDX-License-Identifier: Apache-2.0

-- What submitters call: deltakv.submit, deltakv.cancel, deltakv.redrive.

-- Once per statement, and PostgreSQL sends equal notifications of one transaction once: a bulk load wakes workers once.
CREATE FUNCTION deltakv.announce_jobs() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('deltakv_jobs', 'available');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.announce_jobs() IS 'Wakes workers that listen on deltakv_jobs.';

CREATE TRIGGER announce_jobs AFTER INSERT ON deltakv.queue
FOR EACH STATEMENT EXECUTE FUNCTION deltakv.announce_jobs();

CREATE FUNCTION deltakv.caller() RETURNS text
LANGUAGE sql STABLE
RETURN coalesce(nullif(pg_catalog.current_setting('role'), 'none'), session_user);
COMMENT ON FUNCTION deltakv.caller() IS
    'The role that the session acts as, the same inside and outside of functions that run with their owner''s rights.';

CREATE FUNCTION deltakv.batch_id_for(tenant text, batch text) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    found_id integer;
BEGIN
    LOOP
        SELECT b.batch_id INTO found_id FROM deltakv.batches b
        WHERE b.tenant = batch_id_for.tenant AND b.name = batch_id_for.batch;
        IF FOUND THEN
            RETURN found_id;
        END IF;
        INSERT INTO deltakv.batches (tenant, name) VALUES (batch_id_for.tenant, batch_id_for.batch)
        ON CONFLICT (name, tenant) DO NOTHING;
    END LOOP;
END
$$;
COMMENT ON FUNCTION deltakv.batch_id_for(text, text) IS 'Finds the batch, or makes it.';

CREATE FUNCTION deltakv.input_bytes(document text, variables jsonb) RETURNS integer
LANGUAGE sql STABLE
RETURN coalesce(pg_catalog.octet_length(document), 0) + pg_catalog.pg_column_size(variables);
COMMENT ON FUNCTION deltakv.input_bytes(text, jsonb) IS 'The size of a job''s inputs, without reading a stored document.';

CREATE FUNCTION deltakv.submit(
    template text,
    document text DEFAULT NULL,
    custom_id text DEFAULT NULL,
    batch text DEFAULT 'default',
    options jsonb DEFAULT '{}',
    variables jsonb DEFAULT '{}',
    priority integer DEFAULT 0,
    run_at timestamptz DEFAULT NULL,
    tenant text DEFAULT NULL,
    max_attempts integer DEFAULT 3
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    owner CONSTANT text := coalesce(submit.tenant, deltakv.caller());
    group_name CONSTANT text := coalesce(submit.batch, 'default');
    group_id integer;
    tries CONSTANT integer := coalesce(submit.max_attempts, 3);
    rank CONSTANT integer := coalesce(submit.priority, 0);
    start_at CONSTANT timestamptz := coalesce(submit.run_at, now());
    waits CONSTANT boolean := start_at > now();
    settings CONSTANT jsonb := coalesce(submit.options, '{}');
    bindings CONSTANT jsonb := coalesce(submit.variables, '{}');
    submitted_id bigint;
    same boolean;
BEGIN
    IF submit.template IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'deltakv.submit needs a template, not null',
            HINT = 'Name a job template, as in deltakv.submit(''summarize'', document => body).';
    END IF;
    IF tries NOT BETWEEN 1 AND 100 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('max_attempts must be between 1 and 100, not %s', tries);
    END IF;

    SELECT b.batch_id INTO group_id FROM deltakv.batches b WHERE b.tenant = owner AND b.name = group_name;
    IF NOT FOUND THEN
        group_id := deltakv.batch_id_for(owner, group_name);
    END IF;

    WITH recorded AS (
        INSERT INTO deltakv.jobs (
            batch_id, tenant, custom_id, template, document, options, variables, priority, run_at, max_attempts)
        VALUES (
            group_id, owner, submit.custom_id, submit.template, submit.document, settings, bindings, rank, start_at,
            tries)
        ON CONFLICT (batch_id, custom_id) DO NOTHING
        RETURNING job_id
    )
    INSERT INTO deltakv.queue (
        job_id, batch_id, tenant, priority, input_bytes, state, scheduled_at, available_at, run_at, max_attempts)
    SELECT r.job_id, group_id, owner, rank,
        deltakv.input_bytes(submit.document, bindings),
        CASE WHEN waits THEN 'scheduled' ELSE 'available' END::deltakv.job_state,
        CASE WHEN waits THEN now() END,
        CASE WHEN NOT waits THEN now() END,
        start_at, tries
    FROM recorded r
    RETURNING job_id INTO submitted_id;
    IF submitted_id IS NOT NULL THEN
        RETURN submitted_id;
    END IF;

    SELECT j.job_id, j.template = submit.template AND j.document IS NOT DISTINCT FROM submit.document
        AND j.options = settings AND j.variables = bindings
    INTO submitted_id, same
    FROM deltakv.jobs j WHERE j.batch_id = group_id AND j.custom_id = submit.custom_id;
    IF same THEN
        RETURN submitted_id;
    END IF;
    RAISE unique_violation USING
        MESSAGE = format('job %s of batch "%s" already has custom_id "%s", with other inputs', submitted_id,
            group_name, submit.custom_id),
        HINT = 'Submit under another custom_id or in another batch; only the same template, document, options and '
            'variables may be submitted again.';
END
$$;
COMMENT ON FUNCTION deltakv.submit(text, text, text, text, jsonb, jsonb, integer, timestamptz, text, integer) IS
    'Submits one job and returns its id. Call it once per row: '
    'SELECT deltakv.submit(''summarize'', document => body, custom_id => id::text, batch => ''q3'') FROM articles. '
    'The same custom_id in the same batch with the same inputs returns the job that is there already. '
    'Larger priorities run first; run_at holds the job back; options are checked when the job runs.';

CREATE FUNCTION deltakv.require_selection(function_name text, batch text, job_id bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF num_nonnulls(batch, job_id) <> 1 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('deltakv.%s needs either a batch or a job_id', function_name),
            HINT = format('Write deltakv.%1$s(batch => ''q3'') or deltakv.%1$s(job_id => 17).', function_name);
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.require_selection(text, text, bigint) IS 'Refuses calls that name no jobs, or name them twice.';

CREATE FUNCTION deltakv.cancel(batch text DEFAULT NULL, job_id bigint DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    locked_ids bigint[];
    affected bigint;
BEGIN
    PERFORM deltakv.require_selection('cancel', cancel.batch, cancel.job_id);
    -- Locked in a statement of its own: an UPDATE checks constraints on the row that its snapshot shows before it
    -- notices that a worker has changed the row since.
    SELECT array_agg(l.job_id) INTO locked_ids FROM (
        SELECT q.job_id FROM deltakv.queue q
        WHERE q.job_id = cancel.job_id OR q.batch_id = ANY (ARRAY(
            SELECT b.batch_id FROM deltakv.batches b
            WHERE b.name = cancel.batch AND b.tenant = coalesce(cancel.tenant, b.tenant)))
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
COMMENT ON FUNCTION deltakv.cancel(text, bigint, text) IS
    'Cancels a job, or every unfinished job of a batch, and returns how many. Waiting jobs end at once, running ones as '
    'soon as their worker notices. Finished jobs stay as they are. A tenant narrows a batch name to that tenant''s.';

CREATE FUNCTION deltakv.redrive(batch text DEFAULT NULL, job_id bigint DEFAULT NULL, tenant text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    affected bigint;
BEGIN
    PERFORM deltakv.require_selection('redrive', redrive.batch, redrive.job_id);
    WITH locked AS MATERIALIZED (
        SELECT o.job_id, o.error_code
        FROM deltakv.outcomes o
        WHERE o.failed_at IS NOT NULL
            AND (o.job_id = redrive.job_id OR o.batch_id = ANY (ARRAY(
                SELECT b.batch_id FROM deltakv.batches b
                WHERE b.name = redrive.batch AND b.tenant = coalesce(redrive.tenant, b.tenant))))
        ORDER BY o.job_id
        FOR UPDATE OF o
    ), reopened AS (
        DELETE FROM deltakv.outcomes o USING locked l WHERE o.job_id = l.job_id
        RETURNING o.job_id
    ), queued AS (
        INSERT INTO deltakv.queue (
            job_id, batch_id, tenant, priority, input_bytes, state, available_at, run_at, max_attempts)
        SELECT j.job_id, j.batch_id, j.tenant, j.priority, deltakv.input_bytes(j.document, j.variables), 'available',
            now(), now(), j.max_attempts
        FROM reopened r JOIN deltakv.jobs j USING (job_id)
    ), logged AS (
        INSERT INTO deltakv.job_events (job_id, event, code) SELECT l.job_id, 'redriven', l.error_code FROM locked l
    )
    SELECT count(*) INTO affected FROM reopened;
    RETURN affected;
END
$$;
COMMENT ON FUNCTION deltakv.redrive(text, bigint, text) IS
    'Gives a failed job, or every failed job of a batch, all its attempts again and returns how many. Earlier errors '
    'stay in deltakv.job_errors. A tenant narrows a batch name to that tenant''s.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
